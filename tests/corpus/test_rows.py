"""Rows of JSON, Parquet and Arrow as they are found: a bad one is one failure, a value that cannot be held one null."""

import bz2
import gzip
import io
import json
import lzma
import math
from datetime import datetime
from pathlib import Path

import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.planning.growth import extend
from gristmill.corpus.planning.ledger import Ledger
from gristmill.corpus.readers.dates import NoDate, date_of
from gristmill.corpus.readers.inputs import Input, resolve
from gristmill.corpus.readers.jsonl import in_utf8, read_jsonl
from gristmill.corpus.readers.members import Members
from gristmill.corpus.readers.naming import Naming
from gristmill.corpus.readers.records import Reading, read_piece
from gristmill.corpus.readers.rows import read_arrow, read_parquet
from gristmill.corpus.store.workspace import Workspace


def rows(data: bytes, limit: int = 1 << 20) -> list[dict]:
    return list(read_jsonl(in_utf8(Members(io.BytesIO(data))), 0, None, limit, Naming()))


def texts(found: list[dict]) -> list[str]:
    return [row["body"] for row in found if "error" not in row]


def errors(found: list[dict]) -> list[str]:
    return [row["error"] for row in found if "error" in row]


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=6)
SHAPES = {
    "lines": lambda made: "\n".join(json.dumps(one) for one in made),
    "lines with returns": lambda made: "\r\n".join(json.dumps(one, ensure_ascii=False) for one in made) + "\r\n",
    "array": lambda made: json.dumps(made),
    "array over lines": lambda made: json.dumps(made, indent=2, ensure_ascii=False),
    "array of lines": lambda made: "[\n" + ",\n".join(json.dumps(one) for one in made) + "\n]\n",
    "array that ends in a comma": lambda made: "[" + "".join(json.dumps(one) + ",\n" for one in made) + "]",
    "objects over lines": lambda made: "\n".join(json.dumps(one, indent=1) for one in made),
    "one after another": lambda made: "".join(json.dumps(one) for one in made),
    "with commas between": lambda made: ",\n".join(json.dumps(one) for one in made),
    "with empty lines": lambda made: "\n\n \n".join(json.dumps(one) for one in made),
    "with commas before": lambda made: "\n,".join(json.dumps(one) for one in made),
    "a text sequence": lambda made: "".join(f"\x1e{json.dumps(one)}\n" for one in made),
    "a text sequence over lines": lambda made: "".join(f"\x1e{json.dumps(one, indent=1)}\n" for one in made),
}


@given(
    TEXTS,
    st.sampled_from(sorted(SHAPES)),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["utf-8", "utf-16-le", "utf-32-be"]),
)
@settings(max_examples=250, deadline=None)
def test_json_of_every_shape_gives_every_row(drawn: list[str], shape: str, mark: str, codec: str):
    made = [{"id": n, "meta": {"a": [1, {"b": '}]"{'}]}, "text": text} for n, text in enumerate(drawn)]
    mark = mark if codec == "utf-8" else "\ufeff"
    found = rows((mark + SHAPES[shape](made)).encode(codec))
    assert texts(found) == drawn
    assert errors(found) == []
    assert len({row["place"] for row in found}) == len(found)


@given(TEXTS.filter(bool), st.integers(0, 10**6), st.sampled_from(["lines", "array of lines"]))
@settings(max_examples=150, deadline=None)
def test_a_damaged_row_costs_itself(drawn: list[str], seed: int, shape: str):
    lines = SHAPES[shape]([{"text": text} for text in drawn]).split("\n")
    first = 1 if shape.startswith("array") else 0
    at = first + seed % len(drawn)
    if shape == "lines":
        lines[at] = lines[at][: 1 + seed % (len(lines[at]) - 1)]
    else:
        lines[at] = lines[at].replace('{"text": ', '{"text": ,', 1)
    found = rows("\n".join(lines).encode())
    assert texts(found) == [text for n, text in enumerate(drawn) if n != at - first]
    assert len(errors(found)) == 1


def test_a_row_over_the_limit_is_passed_over_in_every_shape():
    big = {"text": '"}{[' * 40_000}
    for shape in ("lines", "array", "array over lines"):
        found = rows(SHAPES[shape]([{"text": "a"}, big, {"text": "b"}]).encode(), limit=70_000)
        assert texts(found) == ["a", "b"]
        assert [error.split(" (")[0] for error in errors(found)] == ["larger than max_page_bytes"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"text": "a"}\n{"text": "b",}\n', "a comma before the end of an object or array at line 2 column 14"),
        (b'{"text": "a"}\n{\n "text": "b",\n}\n', "at line 4 column 1"),
        (b'[{"text": "a"}, 5]', "not a JSON object but int"),
        (b'[{"text": "a"}', "the array does not end"),
    ],
)
def test_what_is_no_json_is_told_with_line_and_column(data: bytes, said: str):
    (error,) = errors(rows(data))
    assert said in error


def test_numbers_that_are_too_long_and_no_numbers_cost_no_row():
    found = rows(b'{"text": "a", "n": %s}\n{"text": "b", "x": NaN, "y": -Infinity}\n' % (b"9" * 6000))
    assert texts(found) == ["a", "b"]


@given(st.sampled_from(["title", "url", "license", "language", "text"]), st.text(st.characters(), min_size=1))
@settings(max_examples=100, deadline=None)
def test_a_field_that_no_file_can_hold_is_mended(field: str, value: str):
    (row,) = rows(json.dumps({"text": "a", field: value}).encode())
    mended = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert row["body"] == (mended if field == "text" else "a")
    assert row.get(field, "").encode().decode() == row.get(field, "")


STATED = {
    "2024-05-01T02:00:00+02:00": "2024-05-01 00:00:00+00:00",
    "20240501000000": "2024-05-01 00:00:00+00:00",
    "2024-05-01": "2024-05-01 00:00:00+00:00",
    "Wed, 01 May 2024 00:00:00 GMT": "2024-05-01 00:00:00+00:00",
    20240501: "2024-05-01 00:00:00+00:00",
    2024: "2024-01-01 00:00:00+00:00",
    "1714521600": "2024-05-01 00:00:00+00:00",
    1714521600: "2024-05-01 00:00:00+00:00",
    1714521600000: "2024-05-01 00:00:00+00:00",
    1714521600000000: "2024-05-01 00:00:00+00:00",
    1714521600000000000: "2024-05-01 00:00:00+00:00",
}


@pytest.mark.parametrize("stated", STATED)
def test_dates_are_read_as_they_are_stated(stated):
    assert str(date_of(stated)) == STATED[stated]


@given(
    st.one_of(
        st.integers(),
        st.floats(),
        st.decimals(),
        st.text(max_size=30),
        st.booleans(),
        st.datetimes(),
        st.dates(),
        st.lists(st.integers(), max_size=2),
    )
)
@settings(max_examples=300, deadline=None)
def test_a_date_is_held_in_any_zone_or_refused(value):
    try:
        found = date_of(value)
    except NoDate:
        return
    assert 1 <= found.year <= 9999
    assert datetime.min.replace(tzinfo=found.tzinfo) < found


@given(
    st.integers(-(2**62), 2**62),
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from([None, "UTC", "Mars/Phobos"]),
)
@settings(max_examples=100, deadline=None)
def test_a_timestamp_of_any_unit_zone_and_size_costs_no_row(value: int, unit: str, zone: str | None):
    table = pa.table({"text": ["a", "b"], "timestamp": pa.array([value, None], pa.timestamp(unit, zone))})
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    first, second = read_arrow(file, 0, None, Naming())
    assert (first["body"], second["body"], second["date"]) == ("a", "b", None)
    assert (first["date"] is None) == bool(first.get("left_out"))


class Label(pa.ExtensionType):
    """A type of somebody else."""

    def __init__(self) -> None:
        super().__init__(pa.string(), "test.label")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls()


def kinds() -> dict[str, pa.Array]:
    plain = pa.array(["a", "b", None])
    union = pa.UnionArray.from_sparse(pa.array([0, 0, 0], pa.int8()), [plain, pa.array([1, 2, 3])])
    return {
        "string": plain,
        "large": plain.cast(pa.large_string()),
        "view": plain.cast(pa.string_view()),
        "binary": plain.cast(pa.binary()),
        "dictionary": plain.dictionary_encode(),
        "union": union,
        "extension": pa.ExtensionArray.from_storage(Label(), plain),
        "dictionary of times": plain,
    }


@pytest.mark.parametrize("name", sorted(kinds()))
def test_text_of_every_type_is_read_and_a_null_is_one_failure(name: str):
    column = kinds()[name]
    others = {
        "timestamp": pa.array([1, 2, 3], pa.timestamp("ns", "No/Zone")).dictionary_encode(),
        "title": pa.array([{"a": [None, {"b": None}]}] * 3),
        "language": pa.array([1, None, 3], pa.decimal128(20, 3)),
        "license": pa.array([math.nan, 1, 2]),
    }
    table = pa.table({"text": column, **others})
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    found = list(read_arrow(file, 0, None, Naming()))
    assert [row["body"] if isinstance(row["body"], str) else row["body"].decode() for row in found[:2]] == ["a", "b"]
    assert "no text" in found[2]["error"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table([["a"], ["b"]], names=["text", "text"]), "2 columns are named text"),
        (pa.table({"text": [1, 2]}), "column text holds int64, not text"),
        (pa.table({"text": [{"a": 1}]}), "column text holds struct"),
        (pa.table({"prose": ["a"]}), "no column text; there are: prose"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_one_failure_that_names_the_column(table, said: str, tmp_path: Path):
    pq.write_table(table, tmp_path / "a.parquet")
    with open(tmp_path / "a.parquet", "rb") as file:
        (row,) = read_parquet(file, 0, None, Naming())
    assert said in row["error"]
    assert row["counted"] is False


def test_invalid_bytes_in_one_column_cost_that_value_alone():
    raw = pa.array([b"good", b"\xff\xfe", b"fine"]).cast(pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    table = pa.table({"text": ["a", "b", "c"], "title": broken, "content": broken})
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    found = list(read_arrow(file, 0, None, Naming()))
    assert [(row["body"], row.get("title")) for row in found] == [("a", "good"), ("b", None), ("c", "fine")]
    assert "invalid UTF-8" in found[1]["left_out"][0]
    assert ["error" in row for row in read_arrow(file, 0, None, Naming(text="content"))] == [False, True, False]


PACKS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "lz4": lz4.frame.compress,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "marked": lambda data: b"\xef\xbb\xbf" + data,
    "after empty lines": lambda data: b"\n \n\r\n" + data,
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("pack", PACKS)
def test_a_file_that_is_cut_into_pieces_gives_the_rows_of_the_whole(tmp_path: Path, shape: str, pack: str):
    texts_in = [f"row {n} of many, which say {n * 7919 % 104729} and no more" for n in range(120)]
    made = [{"meta": {"a": [1, {"b": "}"}]}, "text": text} for text in texts_in]
    path = tmp_path / "a.jsonl"
    path.write_bytes(PACKS[pack](SHAPES[shape](made).encode()))
    found = resolve((Input(paths=(str(path),)),))
    pieces = [
        one for lot in extend(Workspace(str(tmp_path / "w")), Ledger(), found, 900).ledger.lots for one in lot.pieces
    ]
    records = [record for piece in pieces for record in read_piece(piece, Reading(1 << 20))]
    assert [record.error for record in records if record.error] == []
    assert sorted(str(record.body) for record in records) == sorted(texts_in)
    assert len(pieces) > 1 or shape != "lines" or pack not in ("plain", "marked", "after empty lines")
    assert len({(record.place, record.inner) for record in records}) == len(records)


def work_of(data: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that a reader of rows looks at."""
    looked = [0]

    def counted(self: Members, start: int, size: int) -> bytes:
        found = at(self, start, size)
        looked[0] += len(found)
        return found

    at = Members._at
    monkeypatch.setattr(Members, "_at", counted)
    monkeypatch.setattr(Members, "peek", lambda self, size: counted(self, 0, size))
    rows(data, limit=1 << 24)
    monkeypatch.undo()
    return looked[0]


@pytest.mark.parametrize(
    ("head", "piece", "end"),
    [
        (b'{"text": "a", "v": [\n', b"1,\n", b"1]}\n"),
        (b"", b"{\n", b""),
        (b"", b"[\n", b""),
        (b"", b'{"a": [\n', b""),
        (b"", b"{\n{}", b""),
        (b"", b'{"\n', b""),
        (b'{"text": "a"}\n[', b'{"text": "b"},', b"{}]"),
        (b"[{}", b",x", b""),
    ],
)
def test_rows_that_do_not_end_are_searched_once(head: bytes, piece: bytes, end: bytes, monkeypatch: pytest.MonkeyPatch):
    short, long = (work_of(head + piece * count + end, monkeypatch) for count in (2_000, 16_000))
    assert long <= 8 * short * 1.2
