"""Work items with what each was made from: by name, in columns where there are many."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pyarrow as pa

from ... import arrow_functions as pc
from .rows import BLOCK, INLINE, NamedRows, by_name, digest_bytes, digest_text, from_told, is_told

FROM = "from:"  # column of the content of the shard, of the item's own name, of the table after it
MORE = "more"  # JSON of whatever else it was made from, null where that is nothing
STAMP = pa.field("stamp", pa.binary())
ROW = json.JSONEncoder(default=bytes.hex).encode


@dataclass(frozen=True)
class Made:
    """What a work item was made from.

    stamp      of the stage, its settings and all that this item read: equal stamps, equal rows
    made_from  shard (`documents/web-0001.parquet`) -> fingerprint of its content then
    """

    stamp: str
    made_from: Mapping[str, str] = field(default_factory=dict)


class WorkList(NamedRows, Mapping[str, Made]):
    """Many work items."""

    def __getitem__(self, name: str) -> Made:
        row = self.row_of(name)
        if row is None:
            raise KeyError(name)
        return _made(self.table.slice(row, 1).to_pylist()[0])

    def __iter__(self) -> Iterator[str]:
        return (name for (name,) in self.columns(["name"]))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.row_of(name) is not None

    def items(self) -> Any:
        """(name, made) of every item, block by block."""
        return ((row["name"], _made(row)) for row in self.rows())

    def values(self) -> Any:
        return (_made(row) for row in self.rows())

    def stamps(self) -> set[bytes]:
        """The stamps of all items, as `digest_bytes` has them."""
        return {stamp for batch in self.table.select(["stamp"]).to_batches() for stamp in batch["stamp"].to_pylist()}

    def tables(self) -> Iterator[tuple[str, pa.Array, pa.Array]]:
        """(table, names of items, contents of the shards of these names that they were made from)."""
        for column in self.table.column_names:
            if column.startswith(FROM):
                there = pc.is_valid(self.table[column])
                rows = self.table.select(["name", column]).filter(there)
                yield column.removeprefix(FROM), rows["name"].combine_chunks(), rows[column].combine_chunks()

    def others(self) -> Iterator[tuple[str, str]]:
        """(place, content) of whatever else items were made from."""
        if MORE in self.table.column_names:
            for text in pc.unique(self.table[MORE].drop_null()).to_pylist():
                yield from json.loads(text).items()


class WorkBuilder:
    """Work items as they come, in columns from the first `INLINE` on."""

    def __init__(self) -> None:
        self.few: dict[str, Made] = {}
        self.batches: list[pa.Table] = []

    def add(self, name: str, made: Made) -> None:
        if name in self.few:
            raise ValueError(f"two work items are named {name}")
        self.few[name] = made
        if len(self.few) >= (BLOCK if self.batches else INLINE + 1):
            self.batches.append(_columns(self.few))
            self.few = {}

    def done(self) -> Mapping[str, Made]:
        """All of them. ValueError where a name occurs twice."""
        if not self.batches:
            return self.few
        tables = [*self.batches, _columns(self.few)]
        table = by_name(pa.concat_tables(tables, promote_options="default"))
        table = table.select(["name", STAMP.name, *sorted(set(table.column_names) - {"name", STAMP.name})])
        return WorkList(table, table.num_rows, _fingerprint(table))


def worked(work: object) -> Any:
    """Work items as a commit holds them: few as they are, many as a `WorkList`."""
    if is_told(work):
        return WorkList(*from_told(cast(Mapping[str, Any], work)))
    if isinstance(work, Mapping) and len(work) > INLINE and not isinstance(work, WorkList):
        builder = WorkBuilder()
        for name, made in cast(Mapping[str, Any], work).items():
            builder.add(name, made if isinstance(made, Made) else Made(**made))
        return builder.done()
    return work


def stamps_of(work: Mapping[str, Made]) -> set[bytes]:
    """The stamps of items, as `digest_bytes` has them."""
    return work.stamps() if isinstance(work, WorkList) else {digest_bytes(made.stamp) for made in work.values()}


def changed_tables(
    work: WorkList, contents: Callable[[str], pa.Table | None], skipped: Callable[[str], bool]
) -> set[str]:
    """Tables of which a shard that an item was made from is another by now, or gone.

    contents  table -> its shards' `name` and `content`, None where there is no such table
    """
    changed: set[str] = set()
    others: dict[str, dict[str, bytes]] = {}
    for place, content in work.others():
        table, _, shard = place.rpartition("/")
        if ":" not in place and not skipped(table):
            others.setdefault(table, {})[shard] = digest_bytes(content)
    for table, names, then in work.tables():
        if not skipped(table) and not _same(contents(table), names, then):
            changed.add(table)
    for table, shards in others.items():
        names, then = pa.array(list(shards), pa.string()), pa.array(list(shards.values()), pa.binary())
        if not _same(contents(table), names, then):
            changed.add(table)
    return changed


def _same(now: pa.Table | None, names: pa.Array, then: pa.Array) -> bool:
    if now is None or not now.num_rows:
        return not len(names)
    at = pc.index_in(names, value_set=now["name"].combine_chunks())
    if at.null_count:
        return False
    return bool(pc.all(pc.equal(now["content"].combine_chunks().take(at), then)).as_py())


def _columns(items: Mapping[str, Made]) -> pa.Table:
    """Items as columns."""
    columns: dict[str, list[bytes | None]] = {}
    more: list[str | None] = []
    for number, (name, made) in enumerate(items.items()):
        other = {}
        for place, content in made.made_from.items():
            table, _, shard = place.rpartition("/")
            if shard == name and ":" not in place:
                column = columns.setdefault(FROM + table, [])
                column.extend([None] * (number - len(column)))
                column.append(digest_bytes(content))
            else:
                other[place] = content
        more.append(json.dumps(other, sort_keys=True) if other else None)
    arrays: dict[str, Any] = {
        "name": pa.array(list(items), pa.string()),
        STAMP.name: pa.array([digest_bytes(made.stamp) for made in items.values()], STAMP.type),
    }
    for name in sorted(columns):
        arrays[name] = pa.array([*columns[name], *[None] * (len(items) - len(columns[name]))], pa.binary())
    if any(text is not None for text in more):
        arrays[MORE] = pa.array(more, pa.string())
    return pa.table(arrays)


def _made(row: Mapping[str, Any]) -> Made:
    found: dict[str, str] = {}
    for column, value in row.items():
        if value is not None and column.startswith(FROM):
            found[f"{column.removeprefix(FROM)}/{row['name']}"] = digest_text(value)
    if row.get(MORE) is not None:
        found |= json.loads(row[MORE])
    return Made(digest_text(row[STAMP.name]), found)


def _fingerprint(table: pa.Table) -> str:
    """32 hex digits over all rows."""
    digest = hashlib.blake2b(digest_size=16)
    for batch in table.to_batches(max_chunksize=BLOCK):
        digest.update("".join(f"{ROW(row)}\n" for row in batch.to_pylist()).encode())
    return digest.hexdigest()
