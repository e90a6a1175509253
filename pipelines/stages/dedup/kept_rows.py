"""Signatures and shingle sets of documents that are left stay; only others are signed."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.store.shards import Shard
from ....dedup.verification import ROWS, SHINGLES, ipc_batches
from ...engine.graph import Process, Report, Work
from ...engine.held.rows import cut, entering, in_order, others, read_rows
from ...engine.stage import Plan
from .sets import SetWriter, shingles_name, signature_schema


def keep_signed(plan: Plan, item: Work, process: Process) -> Iterator[Report]:
    """One shard of signatures/ and shingles/, from those that it had."""
    ids, sizes = entering(item)
    held = dict(item.held)
    before = read_rows(plan, "signatures", held["signatures"])
    rest = others(item, ids, before["id"].combine_chunks())
    if rest is None and before["id"].combine_chunks().equals(ids):
        yield from item.held
        return
    made = dict(process(plan, rest)) if rest else {}
    signed, sets = [before], [_sets(plan, held["shingles"])]
    if made:
        signed.append(read_rows(plan, "signatures", made["signatures"]))
        sets.append(_sets(plan, made["shingles"]))
    whole, place = pa.concat_tables(sets), _places(ids, signed)
    schema = signature_schema(len(plan.settings.exact), plan.recorded["num_perm"])
    with plan.writer("signatures", item.name, schema, ["source", "domain", "crawl"]) as out:
        rows = in_order(ids, signed).cast(schema)
        for batch in cut(rows, sizes):
            out.write_batch(batch)
        with plan.file("shingles", shingles_name(item.name)) as beside, SetWriter(beside.path) as writer:
            for first, length in _runs(place):
                block = whole.slice(first, length).combine_chunks()
                lists = block["hashes"].combine_chunks()
                offsets = lists.offsets.to_numpy() - lists.offsets[0].as_py()
                writer.write(block["rank"].to_numpy(), offsets, lists.flatten().to_numpy())
            beside.rows = len(ids)
        own = rows["shingles"].to_numpy()
        out.counts |= {"documents": len(ids), "shingles": int(own.sum()), "blank": int((own == 0).sum())}
    yield "signatures", out.shard
    yield "shingles", beside.shard


def _places(ids: pa.Array, signed: list[pa.Table]) -> pa.Array:
    """Rows of the shingle sets, which lie as the signatures do."""
    known = pa.concat_tables([rows.select(["id"]) for rows in signed])["id"].combine_chunks()
    return pc.index_in(ids, value_set=known)


def _runs(place: pa.Array) -> Iterator[tuple[int, int]]:
    """(first row, rows) of stretches of rows that follow each other, none too long to be held."""
    rows = place.to_numpy()
    begins = np.r_[0, np.flatnonzero(np.diff(rows) != 1) + 1, len(rows)] if len(rows) else np.zeros(1, np.int64)
    for begin, end in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
        for at in range(begin, end, 8 * ROWS):
            yield int(rows[at]), min(8 * ROWS, end - at)


def _sets(plan: Plan, shard: Shard) -> pa.Table:
    reader = ipc_batches(plan.workspace.table("shingles").file_url(shard))
    return pa.Table.from_batches([reader.get_batch(n) for n in range(reader.num_record_batches)], SHINGLES)
