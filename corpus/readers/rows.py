"""Rows as records of a corpus, and those of Parquet and Arrow files. One bad row is one failure, not the end of a file.

Text is taken from `text` (or the column that the settings name), else from `content`, `raw_content`, `body`; a column
`html` is extracted like a page. `url`, `date`, `title`, `language` and `license` are taken over where they are there; a
value of them that cannot be held (a date in the year 10000, a zone that nobody knows) is null and told of, and its row
stays. Rows are placed by their number in the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from ..text.charsets import mend
from .dates import NoDate, date_of, from_epoch

TEXT_COLUMNS = ("text", "content", "raw_content", "body")
DATE_COLUMNS = ("date", "timestamp", "created")
TAKEN = ("url", "title", "language", "license")


@dataclass(frozen=True)
class Unheld:
    """A value of a column that Python cannot hold, and why."""

    why: str


def record_of(row: dict[str, Any], column: str) -> dict[str, Any]:
    """The fields of a record from a row's columns; `left_out` says which values are null in it, and why."""
    name = next((c for c in (column, *TEXT_COLUMNS) if row.get(c) is not None), None)
    markup = name is None and row.get("html") is not None
    name = "html" if markup else name
    body = row.get(name) if name else None
    if body is None:
        return {
            "error": f"no text: none of the columns {', '.join(dict.fromkeys((column, *TEXT_COLUMNS)))}, html is set"
        }
    if isinstance(body, Unheld):
        return {"error": f"column {name}: {body.why}"}
    if not isinstance(body, (str, bytes)):
        return {"error": f"column {name} holds {type(body).__name__}, not text"}
    left_out = [f"column {key} is left out: {row[key].why}" for key in TAKEN if isinstance(row.get(key), Unheld)]
    taken = {key: mend(row[key]) for key in TAKEN if isinstance(row.get(key), str) and row[key]}
    when = None
    for key in DATE_COLUMNS:
        stated = row.get(key)
        if stated is None or stated == "":
            continue
        try:
            if isinstance(stated, Unheld):
                raise NoDate(stated.why)
            when = date_of(stated)
            break
        except NoDate as error:
            left_out.append(f"column {key} is left out: {error}")
    made = {"body": mend(body) if isinstance(body, str) else body, "markup": markup, "date": when, **taken}
    return made | {"left_out": left_out} if left_out else made


def read_parquet(file: IO[bytes], start: int, end: int | None, column: str) -> Iterator[dict[str, Any]]:
    """Rows of the row groups [start, end)."""
    try:
        parquet = pq.ParquetFile(file)
        wanted = _columns(parquet.schema_arrow, column)
    except (pa.ArrowException, OSError, ValueError) as error:
        yield {"place": 0, "error": f"not a readable Parquet file: {error}", "counted": False}
        return
    end = parquet.num_row_groups if end is None else end
    place = sum(parquet.metadata.row_group(group).num_rows for group in range(start))
    for group in range(start, end):
        try:
            batches = parquet.iter_batches(batch_size=64, row_groups=[group], columns=wanted)
            for batch in batches:
                yield from _batch(batch, place, column)
                place += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            yield {"place": place, "error": f"row group {group} cannot be read: {error}", "counted": False}
            place = sum(parquet.metadata.row_group(g).num_rows for g in range(group + 1))


def read_arrow(file: IO[bytes], start: int, end: int | None, column: str) -> Iterator[dict[str, Any]]:
    """Rows of an Arrow IPC file or stream, which is always read whole."""
    place = 0
    try:
        file.seek(0)
        framed = file.read(6) == b"ARROW1"
        file.seek(0)
        if framed:
            opened = ipc.open_file(file)
            batches: Iterator[pa.RecordBatch] = (opened.get_batch(i) for i in range(opened.num_record_batches))
            wanted = _columns(opened.schema, column)
        else:
            stream = ipc.open_stream(file)
            batches, wanted = iter(stream), _columns(stream.schema, column)
        for batch in batches:
            yield from _batch(batch.select(wanted), place, column)
            place += batch.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        yield {"place": place, "error": f"not a readable Arrow file: {error}", "counted": False}


def _columns(schema: pa.Schema, column: str) -> list[str]:
    """The columns to read. ValueError, which names the column, where the file as a whole cannot be read."""
    wanted = dict.fromkeys((column, *TEXT_COLUMNS, "html", *DATE_COLUMNS, *TAKEN))
    present = [name for name in wanted if name in schema.names]
    texts = [name for name in (column, *TEXT_COLUMNS, "html") if name in present]
    if not texts:
        raise ValueError(f"no column {column}; there are: {', '.join(schema.names)}; name the column of the text")
    for name in present:
        if schema.names.count(name) > 1:
            raise ValueError(f"{schema.names.count(name)} columns are named {name}")
    if not _may_be_text(schema.field(texts[0]).type):
        raise ValueError(f"column {texts[0]} holds {schema.field(texts[0]).type}, not text")
    return present


def _may_be_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _may_be_text(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _may_be_text(kind.value_type)
    tests = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "null", "union")
    return any(getattr(pa.types, f"is_{name}")(kind) for name in tests) or pa.types.is_fixed_size_binary(kind)


def _batch(batch: pa.RecordBatch, place: int, column: str) -> Iterator[dict[str, Any]]:
    columns = {name: _values(batch.column(name)) for name in batch.schema.names}
    for number in range(batch.num_rows):
        row = {name: values[number] for name, values in columns.items()}
        yield {"place": place + number, **record_of(row, column)}


def _values(column: Any) -> list[Any]:
    """A column as Python values; what Python cannot hold is `Unheld`, by itself."""
    try:
        while isinstance(column.type, pa.BaseExtensionType):
            column = column.storage
        if pa.types.is_run_end_encoded(column.type):
            return _values(pc.run_end_decode(column))
        if pa.types.is_dictionary(column.type):
            held = _values(column.dictionary)
            return [None if at is None else held[at] for at in column.indices.to_pylist()]
        if pa.types.is_timestamp(column.type):
            unit = column.type.unit
            return [None if at is None else _instant(at, unit) for at in column.cast(pa.int64()).to_pylist()]
        return column.to_pylist()
    except Exception:  # Arrow, pandas and time zones have exceptions of their own: the values tell, one by one
        return [_value(column, number) for number in range(len(column))]


def _instant(value: int, unit: str) -> Any:
    try:
        return from_epoch(value, unit)
    except NoDate as error:
        return Unheld(str(error))


def _value(column: Any, number: int) -> Any:
    try:
        return column[number].as_py()
    except UnicodeDecodeError as error:
        return Unheld(f"invalid UTF-8: {error.reason}")
    except Exception as error:
        return Unheld(f"a value of {column.type} cannot be read: {' '.join(str(error).split())[:200]}")
