"""Dates that pages state, in the forms in which they state them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree

from gristmill.corpus.metadata.dates import parse_date
from gristmill.corpus.metadata.page import Sent, Stated, head_metas, stated
from gristmill.corpus.text.extraction import extract_page
from gristmill.corpus.text.thinning import thin

FORMS = [
    ("2020-05-06 21:30:00 EST", "2020-05-07 02:30"),
    ("2020-05-06 21:30 CEST", "2020-05-06 19:30"),
    ("2020-05-06T21:30:00-05:00", "2020-05-07 02:30"),
    ("2020-05-06 07:08 GMT+2", "2020-05-06 05:08"),
    ("Wed, 06 May 2020 07:08:00 GMT", "2020-05-06 07:08"),
    ("Wed, 06 May 2020 21:30:00 -0500", "2020-05-07 02:30"),
    ("Wednesday, 06-May-20 07:08:00 GMT", "2020-05-06 07:08"),
    ("Wed May 6 07:08:00 PDT 2020", "2020-05-06 14:08"),
    ("May 6, 2020 at 9:30 pm EDT", "2020-05-07 01:30"),
    ("May 6, 2020 12:05 AM", "2020-05-06 00:05"),
    ("2020-05-06 9:30 a.m. PST", "2020-05-06 17:30"),
    ("2020-05-06 21:30:00 IST", "2020-05-06 00:00"),  # of India, Israel or Ireland
    ("6th May 2020", "2020-05-06 00:00"),
    ("6. Mai 2020", "2020-05-06 00:00"),
    ("6 août 2020", "2020-08-06 00:00"),
    ("6 de mayo de 2020", "2020-05-06 00:00"),
    ("6 maggio 2020", "2020-05-06 00:00"),
    ("6 de março de 2020", "2020-03-06 00:00"),
    ("6 mei 2020", "2020-05-06 00:00"),
    ("12 września 2019", "2019-09-12 00:00"),
    ("12 listopada 2020", "2020-11-12 00:00"),
    ("6 мая 2020, 21:30", "2020-05-06 21:30"),
    ("6 травня 2020", "2020-05-06 00:00"),
    ("6 Μαΐου 2020", "2020-05-06 00:00"),
    ("6 Mayıs 2020", "2020-05-06 00:00"),
    ("2020年5月6日", "2020-05-06 00:00"),
    ("2020년 5월 6일", "2020-05-06 00:00"),
    ("06.05.2020 21:30", "2020-05-06 21:30"),
    ("25/06/2020", "2020-06-25 00:00"),
    ("06/25/2020 9:30 PM", "2020-06-25 21:30"),
    ("20200506T071000Z", "2020-05-06 07:10"),
    ("2020/05/06", "2020-05-06 00:00"),
    ("2020.05.06 21:30", "2020-05-06 21:30"),
    ("2020. 5. 6.", "2020-05-06 00:00"),
    ("Posted 2020/05/06", "2020-05-06 00:00"),
    ("2020-W19-3", "2020-05-06 00:00"),
    ("2020-127", "2020-05-06 00:00"),
    ("20200506T213000-0500", "2020-05-07 02:30"),
    ("2020-05-06 21:30:00 -0500 EST", "2020-05-07 02:30"),
    ("2020-05-06T21:30:00-05:00[America/New_York]", "2020-05-07 02:30"),
    ("Wed May 06 2020 21:30:00 GMT-0500 (Eastern Standard Time)", "2020-05-07 02:30"),
    ("1588750080", "2020-05-06 07:28"),
    ("1588750080123", "2020-05-06 07:28"),
    ("2020050607", "2020-05-06 07:00"),
    ("6th of May, 2020", "2020-05-06 00:00"),
    ("1º de março de 2020", "2020-03-01 00:00"),
    ("1er mars 2020", "2020-03-01 00:00"),
    ("2020. március 6.", "2020-03-06 00:00"),
    ("2020 m. kovo 6 d.", "2020-03-06 00:00"),
    ("2020. gada 6. martā", "2020-03-06 00:00"),
    ("6. märts 2020", "2020-03-06 00:00"),
    ("6. marca 2020", "2020-03-06 00:00"),
    ("6. mars 2020 kl. 21:30", "2020-03-06 21:30"),
    ("6 Mac 2020", "2020-03-06 00:00"),
    ("6 mars 2020", "2020-03-06 00:00"),
    ("6 martie 2020", "2020-03-06 00:00"),
    ("6 сакавіка 2020", "2020-03-06 00:00"),
    ("6. март 2020.", "2020-03-06 00:00"),
    ("6 მარტი 2020", "2020-03-06 00:00"),
    ("6 մարտի 2020", "2020-03-06 00:00"),
    ("6 مارس 2020", "2020-03-06 00:00"),
    ("٦ مارس ٢٠٢٠", "2020-03-06 00:00"),
    ("6 במרץ 2020", "2020-03-06 00:00"),
    ("6 मार्च 2020", "2020-03-06 00:00"),
    ("६ मार्च २०२०", "2020-03-06 00:00"),
    ("৬ মার্চ ২০২০", "2020-03-06 00:00"),
    ("6 மார்ச் 2020", "2020-03-06 00:00"),
    ("6 มีนาคม 2563", "2020-03-06 00:00"),
    ("6 มีนาคม 2020", "2020-03-06 00:00"),
    ("Ngày 6 tháng 3 năm 2020", "2020-03-06 00:00"),
    ("6 Tháng 3, 2020", "2020-03-06 00:00"),
    ("2020 оны 3 сарын 6", "2020-03-06 00:00"),
    ("令和2年3月6日", "2020-03-06 00:00"),
    ("平成元年", None),
    ("平成31年3月6日", "2019-03-06 00:00"),
    ("\u200f6\u200f/\u200f25\u200f/2020", "2020-06-25 00:00"),
    ("۱۷ اسفند ۱۳۹۸", None),
]


@pytest.mark.parametrize(("text", "day"), FORMS)
def test_a_date_is_read_in_its_zone_and_language(text: str, day: str | None):
    found = parse_date(text)
    assert (found.strftime("%Y-%m-%d %H:%M") if found else None) == day


@pytest.mark.parametrize(
    "text", ["05/06/2020", "May 2020", "2020-13-45", "hello", "31 February 2020", "12:30", "1850-01-01"]
)
def test_what_leaves_the_day_open_is_no_date(text: str):
    assert parse_date(text) is None


@given(st.text("0123456789 -/:.,TZadeimnoprstuvyAM+年", max_size=40))
def test_no_text_makes_reading_dates_fail(text: str):
    found = parse_date(text)
    assert found is None or 1990 <= found.year <= 2100


def about(body: str, head: str = "", **sent) -> Stated:
    page = thin(f"<html><head>{head}</head><body>{body}</body></html>".encode())
    tree = HTMLTree.parse_from_bytes(page.data, "utf-8")
    head = tree.head.html if tree.head else ""
    return stated(page, head, head_metas(head), tree.body, Sent(**sent))


OWN = "<time datetime='2020-05-06'>6 May</time>"


@pytest.mark.parametrize(
    "other",
    [
        "<div class='comment'><time datetime='2021-01-01'></time></div>",
        "<figure><time datetime='2021-01-01'></time></figure>",
        "<aside><time datetime='2021-01-01'></time></aside>",
        "<div class='upcoming-events'><time datetime='2021-01-01'></time></div>",
        "<div class='related-posts'><time datetime='2021-01-01'></time></div>",
        "<div class='kommentare'><time datetime='2021-01-01'></time></div>",
        "<ol id='comentarios'><li><time datetime='2021-01-01'></time></li></ol>",
        "<div itemtype='https://schema.org/Comment'><time itemprop='datePublished' datetime='2021-01-01'></time></div>",
        "<div itemtype='http://schema.org/MusicEvent'><time datetime='2021-01-01'></time></div>",
        "<div typeof='schema:ImageObject'><time property='schema:datePublished' datetime='2021-01-01'></time></div>",
        "<p>From <time itemprop='startDate' datetime='2021-01-01'></time></p>",
        "<p>Changed <time itemprop='dateModified' datetime='2021-01-01'></time></p>",
    ],
)
def test_the_date_of_a_comment_a_picture_or_an_event_is_not_that_of_the_page(other: str):
    assert str(about(other + OWN).date)[:10] == "2020-05-06"
    assert about(other).date is None


@pytest.mark.parametrize("kind", ["ImageObject", "Comment", "Event", "VideoObject"])
def test_json_ld_of_something_else_does_not_date_the_page(kind: str):
    script = '<script type="application/ld+json">{"@type": "%s", "datePublished": "2021-01-01"}</script>'
    own = script % "NewsArticle"
    assert about("", script % kind).date is None
    assert str(about("", script % kind + own.replace("2021-01-01", "2020-05-06")).date)[:10] == "2020-05-06"


def test_the_first_post_of_a_thread_dates_it_though_the_forum_calls_it_a_comment():
    posts = [
        f"<li class='postbit' id='post_{n}' itemtype='http://schema.org/Comment'>"
        f"<span itemprop='datePublished'>{day} May 2020</span></li>"
        for n, day in enumerate((6, 7))
    ]
    assert str(about("<ol>" + "".join(posts) + "</ol>").date)[:10] == "2020-05-06"


SHAPES = [
    '{"@graph": [{"@type": "WebSite"}, {"@type": "Article", "datePublished": "2020-05-06"}]}',
    '[[{"@type": ["NewsArticle", "Article"], "datePublished": "2020-05-06"}]]',
    '{"@type": "schema:Article", "schema:datePublished": {"@value": "2020-05-06", "@type": "Date"}}',
    '{"@type": "http://schema.org/Article", "http://schema.org/datePublished": ["2020-05-06"]}',
    '{"@type": "WebPage", "mainEntity": {"@type": "SocialMediaPosting", "datePublished": "2020-05-06"}}',
    '//<![CDATA[\n{"@type": "Article", "datePublished": "2020-05-06"}\n//]]>',
    '/* <![CDATA[ */ {"@type": "Article", "datePublished": "2020-05-06"} /* ]]> */',
    '<!-- {"@type": "ReviewNewsArticle", "datePublished": "2020-05-06"} -->',
    '\ufeff {"@type": "Article", "text": "a\nb", "datePublished": "2020-05-06"};',
    "{&quot;@type&quot;: &quot;Article&quot;, &quot;datePublished&quot;: &quot;2020-05-06&quot;}",
    '{"@type": "Article", "image": {"@type": "ImageObject", "datePublished": "2021"}, "datePublished": "2020-05-06"}',
    '{"@type": "Article", "comment": [{"@type": "Comment", "datePublished": "2021"}], "datePublished": "2020-05-06"}',
]


@pytest.mark.parametrize("data", SHAPES)
def test_json_ld_dates_the_page_whatever_its_shape(data: str):
    assert str(about("", f'<script type="application/ld+json">{data}</script>').date)[:10] == "2020-05-06"


@pytest.mark.parametrize(
    "data", ['{"@graph": ' * 300 + "1" + "}" * 300, "[" * 5000, '{"@type": 5, "datePublished": 7}', "{"]
)
def test_json_ld_that_cannot_be_read_states_nothing(data: str):
    assert about("", f'<script type="application/ld+json">{data}"datePublished"</script>').date is None


def test_no_page_is_dated_after_its_capture():
    metas = '<meta name="date" content="2031-01-01"><meta name="dc.date" content="2020-05-06">'
    assert str(about("", metas, captured=datetime(2024, 1, 1, tzinfo=UTC)).date)[:10] == "2020-05-06"


def test_the_head_states_the_address_and_what_robots_may_do():
    head = '<link rel="canonical" href="/a"><meta name="robots" content="noindex">'
    fields = {"x-robots-tag": "noarchive", "content-language": "de-AT"}
    found = about("", head, url="https://example.org/b?c=1", fields=fields)
    assert (found.canonical, found.robots, found.language) == ("https://example.org/a", "noarchive, noindex", "de")


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("utf-8", None),
        ("us-ascii", None),
        ("en_GB", "en"),
        ("zh-Hant-TW", "zh"),
        ("iso-8859-1", None),
        ("xx", None),
        ("eng", "en"),
        ("ger-DE", "de"),
        ("iw", "he"),
        ("cmn-Hans", "cmn"),
        ("sr-Latn", "sr"),
        ("mul", None),
        ("en,fr", None),
    ],
)
def test_only_a_language_tag_names_a_language(tag: str, language: str | None):
    assert extract_page(f"<html lang='{tag}'><body><p>a</p></body></html>", None, "raw").stated.language == language
