"""A shard of extraction without the files that left it: rows of what is in force, just as reading would give them.

Rows are told apart by the file that they came from; those of a file that took over the place of an equal one bear its
path, source and domain. Nothing is read of the inputs, which may be gone by now.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.columns.carried import write_rows_left
from ....corpus.planning.ledger import Lot, Piece
from ....corpus.store.shards import parquet_schema, read_batches
from ...engine.graph import Report

AT_ONCE = 10_000  # rows of a table beside the documents that are written together
Row = dict[str, Any]


def cut_shard(plan: Any, lot: Lot, held: Mapping[str, str], tables: tuple[str, ...]) -> Iterator[Report]:
    """The shard in every table: `tables` in their order, then whatever else the stage wrote."""
    files = {piece.file: piece for piece in lot.pieces}
    before = {row["file"]: row["domain"] for row in _rows(held["inputs"])}
    accounts = [row for row in _rows(held["inputs"]) if row["file"] in files]
    counted = [name for name in COUNTED if name in accounts[0]] if accounts else COUNTED
    counts = {name: sum(row[name] for row in accounts) for name in counted}
    ids: set[str] = set()
    for table in (*tables, *sorted(held.keys() - set(tables))):
        url = held[table]
        if table not in tables and not any(batch.num_rows for batch in _kept(url, ids, ["id"])):
            continue  # it holds nothing of what is left
        with plan.writer(table, lot.name, parquet_schema(url)) as out:
            if table == "documents":
                out.write_rows(_documents(url, files, before, ids))
                out.counts = counts
            elif table in OTHERS:
                for rows in _blocks(_rows(url), OTHERS[table], files):
                    out.write_rows(rows)
            else:
                write_rows_left(_kept(url, ids), out)
            if table == "failures/extract":
                out.counts = {"failed": counts["failed"]}
        yield table, out.shard


COUNTED = ("records", "gaps", "ignored", "in", "kept", "dropped", "failed")  # dropped: opted out


def _documents(url: str, files: Mapping[str, Piece], before: Mapping[str, str], ids: set[str]) -> Iterator[Row]:
    """Rows of the files that are left. `before`: the domain of each file until now; a row may state one of its own."""
    for row in _rows(url):
        file = row["origin"]["file"]
        piece = files.get(file)
        if piece is not None:
            ids.add(row["id"])
            domain = piece.domain if row["domain"] == before[file] else row["domain"]
            yield {**_moved(row, piece), "source": piece.source, "domain": domain}


def _kept(url: str, ids: set[str], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Rows of a table beside the documents, of those that are left."""
    wanted = pa.array(sorted(ids), pa.string())
    for batch in read_batches(url, columns):
        yield batch.filter(pc.is_in(batch["id"], value_set=wanted))


def _moved(row: Row, piece: Piece) -> Row:
    return {**row, "origin": {**row["origin"], "path": piece.path}}


def _failure(row: Row, files: Mapping[str, Piece]) -> Row | None:
    piece = files.get(row["origin"]["file"])
    return _moved(row, piece) if piece is not None else None


def _capture(row: Row, files: Mapping[str, Piece]) -> Row | None:
    return row if row["file"] in files else None


def _account(row: Row, files: Mapping[str, Piece]) -> Row | None:
    piece = files.get(row["file"])
    return {**row, "path": piece.path, "source": piece.source, "domain": piece.domain} if piece is not None else None


OTHERS: dict[str, Callable[[Row, Mapping[str, Piece]], Row | None]] = {
    "failures/extract": _failure,
    "captures": _capture,
    "inputs": _account,
}


def _blocks(
    rows: Iterator[Row], change: Callable[[Row, Mapping[str, Piece]], Row | None], files: Mapping[str, Piece]
) -> Iterator[list[Row]]:
    block: list[Row] = []
    for row in rows:
        changed = change(row, files)
        if changed is not None:
            block.append(changed)
        if len(block) >= AT_ONCE:
            yield block
            block = []
    yield block


def _rows(url: str) -> Iterator[Row]:
    for batch in read_batches(url):
        yield from batch.to_pylist()
