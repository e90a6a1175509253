"""What SQL prints as JSON is JSON, and loses nothing in silence."""

import csv
import io
import json
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.commands.sql import as_csv, as_json, named_apart, refuse_writing


@pytest.mark.parametrize(
    "query", ["copy (select 1) to 'f'", "export database 'f'", "attach 'f'", "install httpfs", "select 1; load 'f'"]
)
def test_a_query_that_writes_or_loads_is_refused_before_it_runs(query):
    with pytest.raises(RequestError, match="reads the workspace and nothing else"):
        refuse_writing(duckdb.connect(), query)
    refuse_writing(duckdb.connect(), "with t as (from range(3)) select * from t; describe select 1; explain select 1")


def test_nested_values_are_json_in_csv_too():
    table = duckdb.sql("select [1, 2] l, {'a': 'x,y', 'b': ['\"']} s, 'p\nq' t, '\\xAA'::blob b").to_arrow_table()
    (row,) = csv.DictReader(io.StringIO(as_csv(table)))
    assert json.loads(row["l"]) == [1, 2]
    assert json.loads(row["s"]) == {"a": "x,y", "b": ['"']}
    assert (row["t"], row["b"]) == ("p\nq", "aa")


def test_sums_are_numbers_and_what_is_no_number_is_null_with_a_note(capsys):
    query = (
        "select sum(x) s, avg(x) a, 'nan'::double n, ['inf'::double, 1] l, {'a': 'nan'::double} d from range(5) t(x)"
    )
    printed = as_json(duckdb.sql(query).to_arrow_table())
    assert json.loads(printed) == [{"s": 10, "a": 2.0, "n": None, "l": [None, 1.0], "d": {"a": None}}]
    assert "3 values" in capsys.readouterr().err


def test_columns_of_one_name_are_told_apart(capsys):
    table = pa.table([[1], [2], [3], [4]], names=["n", "n", "n_2", "n"])
    assert json.loads(as_json(named_apart(table))) == [{"n": 1, "n_3": 2, "n_2": 3, "n_4": 4}]
    assert "told apart" in capsys.readouterr().err


values = (
    st.none()
    | st.floats()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-999, max_value=999)
)


@given(
    st.lists(values.filter(lambda value: not isinstance(value, Decimal)), max_size=5), st.lists(st.text(), max_size=5)
)
def test_every_answer_is_json_that_a_strict_reader_takes(numbers, names):
    def refuse(word: str) -> None:
        raise AssertionError(word)

    rows = json.loads(as_json(pa.table({"x": pa.array(numbers, pa.float64())})), parse_constant=refuse)
    assert len(rows) == len(numbers)
    table = pa.table([pa.array([1])] * len(names), names=names) if names else pa.table({})
    assert len(set(named_apart(table).column_names)) == len(names)
