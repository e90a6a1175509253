"""Rows as records of a corpus, and those of Parquet and Arrow files. One bad row is one failure, not the end of a file.

Text is taken from the column that was named, else from `text`, `content`, `raw_content`, `body`; a column `html` is
extracted like a page. `url`, `date`, `title`, `language` and `license` are taken over where they are there; a value of
them that cannot be held (a date in the year 10000, a zone that nobody knows) is null and told of, and its row stays. A
row without a column that was named is a failure. Rows are placed by their number in the file, and hand on all of their
columns as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from ..columns.carried import ArrowForm, ArrowRow, ArrowRows, form_of, kept_names
from ..text.charsets import mend
from .dates import NoDate, date_of, from_epoch
from .naming import Naming

TEXT_COLUMNS = ("text", "content", "raw_content", "body")
DATE_COLUMNS = ("date", "timestamp", "created")
TAKEN = ("url", "title", "language", "license")
ROWS = 64  # that are held at once


@dataclass(frozen=True)
class Unheld:
    """A value of a column that Python cannot hold, and why."""

    why: str


def record_of(row: dict[str, Any], naming: Naming) -> dict[str, Any]:
    """The fields of a record from a row's columns; `left_out` says which values are null in it, and why, `text_from`
    the
    column that is the text, if any."""
    lacking = next((name for name in naming.named.values() if name not in row), None)
    if lacking is not None:
        return {"error": f"the row has no column {lacking}"}
    if naming.id is not None and row[naming.id] in (None, ""):
        return {"error": f"no id: column {naming.id} is empty"}
    texts = (naming.text,) if naming.text is not None else TEXT_COLUMNS
    name = next((c for c in texts if row.get(c) is not None), None)
    markup = name is None and naming.text is None and row.get("html") is not None
    name = "html" if markup else name
    body = row.get(name) if name else None
    if body is None:
        if naming.text is not None:
            return {"error": f"no text: column {naming.text} is null"}
        return {"error": f"no text: none of the columns {', '.join(TEXT_COLUMNS)}, html is set"}
    if isinstance(body, Unheld):
        return {"error": f"column {name}: {body.why}"}
    if not isinstance(body, (str, bytes)):
        return {"error": f"column {name} holds {type(body).__name__}, not text"}
    left_out: list[str] = []
    taken: dict[str, str] = {}
    for key in TAKEN:
        column = getattr(naming, key) or key
        value = row.get(column)
        if isinstance(value, Unheld):
            left_out.append(f"column {column} is left out: {value.why}")
        elif isinstance(value, str) and value:
            taken[key] = mend(value)
        elif value is not None and value != "" and getattr(naming, key):
            left_out.append(f"column {column} is left out: it holds {type(value).__name__}, not text")
    if naming.domain is not None:
        domain = row.get(naming.domain)
        if not isinstance(domain, str) or not domain:
            return {"error": f"column {naming.domain} names no domain"}
        taken["domain"] = mend(domain)
    when = _when(row, (naming.date,) if naming.date else DATE_COLUMNS, left_out)
    made = {"body": mend(body) if isinstance(body, str) else body, "markup": markup, "date": when, **taken}
    return made | {"text_from": None if markup else name} | ({"left_out": left_out} if left_out else {})


def _when(row: dict[str, Any], names: tuple[str, ...], left_out: list[str]) -> Any:
    """The first date of these columns that can be held; why those before it cannot is added to `left_out`."""
    for key in names:
        stated = row.get(key)
        if stated is None or stated == "":
            continue
        try:
            if isinstance(stated, Unheld):
                raise NoDate(stated.why)
            return date_of(stated)
        except NoDate as error:
            left_out.append(f"column {key} is left out: {error}")
    return None


def read_parquet(file: IO[bytes], start: int, end: int | None, naming: Naming) -> Iterator[dict[str, Any]]:
    """Rows of the row groups [start, end)."""
    try:
        parquet = pq.ParquetFile(file)
        chosen = Chosen.of(parquet.schema_arrow, naming)
    except (pa.ArrowException, OSError, ValueError) as error:
        yield {"place": 0, "error": f"not a readable Parquet file: {error}", "counted": False}
        return
    end = parquet.num_row_groups if end is None else end
    place = sum(parquet.metadata.row_group(group).num_rows for group in range(start))
    for group in range(start, end):
        try:
            batches = parquet.iter_batches(batch_size=ROWS, row_groups=[group])
            for batch in batches:
                yield from _batch(batch, place, chosen)
                place += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            yield {"place": place, "error": f"row group {group} cannot be read: {error}", "counted": False}
            place = sum(parquet.metadata.row_group(g).num_rows for g in range(group + 1))


def read_arrow(file: IO[bytes], start: int, end: int | None, naming: Naming) -> Iterator[dict[str, Any]]:
    """Rows of an Arrow IPC file or stream, which is always read whole."""
    place = 0
    try:
        file.seek(0)
        framed = file.read(6) == b"ARROW1"
        file.seek(0)
        if framed:
            opened = ipc.open_file(file)
            batches: Iterator[pa.RecordBatch] = (opened.get_batch(i) for i in range(opened.num_record_batches))
            chosen = Chosen.of(opened.schema, naming)
        else:
            stream = ipc.open_stream(file)
            batches, chosen = iter(stream), Chosen.of(stream.schema, naming)
        for batch in batches:
            for begin in range(0, batch.num_rows, ROWS):
                part = batch.slice(begin, ROWS)
                yield from _batch(part, place, chosen)
                place += part.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        yield {"place": place, "error": f"not a readable Arrow file: {error}", "counted": False}


@dataclass(frozen=True)
class Chosen:
    """What of a file's schema is read as what, and how its rows are handed on.

    read   places of the columns that the record is made from
    kept   places of the columns that are handed on
    """

    naming: Naming
    read: dict[str, int]
    kept: list[int]
    form: ArrowForm

    @classmethod
    def of(cls, schema: pa.Schema, naming: Naming) -> "Chosen":
        """ValueError, which names the column, where the file as a whole cannot be read."""
        texts = (naming.text,) if naming.text is not None else (*TEXT_COLUMNS, "html")
        dates = (naming.date,) if naming.date is not None else DATE_COLUMNS
        named = (getattr(naming, key) or key for key in TAKEN)
        wanted: dict[str, None] = dict.fromkeys((*texts, *dates, *named, *([naming.domain] if naming.domain else [])))
        present = [name for name in wanted if name in schema.names]
        held = [name for name in texts if name in present]
        if not held:
            asked = naming.text or TEXT_COLUMNS[0]
            raise ValueError(f"no column {asked}; there are: {', '.join(schema.names)}; name the column of the text")
        for name in present:
            if schema.names.count(name) > 1:
                raise ValueError(f"{schema.names.count(name)} columns are named {name}")
        if not _may_be_text(schema.field(held[0]).type):
            raise ValueError(f"column {held[0]} holds {schema.field(held[0]).type}, not text")
        kept = kept_names(schema.names, naming.keep, naming.drop, held[0])
        form = form_of(pa.schema([schema.field(place) for place in kept], schema.metadata))
        return cls(naming, {name: schema.names.index(name) for name in present}, kept, form)


def _may_be_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _may_be_text(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _may_be_text(kind.value_type)
    tests = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "null", "union")
    return any(getattr(pa.types, f"is_{name}")(kind) for name in tests) or pa.types.is_fixed_size_binary(kind)


def _batch(batch: pa.RecordBatch, place: int, chosen: Chosen) -> Iterator[dict[str, Any]]:
    columns = {name: _values(batch.column(at)) for name, at in chosen.read.items()}
    rows = ArrowRows.of(chosen.form, [batch.column(at) for at in chosen.kept])
    for number in range(batch.num_rows):
        row = {name: values[number] for name, values in columns.items()}
        made = record_of(row, chosen.naming)
        made["columns"] = ArrowRow(rows, number, made.pop("text_from", None))
        yield {"place": place + number, **made}


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
