"""An opt-out reaches what it names, however either side spells it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.removals import parse
from gristmill.corpus.store.errors import RequestError

SITE = ["site.example", "SITE.example.", "www.site.example", "*.site.example", ".site.example", "site.example:8080",
        "https://site.example/", "http://www.site.example", "https://site.example:443/", "//site.example/",
        "https://site.example/ # asked on Monday"]  # fmt: skip
PAGES = ["http://site.example/", "https://www.site.example/deep/page", "http://SITE.example:8080/a?b=1", "site.example",
         "https://site.example./x/y"]  # fmt: skip


@pytest.mark.parametrize("entry", SITE)
def test_every_spelling_of_a_site_covers_all_its_pages_and_no_other_site(entry):
    asked = parse([entry], "list")
    assert all(asked.covers("0" * 32, page) for page in PAGES)
    assert not any(asked.covers("0" * 32, url) for url in ("http://another.example/", "http://mysite.example/", None))


@pytest.mark.parametrize(
    ("entry", "covered", "left"),
    [
        ("http://site.example/x/", ["https://site.example/x/y", "http://site.example/x/?q"], ["http://site.example/x"]),
        ("http://site.example/x", ["https://www.site.example/x#part"], ["http://site.example/x/y"]),
        (
            "http://site.example/x?a=1",
            ["https://site.example/x?a=1"],
            ["http://site.example/x", "http://site.example/"],
        ),
        ("site.example/%7Ejane/", ["http://site.example/~jane/page"], ["http://site.example/~john/"]),
        ("bücher.example", ["http://xn--bcher-kva.example/a"], ["http://bucher.example/"]),
        ("http://xn--bcher-kva.example/", ["https://bücher.example/a"], []),
        ("[2001:db8::7]", ["http://[2001:db8:0::7]:8080/a"], ["http://[2001:db8::8]/"]),
        ("192.0.2.7", ["http://192.0.2.7:80/a"], ["http://192.0.2.70/"]),
    ],
)
def test_an_address_covers_itself_and_a_folder_what_is_below_it(entry, covered, left):
    asked = parse([entry], "list")
    assert all(asked.covers("0" * 32, url) for url in covered)
    assert not any(asked.covers("0" * 32, url) for url in left)


hosts = st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z][a-z0-9]{0,5}){1,3}", fullmatch=True)


@given(
    hosts, st.sampled_from(["{}", "{}.", "http://{}/", "www.{}", "{}:81"]), st.sampled_from(["/", "/a/b", "/?q", ""])
)
def test_a_host_that_is_named_is_covered(host, spelling, path):
    asked = parse([spelling.format(host)], "list")
    assert asked.covers("0" * 32, f"https://{host.upper()}.:1{path}")
    if "/" not in spelling:
        assert asked.covers("0" * 32, f"http://sub.{host}:8080{path}")


def test_what_names_nothing_is_refused_with_its_line():
    for entry in ("nonsense", "site", "http://", "a b.example", "*.*", "http://site.example/*"):
        with pytest.raises(RequestError, match="line 2"):
            parse(["site.example", entry], "list")
