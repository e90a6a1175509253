"""Rows of JSONL, Parquet and Arrow files as records of a corpus. One bad row is one failure, never the end of a file.

Text is taken from `text` (or the column that the settings name), else from `content`, `raw_content`, `body`; a column
`html` is extracted like a page. `url`, `date`, `title`, `language` and `license` are taken over where they are there.
JSONL rows are placed by their byte in the decompressed stream, Parquet and Arrow rows by their number in the file.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import IO, Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from .members import Members
from .warc import parse_date

TEXT_COLUMNS = ("text", "content", "raw_content", "body")
DATE_COLUMNS = ("date", "timestamp", "created")
TAKEN = ("url", "title", "language", "license")


def read_jsonl(stream: Members, start: int, end: int | None, limit: int, column: str) -> Iterator[dict[str, Any]]:
    """Rows whose line begins in [start, end). Lines longer than `limit` are passed over in bounded memory.

    The stream stands at start - 1, because the byte there tells whether a line begins at start.
    """
    base = max(0, start - 1)
    if start:
        _skip_line(stream)
    while True:
        place = base + stream.position
        if end is not None and place >= end:
            break
        if not stream.peek(1):
            break
        length = stream.find(b"\n", limit + 1)
        if length < 0 and len(head := stream.peek(limit + 1)) > limit:
            _skip_line(stream)
            yield {"place": place, "body": head[:200], "error": f"larger than max_page_bytes ({limit} bytes)"}
            continue
        line = stream.read(length + 1) if length >= 0 else stream.read(limit)
        if line.strip():
            yield {"place": place, **_parsed(line, column)}
    for place, why, _ in stream.damage:
        yield {"place": place, "error": why, "counted": False}


def _skip_line(stream: Members) -> None:
    while True:
        found = stream.find(b"\n", 1 << 20)
        if found >= 0:
            stream.skip(found + 1)
            return
        if not stream.skip(len(stream.peek(1 << 20))):
            return


def _parsed(line: bytes, column: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return {"error": f"invalid UTF-8: {error.reason} at byte {error.start} of the line", "body": line[:200]}
    except json.JSONDecodeError as error:
        return {"error": f"not JSON: {error.msg}", "body": line[:200]}
    except (ValueError, RecursionError) as error:
        return {"error": f"not JSON: {error}", "body": line[:200]}
    if not isinstance(row, dict):
        return {"error": f"not a JSON object but {type(row).__name__}", "body": line[:200]}
    return record_of(row, column)


def record_of(row: dict[str, Any], column: str) -> dict[str, Any]:
    """The fields of a record from a row's columns."""
    name = next((c for c in (column, *TEXT_COLUMNS) if row.get(c) is not None), None)
    markup = name is None and row.get("html") is not None
    body = row.get("html") if markup else row.get(name) if name else None
    if body is None:
        return {
            "error": f"no text: none of the columns {', '.join(dict.fromkeys((column, *TEXT_COLUMNS)))}, html is set"
        }
    if not isinstance(body, (str, bytes)):
        return {"error": f"column {name} holds {type(body).__name__}, not text"}
    taken = {key: row[key] for key in TAKEN if isinstance(row.get(key), str) and row[key]}
    when = next((row[key] for key in DATE_COLUMNS if row.get(key) is not None), None)
    if isinstance(when, datetime):
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
    elif isinstance(when, date):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    else:
        when = parse_date(when) if isinstance(when, str) else None
    if isinstance(body, str) and not body.isascii():
        body = body.encode("utf-8", "replace").decode()  # JSON may hold lone surrogates, which no file can
    return {"body": body, "markup": markup, "date": when, **taken}


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
            opened = pa.ipc.open_file(file)
            batches: Iterator[pa.RecordBatch] = (opened.get_batch(i) for i in range(opened.num_record_batches))
            wanted = _columns(opened.schema, column)
        else:
            stream = pa.ipc.open_stream(file)
            batches, wanted = iter(stream), _columns(stream.schema, column)
        for batch in batches:
            yield from _batch(batch.select(wanted), place, column)
            place += batch.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        yield {"place": place, "error": f"not a readable Arrow file: {error}", "counted": False}


def _columns(schema: pa.Schema, column: str) -> list[str]:
    wanted = dict.fromkeys((column, *TEXT_COLUMNS, "html", *DATE_COLUMNS, *TAKEN))
    present = [name for name in wanted if name in schema.names]
    if not any(name in present for name in (column, *TEXT_COLUMNS, "html")):
        raise ValueError(f"no column {column}; there are: {', '.join(schema.names)}; name the column of the text")
    return present


def _batch(batch: pa.RecordBatch, place: int, column: str) -> Iterator[dict[str, Any]]:
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError:
        rows = None
    for number in range(batch.num_rows):
        try:
            row = rows[number] if rows is not None else batch.slice(number, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield {"place": place + number, "error": f"invalid UTF-8: {error.reason}"}
            continue
        yield {"place": place + number, **record_of(row, column)}
