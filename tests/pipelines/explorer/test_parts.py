"""Parts of the explorer by themselves: places, marks, differences, pairs, the map, words, written pages, compare."""

import json
import math
import random
import re
from html import unescape

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.schema import DECISIONS
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.growth import STORED
from gristmill.filters.settings import RuleSet
from gristmill.pipelines.explorer import static
from gristmill.pipelines.explorer.compare import compare, text_lines
from gristmill.pipelines.explorer.compare_page import compare_page
from gristmill.pipelines.explorer.lasso import inside
from gristmill.pipelines.explorer.made.search import found_by_words, indexed
from gristmill.pipelines.explorer.pairs import recount
from gristmill.pipelines.explorer.reading import Mark, Places, pieces, repeated
from gristmill.pipelines.explorer.server import Explorer
from gristmill.pipelines.explorer.static import write_pages
from gristmill.pipelines.explorer.tabs.cluster_pages import differences
from gristmill.pipelines.explorer.view import View
from gristmill.pipelines.stages.dedup.signatures import signature_schema

from .conftest import COUNT, RULES, name_of, small_workspace

TEXT = st.text(st.sampled_from("ab <&\n\u202eé"), max_size=40)


@st.composite
def edits(draw) -> tuple[str, list[tuple[int, int]]]:
    """A text and stretches of it, apart and ascending."""
    text = draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
    bounds = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    return text, list(zip(bounds[::2], bounds[1::2], strict=False))


@given(edits(), st.data())
def test_places_after_cuts_lead_back_to_the_same_characters(edit, data):
    text, cuts = edit
    places = Places(len(text))
    for _ in range(2):  # a second stage cuts what the first one left
        left = "".join(text_of for text_of in _left(text, cuts))
        assert places.cut(text, left, cuts)
        text = left
        cuts = []
    original = edit[0]
    for at in range(len(text)):
        assert original[places.back(at)] == text[at]


def _left(text: str, cuts: list[tuple[int, int]]) -> list[str]:
    parts, at = [], 0
    for start, end in cuts:
        parts.append(text[at:start])
        at = end
    return [*parts, text[at:]]


def test_places_after_a_mask_lead_back_although_another_word_stands_there():
    places = Places(len("mail me@x.org now"))
    assert places.cut("mail me@x.org now", "mail <EMAIL> now", [(5, 13)])
    assert places.back(len("mail <EMAIL> ")) == len("mail me@x.org ")


def test_a_text_that_a_model_wrote_anew_has_no_places():
    assert not Places(9).cut("one thing", "another", [(0, 3)])


@given(TEXT, st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6))
def test_pieces_put_together_are_the_text_and_each_lies_in_its_marks(text, bounds):
    marks = [Mark(min(a, b), max(a, b), "cut", "x") for a, b in bounds]
    found = pieces(text, marks)
    assert "".join(piece for piece, _ in found) == text
    at = 0
    for piece, own in found:
        if piece:
            assert {id(m) for m in own} == {id(m) for m in marks if m.start <= at < m.end}
        at += len(piece)


def test_repeated_words_are_marked_where_they_stand_again():
    text = "one two three four five. six one two three four five. end"
    (mark,) = repeated(text)
    assert text[mark.start : mark.end] == "one two three four five."


@given(TEXT, TEXT)
def test_the_two_sides_of_a_difference_are_the_two_texts(left, right):
    shown = differences(left, right)
    for text, html in zip((left, right), shown[:2], strict=True):
        assert unescape(re.sub("<[^>]*>", "", html)) == text.replace("\u202e", "\ufffd")
    if left == right:
        assert "<mark" not in shown[0] + shown[1]
        assert shown[2] == 1.0


def test_a_difference_marks_whole_words():
    left, right, share = differences("the old mill stands", "the new mill stands")
    assert '<mark class="gone">old</mark>' in left
    assert '<mark class="new">new</mark>' in right
    assert share == 0.75


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=20))
def test_a_square_holds_just_what_lies_between_its_sides(points):
    found = lassoed(points, "-1,-1 1,-1 1,1 -1,1")
    for place, (x, y) in enumerate(points):
        if abs(abs(x) - 1) > 1e-9 and abs(abs(y) - 1) > 1e-9:
            assert (str(place) in found) == (abs(x) < 1 and abs(y) < 1)


CONNECTION = duckdb.connect()


def lassoed(points, outline: str) -> set[str]:
    """Places in the list of the points that lie inside of a line."""
    with CONNECTION.cursor() as connection:
        rows = pa.table({"id": [str(n) for n in range(len(points))], "x": [p[0] for p in points],
                         "y": [p[1] for p in points]})  # fmt: skip
        connection.register("points", rows)
        return {one for (one,) in connection.execute(inside("points", outline)).fetchall()}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=8), st.floats(-9, 9), st.floats(-9, 9)
)
def test_whoever_draws_the_same_line_the_other_way_round_lists_the_same(corners, x, y):
    corners = [tuple(round(value, 3) for value in one) for one in corners]
    forward = " ".join(f"{a!r},{b!r}" for a, b in corners)
    backward = " ".join(f"{a!r},{b!r}" for a, b in corners[::-1])
    assert lassoed([(x, y)], forward) == lassoed([(x, y)], backward)


def crosses(points: list[tuple[float, float]], x: float, y: float) -> bool:
    """Even-odd, edge by edge."""
    odd = False
    for ends in zip(points, [*points[1:], points[0]], strict=True):
        (a, low), (b, high) = sorted(ends, key=lambda end: (end[1], end[0]))
        slope = (b - a) / (high - low) if low < high else 0.0
        if low <= y < high and x < a - slope * low + slope * y:
            odd = not odd
    return odd


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 120), st.sampled_from(["round", "scrawl", "star"]), st.integers(0, 1000))
def test_a_line_of_many_corners_holds_what_each_of_its_edges_says(count, kind, seed):
    draw = random.Random(seed)
    corners = []
    for n in range(count):
        far = {"round": draw.uniform(3, 4), "scrawl": draw.uniform(0, 9), "star": 5 if n % 2 else 0.5}[kind]
        angle = draw.uniform(0, 6.283) if kind == "scrawl" else 6.283 * n / count
        corners.append((round(far * math.cos(angle), 3), round(far * math.sin(angle), 3)))
    points = [(draw.uniform(-5, 5), draw.uniform(-5, 5)) for _ in range(300)]
    points += [(x + 0.1, y) for x, y in corners]  # where bands meet
    found = lassoed(points, " ".join(f"{x!r},{y!r}" for x, y in corners))
    assert found == {str(n) for n, (x, y) in enumerate(points) if crosses(corners, x, y)}


def test_a_line_of_long_edges_alone_is_no_longer_as_sql_than_by_a_few_times():
    zigzag = " ".join(f"{n},{n % 2}.{n:03d}" for n in range(400))
    assert len(inside("points", zigzag)) < 400 * 400


@pytest.mark.parametrize(
    "outline", ["1,2", "1,2 3,4", "a,b c,d e,f", "1,2 3,4 nan,1", "1,2 3,4 1e999,1", "1,2;3,4 5,6", "1,2 " * 402]
)
def test_what_is_no_line_is_refused_in_a_sentence(outline):
    with pytest.raises(RequestError, match="a lasso is at least three pairs of numbers"):
        inside("points", outline)


PAIRS = [  # shard and row of both ends, similarity
    ("a.parquet", 0, "a.parquet", 1, 0.81),
    ("a.parquet", 1, "b.parquet", 0, 0.9),
    ("b.parquet", 1, "b.parquet", 2, 0.99),
]


def test_a_higher_threshold_or_a_narrower_scope_is_counted_from_the_pairs(own_cache, tmp_path):
    space = small_workspace(tmp_path)
    row = {"key_0": bytes(16), "length": 9, "source": "s", "shingles": 3, "signature": [1, 2]}
    rows = [{"id": name_of(n), "domain": "ab"[n // 3], **row} for n in range(6)]
    put_table(space, "signatures", signature_schema(1, 2), {"a.parquet": rows[:3], "b.parquet": rows[3:]})
    names = ("shard_a", "row_a", "shard_b", "row_b", "similarity")
    pairs = [
        {"kind": 0, "key": n, "joined": True, **dict(zip(names, pair, strict=True))} for n, pair in enumerate(PAIRS)
    ]
    plain = [pa.field(one.name, pa.string()) if pa.types.is_dictionary(one.type) else one for one in STORED]
    put_table(space, "edges", pa.schema(plain), {"p.parquet": pairs})
    source = Explorer(space).source()
    for threshold, scope, dropped in (
        ("", "", 3),
        ("0.85", "", 2),
        ("0.95", "", 1),
        ("", "domain", 2),
        ("0.9", "domain", 1),
    ):
        told = recount(View(source, "duplicates", {"threshold": [threshold], "scope": [scope]}))
        assert (told.dropped, told.now, told.why) == (dropped, 3, "")
    assert "run gristmill dedup" in recount(View(source, "duplicates", {"threshold": ["0.5"]})).why


def test_words_are_found_in_titles_and_texts_and_a_broken_query_is_taken_as_plain_words(small):
    space = small.workspace
    indexed(space, wait=60)
    assert found_by_words(space, "again").ids == [name_of(4)]
    assert found_by_words(space, "again AND (").ids == [name_of(4)]
    assert found_by_words(space, "nowhereatall").ids == []
    with pytest.raises(RequestError, match="cannot be looked for"):
        found_by_words(space, "\x00")


@pytest.mark.slow
def test_the_index_of_words_is_made_anew_for_other_documents(own_cache, tmp_path):
    from gristmill.corpus.store import schema

    space = small_workspace(tmp_path)
    first = indexed(space, wait=60)
    assert indexed(space, wait=60) == first
    row = {"id": name_of(1), "text": "quite other words", "source": "s", "domain": "d"}
    put_table(space, "documents", schema.DOCUMENTS, {"a.parquet": [row]}, stage="extract")
    assert indexed(space, wait=60) != first


def test_written_pages_hold_no_script_and_link_to_files_that_are_there(small, tmp_path, monkeypatch):
    monkeypatch.setattr(static, "MOST_OTHERS", 6)
    told = write_pages(small, str(tmp_path / "pages"), 5)
    files = {path.name: path.read_text() for path in (tmp_path / "pages").glob("*.html")}
    assert told["pages"] == len(files) >= 13
    assert sum(name.startswith("document-") for name in files) == 5
    for text in files.values():
        assert "<script" not in text
        assert "<form" not in text
        assert "default-src 'none'" in text
        for target in re.findall(r'href="([^"]*)"', text):
            assert target in files or target == "#main"


def test_written_pages_do_not_go_into_a_folder_of_something_else(small, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(RequestError, match="holds other files"):
        write_pages(small, str(tmp_path / "mine"), 1)


def other_rules(threshold: float) -> RuleSet:
    rules = RULES.rules
    return RULES.model_copy(update={"rules": (rules[0].model_copy(update={"threshold": float(threshold)}), *rules[1:])})


def test_a_comparison_says_which_fates_changed_and_by_which_rules(own_cache, tmp_path):
    first = small_workspace(tmp_path / "1")
    second = small_workspace(tmp_path / "2", other_rules(70))
    told = compare(first, second)
    fates = []
    for space in (first, second):
        rows = Explorer(space).source().rows("select id, fate, stage, rule from facts")[1]
        fates.append({row[0]: row[1:] for row in rows})
    changed = [one for one in fates[0] if fates[0][one] != fates[1][one]]
    assert sum(row["documents"] for row in told["changed"]) == len(changed) > 0
    sides = [one for one in changed if fates[0][one][0] != fates[1][one][0]]
    assert told["documents"]["changed_sides"] == len(sides)
    assert [row["rule"] for row in told["rules"]] == ["min_words"]
    assert told["documents"]["both"] == COUNT
    assert json.loads(json.dumps(told, default=str)) == told
    assert any("dropped by min_words (filter)" in line for line in text_lines(told))
    page = compare_page(told)
    assert "<script" not in page
    assert "threshold 70.0" in page


def test_the_same_workspace_twice_has_no_change(small):
    told = compare(small.workspace, small.workspace)
    assert told["changed"] == told["rules"] == []
    assert told["documents"]["same_fate"] == COUNT


def test_documents_of_two_crawls_are_matched_by_their_address(own_cache, tmp_path):
    from gristmill.corpus.store import schema

    spaces = []
    for month in range(2):
        rows = [
            {
                "id": name_of(1000 * month + n),
                "text": "t" * (n + month),
                "url": f"https://x.example/{n}",
                "source": "s",
                "domain": "d",
            }
            for n in range(5 + month)
        ]
        fresh = Workspace(str(tmp_path / f"crawl{month}"))
        put_table(fresh, "documents", schema.DOCUMENTS, {"a.parquet": rows}, stage="extract")
        spaces.append(fresh)
    told = compare(*spaces)["documents"]
    assert (told["both"], told["by_address"], told["only_a"], told["only_b"], told["other_length"]) == (5, 5, 0, 1, 5)


def test_a_comparison_refuses_decisions_that_are_stale(own_cache, tmp_path):
    space = small_workspace(tmp_path)
    rows = [{"id": name_of(1), "kept": True, "stage": "filter"}]
    put_table(space, "decisions/filter", DECISIONS, {"a.parquet": rows})
    with pytest.raises(WorkspaceError, match="run: gristmill dedup"):
        compare(space, space)
