"""robots.txt by RFC 9309 and the other signals of sites.

The cases named after google/robotstxt restate what its test file states in prose: the file, the agent, the address and
the verdict of each.
"""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from gristmill.corpus.reservations.records import read_sites
from gristmill.corpus.reservations.robots import AGENTS, Robots
from gristmill.corpus.reservations.sites import SIGNALS, Answer, Sites
from gristmill.corpus.store.errors import RequestError

from .crawl import http, page, record

URL = "http://foo.bar/x/y"
GROUPS = (
    "allow: /foo/bar/\n\nuser-agent: FooBot\ndisallow: /\nallow: /x/\nuser-agent: BarBot\ndisallow: /\nallow: /y/\n\n\n"
    "allow: /w/\nuser-agent: BazBot\n\nuser-agent: FooBot\nallow: /z/\ndisallow: /\n"
)
SITEMAP = "User-agent: BarBot\nSitemap: https://foo.bar/sitemap\nUser-agent: *\nDisallow: /\n"
INDEX = "User-Agent: *\nAllow: /allowed-slash/index.html\nDisallow: /\n"
GOOGLE = [  # body, agent, url, whether it may be fetched
    ("", "FooBot", URL, True),
    ("user-agent: FooBot\ndisallow: /\n", "", URL, True),
    ("user-agent: FooBot\ndisallow: /\n", "FooBot", URL, False),
    ("foo: FooBot\nbar: /\n", "FooBot", URL, True),
    ("user-agent FooBot\ndisallow /\n", "FooBot", URL, False),
    *[(GROUPS, "FooBot", f"http://foo.bar/{path}", allowed)
      for path, allowed in (("x/b", True), ("z/d", True), ("y/c", False), ("w/a", False))],
    *[(GROUPS, "BarBot", f"http://foo.bar/{path}", allowed)
      for path, allowed in (("y/c", True), ("w/a", True), ("z/d", False))],
    (SITEMAP, "FooBot", "http://foo.bar/", False),
    (SITEMAP, "BarBot", "http://foo.bar/", False),
    ("User-agent: FooBot\nInvalid-Unknown-Line: unknown\nUser-agent: *\nDisallow: /\n",
     "FooBot", "http://foo.bar/", False),
    ("USER-AGENT: FooBot\nALLOW: /x/\nDISALLOW: /\n", "FooBot", "http://foo.bar/x/y", True),
    ("user-agent: FooBot\nallow: /x/\ndisallow: /\n", "FooBot", "http://foo.bar/a/b", False),
    *[("User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\nDisallow: /\n", agent, URL, allowed)
      for agent, allowed in (("Foo", True), ("Foo Bar", True))],
    *[("User-agent: foo\nallow: /x/page.html\ndisallow: /x/\n", "foo", f"http://foo.bar/x/{path}", allowed)
      for path, allowed in (("page.html", True), ("", False), ("page.htm", False))],
    ("user-agent: * baz\ndisallow: /x\n", "FooBot", "http://foo.bar/x/y", False),
    ("user-agent: FooBot\nallow: /\nuser-agent: *\ndisallow: /\n", "FooBot", URL, True),
    ("user-agent: FooBot\nallow: /\nuser-agent: *\ndisallow: /\n", "BarBot", URL, False),
    ("user-agent: FooBot\nallow: /\nuser-agent: BarBot\ndisallow: /\nuser-agent: BazBot\ndisallow: /\n",
     "QuxBot", URL, True),
    ("user-agent: FooBot\ndisallow: /X/\n", "FooBot", URL, True),
    ("user-agent: FooBot\ndisallow: /x/\n", "foobot", URL, False),
    ("user-agent: FooBot/1.2 (something)\ndisallow: /\n", "FooBot", URL, False),
    ("user-agent: Foo\ndisallow: /\n", "FooBot", URL, True),
    ("user-agent: FooBot\ndisallow: /x/page.html\nallow: /x/\n", "FooBot", "http://foo.bar/x/page.html", False),
    ("user-agent: FooBot\ndisallow: \nallow: \n", "FooBot", URL, True),
    ("user-agent: FooBot\ndisallow: /\nallow: /\n", "FooBot", URL, True),
    ("user-agent: FooBot\ndisallow: /x\nallow: /x/\n", "FooBot", "http://foo.bar/x/", True),
    ("user-agent: FooBot\ndisallow: /x/page.html\nallow: /x/page.html\n", "FooBot", "http://foo.bar/x/page.html", True),
    ("user-agent: FooBot\nallow: /page\ndisallow: /*.html\n", "FooBot", "http://foo.bar/page.html", False),
    ("user-agent: FooBot\nallow: /x/page.\ndisallow: /*.html\n", "FooBot", "http://foo.bar/x/page.html", True),
    ("User-agent: *\nDisallow: /x/\nUser-agent: FooBot\nDisallow: /y/\n", "FooBot", "http://foo.bar/x/page", True),
    ("User-agent: *\nDisallow: /x/\nUser-agent: FooBot\nDisallow: /y/\n", "FooBot", "http://foo.bar/y/page", False),
    ("User-agent: FooBot\nDisallow: /\nAllow: /foo/bar?qux=taz&baz=http://foo.bar?tar&par\n", "FooBot",
     "http://foo.bar/foo/bar?qux=taz&baz=http://foo.bar?tar&par", True),
    ("User-agent: FooBot\nDisallow: /\nAllow: /foo/bar/\u30c4\n", "FooBot", "http://foo.bar/foo/bar/%E3%83%84", True),
    ("User-agent: FooBot\nDisallow: /\nAllow: /foo/bar/%E3%83%84\n",
     "FooBot", "http://foo.bar/foo/bar/%E3%83%84", True),
    ("User-agent: FooBot\nDisallow: /foo/bar/quz\nAllow: /foo/*/qux\n", "FooBot", "http://foo.bar/foo/bar/quz", False),
    ("User-agent: FooBot\nDisallow: /foo/bar$\nAllow: /foo/bar/qux\n", "FooBot", "http://foo.bar/foo/bar", False),
    ("User-agent: FooBot\nDisallow: /foo/bar$\nAllow: /foo/bar/qux\n", "FooBot", "http://foo.bar/foo/bar/", True),
    ("User-agent: FooBot\n# Disallow: /\nDisallow: /foo/quz#qux\nAllow: /\n",
     "FooBot", "http://foo.bar/foo/quz", False),
    (INDEX, "foobot", "http://foo.com/allowed-slash/", True),
    (INDEX, "foobot", "http://foo.com/allowed-slash/index.htm", False),
    ("User-Agent: foo\r\nAllow: /some/path\r\nUser-Agent: bar\r\n\r\n\r\nDisallow: /\r\n",
     "bar", "http://foo.bar/p", False),
    ("\ufeffUser-Agent: foo\nAllow: /AnyValue\nDisallow: /\n", "foo", "http://foo.bar/other", False),
    ("User-agent: a\nCrawl-delay: 2\nUser-agent: b\nDisallow: /\n", "a", URL, False),
]  # fmt: skip


@pytest.mark.parametrize(("body", "agent", "url", "fetched"), GOOGLE)
def test_a_robots_txt_means_what_googles_parser_reads_in_it(body, agent, url, fetched):
    assert Robots(body).refuses(agent, url) == (not fetched)


@pytest.mark.parametrize(
    ("status", "refused"), [(200, True), (404, False), (403, False), (429, False), (503, True), (500, True)]
)
def test_an_unavailable_file_allows_everything_and_an_unreachable_one_nothing(status, refused):
    assert Robots("User-agent: *\nDisallow: /\n", status).refuses("GPTBot", URL) == refused


@given(
    st.lists(st.tuples(st.booleans(), st.text("/ab*$.?", min_size=1, max_size=6).map(lambda p: "/" + p)), max_size=6),
    st.lists(st.text("/ab.?", max_size=8), min_size=1, max_size=8),
)
def test_verdicts_are_those_of_protego(rules, paths):
    body = "User-agent: FooBot\n" + "".join(f"{'Allow' if a else 'Disallow'}: {p}\n" for a, p in rules)
    for path in paths:
        url = f"http://h.example/{path}"
        assert Robots(body).refuses("FooBot", url) == (not Protego.parse(body).can_fetch(url, "FooBot"))


def test_fifty_hosts_in_records_answer_a_thousand_addresses_as_protego_does(tmp_path: Path):
    draw = Random(1)
    bodies = {}
    for n in range(50):
        lines = []
        for agent in draw.sample([*AGENTS[:6], "*", "Other"], 4):
            lines.append(f"User-agent: {agent}")
            for _ in range(draw.randint(1, 4)):
                path = (
                    "/" + "".join(draw.choice("ab/") for _ in range(draw.randint(0, 3))) + draw.choice(["", "*", "$"])
                )
                lines.append(f"{draw.choice(['Allow', 'Disallow'])}: {path}")
        bodies[f"h{n}.example"] = "\n".join(lines) + "\n"
    records = [record(http(body.encode(), "text/plain"), f"https://{host}/robots.txt") for host, body in bodies.items()]
    (tmp_path / "robotstxt").mkdir()
    (tmp_path / "robotstxt" / "a.warc.gz").write_bytes(b"".join(gzip.compress(one, mtime=0) for one in records))
    sites = read_sites([str(tmp_path / "robotstxt")])
    verdicts = set()
    for n in range(1000):
        host, agent = f"h{n % 50}.example", AGENTS[n % 6]
        url = f"https://{host}/" + "".join(draw.choice("ab/") for _ in range(draw.randint(0, 5)))
        expected = not Protego.parse(bodies[host]).can_fetch(url, agent)
        assert (sites.reserved(url, [agent], ["robots"]) is not None) == expected
        verdicts.add(expected)
    assert verdicts == {True, False}


def answers(*told: tuple[str, int, str], **more: str) -> Sites:
    sites = Sites()
    for url, status, body in told:
        sites.add(Answer(url, status, body, location=more.get("location")))
    return sites


def test_redirects_are_followed_to_other_records_and_to_nowhere_allow(tmp_path: Path):
    moved = http(b"", status="301 Moved Permanently", extra="Location: https://www.a.example/robots.txt\r\n")
    lost = http(b"", status="302 Found", extra="Location: /elsewhere\r\n")
    records = [
        record(moved, "http://a.example/robots.txt"),
        record(http(b"", status="301 Moved", extra="Location: /rules.txt\r\n"), "https://www.a.example/robots.txt"),
        record(http(b"User-agent: *\nDisallow: /\n", "text/plain"), "https://www.a.example/rules.txt"),
        record(lost, "http://b.example/robots.txt"),
        record(http(b"", status="301 Moved", extra="Location: /robots.txt\r\n"), "http://c.example/robots.txt"),
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(records))
    sites = read_sites([str(tmp_path)])
    assert sites.reserved("http://a.example/x", ["CCBot"]) is not None
    assert [sites.reserved(f"http://{host}.example/x", ["CCBot"]) for host in "bc"] == [None, None]


@pytest.mark.parametrize(
    ("path", "body", "signal", "reserved", "free"),
    [
        (
            "robots.txt",
            "User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n",
            "content-signal",
            ["", "a"],
            [],
        ),
        ("robots.txt", "User-agent: *\nContent-Signal: ai-train=yes\nAllow: /\n", "content-signal", [], ["a"]),
        ("robots.txt", "User-agent: *\nContent-Usage: train-ai=n\nAllow: /\n", "content-usage", ["a"], []),
        (
            "robots.txt",
            "User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /open/ train-ai=y\n",
            "content-usage",
            ["a", "ope"],
            ["open/a"],
        ),
        ("ai.txt", "User-Agent: *\nDisallow: *.txt\nAllow: /\n", "ai.txt", ["a.txt"], ["a.html"]),
        (
            ".well-known/tdmrep.json",
            json.dumps([{"location": "/", "tdm-reservation": 0}, {"location": "/news/*", "tdm-reservation": 1}]),
            "tdm",
            ["news/a"],
            ["a"],
        ),
        (".well-known/tdmrep.json", "{not json", "tdm", [], ["a"]),
    ],
)
def test_each_signal_of_a_site_reserves_what_it_names(path, body, signal, reserved, free):
    sites = answers((f"https://a.example/{path}", 200, body))
    for place in reserved:
        assert (sites.reserved(f"https://a.example/{place}", ["GPTBot"]) or "").startswith(signal)
        others = [one for one in SIGNALS if one != signal]
        assert sites.reserved(f"https://a.example/{place}", ["GPTBot"], others) is None
    assert all(sites.reserved(f"https://a.example/{place}", ["GPTBot"]) is None for place in free)


@pytest.mark.parametrize(
    ("extra", "meta", "signals"),
    [
        ("X-Robots-Tag: noai, nofollow\r\n", "", {"noai"}),
        ("X-Robots-Tag: GPTBot: noindex\r\n", "", {"noindex"}),
        ("Content-Signal: ai-train=no\r\n", "", {"content-signal"}),
        ("Content-Usage: train-ai=n\r\n", "", {"content-usage"}),
        ("TDM-Reservation: 1\r\n", "", {"tdm"}),
        ("TDM-Reservation: 1\r\n", '<meta name="tdm-reservation" content="0">', set()),
        ("", "<meta content='noai,noimageai' NAME=robots>", {"noai"}),
        ("", '<meta name="tdm-reservation" content="1">', {"tdm"}),
        ("", "", set()),
    ],
)
def test_what_a_page_reserves_in_its_head_is_read_beside_the_pages(tmp_path: Path, extra, meta, signals):
    body = page().replace(b"<head>", f"<head>{meta}".encode())
    made = record(http(body, extra=extra)) + record(http(b"", "text/plain"), "https://mill.example/robots.txt")
    (tmp_path / "a.warc").write_bytes(made)
    sites = read_sites([str(tmp_path / "a.warc")])
    told = {kind for kind in SIGNALS if sites.reserved("https://mill.example/a", ["GPTBot"], [kind])}
    assert told == signals


def test_a_page_whose_words_were_stored_with_its_document_needs_no_record():
    sites = answers(("https://a.example/robots.txt", 200, ""))
    assert sites.reserved("https://b.example/x", [], page="noai, nofollow") is not None
    assert sites.reserved("https://b.example/x", [], page="noindex") is None
    assert sites.reserved("https://b.example/x", [], ["noindex"], page="noindex") is not None


def test_the_last_answer_counts_or_the_one_before_the_capture():
    sites = Sites()
    for year, body in ((2023, ""), (2025, "User-agent: *\nDisallow: /\n")):
        sites.add(Answer("https://a.example/robots.txt", 200, body, datetime(year, 1, 1, tzinfo=UTC)))
    url = "https://a.example/x"
    assert sites.reserved(url, ["CCBot"]) == "robots CCBot: https://a.example/robots.txt of 2025-01-01"
    assert sites.reserved(url, ["CCBot"], captured=datetime(2024, 1, 1, tzinfo=UTC)) is None
    assert sites.reserved(url, ["CCBot"], captured=datetime(2026, 1, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_table_of_records_is_read_like_a_crawl(tmp_path: Path, suffix):
    place = tmp_path / f"robots.{suffix}"
    body = "User-agent: *\nDisallow: /\n"
    if suffix == "jsonl":
        place.write_text(json.dumps({"url": "https://a.example/robots.txt", "status": 200, "body": body}) + "\n")
    else:
        place.write_text(f'url,status,body\nhttps://a.example/robots.txt,200,"{body}"\n')
    assert read_sites([str(place)]).reserved("https://a.example/x", ["CCBot"]) is not None


def test_a_folder_without_any_such_record_is_refused(tmp_path: Path):
    (tmp_path / "a.warc").write_bytes(record(http(page())))
    with pytest.raises(RequestError, match="no record of a robots"):
        read_sites([str(tmp_path)])
