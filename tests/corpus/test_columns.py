"""The users' own columns: kept whatever their types, told apart by schema, and given back as they came."""

import datetime
import decimal
import io
import json
import math

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.corpus.columns.json_objects import decoded, selected, spelt, with_text, without_text
from gristmill.corpus.columns.shapes import KeyCounts, counts_left, shape_of
from gristmill.corpus.columns.stored import apart, restored, stored

LEAVES = {
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.float16(): st.sampled_from([0.0, 1.5, -2.0]),
    pa.bool_(): st.booleans(),
    pa.null(): st.none(),
    pa.string(): st.text(max_size=5),
    pa.large_string(): st.text(max_size=5),
    pa.string_view(): st.text(max_size=20),
    pa.binary(): st.binary(max_size=5),
    pa.binary_view(): st.binary(max_size=20),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.decimal128(9, 2): st.decimals(-9999, 9999, places=2),
    pa.decimal256(60, 3): st.decimals(-9999, 9999, places=3),
    pa.date32(): st.dates(),
    pa.date64(): st.dates(datetime.date(1, 1, 1)),
    pa.time32("s"): st.times().map(lambda at: at.replace(microsecond=0)),
    pa.time64("us"): st.times(),
    pa.timestamp("s", "Europe/Berlin"): st.integers(0, 2**33),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("ns", "+01:30"): st.integers(0, 2**60),
    pa.duration("ms"): st.integers(-(2**40), 2**40),
    pa.dictionary(pa.int8(), pa.string()): st.sampled_from(["a", "b", ""]),
    pa.dictionary(pa.int16(), pa.large_string(), ordered=True): st.sampled_from(["a", "b"]),
    pa.month_day_nano_interval(): st.tuples(*[st.integers(-99, 99)] * 3),
    pa.struct([]): st.just({}),
}


def nested(inner):
    """Types of lists, maps and structs over (type, values)."""

    def of(pair):
        kind, values = pair
        some = st.lists(values | st.none(), max_size=3)
        pairs = st.lists(st.tuples(st.text(max_size=3), values | st.none()), max_size=2, unique_by=lambda p: p[0])
        return st.sampled_from(
            [
                (pa.list_(kind), some),
                (pa.large_list(kind), some),
                (pa.list_view(kind), some),
                (pa.list_(kind, 2), st.lists(values | st.none(), min_size=2, max_size=2)),
                (pa.map_(pa.string(), kind), pairs),
                (
                    pa.struct([("a", kind), ("A", pa.int8())]),
                    st.fixed_dictionaries({"a": values | st.none(), "A": st.just(1)}),
                ),
            ]
        )

    return inner.flatmap(of)


KINDS = st.recursive(st.sampled_from(list(LEAVES.items())), nested, max_leaves=3)


@st.composite
def arrays(draw):
    kind, values = draw(KINDS)
    return pa.array(draw(st.lists(values | st.none(), max_size=6)), kind)


def through_parquet(column: pa.Array) -> pa.Array:
    file = io.BytesIO()
    table = pa.table({"extra": pa.StructArray.from_arrays([stored(column)], ["it"])})
    pq.write_table(table, file)
    found = pq.read_table(file)["extra"].combine_chunks()
    found = found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
    return restored(found.field(0), column.type)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrays(), st.integers(0, 3))
def test_a_column_of_any_type_comes_back_in_its_type_with_its_values(column: pa.Array, begin: int):
    for part in (column, column.slice(begin)):
        found = through_parquet(part)
        found.validate(full=True)
        assert found.type == part.type
        assert found.equals(part) or found.to_pylist() == part.to_pylist()  # dictionaries may hold what no row has


def test_columns_of_runs_and_unions_come_back_too():
    runs = pc.run_end_encode(pa.array([1, 1, None, 2]))
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    for column in (runs, union, union.slice(1)):
        found = through_parquet(column)
        assert found.type == column.type
        assert found.to_pylist() == column.to_pylist()


def test_names_that_differ_in_case_alone_are_told_apart():
    assert apart(["id", "ID", "", "x", "Id", "_"]) == ["id", "ID_2", "_", "x", "Id_3", "__2"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.text(max_size=4), JSON, max_size=4),
    st.text(),
    st.booleans(),
    st.sampled_from([None, 1]),
    st.integers(0, 4),
)
def test_an_object_without_its_text_becomes_the_same_bytes_again(row, text, ascii_alone, indent, place):
    items = list(row.items())
    items.insert(min(place, len(items)), ("text", text))
    row = dict(items)
    row["text"] = text
    line = json.dumps(row, ensure_ascii=ascii_alone, indent=indent)
    kept = without_text(line, "text", text)
    assert decoded(kept.object) == {**row, "text": None}
    assert with_text(kept.object, kept.at, kept.literal or "") == line
    other = with_text(kept.object, kept.at, spelt("an other \u00e9", kept.escaped))
    assert json.loads(other) == {**row, "text": "an other \u00e9"}


@pytest.mark.parametrize(
    "line",
    [
        r'{"a": "a/b", "text": "a\/b"}',
        r'{"text": "\u00e9 and é"}',
        r'{"text": "first", "text": "a"}',
        r'{"text": "", "b": "x\""}',
        r'{"meta": {"text": "a\/b"}, "text" : "a\/b" , "n": 1.0}',
    ],
)
def test_texts_that_are_spelt_oddly_or_twice_are_cut_where_they_stand(line: str):
    text = json.loads(line)["text"]
    kept = without_text(line, "text", text)
    assert kept.literal is not None
    assert with_text(kept.object, kept.at, kept.literal) == line
    assert json.loads(with_text(kept.object, kept.at, '"new"'))["text"] == "new"


def test_keys_that_are_left_out_leave_every_other_byte():
    line = '{ "a":1 , "b" : [2,{"c":3}],"c":"x" }'
    assert selected(line, (), ("b",)) == '{ "a":1,"c":"x" }'
    assert selected(line, ("b",), ()) == '{ "b" : [2,{"c":3}] }'
    assert json.loads(selected(line, (), ("a", "b", "c"))) == {}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), max_size=6))
def test_every_json_value_fits_the_type_of_its_key(rows):
    keys = KeyCounts()
    for row in rows:
        keys.add(row)
    shapes = shape_of(keys.counts())
    if not shapes:
        return
    held = [{name: shape.held(row.get(name)) for name, shape in shapes.items()} for row in rows]
    table = pa.Table.from_pylist(held, pa.schema([(name, shape.type) for name, shape in shapes.items()]))
    for row, found in zip(rows, table.to_pylist(), strict=True):
        for name, shape in shapes.items():
            value = row.get(name)
            if isinstance(value, (int, float, bool)) and not pa.types.is_string(shape.type):
                assert found[name] == value or math.isclose(found[name], value)
            if isinstance(value, str):
                assert found[name] == (value if shape.plain else json.dumps(value, ensure_ascii=False))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), st.booleans()), max_size=6))
def test_counts_without_some_rows_are_those_of_the_rows_that_are_left(rows):
    every, gone, left = KeyCounts(), KeyCounts(), KeyCounts()
    for row, goes in rows:
        every.add(row, "a")
        (gone if goes else left).add(row, "a")
    assert counts_left(every.counts(), gone) == left.counts()


def test_where_a_shard_has_more_paths_than_are_counted_what_is_left_is_not_told_by_what_goes():
    keys = KeyCounts()
    for n in range(3000):
        keys.add({f"key{n}": 1})
    assert counts_left(keys.counts(), KeyCounts()) is None


def test_integers_beside_fractions_are_doubles_unless_that_would_change_them():
    keys = KeyCounts()
    for value in (1, 1.0, 2**53 + 1):
        keys.add({"wide": value, "plain": min(value, 5), "huge": value * 2**20})
    shapes = shape_of(keys.counts())
    assert shapes["plain"].type == pa.float64()
    assert shapes["wide"].type == pa.string()
    assert shapes["wide"].held(2**53 + 1) == str(2**53 + 1)
    assert decimal.Decimal(str(shapes["huge"].held(2**73 + 2**20))) == 2**73 + 2**20
