"""Each signal has a source and a formula, and the formulas say what sets the dialects apart."""

import pyarrow as pa
import pytest

from gristmill.filters.signals.definitions import DEFINITIONS
from gristmill.filters.signals.families import FAMILIES, families, measure

TEXT = "• The cat, the cat...\nthe dog saw the cat\nthe dog saw the cat\n# the end …\n\n* of it"


def test_every_family_and_every_column_has_a_definition():
    assert set(DEFINITIONS) == set(FAMILIES)
    for name, family in FAMILIES.items():
        told = DEFINITIONS[name]
        assert told.source
        assert told.pieces.endswith(".")
        assert set(told.columns) in ({"*"}, {column.name for column in family.type}), name
        assert all(told.columns.values()), name


# counted by hand, by the formula that stands in the definition
BY_HAND = [
    ("gopher@paper", "word_count", 22), ("gopher@paper", "stop_words", 2), ("gopher@paper", "bullet_lines", 1 / 5),
    ("gopher@paper", "ellipsis_lines", 2 / 5), ("gopher@paper", "duplicate_lines", 1 / 5),
    ("gopher@paper", "hash_ratio", 1 / 22), ("gopher@paper", "alpha_words", 18 / 22),
    ("gopher@dolma", "word_count", 22), ("gopher@dolma", "stop_words", 7), ("gopher@dolma", "bullet_lines", 1 / 6),
    ("gopher@dolma", "ellipsis_lines", 1 / 6), ("gopher@dolma", "duplicate_lines", 2 / 6),
    ("gopher@dolma", "symbol_ratio", 2 / 22), ("gopher@dolma", "median_word_length", 3.0),
    ("gopher@dclm", "word_count", 18), ("gopher@dclm", "stop_words", 8), ("gopher@dclm", "bullet_lines", 2 / 5),
    ("gopher@dclm", "duplicate_lines", 2 / 5), ("gopher@dclm", "symbol_ratio", 3 / 22),
    ("fineweb", "short_line_ratio", 1.0), ("fineweb", "char_dup_ratio", 19 / 77), ("text", "lines", 6),
    ("c4@dolma", "few_word_lines", 1), ("c4@dolma", "unpunctuated_lines", 5), ("questions", "question_marks", 0),
    ("redpajama", "lines_end_with_ellipsis", 2 / 6), ("nemo", "unique_lines", 4 / 5), ("text", "chars", len(TEXT)),
]  # fmt: skip


@pytest.mark.parametrize(("family", "column", "expected"), BY_HAND)
def test_a_signal_is_what_its_formula_says(family, column, expected):
    (value,) = measure(pa.array([TEXT]), families([family]))[family].field(column).to_pylist()
    assert value == pytest.approx(expected), DEFINITIONS[family].columns[column]
