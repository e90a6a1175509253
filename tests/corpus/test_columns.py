"""The users' own columns: kept whatever their types, told apart by schema, and given back as they came."""

import datetime
import decimal
import io
import json
import math

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.corpus.columns import shapes as shapes_module
from gristmill.corpus.columns.given_back import Texts, json_batch, json_lines, json_schema
from gristmill.corpus.columns.json_objects import decoded, selected, spelt, with_text, without_text
from gristmill.corpus.columns.shapes import KeyCounts, KeyShape, counts_left, shape_of
from gristmill.corpus.columns.stored import apart, restored, stored
from gristmill.corpus.columns.views import ExtraField, _as, _common, _json_fields, whole_of

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


def same(shape: KeyShape, value, found) -> bool:
    """Whether a column's value says all that the JSON value said; a field that an object lacks is null."""
    if value is None:
        return found is None
    if pa.types.is_struct(shape.type):
        return {*value} <= {*found} and all(same(shape.below[k], value.get(k), one) for k, one in found.items())
    if pa.types.is_list(shape.type):
        return len(found) == len(value) and all(same(shape.below[0], *two) for two in zip(value, found, strict=True))
    if pa.types.is_string(shape.type) and not shape.plain:
        return json.loads(found) == value
    return found == value


KEYS = st.text("aAb0", max_size=2)
DEEP = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just("x"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.dictionaries(KEYS, DEEP, max_size=4), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 4),
)
def test_columns_of_json_say_all_of_it_whatever_was_counted(rows, depth, paths, columns):
    keys = KeyCounts()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shapes_module, "DEPTH", depth)
        patched.setattr(shapes_module, "PATHS", paths)
        rows = [{"t": "x"} | row for row in rows]
        for row in rows:
            keys.add(row)
        shapes = shape_of(keys.counts(), columns)
        assert sum(not shape.is_rest for shape in shapes.values()) <= columns
        stored_rows = [{"id": str(n), "object": json.dumps(row), "at": None, "key": "x", "text": None, "escaped": None}
                       for n, row in enumerate(rows)]  # fmt: skip
        found = json_batch(stored_rows, json_schema(shapes, False), shapes, Texts({}, ())).to_pylist()
        rest = next((name for name, shape in shapes.items() if shape.is_rest), None)
        for row, columns_of in zip(rows, found, strict=True):
            left = json.loads(columns_of.pop(rest) or "{}") if rest is not None else {}
            assert left == {key: row[key] for key in {*row} - {*columns_of}}
            assert all(same(shapes[name], row.get(name), value) for name, value in columns_of.items())


@pytest.mark.parametrize(
    "kinds", [(pa.null(), pa.string()), (pa.null(), pa.null()), (pa.int8(), pa.null(), pa.int64())]
)
def test_a_column_that_is_null_throughout_takes_the_type_of_its_namesakes(kinds):
    fields = [ExtraField("v", "extra.v", kind) for kind in kinds]
    common = _common([*kinds])
    assert common == next((kind for kind in reversed(kinds) if kind != pa.null()), pa.null())
    assert [_as(field, common) for field in fields if field.type == pa.null() != common] == (
        ["null"] * kinds.count(pa.null()) if common != pa.null() else []
    )


def test_every_key_of_json_is_shown_by_sql_under_a_name_of_its_own(tmp_path):
    row = {"id": 1, "ID": 2, "": 3, "a/b~": 4, 'q"x': [5], "o": {"k": 6, "K": 7}, "e": {"": 8}, "n": None, "text": None}
    keys = KeyCounts()
    keys.add(row, "text")
    fields = {field.name: field for field in _json_fields(keys.counts())}
    with duckdb.connect() as connection:
        connection.execute("create table rows as select ? as object", [json.dumps(row)])
        asked = ", ".join(field.sql for field in fields.values())
        whole = whole_of({name: field.structure for name, field in fields.items() if field.structure is not None})
        found = connection.execute(f"select {asked} from (select *, {whole} as whole from rows)").fetchone() or ()
        found = dict(zip(fields, found, strict=True))
    assert found == {
        "_": 3, "ID": 2, "id_2": 1, "a/b~": 4, 'q"x': [5], "n": None,
        "o": '{"k":6,"K":7}', "e": '{"":8}',
    }  # fmt: skip
    few = {field.name: field for field in _json_fields(KeyCounts.counts(many()))}
    assert "other_keys" in few
    with duckdb.connect() as connection:
        connection.execute("create table rows as select ? as object", [json.dumps({f"k{n}": n for n in range(203)})])
        (left,) = connection.execute(f"select {few['other_keys'].sql} from rows").fetchone() or ()
    assert len(json.loads(left)) == 3


def many() -> KeyCounts:
    keys = KeyCounts()
    keys.add({f"k{n}": n for n in range(203)})
    return keys


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([[], [("a", [1])]], pa.map_(pa.string(), pa.list_(pa.int8()))), [{}, {"a": [1]}]),
        (pa.array([[{"m": []}]], pa.list_(pa.struct([("m", pa.map_(pa.int8(), pa.int8()))]))), [[{"m": {}}]]),
        (pa.array([1, -1, 1000, None], pa.timestamp("ns")), [
            "1970-01-01T00:00:00.000000001", "1969-12-31T23:59:59.999999999", "1970-01-01T00:00:00.000001", None]),
        (pa.array([1], pa.timestamp("ns", "Europe/Berlin")), ["1970-01-01T01:00:00.000000001+01:00"]),
        (pa.array([b"\xff"], pa.dictionary(pa.int8(), pa.binary())), ["/w=="]),
        (pa.array([[1.5, math.nan]], pa.list_(pa.float32(), 2)), [[1.5, None]]),
    ],
    ids=["maps", "maps inside", "nanoseconds", "in a zone", "dictionary", "no numbers"],
)  # fmt: skip
def test_arrow_values_have_one_form_in_json(column, said):
    found = json_lines(pa.RecordBatch.from_arrays([column, column], ["v", "v"]))
    assert [json.loads(line) for line in found] == [{"v": one, "v_2": one} for one in said]
