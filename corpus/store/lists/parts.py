"""Rows in Parquet parts, of which growth adds one.

A list lies in parts `commits/parts/<blake2b-128 of the bytes>.parquet`. Later parts supersede earlier ones name by
name, and may say that a name was removed. A change adds one part with the difference; parts are merged while one has
less than `GROWTH` times the rows of what comes after it, so that n rows lie in at most about log n parts and each is
rewritten at most about log n times over the life of a workspace (a log-structured merge tree, O'Neil et al. 1996).
Refuses a part that is missing, or whose bytes are not those of its name.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from ... import arrow_functions as pc
from ..errors import WorkspaceError
from ..puts import put, read, signature

PARTS = "commits/parts"
GROWTH = 4
REMOVED = pa.field("removed", pa.bool_())


@dataclass(frozen=True)
class ListPart:
    """One part of a stored list. `name`: blake2b-128 of its bytes, hex; `rows` that it adds, replaces or removes."""

    name: str
    rows: int

    @property
    def file(self) -> str:
        """Where it lies below the workspace."""
        return f"{PARTS}/{self.name}.parquet"


Waiting = tuple[ListPart, pa.Table | None]  # a part, with its rows where it is not written yet


def write_parts(
    workspace: str, after: pa.Table, before: pa.Table | None, parts: Sequence[ListPart]
) -> tuple[ListPart, ...]:
    """Store rows sorted by unique `name`; `before` is what lies in `parts`, of which those that serve yet are kept."""
    chain: list[Waiting] = [(part, None) for part in parts] if before is not None else []
    changed, gone = difference(before if before is not None else after.slice(0, 0), after)
    if changed.num_rows or len(gone) or not chain:
        chain.append((ListPart("", changed.num_rows + len(gone)), _part(changed, gone)))
    while len(chain) > 1 and chain[-2][0].rows < GROWTH * chain[-1][0].rows:
        merged = _merged([_rows_of(workspace, waiting) for waiting in chain[-2:]])
        if len(chain) == 2:  # nothing is below it that a removal could hide
            merged = merged.filter(pc.invert(merged[REMOVED.name]))
        chain[-2:] = [(ListPart("", merged.num_rows), merged)]
    return tuple(part if table is None else _write(workspace, table) for part, table in chain)


def read_parts(workspace: str, parts: Sequence[ListPart]) -> pa.Table:
    """The rows that lie in these parts, sorted by name. WorkspaceError where one is missing or damaged."""
    merged = _merged([_rows_of(workspace, (part, None)) for part in parts])
    return merged.filter(pc.invert(merged[REMOVED.name])).drop_columns([REMOVED.name]).combine_chunks()


def fault_of_parts(workspace: str, parts: Sequence[ListPart]) -> str:
    """What is wrong with the parts, "" where all are there as they were put."""
    try:
        for part in parts:
            _bytes_of(workspace, part)
    except WorkspaceError as error:
        return str(error)
    return ""


def difference(before: pa.Table, after: pa.Table) -> tuple[pa.Table, pa.Array]:
    """(rows that are new or another than before, names that are gone)."""
    if before.num_rows == 0 or after.num_rows == 0:
        return after, before["name"].combine_chunks()
    before, after = _alike([before, after])
    at = pc.index_in(after["name"], value_set=before["name"].combine_chunks())
    same = pc.is_valid(at)
    for name in after.column_names:
        if name != "name":
            now, then = after[name], before[name].take(at)
            equal = pc.fill_null(pc.equal(now, then), False)
            same = pc.and_(same, pc.or_(equal, pc.and_(pc.is_null(now), pc.is_null(then))))
    gone = pc.invert(pc.is_in(before["name"], value_set=after["name"].combine_chunks()))
    return after.filter(pc.invert(same)), before["name"].filter(gone).combine_chunks()


def _alike(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The tables with the columns of all of them, null where one lacks a column."""
    schema = pa.unify_schemas([table.schema for table in tables])
    alike = []
    for table in tables:
        for field in schema:
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        alike.append(table.select(schema.names))
    return alike


def _merged(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of the last word on each name, sorted by name."""
    alike = _alike(tables)
    latest = alike[-1]
    for earlier in reversed(alike[:-1]):
        hidden = pc.is_in(earlier["name"], value_set=latest["name"].combine_chunks())
        latest = pa.concat_tables([latest, earlier.filter(pc.invert(hidden))])
    return latest.sort_by("name") if len(alike) > 1 else latest


def _part(changed: pa.Table, gone: pa.Array) -> pa.Table:
    kept = changed.append_column(REMOVED, pa.repeat(False, changed.num_rows))
    if not len(gone):
        return kept
    removed = pa.table({"name": gone, REMOVED.name: pa.repeat(True, len(gone))})
    return pa.concat_tables(_alike([kept, removed])).sort_by("name")


def _rows_of(workspace: str, waiting: Waiting) -> pa.Table:
    part, table = waiting
    return table if table is not None else pq.read_table(pa.BufferReader(_bytes_of(workspace, part)))


def _bytes_of(workspace: str, part: ListPart) -> bytes:
    found = read(f"{workspace}/{part.file}")
    if found is None:
        raise WorkspaceError(f"{workspace}/{part.file}, which a commit lists, is gone")
    if _name_of(found[0]) != part.name:
        raise WorkspaceError(f"{workspace}/{part.file}, which a commit lists, was changed since it was put")
    return found[0]


def _name_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _write(workspace: str, table: pa.Table) -> ListPart:
    out = pa.BufferOutputStream()
    coded: Any = [field.name for field in table.schema if field.name in ("counts", "item")]
    pq.write_table(table.combine_chunks(), out, compression="zstd", use_dictionary=coded, row_group_size=1 << 18)
    data = out.getvalue().to_pybytes()
    part = ListPart(_name_of(data), table.num_rows)
    if signature(f"{workspace}/{part.file}") is None:
        put(f"{workspace}/{part.file}", data)
    return part


def parts_of(told: Mapping[str, Any]) -> tuple[ListPart, ...]:
    """Parts as a commit tells of them."""
    return tuple(ListPart(name, rows) for name, rows in cast(list[tuple[str, int]], told["parts"]))
