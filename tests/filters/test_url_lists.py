"""Lists of hosts as people have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.filters.url_lists import NOTHING, read_hosts
from gristmill.filters.urls import UrlRules, described, read_lists

UNDERSTOOD = [
    ("bad.example", "plain", ["bad.example"]),
    ("BAD.Example.", "plain", ["bad.example"]),
    ("bad.example # spam", "plain", ["bad.example"]),
    ("bad.example:8080", "plain", ["bad.example"]),
    ("bücher.example", "plain", ["xn--bcher-kva.example"]),
    ("https://bad.example/", "URL", ["bad.example"]),
    ("*.bad.example", "wildcard", ["bad.example"]),
    (".bad.example", "wildcard", ["bad.example"]),
    ("0.0.0.0 bad.example", "hosts file", ["bad.example"]),
    ("127.0.0.1\tbad.example www.bad.example # two", "hosts file", ["bad.example", "www.bad.example"]),
    (":: bad.example", "hosts file", ["bad.example"]),
    ("127.0.0.1 localhost", NOTHING, []),
    ("::1 ip6-loopback", NOTHING, []),
    ("||bad.example^", "Adblock", ["bad.example"]),
    ("||bad.example^$third-party", "Adblock", ["bad.example"]),
    ("[Adblock Plus 2.0]", NOTHING, []),
    ("bad.example##.banner", NOTHING, []),
    ("address=/bad.example/0.0.0.0", "dnsmasq", ["bad.example"]),
    ('local-zone: "bad.example" always_nxdomain', "unbound", ["bad.example"]),
    ("bad.example CNAME .", "policy zone", ["bad.example"]),
    ("2001:db8::7", "plain", ["2001:db8::7"]),
    ("[2001:DB8:0::7]:443", "plain", ["2001:db8::7"]),
    ("abcd:ef01::7", "plain", ["abcd:ef01::7"]),
    ("bad.example:8443", "plain", ["bad.example"]),
    ("http://user@bad.example:8443", "URL", ["bad.example"]),
]
REFUSED = [
    '["bad.example"]',
    "1.2.3.0/24",
    "2001:db8::/32",
    "@@||good.example^",
    "https://bad.example/page",
    "bad.example/page",
    "/banner[0-9]+/",
    "bad.*",
    "||bad.example/x^",
    "bad example",
    "bad.example,spam",
    "||bad.example^$domain=other.example",
    "-bad-.example/",
    "someone@mail.example",
    "full:bad.example",
    "domain:bad.example",
    "keyword:bad",
]


@pytest.mark.parametrize(("line", "form", "hosts"), UNDERSTOOD)
def test_the_usual_forms_are_understood_and_counted(tmp_path, line, form, hosts):
    path = tmp_path / "list.txt"
    path.write_text(f"\ufeff# a list\n! a comment\n\n{line}\r\n", encoding="utf-8")
    found = read_hosts(str(path))
    assert (found.hosts, dict(found.forms)) == (hosts, {form: 1})


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_understood_is_refused_with_its_file_and_line(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"good.example\n{line}\n")
    with pytest.raises(RequestError, match=r"list\.txt, line 2"):
        read_hosts(str(path))


def test_bytes_of_another_encoding_are_refused_with_their_line(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"good.example\ncaf\xe9.example\n")
    for kind in ("block_hosts", "block_domains", "block_urls", "block_words", "soft_words", "allow_urls"):
        with pytest.raises(RequestError, match=r"list\.txt, line 2: not UTF-8"):
            read_lists(UrlRules.model_validate({kind: [str(path)]}))


def test_what_can_match_nothing_is_a_warning_and_every_list_is_described(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("bad.example\n0.0.0.0 worse.example\nintranet\n")
    told = described(UrlRules.model_validate({"block_hosts": [str(path)]}))
    assert told[0] == f"block_hosts {path}: 1 hosts file, 2 plain"
    assert "line 3" in told[1]
    assert "no dot" in told[1]


SPELLINGS = ["{}", "{}.", "*.{}", "||{}^", "0.0.0.0 {}", "https://{}:8443/", "{} # why"]


@given(
    st.sampled_from(["bad.example", "BÜCHER.example", "xn--bcher-kva.example", "[2001:db8::7]", "192.0.2.7"]),
    st.sampled_from(SPELLINGS),
)
def test_a_listed_host_is_matched_however_both_sides_are_spelt(tmp_path_factory, host, spelling):
    if host[0] == "[" and "{}." in (spelling, spelling[2:]):
        spelling = "{}"
    path = tmp_path_factory.mktemp("lists") / "list.txt"
    path.write_text(spelling.format(host) + "\n", encoding="utf-8")
    lists = read_lists(UrlRules.model_validate({"block_domains": [str(path)]}))
    other = {"BÜCHER.example": "xn--bcher-kva.example.", "xn--bcher-kva.example": "bücher.example"}.get(host, host)
    for url in (f"http://{host}/a", f"https://{other}:444/b?c", f"HTTP://{other.upper()}"):
        assert lists.judge(url).rule == "domain:list", url
    assert lists.judge("http://good.example/").rule is None
