"""URL lists: what a listed name covers."""

import pytest

from gristmill.corpus.refusal import RequestError
from gristmill.filters.urls import UrlLists, host_of, normal_url, parents, registered_domain, ut1_lists


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://User:pw@WWW.Example.CO.UK:8080/a", "www.example.co.uk"),
        ("example.org/path", "example.org"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("", ""),
    ],
)
def test_the_host_of_a_url(url, host):
    assert host_of(url) == host


def test_domains_above_a_host_stop_before_the_public_suffix():
    assert list(parents("a.b.example.co.uk")) == ["a.b.example.co.uk", "b.example.co.uk", "example.co.uk"]
    assert registered_domain("a.b.example.co.uk") == "example.co.uk"
    assert list(parents("192.0.2.7")) == ["192.0.2.7"]


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
