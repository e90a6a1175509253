"""The text of pages of every type: what belongs to it stays, whatever the page calls it, and the rest goes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.layout.model import lexicon, looked_up
from gristmill.corpus.layout.page import with_linked_data
from gristmill.corpus.layout.trees import UNIT, Trees, scores
from gristmill.corpus.layout.types import OTHER, TYPES
from gristmill.corpus.text.extraction import Page, extract_page

from .crawl import PROSE

NAV = "<nav><a href=/>Home</a> <a href=/n>News</a></nav>"
ARTICLE = "".join(f"<p>{n} {PROSE}</p>" for n in range(4))


def read(body: str, head: str = "", **options) -> Page:
    page = f"<html><head><title>The old mill - Site</title>{head}</head><body>{NAV}{body}<footer>Copyright</footer>"
    return extract_page(page.encode(), None, "resiliparse", **options)


@pytest.mark.parametrize(
    "body", [f"<div id=art>{PROSE * 5}</div>", f"<div>{(PROSE + '<br><br>') * 5}</div>", PROSE * 6]
)
def test_an_article_without_paragraphs_is_not_lost(body: str):
    assert read(body).text.count("The mill stands") >= 5


@pytest.mark.parametrize(
    "name", "related subscribe caption advertising sidebar newsletter comments-open social-share popup".split()
)
def test_a_wrapper_that_bears_a_cue_does_not_sink_the_article_inside(name: str):
    text = read(f"<div class='{name}'><div><div class=content><h1>The old mill</h1>{ARTICLE}</div></div></div>").text
    assert all(f"{n} The mill" in text for n in range(4))


def test_text_in_noscript_is_read_and_that_of_trackers_is_not():
    assert read(f"<div><noscript>{ARTICLE}</noscript></div>").text.count("The mill stands") == 4
    tracker = "<noscript>Please enable JavaScript.</noscript><noscript><img src=x alt=pixel></noscript>"
    assert "JavaScript" not in read(ARTICLE + tracker).text


def test_text_that_stands_in_noscript_and_beside_it_is_read_once():
    twice = read(f"<article>{ARTICLE}</article><noscript>{ARTICLE}<p>4 {PROSE}</p></noscript>").text
    assert [twice.count(f"{n} The mill") for n in range(5)] == [1] * 5


@pytest.mark.parametrize(
    "opening",
    [
        "p style='display:none'",
        "p style='color:red; DISPLAY : none'",
        "p hidden",
        "p hidden=''",
        "p aria-hidden='true'",
        "p aria-hidden=TRUE",
        "p style='visibility:hidden'",
        "p style='margin:0;Visibility : Collapse'",
    ],
)
def test_text_that_is_not_shown_is_no_content(opening: str):
    text = read(f"{ARTICLE}<{opening}>SECRET {PROSE}</p><p>Last {PROSE}</p>").text
    assert "SECRET" not in text
    assert "Last" in text


def test_a_page_that_is_hidden_until_a_script_shows_it_is_read():
    assert "3 The mill" in read(f"<div style='display:none'>{ARTICLE}</div>").text
    assert "3 The mill" in read(f"<div style='visibility:hidden'>{ARTICLE}</div>").text


def test_the_headline_is_the_title_and_heads_the_text_where_asked():
    plain, headed = (read(f"<h1>The old mill</h1>{ARTICLE}", headline=asked) for asked in (False, True))
    assert plain.stated.title == headed.stated.title == "The old mill"
    assert plain.text.startswith("0 The mill")
    assert headed.text.startswith("The old mill\n\n0 The mill")


def test_captions_are_a_setting_and_soft_hyphens_go():
    caption = "<figure><img src=x><figcaption>A won\u00adder of a mill, seen from it.</figcaption></figure>"
    body = ARTICLE + caption + ARTICLE
    assert "seen from it" not in read(body).text
    assert "\u00ad" not in read(body, captions=True).text


POSTS = "".join(
    f"<div class=post id=p{n}><div class=author>user{n}</div><div class=date>May {n + 1}, 2020 10:3{n}</div>"
    f"<div class=post-body><p>Turn {n}: how does one mend the wheel of a mill? I tried glue and it did not hold.</p>"
    f"</div><div class=votes>1{n} votes</div><a href=/r>Reply</a></div>"
    for n in range(6)
)


def test_a_thread_keeps_its_turns_in_order_and_drops_what_is_about_them():
    page = read(f"<h1>How to mend a wheel?</h1><div class=thread>{POSTS}</div>")
    places = [page.text.find(f"Turn {n}") for n in range(6)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert not any(noise in page.text for noise in ("votes", "Reply", "10:3"))
    assert page.stated.page_type == "forum"


def test_posts_of_a_thread_are_set_apart_in_markdown():
    assert read(f"<h1>How to mend?</h1><div class=thread>{POSTS}</div>", markdown=True).text.count("\n---\n") == 5


def test_all_sections_of_a_service_are_kept():
    sections = "".join(
        f"<section><h2>Service {n} for mills</h2><p>We mend the wheels of mills in all of the land, in {n} days.</p>"
        "</section>"
        for n in range(6)
    )
    text = read(f"<header><h1>We mend mills</h1></header><main>{sections}</main>").text
    assert all(f"Service {n}" in text and f"in {n} days" in text for n in range(6))


def test_cards_are_kept_whole_and_their_buttons_go():
    cards = "".join(
        f"<div class=card><a href=/c{n}><h3>Card {n} of the mill</h3></a><p>The mill number {n} stands by a river and "
        f"grinds grain for its village.</p><a class=btn href=/c{n}>Read more</a></div>"
        for n in range(9)
    )
    text = read(f"<h1>Mills of the land</h1><div class=grid>{cards}</div>").text
    assert all(f"mill number {n}" in text for n in range(9))
    assert "Read more" not in text


def test_a_product_keeps_its_description_and_its_specifications_as_rows():
    table = "".join(f"<tr><td>{a}</td><td>{b}</td></tr>" for a, b in (("Weight", "12 kg"), ("Height", "40 cm")))
    body = (
        f"<h1>Stone mill</h1><div class=price>$ 99</div><button>Add to cart</button>"
        f"<div class=product-description><p>{PROSE}</p><p>{PROSE}</p></div><table class=specs>{table}</table>"
    )
    text = read(body, "<meta property='og:type' content='product'>").text
    assert "Weight | 12 kg\nHeight | 40 cm" in text
    assert "Add to cart" not in text


def linked(thing: dict) -> str:
    return f"<script type='application/ld+json'>{json.dumps(thing)}</script>"


ANSWER = "Yes, the mill is very old and it has been there for ages, as all of us know here."
QUESTION = {
    "@type": "Question",
    "name": "Is it old?",
    "acceptedAnswer": {"@type": "Answer", "text": f"<p>{ANSWER}</p>"},
}


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        ({"@type": "Product", "description": PROSE * 2}, "three hundred years"),
        ({"@type": "NewsArticle", "articleBody": PROSE * 3}, "three hundred years"),
        ({"@type": ["Article", "NewsArticle"], "articleBody": [PROSE, PROSE + " "]}, "three hundred years"),
        ({"@type": "schema:Article", "schema:articleBody": {"@value": PROSE * 2}}, "three hundred years"),
        ({"@type": "Article", "articleBody": f"<p>{PROSE}</p><p>&amp; {PROSE}</p>"}, "three hundred years"),
        ({"@type": "FAQPage", "mainEntity": [QUESTION]}, ANSWER),
        ({"@graph": [{"@type": "QAPage", "mainEntity": QUESTION}]}, ANSWER),
    ],
)
def test_text_that_stands_in_json_ld_alone_is_read_once(thing: dict, told: str):
    alone = read("<h1>Stone mill</h1><div>$ 99</div>", linked(thing)).text
    assert told in alone
    body = (
        f"<div class=description>{''.join(f'<p>{PROSE}</p>' for _ in range(3))}<p>Is it old?</p><p>{ANSWER}</p></div>"
    )
    assert read(body, linked(thing)).text.count(told) <= max(1, read(body).text.count(told))


def test_what_follows_the_teaser_on_the_page_is_read_from_json_ld_once():
    parts = [
        f"This is part {word} of a long account of the old mill and of all who work there today." for word in NUMBERS
    ]
    data = linked({"@type": "NewsArticle", "articleBody": " ".join(parts)})
    text = read("".join(f"<p>{part}</p>" for part in parts[:3]), data).text
    assert [text.count(part) for part in parts] == [1] * len(parts)
    whole = read("".join(f"<p>{part}</p>" for part in parts), data).text
    assert [whole.count(part) for part in parts] == [1] * len(parts)


NUMBERS = "one two three four five six seven eight".split()


@given(st.text('{}[]":,@typeProductFAQPage description', max_size=60))
def test_broken_json_ld_is_no_text_and_no_failure(script: str):
    assert with_linked_data("a text", b"<p>a text</p>", (b'{"@type": "Product"' + script.encode(),)) == "a text"


def test_the_walk_through_trees_is_exact():
    trees = Trees(
        np.array([0, 3], np.int32),
        np.array([0, -1, -1, -1], np.int16),
        np.array([0.5, 0, 0, 0], np.float32),
        np.array([1, UNIT, -UNIT, 7], np.int32),
        np.array([2, 0, 0, 0], np.int32),
        np.zeros(1, np.int64),
    )
    assert scores(np.array([[0.5], [0.6]], np.float32), trees)[:, 0].tolist() == [UNIT + 7, 7 - UNIT]


@given(st.lists(st.integers(1, 2**44), unique=True, min_size=1, max_size=60))
def test_a_lexicon_finds_what_it_holds_and_nothing_else(hashes: list[int]):
    keys = np.array(sorted(hashes), np.int64)
    held = lexicon(keys[::2], np.arange(len(keys[::2]), dtype=np.int8)[:, None])
    found = looked_up(keys, held, np.nan)
    assert found[::2].tolist() == [n / 16 for n in range(len(keys[::2]))]
    assert np.isnan(found[1::2]).all()


@given(st.text("<>/=' pdivahrefclass123", max_size=80))
def test_every_page_has_a_type_and_a_probability(page: str):
    about = extract_page(f"<body>{page}".encode(), None, "resiliparse").stated
    assert about.page_type in (*TYPES, OTHER)
    assert about.page_type_score is not None
    assert 0 <= about.page_type_score <= 1
