"""Rows by name in Arrow columns: a million take some hundred bytes each, an object is made of one when it is asked for.

A list that lies in parts is read when a row of it is asked for; the lists that a process has read share `HELD` bytes,
of which the one that was not asked for the longest is forgotten first. Refuses a name that occurs twice.
"""

import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ... import arrow_functions as pc
from .parts import ListPart, fault_of_parts, parts_of, read_parts, write_parts

INLINE = 4000  # what a commit lists itself
BLOCK = 16_384  # rows that are made into objects at a time
HELD = 512 << 20  # bytes
DIGEST, NO_DIGEST = re.compile(r"[0-9a-f]{32}"), b"no digest of 32 digits: "
_READ: "OrderedDict[tuple[str, tuple[ListPart, ...]], pa.Table]" = OrderedDict()


class NamedRows:
    """Rows sorted by unique `name`, held in memory or lying in parts of a workspace."""

    def __init__(self, table: pa.Table | None, length: int, fingerprint: str, parts: tuple[ListPart, ...] = ()) -> None:
        """`table` None: it lies in `parts` of a workspace that `bind` names."""
        self.length, self.fingerprint, self.parts = length, fingerprint, parts
        self._own, self._workspace = table, ""

    @property
    def table(self) -> pa.Table:
        """All rows. WorkspaceError where a part of them is lost or damaged."""
        if self._own is not None:
            return self._own
        key = (self._workspace, self.parts)
        if key not in _READ:
            _READ[key] = read_parts(self._workspace, self.parts)
        _READ.move_to_end(key)
        while len(_READ) > 1 and sum(table.nbytes for table in _READ.values()) > HELD:
            _READ.popitem(last=False)
        return _READ[key]

    def bind(self, workspace: str) -> None:
        """Say where the parts lie."""
        self._workspace = workspace

    def fault(self) -> str:
        """What is wrong with the parts, "" where nothing is."""
        return fault_of_parts(self._workspace, self.parts) if self._own is None else ""

    def store(self, workspace: str, before: object) -> None:
        """Put the rows into parts; those of `before`, what the list replaces, are used where they serve yet."""
        if self._own is None and self._workspace == workspace:
            return
        known = before if isinstance(before, NamedRows) and before.parts else None
        rows, parts = (known.table, known.parts) if known is not None else (None, ())
        self.parts = write_parts(workspace, self.table, rows, parts)
        self._workspace = workspace
        self._own = None

    def told(self) -> dict[str, Any]:
        """What a commit says of it."""
        parts = [[part.name, part.rows] for part in self.parts]
        return {"parts": parts, "length": self.length, "fingerprint": self.fingerprint}

    def row_of(self, name: str) -> int | None:
        """The place of a name, None where there is none."""
        names = self.table["name"]
        row = bisect_left(range(self.length), name, key=lambda place: names[place].as_py())
        return row if row < self.length and names[row].as_py() == name else None

    def columns(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Rows of these columns, block by block."""
        for batch in self.table.select(list(names)).to_batches(max_chunksize=BLOCK):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows as mappings, block by block."""
        for batch in self.table.to_batches(max_chunksize=BLOCK):
            yield from batch.to_pylist()

    def __len__(self) -> int:
        return self.length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.fingerprint == other.fingerprint

    __hash__ = None  # type: ignore[assignment]


def is_told(value: object) -> bool:
    """Whether this is what `told` gave."""
    return isinstance(value, Mapping) and set(value) == {"parts", "length", "fingerprint"}


def from_told(value: Mapping[str, Any]) -> tuple[None, int, str, tuple[ListPart, ...]]:
    """What `NamedRows` is made with, of what `told` gave."""
    return None, int(value["length"]), str(value["fingerprint"]), parts_of(value)


def sorted_table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Arrow columns of rows, made block by block, sorted by name. ValueError where a name occurs twice."""
    batches: list[pa.RecordBatch] = []
    block: list[Mapping[str, Any]] = []
    for row in rows:
        block.append(row)
        if len(block) == BLOCK:
            batches.append(pa.RecordBatch.from_pylist(block, schema=schema))
            block = []
    batches.append(pa.RecordBatch.from_pylist(block, schema=schema))
    return by_name(pa.Table.from_batches(batches, schema))


def by_name(table: pa.Table) -> pa.Table:
    """The table sorted by name. ValueError where a name occurs twice."""
    table = table.combine_chunks()
    names = table["name"].combine_chunks()
    if len(names) > 1 and not pc.all(pc.less(names.slice(0, len(names) - 1), names.slice(1))).as_py():
        table = table.sort_by("name").combine_chunks()
        if pc.count_distinct(table["name"]).as_py() != len(table):
            raise ValueError("a list holds a name twice")
    return table


def digest_bytes(text: str) -> bytes:
    """16 bytes of 32 hex digits; of any other text more than 16 that say so."""
    return bytes.fromhex(text) if DIGEST.fullmatch(text) else NO_DIGEST + text.encode()


def digest_text(data: bytes) -> str:
    """What `digest_bytes` was given."""
    return data.hex() if len(data) == 16 else data.removeprefix(NO_DIGEST).decode()
