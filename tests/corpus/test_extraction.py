"""What of a page survives extraction, and what does not."""

import pytest

from gristmill.corpus.text.extraction import ENGINES, extract_page, page_bytes
from gristmill.corpus.text.pages import Job, Options, work_on

from .crawl import PROSE, page

NOISE = (
    "<nav><ul><li><a href='/'>Home of all</a></li><li><a href='/n'>News of today</a></li></ul></nav>",
    "<div class='cookie-consent'><p>We use cookies to improve your visit. By going on you accept all.</p></div>",
    "<aside class='related-posts'><h3>Related</h3><p><a href='/x'>Another story you may want to read</a></p></aside>",
    "<div class='comments'><p>First comment of a reader, who disagrees with nearly everything that was said.</p></div>",
    "<footer><p>Copyright 2024 The Mill Company. All rights reserved in every country of the world.</p></footer>",
)  # fmt: skip


def article(middle: str, head: str = "") -> bytes:
    prose = "".join(f"<p>{n} {PROSE}</p>" for n in range(3))
    return (
        f"<html lang='en'><head><title>The mill</title>{head}</head><body>{NOISE[0]}{NOISE[1]}"
        f"<article><h1>The mill</h1>{prose}{middle}<p>Last. {PROSE}</p></article>{''.join(NOISE[2:])}</body></html>"
    ).encode()


def text_of(middle: str, **options) -> str:
    outcome = work_on(Job(article(middle), markup=True), Options(**options))
    assert outcome.error is None
    return outcome.text


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "raw"])
def test_the_article_stays_and_what_surrounds_it_goes(engine: str):
    text = extract_page(article(""), None, engine).text
    assert text.count("The mill stands where the river bends") == 4
    for noise in ("Home of all", "cookies", "Another story", "First comment", "Copyright"):
        assert noise not in text or (noise == "First comment" and engine == "trafilatura")  # its default keeps comments


def test_raw_keeps_what_is_visible():
    text = extract_page(article("<script>var hidden = 1;</script>"), None, "raw").text
    assert "Copyright" in text
    assert "hidden" not in text


CODE = "def mill(grain):\n    for n in range(3):\n\n        if n < 2 and grain[n] > 'a':\n            yield n  # &amp\n"


@pytest.mark.parametrize(
    "markup",
    [
        "<pre>{}</pre>",
        "<pre><code class='language-python'>{}</code></pre>",
        "<div class='highlight'><pre><span class='k'>{}</span></pre></div>",
    ],
)
def test_code_keeps_its_indentation_between_fences(markup: str):
    escaped = CODE.replace("&", "&amp;").replace("<", "&lt;")
    assert f"```\n{CODE}```" in text_of(markup.format(escaped))


def test_code_with_an_element_for_every_line_is_one_listing():
    lines = "".join(f"<div class='line'>{line.replace('<', '&lt;')}</div>" for line in ("if a < 1:", "    b()", "c()"))
    assert "```\nif a < 1:\n    b()\nc()\n```" in text_of(f"<pre>{lines}</pre>")


TEX = r"\frac{a_1}{\sqrt{b}} \leq  \sum_{i=0}^{n}   x_i"


@pytest.mark.parametrize(
    ("markup", "written"),
    [
        (f"<script type='math/tex'>{TEX}</script>", f"${TEX}$"),
        (f"<script type='math/tex; mode=display'>{TEX}</script>", f"$${TEX}$$"),
        (
            "<span class='katex'><span class='katex-mathml'><math><semantics><mrow><mi>a</mi></mrow>"
            f"<annotation encoding='application/x-tex'>{TEX}</annotation></semantics></math></span>"
            "<span class='katex-html' aria-hidden='true'>a1b</span></span>",
            f"${TEX}$",
        ),
        (
            "<span class='katex-display'><span class='katex'><math display='block'><semantics><mi>a</mi>"
            f"<annotation encoding='application/x-tex'>{TEX}</annotation></semantics></math></span></span>",
            f"$${TEX}$$",
        ),
        (f"<math alttext='{TEX}'><mi>a</mi></math>", f"${TEX}$"),
        (f"<img class='latex' alt='{TEX}' src='x.png'>", f"${TEX}$"),
        (
            "<mjx-container display='true'><mjx-math>x</mjx-math><mjx-assistive-mml><math display='block'>"
            "<msup><mi>x</mi><mn>2</mn></msup></math></mjx-assistive-mml></mjx-container>",
            "$$x^{2}$$",
        ),
        ("<math><mfrac><mi>α</mi><msqrt><mn>2</mn></msqrt></mfrac></math>", r"$\frac{\alpha }{\sqrt{2}}$"),
        ("<math><munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover><msub><mi>x</mi><mi>i</mi></msub></math>",
         r"$\sum_{i}^{n}x_{i}$"),
    ],
)  # fmt: skip
def test_formulas_survive_as_latex_to_the_byte(markup: str, written: str):
    assert f"so that {written} holds" in " ".join(text_of(f"<p>We see so that {markup} holds.</p>").split(" "))


def test_a_formula_that_stands_alone_between_paragraphs_is_kept():
    assert "$$E = mc^2$$" in text_of("<div><script type='math/tex; mode=display'>E = mc^2</script></div>")


def test_lists_and_tables_stay_readable():
    rows = "".join(f"<tr><td>Mill {n} by the river</td><td>{n} stones that grind</td></tr>" for n in (1, 2))
    text = text_of(f"<ul><li>{PROSE}</li><li>Second. {PROSE}</li></ul><table>{rows}</table>")
    assert f"- {PROSE.strip()}\n- Second." in text
    assert "Mill 1 by the river | 1 stones that grind\nMill 2 by the river | 2 stones" in text


def test_markdown_marks_headings():
    middle = f"<h2>How the wheel turns</h2><p>{PROSE}</p>"
    assert "## How the wheel turns" in text_of(middle, markdown=True)
    assert "\nHow the wheel turns\n" in text_of(middle)


def test_a_page_that_carries_a_cue_on_its_body_is_not_dropped_for_it():
    marked = article("").replace(b"<body>", b"<body class='subscribe newsletter comments'>")
    assert work_on(Job(marked, markup=True), Options()).text == text_of("")


def test_the_page_states_its_title_date_language_licence_and_links():
    head = (
        '<meta property="article:published_time" content="2024-02-03T10:00:00+02:00">'
        '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">'
    )
    about = extract_page(article("", head), None, "resiliparse").stated
    assert (about.title, about.language, about.links) == ("The mill", "en", 3)
    assert str(about.date) == "2024-02-03 08:00:00+00:00"
    assert (about.license, about.license_class) == ("CC-BY-4.0", "attribution")


@pytest.mark.parametrize(
    ("opening", "metas", "language"),
    [
        ("<html lang='pt-BR'>", "<meta http-equiv='content-language' content='de'>", "pt"),
        ("<html>", "<meta http-equiv='Content-Language' content='pl'>", "pl"),
        ("<html>", "<meta name='dc.language' content='en-US'>", "en"),
        ("<html>", "<meta property='og:locale' content='el_GR'>", "el"),
        ("<html>", "<meta http-equiv='content-language' content='en, fr'>", None),
        ("<html>", "<meta name='viewport' content='de'>", None),
    ],
)
def test_a_language_is_stated_by_the_html_element_or_else_by_a_meta_element(opening: str, metas: str, language):
    page = f"{opening}<head>{metas}</head><body><p>{PROSE}</p></body></html>"
    assert extract_page(page, None, "resiliparse").stated.language == language


@pytest.mark.parametrize(
    ("day", "time", "stated"),
    [
        ("2019-11-18", "2019-11-18T17:50:58-05:00", "2019-11-18 22:50:58+00:00"),
        ("2019/11/18", "2019-11-18T01:00:00Z", "2019-11-18 01:00:00+00:00"),
        ("2019-11-18", "2019-11-20T01:00:00Z", "2019-11-18 00:00:00+00:00"),  # of another day: not the same thing
        ("2019-11-18T03:00:00Z", "2019-11-18T09:00:00Z", "2019-11-18 03:00:00+00:00"),
    ],
)
def test_a_time_of_the_stated_day_makes_the_date_exact(day: str, time: str, stated: str):
    structured = f'<script type="application/ld+json">{{"datePublished": "{time}"}}</script>'
    page = f"<html><head><meta name='dc.date' content='{day}'>{structured}</head><body><p>{PROSE}</p></body></html>"
    assert str(extract_page(page, None, "resiliparse").stated.date) == stated


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("Grüße".encode("latin-1"), "iso-8859-1", "Grüße"),
        ("Grüße".encode(), "iso-8859-1", "Grüße"),  # valid UTF-8 whatever is declared
        (b'<meta charset="windows-1251">' + "Мельница стоит".encode("cp1251"), None, "Мельница стоит"),
        (b"\xff\xfe" + "Mühle".encode("utf-16-le"), None, "Mühle"),
        ("水車小屋".encode("iso2022_jp"), "iso-2022-jp", "水車小屋"),
        (b"a\0b", None, "ab"),
    ],
)
def test_pages_are_decoded_by_what_their_bytes_show(body: bytes, charset: str | None, text: str):
    assert page_bytes(body, charset).decode().endswith(text)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html><body></body></html>", "empty page"),
        (b"<html><body><script>1</script></body></html>", "empty page"),
        (b"<html><head><title>404 Not Found</title></head><body><p>Nothing here.</p></body></html>",
         "error page answered with status 200"),
    ],
)  # fmt: skip
def test_pages_without_content_fail_with_the_reason(body: bytes, error: str):
    assert work_on(Job(body, markup=True), Options()).error == error


def test_a_text_is_normalised_without_touching_its_layout():
    outcome = work_on(Job("e\u0301\r\n    x\x00\x07\n\n\n\ny "), Options())
    assert outcome.text == "é\n    x\n\n\n\ny "


def test_an_spdx_line_gives_a_file_its_licence():
    about = work_on(Job(b"# SPDX-License-Identifier: MIT\nimport os\n"), Options()).stated
    assert (about.license, about.license_class) == ("MIT", "permissive")


def test_a_page_is_extracted_the_same_alone_and_among_others():
    outcomes = [work_on(Job(page(n), markup=True), Options()).text for n in (1, 2, 1)]
    assert outcomes[0] == outcomes[2] != outcomes[1]


def test_markdown_keeps_links_emphasis_and_inline_code():
    middle = (
        "<p>We wrote of <a href='https://a.example/x?y=1&amp;z=(2)'>the <b>old</b> mill</a> and of "
        f"<strong>two </strong><em>others</em>, with <code>grind  --fine</code>. {PROSE}</p>"
    )
    written = "[the **old** mill](https://a.example/x?y=1&z=%282%29) and of **two** *others*, with `grind --fine`."
    assert f"We wrote of {written}" in text_of(middle, markdown=True)
    assert "We wrote of the old mill and of two others, with grind --fine." in text_of(middle)


def test_markdown_does_not_mark_links_that_lead_nowhere():
    text = text_of(f"<p>See <a href='#top'>above</a>, <a href='javascript:x()'>here</a>. {PROSE}</p>", markdown=True)
    assert "See above, here." in text


def test_markdown_nests_and_numbers_lists():
    inner = f"<ol><li>Inner one. {PROSE}</li><li>Inner two. {PROSE}</li></ol>"
    middle = f"<ul><li>{PROSE}{inner}</li><li>Last. {PROSE}</li></ul>"
    lines = text_of(middle, markdown=True).split("\n")
    prose = PROSE.strip()
    at = lines.index(f"- {prose}")
    assert lines[at + 1 : at + 4] == [f"  1. Inner one. {prose}", f"  2. Inner two. {prose}", f"- Last. {prose}"]


TABLE = (
    "<table><tr><th>Mill by the river bank</th><th>Stones that it has</th></tr>"
    "<tr><td>The upper one of them</td><td></td></tr>"
    "<tr><td><p>The lower one of them</p></td><td>four|five stones</td></tr>"
    "</table>"
)


def test_markdown_tables_have_a_head_and_keep_their_columns():
    lines = (
        "| Mill by the river bank | Stones that it has |\n| --- | --- |\n"
        "| The upper one of them |  |\n| The lower one of them | four\\|five stones |"
    )
    assert lines in text_of(f"<p>{PROSE}</p>{TABLE}<p>{PROSE}</p>", markdown=True)


def test_markdown_quotes_and_keeps_code_and_formulas():
    formula = f"<p>So <script type='math/tex'>x_1</script> is. {PROSE}</p>"
    text = text_of(f"<blockquote><p>{PROSE}</p></blockquote><pre>a  <b>b</b></pre>{formula}", markdown=True)
    assert f"> {PROSE.strip()}" in text
    assert "```\na  b\n```" in text
    assert "So $x_1$ is." in text
