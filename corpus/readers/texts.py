"""A file of texts that somebody points at (a target, examples of what is wanted), as rows: objects, or paragraphs.

JSON Lines and Parquet give objects, everything else is plain text, a paragraph a row; compressed by gzip, zstd, lz4,
bzip2 or xz or not, whatever the name says. Lines may end as on any system, and a byte-order mark is no text. Every text
is brought into the form that documents are in. Refuses a file that is not there, holds nothing, is damaged, is not
UTF-8, has a line that is no object, or is a table or JSON Lines by another name; each by its place.
"""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..given_files import decoded, given_bytes
from ..store.errors import RequestError
from ..store.shards import filesystem
from ..text.normalising import as_documents_are
from .text_names import OBJECTS, ends_in

GAP = re.compile(r"\n[ \t\f\v]*\n\s*")  # between paragraphs
TABLES = (".csv", ".tsv", ".xls", ".xlsx", ".ods")
KEYS = ("text", "query", "context")  # of rows that hold texts


@dataclass(frozen=True)
class TextRow:
    """What a file holds at one place: an object, or the text of a paragraph."""

    place: str  # "PATH line 3"
    content: dict[str, Any] | str


def read_rows(
    path: str, option: str = "--target", *, objects: bool | None = None, repair: bool = False
) -> list[TextRow]:
    """The rows of the file, in its order. RequestErrors begin with the option and the path.

    objects   whether they are objects; by default the name of the file says so
    repair    mend mojibake, as was asked for documents
    """
    fs, place = filesystem(path)
    if not fs.exists(place) or fs.isdir(place):
        raise RequestError(f"{option} {path}: there is no such file")
    data = given_bytes(path, f"{option} {path}")
    if data.startswith(b"PAR1"):
        rows = list(_parquet(data, path, option))
    else:
        text = decoded(data, f"{option} {path}").replace("\r\n", "\n").replace("\r", "\n")
        if objects is None:
            objects = ends_in(path, OBJECTS)
        if not objects:
            refuse_other_forms(text, path, option)
        rows = list(_objects(text, path, option) if objects else _paragraphs(text, path))
    if not rows:
        raise RequestError(f"{option} {path}: no text in it")
    return [TextRow(row.place, as_documents_are(row.content, repair)) for row in rows]


def refuse_other_forms(text: str, path: str, option: str) -> None:
    """RequestError for what would be read as prose and is none: a table of cells, and lines of JSON objects with texts
    in them under the name of a text file."""
    if ends_in(path, TABLES):
        raise RequestError(f"{option} {path} is a table of cells; give JSON Lines, Parquet or plain text")
    try:
        first = json.loads(text.lstrip().split("\n", 1)[0])
    except (ValueError, RecursionError):
        return
    if isinstance(first, dict) and any(isinstance(first.get(key), str) for key in KEYS):
        raise RequestError(
            f"{option} {path} holds lines of JSON; end its name in .jsonl, so that they are read as such"
        )


def _parquet(data: bytes, path: str, option: str) -> Iterator[TextRow]:
    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise RequestError(f"{option} {path} cannot be read as Parquet: {error}") from error
    for number, row in enumerate(table.to_pylist(), 1):
        yield TextRow(f"{path} row {number}", row)


def _objects(text: str, path: str, option: str) -> Iterator[TextRow]:
    if text.lstrip().startswith("["):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{option} {path} is not JSON: {error}") from error
        listed = [(f"{path} entry {number}", row) for number, row in enumerate(whole, 1)]
    else:
        listed = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    listed.append((f"{path} line {number}", json.loads(line)))
                except (ValueError, RecursionError) as error:
                    raise RequestError(f"{option} {path} line {number} is not JSON: {error}") from error
    for place, row in listed:
        if not isinstance(row, dict):
            raise RequestError(f"{option} {place} is no JSON object but {type(row).__name__}")
        yield TextRow(place, row)


def _paragraphs(text: str, path: str) -> Iterator[TextRow]:
    for number, part in enumerate(GAP.split(text), 1):
        if part.strip():
            yield TextRow(f"{path} paragraph {number}", part.strip())
