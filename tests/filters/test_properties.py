"""Properties that hold for every family and every text."""

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.filters.signals.families import FAMILIES, measure

words = st.text(alphabet="ab .,-\u2022\u2026\u3000é文ж1#{[]?\"'\r", max_size=8)
texts = st.lists(words, max_size=6).map("\n".join)
batches = st.lists(st.none() | texts, max_size=5)
EVERY = list(FAMILIES.values())
GOPHER = [FAMILIES[f"gopher@{dialect}"] for dialect in ("paper", "datatrove", "dolma", "dclm")]


def rows(batch: list[str | None], families=EVERY) -> list[dict]:
    columns = measure(pa.array(batch, pa.string()), families)
    lists = {name: column.to_pylist() for name, column in columns.items()}
    return [{name: values[n] for name, values in lists.items()} for n in range(len(batch))]


@settings(max_examples=25)
@given(batches, st.integers(0, 5))
def test_a_signal_is_the_texts_own_whatever_stands_beside_it(batch, at):
    assert rows(batch[:at]) + rows(batch[at:]) == rows(batch)
    assert rows(batch[::-1]) == rows(batch)[::-1]


@settings(max_examples=25)
@given(batches)
def test_every_value_is_a_finite_number_or_absent(batch):
    for row, text in zip(rows(batch), batch, strict=True):
        for columns in row.values():
            for value in columns.values():
                assert value is None or text is not None
                assert value is None or isinstance(value, str | list) or (math.isfinite(value) and value >= 0)


@settings(max_examples=40)
@given(texts.filter(lambda text: text.strip() != ""), st.data())
def test_repeating_a_line_never_lowers_the_fraction_of_duplicate_lines(text, data):
    lines = [line for line in text.split("\n") if line.strip()]
    line = data.draw(st.sampled_from(lines))
    before, after = rows(["\n".join(lines), "\n".join([*lines, line])], GOPHER)
    for family in before:
        assert after[family]["duplicate_lines"] >= before[family]["duplicate_lines"]


@pytest.mark.parametrize("text", ["", "word", "\n", " ", "\u2028", "\ufeff"])
def test_an_empty_or_one_word_text_has_every_family(text):
    row = rows([text])[0]
    assert set(row) == set(FAMILIES)
    assert row["gopher@paper"]["word_count"] == len(text.split())


def test_a_family_declares_exactly_the_columns_that_it_measures():
    for family in EVERY:
        column = measure(pa.array(["some text. And more?"]), [family])[family.name]
        assert column.type == family.type
        assert [field.name for field in column.type] == [name.partition(":")[0] for name in family.columns]
