"""Tokens of documents that are left stay, wherever they lie now; only others are tokenized.

A document's tokens do not depend on its domain or split, which are looked up anew. Where a tokenizer lost bytes of some
text, which shards tell as a sum, the whole is tokenized again.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.store.shards import filesystem
from ....corpus.store.soundness import demand_sound
from ....training.data.shards import SPLITS, TokenFacts, table_name, token_schema, write_token_table
from ...engine.graph import Process, Report, Work
from ...engine.held.rows import others
from ...engine.stage import Plan
from .held_out import drawn

NONE = pa.array([], pa.string())


def keep_tokens(plan: Plan[Any], item: Work, process: Process) -> Iterator[Report]:
    """The token shards of one shard of documents, from those that it had."""
    if any(name.endswith("lost_bytes") for _, shard in item.held for name in shard.counts):
        yield from process(plan, item)
        return
    _, facts, groups, count = item.load
    placed = list(item.documents.read(["id", "domain"]))
    ids, domains = (pa.concat_arrays([NONE, *(batch[name] for batch in placed)]) for name in ("id", "domain"))
    rows = _rows(plan, item.held, facts)
    rest = others(item, ids, rows["id"].combine_chunks())
    if rest is not None:
        made = list(process(plan, rest))
        if any(name.endswith("lost_bytes") for _, shard in made for name in shard.counts):
            yield from process(plan, item)
            return
        rows = pa.concat_tables([rows, _rows(plan, made, facts)])
    rows = rows.combine_chunks()  # once: rows are taken out of them many times
    by_id = pc.sort_indices(ids)
    ids, domains = ids.take(by_id), domains.take(by_id)
    places = pc.index_in(ids, value_set=rows["id"].combine_chunks()).to_numpy()
    held = drawn(groups, plan.settings.heldout, count)
    apart = np.fromiter(map(held, ids.to_pylist()), np.bool_, len(ids))
    stem = item.name.removesuffix(".parquet")
    for domain in sorted(pc.unique(domains).to_pylist()):
        own = pc.equal(domains, domain).to_numpy(zero_copy_only=False)
        for split, chosen in zip(SPLITS, (own & ~apart, own & apart), strict=True):
            with plan.file(table_name(domain), f"{split}-{stem}.arrow") as out:
                totals = write_token_table(out.path, rows, places[chosen], facts)
                out.rows = totals["documents"]
                out.counts = {f"{split}_{name}": value for name, value in totals.items()}
            yield table_name(domain), out.shard


def _rows(plan: Plan[Any], reports: Any, facts: TokenFacts) -> pa.Table:
    """All rows of these token shards, mapped."""
    batches = []
    for table, shard in reports:
        url = plan.workspace.table(table).file_url(shard)
        demand_sound(*filesystem(url))
        reader = pa.ipc.open_file(pa.memory_map(url))
        batches += [reader.get_batch(n).replace_schema_metadata() for n in range(reader.num_record_batches)]
    return pa.Table.from_batches(batches, token_schema(facts.dtype))
