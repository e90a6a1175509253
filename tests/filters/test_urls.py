"""URL lists: what a listed name covers."""

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.urls import (
    UrlLists,
    UrlRules,
    host_of,
    judge_all,
    normal_url,
    parents,
    registered_domain,
    ut1_lists,
)
from gristmill.pipelines.cli import load_command


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://User:pw@WWW.Example.CO.UK:8080/a", "www.example.co.uk"),
        ("example.org/path", "example.org"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("http://good.example@bad.example/", "bad.example"),
        ("example.org/?next=http://other.example/", "example.org"),
        ("https://bad.example\\@good.example/", "bad.example"),
        ("http://faß.example./", "xn--fa-hia.example"),
        ("http://ПРИМЕР.рф/", "xn--e1afmkfd.xn--p1ai"),
        ("http://ex%61mple.org:443", "example.org"),
        ("http://[half/", ""),
        ("", ""),
    ],
)
def test_the_host_of_a_url(url, host):
    assert host_of(url) == host


def test_domains_above_a_host_stop_before_the_public_suffix():
    assert list(parents("a.b.example.co.uk")) == ["a.b.example.co.uk", "b.example.co.uk", "example.co.uk"]
    assert registered_domain("a.b.example.co.uk") == "example.co.uk"
    assert list(parents("192.0.2.7")) == ["192.0.2.7"]
    assert list(parents("2001:db8::1")) == ["2001:db8::1"]
    assert list(parents("a.example.xn--p1ai")) == ["a.example.xn--p1ai", "example.xn--p1ai"]
    assert list(parents("a.b.foo.ck")) == ["a.b.foo.ck", "b.foo.ck"]  # *.ck
    assert list(parents("a.b.intranet")) == ["a.b.intranet", "b.intranet"]  # no such top-level domain
    assert list(parents("a.b.c.kobe.jp")) == ["a.b.c.kobe.jp", "b.c.kobe.jp"]  # *.kobe.jp
    assert list(parents("a.city.kobe.jp")) == ["a.city.kobe.jp", "city.kobe.jp"]  # but !city.kobe.jp
    assert list(parents("a.www.ck")) == ["a.www.ck", "www.ck"]  # but !www.ck


LISTS = UrlLists(
    hosts={"ads.example.com": "ads"},
    domains={"bad.co.uk": "adult", "shop.example.org": "shops"},
    urls={"example.net/page": "spam"},
    allowed=frozenset({"good.bad.co.uk"}),
    hard_words=("casinobonus",),
    soft_words=("poker", "slots", "bonus"),
)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://bad.co.uk/", "domain:adult"),
        ("http://very.bad.co.uk/x", "domain:adult"),
        ("http://notbad.co.uk/", None),
        ("http://good.bad.co.uk/", None),
        ("http://ads.example.com/", "host:ads"),
        ("http://sub.ads.example.com/", None),
        ("http://example.org/", None),
        ("http://www.shop.example.org/", "domain:shops"),
        ("https://www.example.net/page/#top", "url:spam"),
        ("https://example.net/page/2", None),
        ("http://mycasinobonus.example/", "hard_word"),
        ("http://x.example/poker/slots", "soft_words"),
        ("http://x.example/poker/poker", None),
        ("http://x.example/pokerslots", None),
        (None, None),
    ],
)
def test_a_url_falls_to_the_first_list_it_is_on(url, rule):
    assert LISTS.judge(url).rule == rule


def test_a_public_suffix_is_refused_as_a_domain():
    with pytest.raises(RequestError, match="public suffix"):
        UrlLists(domains={"co.uk": "all"})


def test_a_suffix_that_a_company_opened_to_its_customers_can_be_listed_and_so_can_one_customer():
    one = UrlLists(domains={"alice.github.io": "spam"})
    assert one.judge("https://www.alice.github.io/").rule == "domain:spam"
    assert one.judge("https://bob.github.io/").rule is None
    assert UrlLists(domains={"github.io": "pages"}).judge("https://bob.github.io/").rule == "domain:pages"


def test_words_are_found_behind_percent_signs_and_hyphens():
    lists = UrlLists(hard_words=("free-casino",), soft_words=("Покер", "slots"))
    assert lists.judge("http://x.example/get/free_casino99").rule == "hard_word"
    assert lists.judge("http://x.example/%D0%BF%D0%BE%D0%BA%D0%B5%D1%80/slots").rule == "soft_words"
    with pytest.raises(RequestError, match="neither a letter"):
        UrlLists(hard_words=("--",)).judge("http://x.example/")


def test_lists_of_every_kind_come_from_files_and_an_allow_list_wins(tmp_path):
    content = {
        "hosts": "# one host\nwww.One.example\n",
        "domains": "bücher.example\nbad.example\n",
        "urls": "https://www.two.example/page/\n",
        "words": "casinobonus\n",
        "fine": "good.bad.example\n",
    }
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    path = {name: str(tmp_path / name) for name in content}
    rules = UrlRules(
        block_hosts={"ads": path["hosts"]}, block_domains=path["domains"], block_urls=[path["urls"]],
        block_words=path["words"], allow_hosts=path["fine"],
    )  # fmt: skip
    expected = {
        "http://www.one.example/x": "host:ads",
        "http://one.example/x": None,
        "http://a.xn--bcher-kva.example/": "domain:domains",
        "http://very.bad.example/": "domain:domains",
        "http://good.bad.example/": None,
        "http://even.good.bad.example/": "domain:domains",
        "http://two.example/page": "url:urls",
        "http://x.example/thecasinobonusnow": "hard_word",
        None: None,
    }
    judged = judge_all(pa.array(expected), rules.model_dump_json(), rules.fingerprint())
    assert dict(zip(expected, judged["rule"].to_pylist(), strict=True)) == expected
    assert judged["listed"].to_pylist() == [int(rule is not None) for rule in expected.values()]
    before = rules.fingerprint()
    (tmp_path / "words").write_text("poker\n")
    assert rules.fingerprint() != before
    with pytest.raises(RequestError, match="there is no file"):
        UrlRules(allow_urls=str(tmp_path / "none")).fingerprint()


def test_the_command_drops_what_is_listed_and_keeps_what_is_allowed(tmp_path, document_writer):
    space = Workspace(str(tmp_path / "w"))
    urls = ["http://sub.bad.example/a", "http://good.bad.example/", "http://other.example/", None]
    document_writer(space, [{"id": f"{n:032x}", "text": "t", "url": url} for n, url in enumerate(urls)])
    (tmp_path / "adult").write_text("bad.example\n")
    (tmp_path / "fine").write_text("good.bad.example\n")
    (tmp_path / "open.yaml").write_text("name: open\nrules: []\n")
    options = ["--block-domains", f"porn={tmp_path / 'adult'}", "--allow-hosts", str(tmp_path / "fine")]
    arguments = ["--workspace", space.url, "--rules", str(tmp_path / "open.yaml"), *options]
    result = CliRunner().invoke(load_command("filter"), arguments, obj={})
    assert result.exit_code == 0, result.output
    with open_catalog(space) as catalog:
        rows = catalog.execute("select kept, rule, value, threshold from decisions order by id").fetchall()
        listed = catalog.execute("select s.url.rule, s.url.entry from signals s order by id").fetchall()
    assert rows == [(False, "listed_url", 1.0, 0.0), *[(True, None, None, None)] * 3]
    assert listed == [("domain:porn", "bad.example"), *[(None, None)] * 3]


def test_ut1_folders_are_categories(tmp_path):
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_text("# a comment\nBad.example\n\n192.0.2.7\n")
    (tmp_path / "adult" / "urls").write_text("fine.example/bad/\n")
    lists = ut1_lists(str(tmp_path))
    assert lists.judge("http://sub.bad.example/").rule == "domain:adult"
    assert lists.judge("http://192.0.2.7/x").rule is not None
    assert lists.judge("http://fine.example/bad").rule == "url:adult"
    assert lists.judge("http://fine.example/").rule is None
    with pytest.raises(RequestError, match="no category"):
        ut1_lists(str(tmp_path), ["gambling"])


def test_url_lists_compare_without_scheme_and_final_slash():
    assert normal_url("https://WWW.Example.org/A/?q=1#x") == "example.org/A?q=1"
