"""Pages of many parts, or of parts within each other without end: all of the text, in time that grows with the page."""

import re
from pathlib import Path

import pytest

import gristmill.corpus.text.extraction as extraction
from gristmill.corpus.metadata.licences import JUDGED
from gristmill.corpus.text.blocks import segment
from gristmill.corpus.text.formulas import DEEPEST as DEEPEST_FORMULA
from gristmill.corpus.text.pages import Job, Options, work_on

CORPUS = Path(extraction.__file__).parents[1]
ENGINES = ("resiliparse", "resiliparse-v1")


def outcome(body: str, engine: str = "resiliparse"):
    found = work_on(Job(f"<html><body>{body}</body></html>".encode(), markup=True), Options(engine=engine))
    assert found.error is None
    return found


def test_collections_of_nodes_are_gone_through_as_slices():
    """resiliparse makes a collection anew for each of its members that is asked for: a loop over one is quadratic."""
    loops = []
    for path in CORPUS.rglob("*.py"):
        for found in re.finditer(
            r"\bin [^\n]*(?:query_selector_all\(|get_elements_by_\w+\(|child_nodes)[^\n]*", path.read_text()
        ):
            loops.append((path.name, found[0]))
    assert len(loops) > 5
    assert [loop for loop in loops if not re.search(r"\)?\[[^\]]*:[^\]]*\]", loop[1])] == []


@pytest.mark.parametrize(
    ("markup", "deepest"),
    [("<p>a</p>", 1), ("<div>" * 40, 40), ("<p>" + "<b>" * 30 + "a", 31), ("a<br>" * 50, 0), ("<ul><li>a" * 5, 10)],
)
def test_how_deep_elements_are_nested_is_counted_with_inline_ones_and_without_those_that_hold_nothing(markup, deepest):
    whole = extraction.HTMLTree.parse(markup)
    assert whole.body is not None
    assert segment(whole.body.html.encode()).deepest - 1 == deepest  # the body is one


@pytest.mark.parametrize("engine", ENGINES)
def test_the_text_of_a_page_that_is_nested_deeper_than_in_any_browser_is_kept_without_rules(monkeypatch, engine):
    asked = []
    read = extraction.extract_plain_text

    def watched(tree, **options):
        asked.append(options)
        return read(tree, **options)

    monkeypatch.setattr(extraction, "extract_plain_text", watched)
    monkeypatch.setattr(extraction, "render", lambda *_: "")  # as of a page without running text
    extraction.extract_page(b"<div>" * 100 + b"a list", None, engine)
    found = extraction.extract_page(b"<div>" * 2000 + b"a list", None, engine)
    assert asked == [{"main_content": True, "alt_texts": False}, {"preserve_formatting": False}]
    assert found.text == "a list"


@pytest.mark.parametrize("engine", [*ENGINES, "raw"])
def test_lists_within_each_other_without_end_give_a_text_no_longer_than_the_page(engine):
    page = b"<ul><li>a " * 3000
    text = extraction.extract_page(page, None, engine).text
    assert text.count("a") > 2990
    assert len(text) < len(page)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_formula_that_is_nested_without_end_keeps_its_text(engine):
    prose = "<p>The mill stands by the river, and its wheel turns when the water is high in the spring.</p>" * 4
    deep = "<math>" + "<mrow>" * 3000 + "<mi>x</mi>" + "</mrow>" * 3000 + "</math>"
    assert "$x$" in outcome(f"{prose}<p>It is {deep} here, as all of the millers of the valley say.</p>", engine).text
    shallow = "<math>" + "<mrow>" * (DEEPEST_FORMULA - 5) + "<mfrac><mi>x</mi><mn>2</mn></mfrac>" + "</math>"
    assert r"$\frac{x}{2}$" in outcome(f"{prose}<p>It is {shallow} here.</p>", engine).text


@pytest.mark.parametrize("engine", ENGINES)
def test_hundreds_of_formulas_are_each_where_they_were(engine):
    rows = "".join(f"<p>Row {n} has <math><mi>a</mi><mn>{n}</mn></math> sacks of grain in it.</p>" for n in range(700))
    text = outcome(f"<article>{rows}</article>", engine).text
    assert re.findall(r"Row (\d+) has \$a(\d+)\$ sacks", text) == [(str(n), str(n)) for n in range(700)]


@pytest.mark.parametrize("many", [3, 3 * JUDGED])
def test_a_page_of_many_licensed_pictures_has_the_licence_of_its_foot(many):
    picture = (
        "<figure><img src=a.jpg><figcaption>Photo by A. Miller, "
        "<a href='https://creativecommons.org/licenses/by-sa/3.0/'>CC BY-SA</a></figcaption></figure>"
    )
    foot = "<footer><a rel=license href='https://creativecommons.org/licenses/by/4.0/'>CC BY 4.0</a></footer>"
    prose = "<p>The mill stands by the river, and its wheel turns when the water is high in the spring.</p>" * 5
    found = outcome(f"<article>{prose}{picture * many}</article>{foot}")
    assert found.stated.license == "CC-BY-4.0"
