"""A walk over every page of the explorer: each shows its SQL, gives what it shows as files, and is named for those who
cannot see; its links lead to pages that are there."""

import csv
import io
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from gristmill.pipelines.explorer.page import style_sheet
from gristmill.pipelines.explorer.server import Explorer

from .conftest import full_workspace, name_of

LASSO = "-2,-2 2,-2 2,2 -2,2"
BEGUN = (
    *("funnel", "funnel?by=host&domain=web", "signals", "signals?rule=min_words&t=80&by=domain", "documents", "sql"),
    *(
        "signals?signal=gopher@paper.word_count&with=bytes",
        "documents?facet=%22host%22&where=bytes+%3E+1",
        "duplicates",
    ),
    *("duplicates?host=h1.example", "mixture", "runs", "runs?by=hours", "map", f"map?lasso={LASSO.replace(' ', '+')}"),
    *(f"documents?lasso={LASSO.replace(' ', '+')}", f"document/{name_of(0)}", f"document/{name_of(1)}"),
    f"pair/{name_of(1)}/{name_of(5)}",
)


class Named(HTMLParser):
    """What of a page has no name for a reader, and ids that stand twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.unnamed: list[str] = []
        self.ids: list[str] = []
        self.fors: set[str] = set()
        self.waiting: list[tuple[str, str]] = []
        self.headings = 0
        self.lang = ""
        self.words: list[int] = []  # characters inside of each open element

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.ids += filter(None, [own.get("id")])
        self.headings += tag == "h1"
        self.lang = own.get("lang") or self.lang
        if tag == "label" and own.get("for"):
            self.fors.add(own["for"] or "")
        field = tag in ("input", "select", "textarea") and own.get("type") != "hidden"
        if field and not own.get("aria-label") and not any(one == "label" for one, _ in self.open):
            self.waiting.append((own.get("id") or "", f"<{tag} {own}>"))
        if tag == "svg" and not (own.get("aria-label") or own.get("aria-hidden")):
            self.unnamed.append(f"<svg {own}>")
        if tag == "th" and not own.get("scope"):
            self.unnamed.append(f"<th {own}>")
        if tag not in ("input", "meta", "link", "br", "rect", "circle", "line", "path", "polygon", "base"):
            self.open.append((tag, own))
            self.words.append(0)

    def handle_data(self, data: str) -> None:
        self.words = [count + len(data.strip()) for count in self.words]

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1][0] == tag:
            _, own = self.open.pop()
            if self.words.pop() == 0 and tag in ("a", "button") and not own.get("aria-label"):
                self.unnamed.append(f"<{tag} {own}>")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The explorer of a workspace with every table that a tab shows."""
    folder = tmp_path_factory.mktemp("walk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        shown = Explorer(full_workspace(folder))
        while b"is being made" in shown.answer("map", {}).body:
            pass
        yield shown


def answered(explorer: Explorer, address: str):
    path, _, query = address.partition("?")
    return explorer.answer(unquote(path), parse_qs(query, keep_blank_values=True))


def links_of(html: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'<a href="([^"]*)"', html)]


@pytest.mark.parametrize("address", BEGUN)
def test_a_page_shows_its_sql_gives_it_as_files_and_is_named_for_those_who_cannot_see(full, address):
    answer = answered(full, address)
    page = answer.body.decode()
    assert answer.status == 200, page[-500:]
    assert "SQL of this page" in page
    names = Named()
    names.feed(page)
    names.unnamed += [shown for one, shown in names.waiting if one not in names.fors]
    assert names.unnamed == []
    assert len(names.ids) == len(set(names.ids))
    assert names.headings == 1
    assert names.lang == "en"
    files = {one for one in links_of(page) if "export=" in one}
    tables = [one for one in files if "format=csv" in one]
    assert tables
    for one in sorted(tables)[:3]:
        assert_same_rows(full, one)
    for one in sorted(files - set(tables)):
        given = answered(full, one)
        assert given.status == 200, one
        if "format=svg" in one:
            assert ElementTree.fromstring(given.body).get("aria-label")


def assert_same_rows(full: Explorer, address: str) -> None:
    """CSV and Parquet of one query have the same rows."""
    given = answered(full, address)
    assert given.status == 200, address
    rows = list(csv.reader(io.StringIO(given.body.decode())))
    stored = pq.read_table(io.BytesIO(answered(full, address.replace("format=csv", "format=parquet")).body))
    assert len(rows) == stored.num_rows + 1


def test_every_drawing_of_every_tab_has_a_link_to_its_file(full):
    for address in BEGUN:
        page = answered(full, address).body.decode()
        for figure in re.findall(r"<figure>.*?</figure>", page, re.DOTALL):
            assert "format=svg" in figure, (address, figure[-300:])


def test_numbers_are_set_in_figures_of_one_width():
    assert re.search(r"\.explorer \{[^}]*font-variant-numeric: tabular-nums", style_sheet())


@pytest.mark.slow
def test_every_link_of_every_page_leads_to_a_page(full):
    waiting, seen = list(BEGUN), set(BEGUN)
    for address in waiting[:400]:
        for one in links_of(answered(full, address).body.decode()):
            kind = re.sub(r"[0-9a-f]{32}|\d+", "", one)  # a few of each kind
            if "#" not in one and one not in seen and sum(kind == re.sub(r"[0-9a-f]{32}|\d+", "", s) for s in seen) < 4:
                seen.add(one)
                waiting.append(one)
    for address in sorted(seen):
        answer = answered(full, address)
        assert answer.status == 200, (address, answer.body[-300:])


def test_a_lasso_counts_and_lists_every_document_and_the_rule_names_just_those(full):
    page = answered(full, f"map?lasso={LASSO}").body.decode()
    assert "120 documents inside of the line" in page
    ids = answered(full, f"map?lasso={LASSO}&export=all inside of the line&format=csv").body.decode().splitlines()
    assert len(ids) == 121
    listed = answered(full, f"documents?lasso={LASSO}").body.decode()
    assert "<b>120</b> documents" in listed
    source = full.source()
    half = "0,-2 2,-2 2,2 0,2"
    (held,) = source.maps
    expected = source.rows(f"select id from {held}.places where x > 0 and x < 2 and abs(y) < 2 order by id")[1]
    from gristmill.pipelines.explorer.saving import asked_rules
    from gristmill.pipelines.explorer.view import View

    made = asked_rules(View(source, "map", {"lasso": [half]}))
    assert re.findall("[0-9a-f]{32}", made.rules[-1].value) == [one for (one,) in expected]
    assert 0 < len(expected) < 120


def test_a_run_that_wrote_samples_shows_them_as_text(full):
    page = answered(full, "runs").body.decode()
    assert "<b>The &lt;b&gt;mill</b>&lt;/pre&gt;" in page
    assert "<script>document" not in page
