"""The thin source of a page parses to the same text and elements as the whole one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from gristmill.corpus.text.scanning import is_utf8
from gristmill.corpus.text.thinning import DATED, thin

ATTRIBUTES = re.compile(r"<([^\s>/!]+)(?:\s(?:\"[^\"]*\"|[^\">])*)?>")
DROPPED = re.compile(
    r"<script>(?:<!--.*?-->)?.*?</script>|<!--.*?-->|<(style|iframe|textarea|svg)>.*?</\1>",
    re.DOTALL,
)


def skeleton(source: bytes) -> str:
    """The serialised tree without attributes, comments and the content of what holds no text."""
    tree = HTMLTree.parse_from_bytes(source, "utf-8")
    markup = ATTRIBUTES.sub(r"<\1>", tree.body.html if tree.body else "")
    return DROPPED.sub("", markup)


PIECES = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<div class='a>b' data-x=\"c>d\">",
        "</div >",
        "<br/>",
        "<a href=x>",
        "</a foo='>'>",
        "text ",
        "&amp;",
        "&am",
        "<script>if (a < b) { '</p>' }</script>",
        "<script><!-- <script> x </script> --></script>",
        "<!-- x > -->",
        "<!-->",
        "<!--->",
        "<style>p > a {}</style>",
        "<textarea><p></textarea>",
        "<title>a</title>",
        "< b",
        "<<",
        "</ x>",
        "<svg><path d='1'/><title>t</title></svg>",
        "<math><mi>x</mi></math>",
        "<iframe><p></iframe>",
        "<?php x ?>",
        "<!x>",
        "<table><tr><td>",
        "</table>",
        "é",
        "<img alt='a' src=/x.png>",
        "<b =x y==z>",
        "<li ",
        " class = 'x'",
        ">",
        "/>",
        "p;",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_thin_source_parses_to_the_same_tree(page: str):
    source = page.encode()
    assert skeleton(thin(source).data) == skeleton(source)


@given(st.text("<>/!-'\"= abtpscrie&;\n", max_size=60))
def test_any_string_of_markup_characters_keeps_its_visible_text(page: str):
    source = f"<body>{page}".encode()
    texts = [extract_plain_text(HTMLTree.parse_from_bytes(s, "utf-8")).split() for s in (thin(source).data, source)]
    assert texts[0] == texts[1]


def test_what_nobody_reads_goes_and_what_is_read_stays():
    page = thin(b"<p id=i class='c d' data-x=1 onclick='f()' style='color:red' style=x><a href='/y' rel=nofollow>t</a>")
    assert page.data == b"<p id=i class='c d'><a>t</a>"
    assert thin(b"<a href='/y' target=z>t</a>", addresses=True).data == b"<a href='/y'>t</a>"
    assert thin(b"<p style='Display: NONE'>t").data == b"<p style='Display: NONE'>t"


def test_what_is_seen_on_the_way_is_told():
    page = thin(
        b"<html lang=de-AT><script type='application/ld+json'>{1}</script><!-- <a href=x> -->"
        b"<a href=x>a</a><a name=y>b</a><a href='https://creativecommons.org/licenses/by/4.0/'>c</a>"
        b"<time>d</time><img src='/latex.php?x'>"
    )
    assert (page.language, page.links, page.structured) == ("de", 2, (b"{1}",))
    assert (page.licensed, page.timed, page.pictured) == (True, True, True)
    assert b"creativecommons.org" in page.data


@given(
    st.lists(
        st.sampled_from("date Update posted-on Publish TIME dat publis poste datetime x d p t".split()), max_size=3
    )
)
def test_words_of_dates_are_told_of_classes_alone(names: list[str]):
    written = " ".join(names)
    page = thin(f'<p id="posted" title=time>date<p Class="{written}">'.encode())
    assert page.dated == tuple(word for word in DATED if word in written.lower())
    assert thin(f"<p class='{written}'>".encode()).dated == page.dated


@pytest.mark.parametrize("source", ["<scr<!-- -->ipt>x", "a&am<!-- -->p;b", "<<!-- -->p>x"])
def test_nothing_new_comes_of_what_stood_around_a_comment(source: str):
    assert skeleton(thin(source.encode()).data) == skeleton(source.encode())


@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_utf8_is_told_as_the_decoder_tells_it(data: bytes):
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert is_utf8(data) == valid
