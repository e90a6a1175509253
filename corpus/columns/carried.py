"""Rows on their way from an input file into `columns/<schema>/`: what a reader hands on with a record, and the writer.

JSON rows go to `columns/json/`, those of Parquet and Arrow to a table of their own for each schema; a shard
bears the name of the shard of `documents/`, and its rows are keyed by the document's id. The text itself is not kept
twice: only one that extraction changed is kept as it came.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .. import arrow_functions as pc
from ..store.shards import ShardWriter, fingerprint
from .json_objects import decoded, selected, spelt, without_text
from .shapes import KeyCounts, counts_left
from .stored import apart, stored, stored_type

FOLDER = "columns"
JSON_TABLE = f"{FOLDER}/json"
SCHEMA_KEY = b"gristmill.schema"  # in the footer of a shard: the schema that the rows came with
JSON_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("object", pa.string(), nullable=False),  # as it stood, `null` in place of the text
        ("at", pa.int64()),  # where that stands in it, in characters; null: nothing was cut out
        ("key", pa.string()),  # the key that the text was taken from
        ("text", pa.string()),  # the text as a JSON string, where it was another than that of documents/
        ("escaped", pa.bool_()),  # whether it was spelt in ASCII alone
    ]
)
GROUP = 1024  # rows of a row group: the same whatever was read at once, or taken out since


class RowGroups:
    """Batches into a shard, in row groups of `GROUP` rows."""

    def __init__(self, writer: ShardWriter) -> None:
        self.writer = writer
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        while self._rows >= GROUP:
            self._write(GROUP)

    def _write(self, rows: int) -> None:
        whole = pa.concat_batches(self._waiting)
        self.writer.write_batch(whole.slice(0, rows))
        self._waiting = [whole.slice(rows)]
        self._rows -= rows

    def finish(self) -> None:
        if self._rows:
            self._write(self._rows)


@dataclass(frozen=True)
class JsonRow:
    """A row of JSON: the object's text, its value, and the key that the document's text was taken from."""

    text: str
    row: dict[str, Any]
    key: str | None

    @property
    def names(self) -> list[str]:
        return list(self.row)


@dataclass(frozen=True)
class ArrowForm:
    """A schema of rows as it came, and how such rows are stored."""

    schema: pa.Schema
    table: str
    stored: pa.Schema

    def is_text(self, name: str) -> bool:
        """Whether a column holds texts that documents/ can stand for."""
        kind = self.schema.field(name).type
        if isinstance(kind, pa.DictionaryType):
            kind = kind.value_type
        return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def form_of(schema: pa.Schema) -> ArrowForm:
    """The form of a schema; rows of equal schemas lie in one table."""
    given = schema.with_metadata(_lasting(schema.metadata or {}))
    data = given.serialize().to_pybytes()
    names = apart(given.names)
    kind = pa.struct([(name, stored_type(field.type)) for name, field in zip(names, given, strict=True)])
    columns = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("extra", kind),
        ("text", pa.string()),  # the text as it came, where it was another than that of documents/
        ("text_from", pa.string()),  # the column that the text was taken from; it is null in `extra` where that is text
    ]
    table = f"{FOLDER}/{fingerprint(data.hex())[:12]}"
    return ArrowForm(given, table, pa.schema(columns, {SCHEMA_KEY: data}))


def _lasting(metadata: dict[bytes, bytes]) -> dict[bytes, bytes] | None:
    """The metadata of a schema without what tells of one file's rows: an index of pandas that counts them."""
    kept = dict(metadata)
    try:
        told = json.loads(kept.get(b"pandas", b"null"))
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("index_columns"), list):
        told["index_columns"] = [one for one in told["index_columns"] if not isinstance(one, dict)]
        kept[b"pandas"] = json.dumps(told).encode()
    return kept or None


@dataclass(frozen=True, eq=False)
class ArrowRows:
    """Rows of a batch, as they are stored."""

    form: ArrowForm
    rows: pa.StructArray

    @property
    def names(self) -> list[str]:
        return self.form.schema.names

    @classmethod
    def of(cls, form: ArrowForm, columns: list[pa.Array]) -> "ArrowRows":
        """Columns in the order of the form's schema."""
        kind = form.stored.field("extra").type
        return cls(form, pa.StructArray.from_arrays([stored(column) for column in columns], fields=list(kind)))


@dataclass(frozen=True)
class ArrowRow:
    """One row of a batch, and the column that the document's text was taken from."""

    batch: ArrowRows
    number: int
    key: str | None

    @property
    def names(self) -> list[str]:
        return self.batch.names


Carried = JsonRow | ArrowRow


class ColumnsWriter:
    """The columns of the documents of one shard. `open` makes the writer of a table, by its name and schema."""

    def __init__(
        self, open: Callable[[str, pa.Schema], ShardWriter], keep: tuple[str, ...] = (), drop: tuple[str, ...] = ()
    ) -> None:
        self._open, self._keep, self._drop = open, keep, drop
        self._same: list[tuple[str, ArrowRow, str | None]] = []  # rows of one batch
        self._json: list[dict[str, Any]] = []
        self._keys = KeyCounts()
        self._groups: dict[str, RowGroups] = {}

    @property
    def written(self) -> dict[str, ShardWriter]:
        """table -> its writer, of the tables that got rows."""
        return {table: groups.writer for table, groups in self._groups.items()}

    def add(self, name: str, carried: Carried, came: bytes | str | None, text: str) -> None:
        """A document of this id. `came` is its text as it was read, `text` that of documents/."""
        if isinstance(carried, JsonRow):
            self._add_json(name, carried, text)
            return
        form = carried.batch.form
        own = came if isinstance(came, str) and came != text and carried.key and form.is_text(carried.key) else None
        if self._same and self._same[0][1].batch is not carried.batch:
            self._flush()
        self._same.append((name, carried, own))

    def _add_json(self, name: str, carried: JsonRow, text: str) -> None:
        key = carried.key
        value = carried.row.get(key) if key is not None else None
        whole = selected(carried.text, self._keep, self._drop, key)
        kept = without_text(whole, key, value if isinstance(value, str) else None)
        cut = kept.at is not None
        same = cut and ((kept.plain and value == text) or kept.literal == spelt(text, kept.escaped))
        self._json.append(
            {
                "id": name,
                "object": kept.object,
                "at": kept.at,
                "key": key,
                "text": None if same else kept.literal,
                "escaped": kept.escaped if cut else None,
            }
        )
        gone = {k for k in carried.row if k != key and ((self._keep and k not in self._keep) or k in self._drop)}
        self._keys.add({k: v for k, v in carried.row.items() if k not in gone} if gone else carried.row, key)
        if len(self._json) >= GROUP:
            self._flush_json()

    def _flush_json(self) -> None:
        if self._json:
            rows, self._json = self._json, []
            self._rows_of(JSON_TABLE, JSON_SCHEMA).add(pa.RecordBatch.from_pylist(rows, JSON_SCHEMA))

    def _rows_of(self, table: str, schema: pa.Schema) -> RowGroups:
        if table not in self._groups:
            self._groups[table] = RowGroups(self._open(table, schema))
        return self._groups[table]

    def _flush(self) -> None:
        """Write the rows of one batch."""
        if not self._same:
            return
        rows, self._same = self._same, []
        batch = rows[0][1].batch
        form, kind = batch.form, batch.form.stored.field("extra").type
        columns = []
        for place, name in enumerate(form.schema.names):
            cut = form.schema.names.count(name) == 1 and form.is_text(name)
            places = [None if cut and row.key == name else row.number for _, row, _ in rows]
            columns.append(batch.rows.field(place).take(pa.array(places, pa.int64())))
        extra = pa.StructArray.from_arrays(columns, fields=list(kind)) if columns else pa.array([{}] * len(rows), kind)
        made = [
            pa.array([name for name, _, _ in rows], pa.string()),
            extra,
            pa.array([own for _, _, own in rows], pa.string()),
            pa.array([row.key for _, row, _ in rows], pa.string()),
        ]
        self._rows_of(form.table, form.stored).add(pa.RecordBatch.from_arrays(made, schema=form.stored))

    def finish(self) -> None:
        """Write what waits yet, and count."""
        self._flush_json()
        self._flush()
        for table, groups in self._groups.items():
            groups.finish()
            counted = self._keys.counts() if table == JSON_TABLE else {}
            groups.writer.counts = {"rows": groups.writer.rows} | counted


def write_rows_left(batches: Iterable[pa.RecordBatch], writer: ShardWriter) -> None:
    """The shard that the writer makes of those rows of a table that are left."""
    groups, keys = RowGroups(writer), KeyCounts()
    is_json = writer.schema.names == JSON_SCHEMA.names
    for left in batches:
        groups.add(left)
        if is_json:
            _count_keys(left, keys)
    groups.finish()
    writer.counts = {"rows": writer.rows} | keys.counts()


def write_rows_without(
    batches: Iterable[pa.RecordBatch], gone: pa.Array, counts: Mapping[str, int], writer: ShardWriter
) -> None:
    """`write_rows_left` of all rows of a shard but those of some ids, (N,) string.

    counts  that the shard had: keys are counted in the rows that go alone, where that tells it
    """
    groups, left, less = RowGroups(writer), KeyCounts(), KeyCounts()
    is_json = writer.schema.names == JSON_SCHEMA.names
    every = is_json and counts_left(counts, less) is None
    for batch in batches:
        goes = pc.is_in(batch["id"], value_set=gone)
        stays = batch.filter(pc.invert(goes))
        groups.add(stays)
        if is_json:
            _count_keys(*((stays, left) if every else (batch.filter(goes), less)))
    groups.finish()
    told = left.counts() if every or not is_json else counts_left(counts, less)
    writer.counts = {"rows": writer.rows} | (told or {})


def _count_keys(rows: pa.RecordBatch, keys: KeyCounts) -> None:
    for row in rows.select(["object", "key"]).to_pylist():
        keys.add(decoded(row["object"]), row["key"])


def kept_names(names: list[str], keep: tuple[str, ...], drop: tuple[str, ...], always: str | None) -> list[int]:
    """Places of the columns to keep; the column that the text comes from stays."""
    return [
        place for place, name in enumerate(names) if name == always or ((not keep or name in keep) and name not in drop)
    ]
