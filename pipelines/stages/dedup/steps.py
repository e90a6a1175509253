"""The steps of deduplication: what each worker does with one element. `stage.py` puts them in a graph.

A document travels as a handle (number of its shard << 32 | row), which holds within one run only: what is written
bears ids. Blocks are plain columns, one for many documents. The list of shards lies in a file that workers read once.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.store.schema import DECISIONS, DUPLICATES
from ....dedup.buckets import exact_stars, stars
from ....dedup.clusters import components
from ....dedup.edges import EDGES, closest, distinct, part_findings
from ....dedup.keys import bucket_of, scope_hashes, split_key
from ....dedup.minhash import band_keys
from ....dedup.survivors import choose, order_columns, signals_of
from ....dedup.verification import ShingleStore, similarity
from ...engine.graph import Work, group_by_key, map_blocks
from ...engine.stage import Plan
from .signed import Signed, entries, read_columns, shards_at

TABLES = ("decisions/dedup", "duplicates")
ENTRIES = 1_000_000  # entries of buckets that one worker holds at a time
MEMBERS = 200_000  # members of clusters that one worker holds at a time
LOW = np.uint64(0xFFFFFFFF)


def edges_of(pipeline: Any, plan: Plan, listed: str, then: Any) -> Any:
    """What `then` makes of every partition of the key space: `compare`, or what writes its edges down.

    listed  where the list of shards lies
    """
    partitions = max(1, -(-entries(shards_at(listed), plan.settings) // ENTRIES))
    return group_by_key(map_blocks(pipeline, plan, bands, listed, partitions), "compare", then, plan.bare, listed)


def bands(work: Work, plan: Plan, listed: str, partitions: int) -> Iterator[tuple[int, Any]]:
    """(partition, block of entries) of one shard. An entry is a bucket's key and a handle, 16 bytes.

    A block is (kind, key, handle, check): kind 0 for bands, 1 + n for the n-th exact key, which has its second half
    in check.
    """
    number: int = work.load
    settings, resolved = plan.settings, plan.settings.resolved()
    scope_column = None if settings.scope == "global" else settings.scope
    names = ["shingles", *(f"key_{n}" for n in range(len(settings.exact)))]
    names += [scope_column] if scope_column else []
    names += ["signature"] if settings.minhash else []
    table = read_columns(shards_at(listed)[number].url, names)
    handle = (np.uint64(number) << np.uint64(32)) + np.arange(len(table), dtype=np.uint64)
    scope = scope_hashes(table[scope_column] if scope_column else None, len(table))
    for n in range(len(settings.exact)):
        keys = table[f"key_{n}"].combine_chunks()
        present = keys.is_valid().to_numpy(zero_copy_only=False)
        halves = split_key(keys.drop_null())
        yield from _cut(1 + n, bucket_of(halves, scope[present], n), handle[present], halves[:, 1], partitions)
    if settings.minhash and len(table):
        own = table["shingles"].to_numpy() > 0
        signature = table["signature"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)[own]
        keys = band_keys(signature, resolved["bands"], resolved["rows"], scope[own]).T.reshape(-1)
        yield from _cut(0, keys, np.tile(handle[own], resolved["bands"]), None, partitions)


def _cut(
    kind: int, key: np.ndarray, handle: np.ndarray, check: np.ndarray | None, partitions: int
) -> Iterator[tuple[int, Any]]:
    """Cut entries by partition of the key space."""
    place = key % np.uint64(partitions)
    order = np.argsort(place, kind="stable")
    cuts = np.searchsorted(place[order], np.arange(partitions + 1, dtype=np.uint64))
    for partition in range(partitions):
        chosen = order[cuts[partition] : cuts[partition + 1]]
        if len(chosen):
            yield partition, (kind, key[chosen], handle[chosen], None if check is None else check[chosen])


def compare(group: tuple[int, Iterable[Any]], plan: Plan, listed: str) -> Iterator[tuple[Any, int]]:
    """(edges, unexamined) of one partition of the key space."""
    settings, shards = plan.settings, shards_at(listed)
    threshold = settings.resolved()["threshold"]
    others = np.array([shard.foreign for shard in shards], bool)
    store = ShingleStore([shard.shingles_url for shard in shards])
    blocks: dict[int, list[Any]] = {}
    for block in group[1]:
        blocks.setdefault(block[0], []).append(block[1:])

    def foreign(handles: np.ndarray) -> np.ndarray:
        return others[(handles >> np.uint64(32)).astype(np.int64)]

    def verify(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return similarity(store, left, right, settings.measure) if settings.verify else np.ones(len(left))

    found, unexamined = [], 0
    for kind in sorted(blocks):
        key, handle = (np.concatenate([block[i] for block in blocks[kind]]) for i in range(2))
        if kind > 0:
            check = np.concatenate([block[2] for block in blocks[kind]])
            a, b = exact_stars(key, check, handle, store.ranks, foreign)
            similar, joined = np.ones(len(a)), np.ones(len(a), bool)
        else:
            near = stars(key, handle, store.ranks, foreign, threshold, settings.leaders, verify)
            a, b, unexamined = near.a, near.b, near.unexamined
            similar = near.similarity if settings.verify else np.full(len(a), np.nan)
            joined = near.similarity >= threshold
        found.append(pa.record_batch([a, b, similar, np.full(len(a), kind, np.uint8), joined], schema=EDGES))
    yield distinct(found), unexamined


Item = tuple[str, int, Any]  # what it is, its number, the block


def cluster(found: Iterator[tuple[Any, int]], plan: Plan, listed: str, parts: int) -> Iterator[tuple[int, Item]]:
    """Members of clusters by shard, edges by component, and the findings, where all edges are in one group."""
    blocks = list(found)
    edges = distinct([block for block, _ in blocks])
    told = part_findings(edges, plan.settings.resolved(), sum(left for _, left in blocks))
    yield FINDINGS, ("findings", 0, told)
    verified = edges.filter(edges["joined"])
    nodes, component = components(verified["a"].to_numpy(), verified["b"].to_numpy())
    for number, shard in enumerate(shards_at(listed)):
        if not shard.foreign:  # decisions are written whether it has members of clusters or not
            yield number, ("shard", number, None)
    yield from by_component(verified, nodes, component, parts)


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
    for number in np.unique(owner[~foreign]).tolist():
        yield number, ("rows", rows.filter(pa.array(owner == number)))


def write(group: tuple[int, Iterable[Any]], plan: Plan, listed: str) -> Iterator[Any]:
    """Write the duplicates and the decisions of one shard; findings pass through."""
    number, blocks = group[0], list(group[1])
    if number < 0:
        yield from (block for _, block in blocks)
        return
    shard = shards_at(listed)[number]
    ids = read_columns(shard.url, ["id"])["id"].combine_chunks()
    rows = pa.Table.from_batches([block for what, block in blocks if what == "rows"], DUPLICATES)
    places = pc.index_in(rows["id"], value_set=ids).to_numpy()
    rows = rows.take(pa.array(np.argsort(places)))
    with plan.writer("duplicates", shard.name, DUPLICATES) as out:
        for batch in rows.combine_chunks().to_batches():
            out.write_batch(batch)
        out.counts.update({"members": len(rows), "clusters": pc.sum(rows["survivor"]).as_py() or 0})
    yield "duplicates", out.shard
    lost = rows.filter(pc.invert(rows["survivor"]))
    decided = decide(ids, lost, plan.settings.resolved()["threshold"])
    with plan.writer("decisions/dedup", shard.name, DECISIONS) as out:
        out.write_batch(decided)
        out.counts.update({"in": len(ids), "kept": len(ids) - len(lost), "dropped": len(lost), "failed": 0})
    yield "decisions/dedup", out.shard


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
