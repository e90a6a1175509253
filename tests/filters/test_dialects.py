"""Dialects against their peers: values that the peers computed, see `golden/make_*.py` for how."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from gristmill.filters.signals.families import FAMILIES, measure

GOLDEN = Path(__file__).parent / "golden"
TEXTS: dict[str, str] = json.loads((GOLDEN / "texts.json").read_text(encoding="utf-8"))
PEERS = {
    peer: json.loads((GOLDEN / f"{peer}.json").read_text(encoding="utf-8"))
    for peer in ("datatrove", "dolma", "nemo", "dclm")
}
CASES = [
    (peer, family)
    for peer, families in (
        ("datatrove", ("gopher@datatrove", "c4@datatrove", "c4@fineweb", "fineweb")),
        ("dolma", ("gopher@dolma", "c4@dolma")),
        ("nemo", ("nemo",)),
        ("dclm", ("gopher@dclm",)),
    )
    for family in families
]


@pytest.fixture(scope="module")
def measured():
    families = [FAMILIES[family] for _, family in CASES]
    rows = measure(pa.array(TEXTS.values()), families)
    return {family: dict(zip(TEXTS, column.to_pylist(), strict=True)) for family, column in rows.items()}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("peer", "family"), CASES)
def test_a_dialect_has_the_values_of_its_peer(measured, peer, family, name):
    ours, theirs = measured[family][name], PEERS[peer][name][family]
    if "dropped" in theirs:  # C4 drops a text at the first such line and stops counting
        reason = {"lorem_ipsum": "lorem_ipsum", "curly_bracket": "curly_bracket"}[theirs["dropped"]]
        assert ours[reason] > 0
        return
    absent = {column for column, value in ours.items() if value is None}
    assert absent == set()
    assert {column: ours[column] for column in theirs} == pytest.approx(theirs, rel=1e-12)


def one(family: str, text: str) -> dict:
    return measure(pa.array([text]), [FAMILIES[family]])[family][0].as_py()


# By hand from DCLM's definitions, beside the values that `make_dclm.py` made: words "a b c d e" are five
# characters of letters, the full stops are no words; the sentence stands twice in eleven words of eleven characters.
def test_dclm_counts_every_occurrence_once_per_word():
    values = one("gopher@dclm", "a b c d e. a b c d e. x")
    assert values["word_count"] == 11
    assert values["top_2gram"] == pytest.approx(2 * 2 / 11)
    assert values["duplicate_5gram"] == pytest.approx(10 / 11)
    assert values["duplicate_6gram"] == 0


def test_dclm_takes_the_longest_of_equally_frequent_ngrams_and_counts_overlaps_twice():
    assert one("gopher@dclm", "aa bb cc, aa bb cccc aa bb")["top_2gram"] == pytest.approx(3 * 4 / 18)
    assert one("gopher@dclm", "a b a b long word long word")["top_2gram"] == pytest.approx(2 * 8 / 20)
    assert one("gopher@dclm", "a a a a")["top_2gram"] == pytest.approx(3 * 2 / 4)


def test_dclm_strips_lines_and_leaves_blank_ones_out():
    values = one("gopher@dclm", "same\n\n  same \nother\n\nlast")
    assert values["duplicate_lines"] == pytest.approx(2 / 4)
    assert values["duplicate_line_chars"] == pytest.approx(8 / 17)
    assert values["duplicate_paragraphs"] == 0
    assert one("gopher@dclm", "same")["duplicate_lines"] == 0


def test_dclm_marks():
    values = one("gopher@dclm", "\u25cf one\n* two. . .\nthree\u2026\nfour #4")
    assert values["bullet_lines"] == pytest.approx(2 / 4)
    assert values["ellipsis_lines"] == pytest.approx(2 / 4)
    assert values["symbol_ratio"] == pytest.approx(3 / 9)
    assert one("gopher@dclm", "THE the be")["stop_words"] == 3


# By hand from the paper's words: 33 characters of words, the six words that stand twice have 2 * 12.
def test_the_paper_counts_each_character_of_a_repeated_ngram_once():
    values = one("gopher@paper", "aa bb cc dd ee ff x aa bb cc dd ee ff yyyyyyyy")
    assert values["top_2gram"] == pytest.approx(8 / 33)
    assert values["duplicate_5gram"] == pytest.approx(24 / 33)
    assert values["duplicate_6gram"] == pytest.approx(24 / 33)
    assert values["duplicate_7gram"] == 0
    assert one("gopher@paper", "a a a a")["top_2gram"] == 1


def test_the_peers_disagree_on_the_same_text():
    text = TEXTS["one line repeated"]
    lines = {family: one(f"gopher@{family}", text)["duplicate_lines"] for family in ("datatrove", "dolma", "dclm")}
    assert lines == pytest.approx({"datatrove": 1 / 6, "dolma": 2 / 6, "dclm": 2 / 6})
