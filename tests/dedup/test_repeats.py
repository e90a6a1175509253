"""Repeated lines and substrings, against brute force; and what is cut of them."""

import itertools
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.fate import sources
from gristmill.dedup.cuts import Cut, apply_cuts, choose_cuts, merged
from gristmill.dedup.repeats import places, repeated, seeds, segments, windows, words
from gristmill.dedup.settings import DedupSettings, RepeatSettings
from gristmill.pipelines.engine.chain import chain_before
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.dedup.stage import deduplicate

from .conftest import files_of, name, prose

texts = st.lists(st.text("ab \n.", max_size=20), max_size=5)


@given(texts, st.integers(0, 2))
def test_lines_are_the_lines_that_have_something_visible(rows, skip):
    found = segments(pa.array(rows, pa.string())[skip:], "line")
    rows = rows[skip:]
    cut = [(d, rows[d].encode()[s:e].decode()) for d, s, e in zip(found.document, found.start, found.end, strict=True)]
    assert cut == [(d, line) for d, row in enumerate(rows) for line in row.splitlines(keepends=True) if line.strip()]


def test_paragraphs_end_at_blank_lines():
    text = "one\ntwo\n\nthree\n\n\nfour"
    found = segments(pa.array([text]), "paragraph")
    assert [text[s:e] for s, e in zip(found.start, found.end, strict=True)] == ["one\ntwo\n\n", "three\n\n", "four"]


def test_lines_are_equal_as_words():
    found = segments(pa.array(["Page 12 of 99\n", "page 7, of 1"]), "line")
    assert found.key[0] != found.key[1]  # other numbers of digits
    found = segments(pa.array(["Page 12 of 99\n", "PAGE 47: of 01", "\u00e9t\u00e9", "ete!"]), "line")
    assert found.key[0] == found.key[1] != found.key[2] != found.key[3]  # accents are letters of their own


@given(st.lists(st.text("ab.\u4e2d \u00e9", max_size=15), max_size=4))
def test_words_stand_where_they_were_found(rows):
    found = words(pa.array(rows, pa.string()))
    for d, row in enumerate(rows):
        spans = [
            row.encode()[s:e].decode()
            for s, e in zip(
                found.start[found.offsets[d] : found.offsets[d + 1]],
                found.end[found.offsets[d] : found.offsets[d + 1]],
                strict=True,
            )
        ]
        spaced = "".join(f" {c} " if c == "\u4e2d" else c if c.isalnum() else " " for c in row)
        assert spans == spaced.split()


def repeats_by_brute_force(rows: list[list[str]], length: int) -> list[set[int]]:
    """Places of the words of each text that lie in a run of `length` words that another text has as well."""
    owners: dict[tuple[str, ...], set[int]] = {}
    for d, row in enumerate(rows):
        for i in range(len(row) - length + 1):
            owners.setdefault(tuple(row[i : i + length]), set()).add(d)
    return [
        {
            k
            for i in range(len(row) - length + 1)
            if len(owners[tuple(row[i : i + length])]) > 1
            for k in range(i, i + length)
        }
        for row in rows
    ]


documents = st.lists(st.lists(st.sampled_from("abc"), max_size=40), min_size=2, max_size=4)


@given(documents, st.integers(4, 9))
def test_seeds_and_windows_find_exactly_the_runs_that_documents_share(rows, length):
    found = words(pa.array([" ".join(row) for row in rows]))
    chosen = seeds(found, length)
    often, _, _ = repeated(chosen.key, chosen.document.astype(np.uint64), 2)
    shared = np.isin(chosen.key, often)
    spans = windows(found, length, places(found, chosen)[shared])
    often, _, _ = repeated(spans.key, spans.document.astype(np.uint64), 2)
    covered: list[set[int]] = [set() for _ in rows]
    for key, d, start in zip(spans.key, spans.document, spans.start, strict=True):
        if key in often:
            first = int(np.searchsorted(found.start[found.offsets[d] : found.offsets[d + 1]], start))
            covered[d] |= set(range(first, first + length))
    assert covered == repeats_by_brute_force(rows, length)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=30))
def test_repeated_counts_documents_not_occurrences(rows):
    key = np.array([k for k, _ in rows], np.uint64)
    rank = np.array([r for _, r in rows], np.uint64)
    owners: dict[int, set[int]] = {}
    for k, r in rows:
        owners.setdefault(k, set()).add(r)
    expected = [(k, len(v), min(v)) for k, v in sorted(owners.items()) if len(v) >= 2]
    assert list(zip(*(column.tolist() for column in repeated(key, rank, 2)), strict=True)) == expected


spans = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(2, 9)).map(
        lambda t: Cut(t[0], min(30, t[0] + t[1]), "line", t[2])
    ),
    max_size=8,
).map(lambda cuts: [cut for cut in cuts if cut.start < cut.end])


@given(spans, st.floats(0.01, 1))
def test_cuts_never_overlap_and_always_leave_the_protected_share(cuts, protected):
    chosen = choose_cuts(cuts, 30, protected)
    gone = sum(cut.end - cut.start for cut in chosen)
    assert all(a.end <= b.start for a, b in itertools.pairwise(chosen))
    assert 30 - gone >= protected * 30 - 1e-9
    assert 30 - gone >= 1
    assert all(any(c.start <= cut.start and cut.end <= c.end for c in cuts) for cut in chosen)


def test_the_most_frequent_repeat_is_cut_first():
    assert choose_cuts([Cut(0, 10, "line", 2), Cut(10, 20, "line", 9)], 20, 0.5) == [Cut(10, 20, "line", 9)]


def test_what_was_cut_is_recorded_in_characters():
    text = "h\u00e9llo\nw\u00f6rld\nend"
    octets = text.encode()
    cut = Cut(octets.index(b"w"), octets.index(b"end"), "line", 3)
    left, removed = apply_cuts(text, [cut])
    assert left == "h\u00e9llo\nend"
    assert removed == [{"start": 6, "end": 12, "rule": "line"}]
    assert text[6:12] == "w\u00f6rld\n"


def test_spans_that_overlap_are_one_cut_and_neighbouring_lines_are_two():
    cuts = [Cut(0, 5, "a", 3), Cut(4, 9, "a", 2), Cut(9, 12, "a", 7)]
    assert merged(cuts) == [Cut(0, 9, "a", 2), Cut(9, 12, "a", 7)]


def run(workspace, **settings):
    return deduplicate(workspace, DedupSettings(repeats=RepeatSettings(**settings)), RunnerOptions(), quiet=True)


def texts_of(workspace, stage=""):
    """Texts as a stage finds them, or as the last one left them."""
    found = sources(workspace, "test", chain_before(stage)).values()
    rows = [row for source in found for b in source.read(["id", "text"]) for row in b.to_pylist()]
    return {row["id"]: row["text"] for row in rows}


def test_frequent_lines_are_cut_from_every_document_and_recorded(corpus):
    rng = random.Random(0)
    rows = [{"text": f"{prose(40, rng)}\nAll rights reserved 2024\n{prose(40, rng)}\n"} for _ in range(6)]
    rows.append({"text": "all rights reserved 1999\n"})  # nothing else in it: protected
    workspace = corpus(rows, shards=3)
    summary = run(workspace, lines=5)
    texts = texts_of(workspace)
    assert all("rights" not in texts[name(i)] for i in range(6))
    assert texts[name(6)] == "all rights reserved 1999\n"
    assert summary["tables"]["edits/dedup"]["edited"] == 6
    edits = [row for batch in workspace.table("edits/dedup").read() for row in batch.to_pylist()]
    assert {removed["rule"] for row in edits for removed in row["removed"]} == {"line"}
    for row in edits:
        before = rows[[name(i) for i in range(6)].index(row["id"])]["text"]
        (removed,) = row["removed"]
        assert before[removed["start"] : removed["end"]] == "All rights reserved 2024\n"


def test_the_first_document_may_keep_its_copy(corpus):
    rng = random.Random(0)
    workspace = corpus([{"text": f"{prose(40, rng)}\nsame line here\n{prose(40, rng)}"} for _ in range(5)])
    run(workspace, lines=2, keep_first=True)
    assert sum("same line here" in text for text in texts_of(workspace).values()) == 1


def test_a_shared_run_of_words_stays_in_one_document_only(corpus):
    rng = random.Random(4)
    passage = prose(60, rng)
    rows = [{"text": f"{prose(90, rng)} {passage} {prose(90, rng)}"} for _ in range(4)]
    rows.append({"text": f"{prose(90, rng)} {' '.join(passage.split()[:49])} {prose(90, rng)}"})
    workspace = corpus(rows, shards=3)
    run(workspace, substrings=50)
    texts = texts_of(workspace)
    assert sum(passage in text for text in texts.values()) == 1
    assert texts[name(4)] == rows[4]["text"]  # 49 words are not 50
    removed = [r for b in workspace.table("edits/dedup").read() for row in b.to_pylist() for r in row["removed"]]
    assert len(removed) == 3
    assert {r["rule"] for r in removed} == {"substring"}


def repeating():
    rng = random.Random(4)
    passage, line = prose(30, rng), "the same line"
    return [{"text": f"{prose(60, rng)} {passage}\n\n{line}\n\n{prose(60, rng)}"} for _ in range(9)]


ASKED = {"lines": 3, "unit": "paragraph", "substrings": 20}
CUT = ("repeats/lines", "repeats/seeds", "repeats/windows", "edits/dedup")


@pytest.mark.slow
def test_two_workers_cut_the_same_bytes(corpus):
    one, two = (corpus(repeating(), shards=3, at=at) for at in ("one", "two"))
    run(one, **ASKED)
    settings = DedupSettings(repeats=RepeatSettings(**ASKED))
    deduplicate(two, settings, RunnerOptions(workers=2), quiet=True)
    assert files_of(one, *CUT) == files_of(two, *CUT)


@pytest.mark.slow
@pytest.mark.parametrize("crash", [2, 9, 16])
def test_a_crash_anywhere_is_completed_by_the_same_command(corpus, crashing, crash):
    whole, crashed = (corpus(repeating(), shards=3, at=at) for at in ("whole", "crashed"))
    run(whole, **ASKED)
    with crashing(crash + 8), pytest.raises(BaseException, match="killed"):
        run(crashed, **ASKED)
    run(crashed, **ASKED)
    assert files_of(crashed, *CUT) == files_of(whole, *CUT)


@pytest.mark.slow
def test_other_partitions_of_the_key_space_cut_the_same(corpus, monkeypatch):
    one, other = (corpus(repeating(), shards=3, at=at) for at in ("one", "other"))
    run(one, **ASKED)
    monkeypatch.setattr("gristmill.pipelines.stages.dedup.repeats.KEYS", 100)
    run(other, **ASKED)
    assert texts_of(one) == texts_of(other) != texts_of(one, "dedup")


@pytest.mark.parametrize(
    "settings",
    [
        {"lines": 3},
        *(pytest.param(s, marks=pytest.mark.slow) for s in ({"lines": 3, "unit": "paragraph"}, {"substrings": 20})),
    ],
)
def test_no_kind_of_repeat_depends_on_order_or_shards(corpus, settings):
    rows = repeating()
    one, other = corpus(rows, shards=1, at="one"), corpus(rows, shards=4, order=list(range(8, -1, -1)), at="other")
    run(one, **settings)
    run(other, **settings)
    assert texts_of(one) == texts_of(other) != texts_of(one, "dedup")


def test_a_repeat_that_makes_no_sense_is_refused(corpus):
    workspace = corpus([{"text": "x"}])
    for settings, message in (
        ({}, "nothing would be cut"),
        ({"lines": 1}, "from 2 documents on"),
        ({"substrings": 2}, "at least 4 words"),
        ({"lines": 3, "protected": 0.0}, "protected share"),
    ):
        with pytest.raises(RequestError, match=message):
            run(workspace, **settings)


def test_decisions_count_for_nothing_until_the_text_is_cut_too(corpus, monkeypatch):
    workspace = corpus(repeating(), shards=2)
    monkeypatch.setattr("gristmill.pipelines.stages.dedup.repeats.apply_cuts", _killed)
    with pytest.raises(BaseException, match="killed"):
        run(workspace, lines=3)
    monkeypatch.undo()
    with pytest.raises(WorkspaceError, match="needs edits/dedup/, which was asked for and is not finished"):
        texts_of(workspace)
    run(workspace, lines=3)
    assert not any("the same line" in text for text in texts_of(workspace).values())
    deduplicate(workspace, DedupSettings(), RunnerOptions(), quiet=True)
    assert all("the same line" in text for text in texts_of(workspace).values())


def _killed(*_):
    raise KeyboardInterrupt("killed")
