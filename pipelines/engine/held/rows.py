"""An item made of what was made of it before: rows of documents that are left stay, only others are made.

Tables are keyed by `id` and follow the order in which documents enter. A shard from which nothing goes and to which
nothing comes stays the file that it is. Refuses nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ....corpus.store.shards import Shard, filesystem
from ....corpus.store.soundness import opened
from ..graph import Process, Report, Work
from ..stage import Plan

Counts = Callable[[pa.Table, int], Mapping[str, int]]
ROWS = 4096  # that a stage reads at once, unless it says otherwise


def entering(item: Work, rows: int = ROWS) -> tuple[pa.Array, list[int]]:
    """(D,) ids of the documents that enter, in their order; and how many of them each batch of `rows` has."""
    batches = [batch["id"].cast(pa.string()) for batch in item.documents.read(["id"], rows)]
    return pa.concat_arrays([pa.array([], pa.string()), *batches]), [len(batch) for batch in batches]


def read_rows(plan: Plan, table: str, shard: Shard) -> pa.Table:
    """A Parquet shard of a table."""
    with opened(*filesystem(plan.workspace.table(table).file_url(shard))) as file:
        return pq.ParquetFile(file).read()


def others(item: Work, ids: pa.Array, known: pa.Array) -> Work | None:
    """The work on those documents of an item that are not known; None where there are none."""
    fresh = ids.filter(pc.invert(pc.is_in(ids, value_set=known)))
    return replace(item, source=replace(item.documents, only=fresh), held=()) if len(fresh) else None


def in_order(ids: pa.Array, tables: list[pa.Table]) -> pa.Table:
    """The rows of these ids, in their order; ids that have none are passed over."""
    rows = pa.concat_tables(tables).combine_chunks()
    return rows.take(pc.index_in(ids, value_set=rows["id"].combine_chunks()).drop_null())


def documents(rows: pa.Table, entered: int) -> dict[str, int]:
    """What a stage counts that has a row for each document."""
    return {"documents": len(rows)}


def cut(rows: pa.Table, sizes: list[int]) -> Iterator[pa.RecordBatch]:
    """The rows in batches of these sizes: row groups as they would be if all were made at once."""
    begin = 0
    for size in sizes:
        yield from rows.slice(begin, size).combine_chunks().to_batches()
        begin += size


@dataclass(frozen=True)
class KeepById:
    """How a stage keeps rows whose tables are Parquet with at most one row for each document that enters.

    counts  a shard's rows, documents that enter -> what the stage counts of them
    rows    documents that it reads at once
    """

    counts: Counts
    rows: int = ROWS

    def __call__(self, plan: Plan, item: Work, process: Process) -> Iterator[Report]:
        ids, sizes = entering(item, self.rows)
        held = {table: (shard, read_rows(plan, table, shard)) for table, shard in item.held}
        _, first = next(iter(held.values()))
        rest = others(item, ids, first["id"].combine_chunks())
        made = {table: [read_rows(plan, table, shard)] for table, shard in (process(plan, rest) if rest else ())}
        for table, (shard, before) in held.items():
            if rest is None and before["id"].combine_chunks().equals(ids):
                yield table, shard
                continue
            rows = in_order(ids, [before, *made.get(table, ())])
            with plan.writer(table, item.name, before.schema.remove_metadata()) as out:
                for batch in cut(rows, sizes):
                    out.write_batch(batch)
                out.counts |= self.counts(rows, len(ids))
            yield table, out.shard
