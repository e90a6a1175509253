"""The steps of deduplication: what each worker does with one element. `stage.py` puts them in a graph.

A document travels as a handle (number of its shard << 32 | row), which holds within one run only: what is written
bears ids. Blocks are plain columns, one for many documents. The list of shards lies in a file that workers read once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.store.schema import DECISIONS, DUPLICATES
from ....corpus.store.shards import Shard, filesystem, fingerprint
from ....corpus.store.soundness import is_sound
from ....dedup.clusters import components
from ....dedup.edges import closest, distinct, part_findings
from ....dedup.survivors import choose, order_columns, signals_of
from ...engine.graph import Work
from ...engine.stage import Plan
from ..listed import list_at
from .compare import read_edges
from .reading import read_columns
from .signed import Signed, shards_at

TABLES = ("decisions/dedup", "duplicates")
MEMBERS = 200_000  # members of clusters that one worker holds at a time
LOW = np.uint64(0xFFFFFFFF)


def load_edges(work: Work, plan: Plan, listed: str) -> Iterator[Any]:
    """Edges of one shard of edges/."""
    yield read_edges(work.load[1], listed)


Item = tuple[str, int, Any]  # what it is, its number, the block


def cluster(
    found: Iterator[pa.RecordBatch], plan: Plan, listed: str, parts: int, unexamined: int
) -> Iterator[tuple[int, Item]]:
    """Members of clusters by shard, edges by component, and the findings, where all edges are in one group."""
    edges = distinct(list(found))
    yield FINDINGS, ("findings", 0, part_findings(edges, plan.settings.resolved(), unexamined))
    verified = edges.filter(edges["joined"])
    nodes, component = components(verified["a"].to_numpy(), verified["b"].to_numpy())
    yield from own_shards(listed)
    yield from by_component(verified, nodes, component, parts)


def own_shards(listed: str) -> Iterator[tuple[int, Item]]:
    """A mark for each shard that has decisions to be written, whether it has members of clusters or not."""
    for number, shard in enumerate(shards_at(listed)):
        if not shard.foreign:
            yield number, ("shard", number, None)


FINDINGS = -1  # the key of what belongs to no shard; -2 - n is that of the edges of part n


def by_component(
    verified: pa.RecordBatch, nodes: np.ndarray, component: np.ndarray, parts: int
) -> Iterator[tuple[int, Item]]:
    """Edges to the partition of their component, nodes to their shards. Nodes ascend and hold every a."""
    place = component[np.searchsorted(nodes, verified["a"].to_numpy())] % np.uint64(parts)
    for part in np.unique(place).tolist():
        yield -2 - int(part), ("edges", int(part), verified.filter(pa.array(place == part)))
    owner = (nodes >> np.uint64(32)).astype(np.int64)
    for number in np.unique(owner).tolist():
        yield int(number), ("members", int(number), (nodes[owner == number], component[owner == number]))


def describe(group: tuple[int, Iterable[Item]], plan: Plan, listed: str, parts: int) -> Iterator[tuple[int, Item]]:
    """(partition, block): members of one shard with their ids and survivor keys; what is not members passes through."""
    number = group[0]
    members = []
    for item in group[1]:
        if item[0] == "members":
            members.append(item[2])
        elif item[0] == "shard":
            yield number % parts, item
        else:
            yield (item[1] if item[0] == "edges" else FINDINGS), item
    if not members:
        return
    nodes, component = (np.concatenate([block[i] for block in members]) for i in range(2))
    order = np.argsort(nodes)
    nodes, component = nodes[order], component[order]
    shard = shards_at(listed)[number]
    place = component % np.uint64(parts)
    rows = (nodes & LOW).astype(np.int64)
    table = read_columns(shard.url, ["id", "date", "length"]).take(pa.array(rows))
    signals = _signals(shard, plan.settings.survivors, table["id"].combine_chunks())
    date = table["date"].cast(pa.int64()).to_numpy().astype(np.float64)
    columns = order_columns(plan.settings.survivors, date, table["length"].to_numpy(), signals)
    ids = table["id"].combine_chunks()
    for part in np.unique(place).tolist():
        own = place == part
        members = (nodes[own], component[own], [c[own] for c in columns], ids.filter(pa.array(own)))
        yield int(part), ("members", number, members)


def choose_survivors(group: tuple[int, Iterable[Item]], plan: Plan, listed: str) -> Iterator[tuple[int, Any]]:
    """(shard, rows of duplicates/) of the components of one partition."""
    blocks = list(group[1])
    for what, number, block in blocks:
        if what in ("shard", "findings"):
            yield (number if what == "shard" else FINDINGS), (what, block)
    members = [
        block for what, _, block in sorted(((w, n, b) for w, n, b in blocks if w == "members"), key=lambda x: x[1])
    ]
    if not members:
        return
    edges = distinct([block for what, _, block in blocks if what == "edges"])
    nodes, component = (np.concatenate([m[i] for m in members]) for i in range(2))
    columns = [np.concatenate([m[2][k] for m in members]) for k in range(len(members[0][2]))]
    ids = pa.concat_arrays([m[3] for m in members])
    owner = (nodes >> np.uint64(32)).astype(np.int64)
    foreign = np.array([shard.foreign for shard in shards_at(listed)])[owner]
    survivor = choose(component, [(~foreign).astype(np.float64), *columns], ids)
    match, jaccard, kind = closest(edges, nodes, ids)
    _, label, size = np.unique(component, return_inverse=True, return_counts=True)
    smallest = choose(component, [], ids)
    elsewhere = foreign[survivor]
    alive = np.arange(len(nodes)) == survivor
    methods = np.array([*("minhash" if n == 0 else _exact_name(plan, n - 1) for n in range(256))], object)[kind]
    rows = pa.record_batch(
        [
            ids,
            ids.take(pa.array(np.where(elsewhere, survivor, smallest))),
            pa.array(size[label]),
            pa.array(alive),
            ids.take(pa.array(survivor, mask=alive)),
            ids.take(pa.array(match)),
            pa.array(jaccard, from_pandas=True),
            pa.array(np.where(elsewhere, "against", methods), pa.string()),
            pa.array([plan.settings.scope] * len(nodes), pa.string()),
        ],
        schema=DUPLICATES,
    )
    place = (nodes & LOW).astype(np.int64)
    for number in np.unique(owner[~foreign]).tolist():
        own = owner == number
        yield number, ("rows", (place[own], rows.filter(pa.array(own))))


def write(group: tuple[int, Iterable[Any]], plan: Plan, listed: str, held: str) -> Iterator[Any]:
    """Write the duplicates and the decisions of one shard; findings pass through.

    held  where the decisions in force are listed: those that would come out equal are not written again
    """
    number, blocks = group[0], list(group[1])
    if number < 0:
        yield from (block for _, block in blocks)
        return
    shard = shards_at(listed)[number]
    found = [block for what, block in blocks if what == "rows"]
    rows = pa.Table.from_batches([batch for _, batch in found], DUPLICATES)
    rows = rows.take(pa.array(np.argsort(np.concatenate([np.zeros(0, np.int64), *(place for place, _ in found)]))))
    with plan.writer("duplicates", shard.name, DUPLICATES) as out:
        for batch in rows.combine_chunks().to_batches():
            out.write_batch(batch)
        out.counts.update({"members": len(rows), "clusters": pc.sum(rows["survivor"]).as_py() or 0})
    yield "duplicates", out.shard
    threshold = plan.settings.resolved()["threshold"]
    made_from = fingerprint(plan.version, threshold, shard.content, out.shard.content)
    before: Shard | None = list_at(held)[0].get(shard.name)
    sound = before and is_sound(*filesystem(plan.workspace.table("decisions/dedup").file_url(before)))
    if before is not None and before.item == made_from and sound:
        yield "decisions/dedup", before
        return
    ids = read_columns(shard.url, ["id"])["id"].combine_chunks()
    lost = rows.filter(pc.invert(rows["survivor"]))
    with plan.writer("decisions/dedup", shard.name, DECISIONS) as out:
        out.write_batch(decide(ids, lost, threshold))
        out.counts.update({"in": len(ids), "kept": len(ids) - len(lost), "dropped": len(lost), "failed": 0})
    yield "decisions/dedup", replace(out.shard, item=made_from)


def decide(ids: pa.Array, lost: pa.Table, threshold: float) -> pa.RecordBatch:
    """A row of decisions for every id, in order; `lost` has the rows of duplicates/ that did not survive."""
    place = pc.index_in(ids, value_set=lost["id"].combine_chunks())
    dropped = place.is_valid()
    return pa.record_batch(
        [
            ids,
            pc.invert(dropped),
            pa.array(["dedup"] * len(ids), pa.string()),
            lost["method"].combine_chunks().take(place),
            lost["jaccard"].combine_chunks().take(place),
            pc.if_else(dropped, pa.scalar(threshold, pa.float64()), pa.scalar(None, pa.float64())),
            lost["duplicate_of"].combine_chunks().take(place),
        ],
        schema=DECISIONS,
    )


def _exact_name(plan: Plan, n: int) -> str:
    """How an exact key is called in `method` and `rule`."""
    expression = plan.settings.exact[n] if n < len(plan.settings.exact) else ""
    return {"text": "exact", "url": "exact_url"}.get(expression, "exact_sql")


def _signals(shard: Signed, order: tuple[str, ...], ids: pa.Array) -> dict[str, np.ndarray]:
    """family.signal -> its value for each id, nan where there is none; documents seen elsewhere need none."""
    values: dict[str, np.ndarray] = {}
    for name in signals_of(order):
        values[name] = np.full(len(ids), np.nan)
        if not shard.foreign:
            family, signal = name.split(".", 1)
            table = read_columns(shard.signals[family], ["id", name])
            column = pc.struct_field(table[family].combine_chunks(), signal.split(".")).cast(pa.float64())
            place = pc.index_in(ids, value_set=table["id"].combine_chunks())
            values[name] = column.take(place).to_numpy(zero_copy_only=False)
    return values
