"""The steps of deduplication: what each worker does with one element. `stage.py` puts them in a graph.

A document travels as a handle (number of its shard << 32 | row), which holds within one run only: what is written
bears ids. Blocks are plain columns, one for many documents.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ....corpus.store.errors import RequestError
from ....corpus.store.schema import DECISIONS, DUPLICATES
from ....corpus.store.shards import committed, filesystem, fingerprint, open_shard
from ....corpus.store.workspace import Workspace
from ....dedup.buckets import exact_stars, stars
from ....dedup.clusters import components
from ....dedup.edges import EDGES, closest, distinct, part_findings, whole_findings
from ....dedup.keys import bucket_of, scope_hashes, split_key
from ....dedup.minhash import band_keys
from ....dedup.settings import DedupSettings
from ....dedup.survivors import choose, order_columns, signals_of
from ....dedup.verification import ShingleStore, similarity
from ...engine.stage import Plan, commit
from .signatures import shingles_name

TABLES = ("decisions/dedup", "duplicates")
ENTRIES = 1_000_000  # entries of buckets that one worker holds at a time
MEMBERS = 200_000  # members of clusters that one worker holds at a time
LOW = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Signed:
    """One shard of signatures/, of this workspace or of one that it is compared against. Its place is its number."""

    workspace: Workspace
    shard: str
    rows: int
    foreign: bool

    @property
    def url(self) -> str:
        return self.workspace.table("signatures").shard_url(self.shard)

    @property
    def shingles_url(self) -> str:
        return self.workspace.table("shingles").shard_url(shingles_name(self.shard))


def signed_shards(workspace: Workspace, settings: DedupSettings) -> list[Signed]:
    """Every shard of signatures that takes part, own ones first; the order is that of the names."""
    own = workspace.table("signatures").finished("dedup").shards
    shards = [Signed(workspace, shard.name, shard.rows, False) for shard in own]
    for url in sorted(set(settings.against)):
        other = Workspace(url)
        if other == workspace:
            raise RequestError(f"dedup: --against {url} is the workspace itself")
        shards += [Signed(other, s.name, s.rows, True) for s in other.table("signatures").finished("dedup").shards]
    return shards


def entries(shards: tuple[Signed, ...], settings: DedupSettings) -> int:
    """Entries of buckets: one for each document and key."""
    keys = len(settings.exact) + (settings.resolved()["bands"] if settings.minhash else 0)
    return sum(shard.rows for shard in shards) * keys


def edges_of(pipeline: beam.Pipeline, plan: Plan, shards: tuple[Signed, ...]) -> Any:
    """(partition, (edges, unexamined)) of every partition of the key space."""
    partitions = max(1, -(-entries(shards, plan.settings) // ENTRIES))
    return (
        pipeline
        | "shards" >> beam.Create([*range(len(shards)), None])
        | "spread" >> beam.Reshuffle()
        | "bands" >> beam.FlatMap(bands, plan, shards, partitions)
        | "buckets" >> beam.GroupByKey()
        | "compare" >> beam.FlatMap(compare, plan, shards)
    )


def bands(number: int | None, plan: Plan, shards: tuple[Signed, ...], partitions: int) -> Iterator[tuple[int, Any]]:
    """(partition, block of entries) of one shard. An entry is a bucket's key and a handle, 16 bytes.

    A block is (kind, key, handle, check): kind 0 for bands, 1 + n for the n-th exact key, which has its second half
    in check.
    """
    if number is None:  # a group always comes out, so that an empty corpus is committed too
        yield 0, None
        return
    settings, resolved = plan.settings, plan.settings.resolved()
    scope_column = None if settings.scope == "global" else settings.scope
    names = ["shingles", *(f"key_{n}" for n in range(len(settings.exact)))]
    names += [scope_column] if scope_column else []
    names += ["signature"] if settings.minhash else []
    table = read_columns(shards[number].url, names)
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


def compare(group: tuple[int, Iterable[Any]], plan: Plan, shards: tuple[Signed, ...]) -> Iterator[tuple[int, Any]]:
    """(partition, (edges, unexamined)) of one partition of the key space."""
    settings = plan.settings
    threshold = settings.resolved()["threshold"]
    others = np.array([shard.foreign for shard in shards], bool)
    store = ShingleStore([shard.shingles_url for shard in shards])
    blocks: dict[int, list[Any]] = {}
    for block in group[1]:
        if block is not None:
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
    yield group[0], (distinct(found), unexamined)


def cluster(
    group: tuple[int, Iterable[Any]], plan: Plan, shards: tuple[Signed, ...], parts: int
) -> Iterator[tuple[str, int, Any]]:
    """Members of clusters by shard, edges by component, and the findings, where all edges are in one group."""
    blocks = list(group[1])
    edges = distinct([block for block, _ in blocks])
    yield "findings", 0, part_findings(edges, plan.settings.resolved(), sum(left for _, left in blocks))
    verified = edges.filter(edges["joined"])
    nodes, component = components(verified["a"].to_numpy(), verified["b"].to_numpy())
    yield from own_shards(shards)
    yield from by_component(verified, nodes, component, parts)


def own_shards(shards: tuple[Signed, ...]) -> Iterator[tuple[str, int, Any]]:
    """A mark for each shard that has decisions to be written, whether it has members of clusters or not."""
    for number, shard in enumerate(shards):
        if not shard.foreign:
            yield "shard", number, None


def by_component(
    verified: pa.RecordBatch, nodes: np.ndarray, component: np.ndarray, parts: int
) -> Iterator[tuple[str, int, Any]]:
    """Edges to the partition of their component, nodes to their shards. Nodes ascend and hold every a."""
    place = component[np.searchsorted(nodes, verified["a"].to_numpy())] % np.uint64(parts)
    for part in np.unique(place).tolist():
        yield "edges", int(part), verified.filter(pa.array(place == part))
    owner = (nodes >> np.uint64(32)).astype(np.int64)
    for number in np.unique(owner).tolist():
        yield "members", int(number), (nodes[owner == number], component[owner == number])


def describe(
    item: tuple[str, int, Any], plan: Plan, shards: tuple[Signed, ...], parts: int
) -> Iterator[tuple[int, Any]]:
    """(partition, block): members with their ids and survivor keys; what is not members passes through."""
    what, number, block = item
    if what != "members":
        yield (number if what == "edges" else -1), (what, number, block)
        return
    shard, (nodes, component) = shards[number], block
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


def choose_survivors(
    group: tuple[int, Iterable[Any]], plan: Plan, shards: tuple[Signed, ...]
) -> Iterator[tuple[int, Any]]:
    """(shard, rows of duplicates/) of the components of one partition."""
    blocks = list(group[1])
    for what, number, block in blocks:
        if what in ("shard", "findings"):
            yield (number if what == "shard" else -1), (what, block)
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
    foreign = np.array([shard.foreign for shard in shards])[owner]
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


def write(group: tuple[int, Iterable[Any]], plan: Plan, shards: tuple[Signed, ...]) -> Iterator[Any]:
    """Write the duplicates and the decisions of one shard, the decisions last."""
    number, blocks = group[0], list(group[1])
    if number < 0:
        yield from (block for _, block in blocks)
        return
    shard = shards[number]
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard.shard)
    targets = {name: plan.workspace.table(name).shard_url(shard.shard) for name in reversed(TABLES)}
    if any(committed(url, stamp) is None for url in targets.values()):
        ids = read_columns(shard.url, ["id"])["id"].combine_chunks()
        rows = pa.Table.from_batches([block for what, block in blocks if what == "rows"], DUPLICATES)
        places = pc.index_in(rows["id"], value_set=ids).to_numpy()
        rows = rows.take(pa.array(np.argsort(places)))
        with open_shard(targets["duplicates"], DUPLICATES, stamp) as out:
            for batch in rows.combine_chunks().to_batches():
                out.write_batch(batch)
            out.counts.update({"members": len(rows), "clusters": pc.sum(rows["survivor"]).as_py() or 0})
        lost = rows.filter(pc.invert(rows["survivor"]))
        decided = decide(ids, lost, plan.settings.resolved()["threshold"])
        with open_shard(targets["decisions/dedup"], DECISIONS, stamp) as out:
            out.write_batch(decided)
            out.counts.update({"in": len(ids), "kept": len(ids) - len(lost), "dropped": len(lost), "failed": 0})
    for table, url in targets.items():
        done = committed(url, stamp)
        assert done is not None
        yield table, done


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


def finish(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[str]:
    """Commit the tables, with the findings of the run in the manifest of the decisions."""
    reports = list(group[1])
    parts = [report for report in reports if isinstance(report, dict)]
    parts.sort(key=lambda part: sorted(part.items()))  # floats are summed in one order
    shards = [report for report in reports if not isinstance(report, dict)]
    yield from commit((0, shards), plan, TABLES, lambda _: whole_findings(parts, plan.settings))


def _exact_name(plan: Plan, n: int) -> str:
    """How an exact key is called in `method` and `rule`."""
    expression = plan.settings.exact[n] if n < len(plan.settings.exact) else ""
    return {"text": "exact", "url": "exact_url"}.get(expression, "exact_sql")


def read_columns(url: str, columns: list[str] | None) -> pa.Table:
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        return pq.ParquetFile(file).read(columns)


def _signals(shard: Signed, order: tuple[str, ...], ids: pa.Array) -> dict[str, np.ndarray]:
    """family.signal -> its value for each id, nan where there is none; documents seen elsewhere need none."""
    values: dict[str, np.ndarray] = {}
    for name in signals_of(order):
        values[name] = np.full(len(ids), np.nan)
        if not shard.foreign:
            family, signal = name.split(".", 1)
            table = read_columns(shard.workspace.table(f"signals/{family}").shard_url(shard.shard), ["id", name])
            column = pc.struct_field(table[family].combine_chunks(), signal.split(".")).cast(pa.float64())
            place = pc.index_in(ids, value_set=table["id"].combine_chunks())
            values[name] = column.take(place).to_numpy(zero_copy_only=False)
    return values
