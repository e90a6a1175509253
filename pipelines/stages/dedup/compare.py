"""Compare what shares a bucket: `bands/` in, `edges/` out, in partitions of the key space.

    edges       pairs that were compared, once for each bucket and round, with their exact similarity
    unexamined  the bucket of each member that no leader covered
    compared    the shards of signatures that both are of

What is stored says shard and row, so it lasts. Where shards came, changed or went since, only their buckets are
compared again (`dedup.growth`) and the rest is taken over: the tables are those of a comparison from scratch. Where
most of it is new, or the settings are others, everything is compared.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ....dedup.buckets import exact_stars, stars
from ....dedup.edges import EDGES, distinct
from ....dedup.growth import LEFT, STORED, by_handle, entries_among, to_stored, touched, untouched
from ....dedup.settings import DedupSettings
from ....dedup.verification import ShingleStore, similarity
from ...engine.graph import Report, Work, commit, group_by_key, map_blocks
from ...engine.stage import Plan, Stage
from ..listed import list_at, put_list
from .bands import Entries, entries_of, read_entries
from .bands import recorded as recorded_bands
from .reading import read_columns
from .signatures import STAGE
from .signed import Signed, entries, put_shards, shards_at, signature_inputs, signed_shards

if TYPE_CHECKING:
    import apache_beam as beam

TABLES = ("edges", "unexamined", "compared")
COMPARED = pa.schema([pa.field("shard", pa.string(), nullable=False), pa.field("content", pa.string(), nullable=False)])
ENTRIES = 1_000_000  # entries of buckets that one worker holds at a time
FEW = 20_000_000  # entries that may be new where the rest is taken over
CODED = ("shard_a", "shard_b")
LIST = -1  # the key of what writes compared/


def recorded(settings: DedupSettings) -> dict[str, Any]:
    """The settings that edges depend on: not who survives."""
    asked = settings.deciding()
    return recorded_bands(settings) | {name: asked[name] for name in ("threshold", "measure", "verify", "leaders")}


def partitions_of(shards: Iterable[Signed], settings: DedupSettings) -> int:
    return max(1, -(-entries(shards, settings) // ENTRIES))


def grown(plan: Plan[DedupSettings], shards: list[Signed]) -> tuple[list[Signed], set[str]] | None:
    """Shards that came or changed since edges/ was made, and names of those that changed or went; None where edges/ is
    of no use."""
    held = plan.workspace.commit_of("edges")
    if held is None or held.version != plan.version or held.tables["edges"].settings != plan.recorded:
        return None
    before: dict[str, str] = {}
    for batch in plan.workspace.table("compared").read():
        before.update(zip(batch["shard"].to_pylist(), batch["content"].to_pylist(), strict=True))
    now = {shard.name: shard.content for shard in shards}
    fresh = [shard for shard in shards if before.get(shard.name) != shard.content]
    if entries(fresh, plan.settings) > min(FEW, entries(shards, plan.settings) // 2):
        return None
    return fresh, {name for name, content in before.items() if now.get(name) != content}


def items(plan: Plan[DedupSettings]) -> list[Work]:
    """Every shard that takes part; what was found before, where it is of use; the list of shards."""
    shards = signed_shards(plan.workspace, plan.settings)
    work = [Work(f"signatures/{s.name}", {"signatures": s.content}, load=n) for n, s in enumerate(shards)]
    if grown(plan, shards) is not None:
        work += stored_items(plan, ("edges", "unexamined"))
    return [*work, Work("compared", {})]


def stored_items(plan: Plan[Any], names: Iterable[str]) -> list[Work]:
    """Every shard of these tables: which table, and where."""
    found = []
    for name in names:
        table = plan.workspace.table(name)
        for shard in table.finished(STAGE).shards:
            place = f"{name}/{shard.name}"
            found.append(Work(place, {place: shard.content}, load=(name, table.file_url(shard))))
    return found


def graph(pipeline: "beam.Pipeline", plan: Plan[DedupSettings]) -> "beam.PCollection":
    """Entries of changed buckets by partition, with what was found in the others -> edges/."""
    shards = signed_shards(plan.workspace, plan.settings)
    listed = put_shards(plan)
    state = put_list(plan, [_touched(plan, grown(plan, shards))])
    blocks = map_blocks(pipeline, plan, by_partition, listed, state, partitions_of(shards, plan.settings))
    return commit(group_by_key(blocks, "compare", compare, plan.bare, listed, state), plan)


def _touched(plan: Plan[DedupSettings], changed: tuple[list[Signed], set[str]] | None) -> np.ndarray | None:
    """Keys of the buckets to compare, ascending; None for all."""
    if changed is None:
        return None
    fresh, gone = changed
    keys = [np.unique(np.concatenate([key for _, key, _, _ in _entries(s, plan.settings)])) for s in fresh]
    before = {name: [work.load[1] for work in stored_items(plan, (name,))] for name in ("edges", "unexamined")}
    edges = (read_columns(url, ["key", *CODED], CODED) for url in before["edges"]) if gone else ()
    left = [read_columns(url, None)["key"].to_numpy() for url in before["unexamined"]] if gone else ()
    return touched(keys, edges, np.concatenate([np.zeros(0, np.uint64), *left]), gone)


def _entries(shard: Signed, settings: DedupSettings) -> Entries:
    return read_entries(shard.bands_url) if shard.bands_url else entries_of(shard.url, settings)


@lru_cache(maxsize=2)
def _numbers(listed: str) -> dict[str, int]:
    return {shard.name: number for number, shard in enumerate(shards_at(listed))}


def by_partition(work: Work, plan: Plan, listed: str, state: str, partitions: int) -> Iterator[tuple[int, Any]]:
    """(partition, block) of one shard: ("entries", kind, key, handle, check) or (table, rows that stay)."""
    (changed,) = list_at(state)
    if work.load is None:
        yield LIST, ("compared",)
    elif isinstance(work.load, int):
        number = np.uint64(work.load) << np.uint64(32)
        for kind, key, row, check in _entries(shards_at(listed)[work.load], plan.settings):
            chosen = np.arange(len(key)) if changed is None else entries_among(key, changed)
            for partition, own in _cut(key[chosen], partitions):
                place = chosen[own]
                block = (kind, key[place], number + row[place], None if check is None else check[place])
                yield partition, ("entries", *block)
    else:
        name, url = work.load
        rows = untouched(read_columns(url, None, CODED if name == "edges" else ()), changed)
        for partition, own in _cut(rows["key"].to_numpy(), partitions):
            yield partition, (name, rows.take(pa.array(own)))


def _cut(key: np.ndarray, partitions: int) -> Iterator[tuple[int, np.ndarray]]:
    """(partition, places) of keys, by partition of the key space."""
    place = (key % np.uint64(partitions)).astype(np.min_scalar_type(partitions))  # few bits sort in linear time
    order = np.argsort(place, kind="stable")
    cuts = np.searchsorted(place[order], np.arange(partitions + 1, dtype=place.dtype))
    for partition in range(partitions):
        chosen = order[cuts[partition] : cuts[partition + 1]]
        if len(chosen):
            yield partition, chosen


def compare(group: tuple[int, Iterable[Any]], plan: Plan, listed: str, state: str) -> Iterator[Report]:
    """Write one partition of edges/ and unexamined/; compared/ once."""
    if group[0] == LIST:
        yield _put_compared(plan, listed)
        return
    blocks: dict[str, list[Any]] = {"entries": [], "edges": [], "unexamined": []}
    for what, *block in group[1]:
        blocks[what].append(block)
    names, numbers = [shard.name for shard in shards_at(listed)], _numbers(listed)
    found, left = _compared(blocks["entries"], plan.settings, shards_at(listed))
    for (rows,) in blocks["edges"]:
        a, b = by_handle(rows, numbers)
        kept = (rows[name].to_numpy() for name in ("kind", "key"))
        found.append((*kept, a, b, rows["similarity"].to_numpy(), rows["joined"].to_numpy()))
    left += [rows["key"].to_numpy() for (rows,) in blocks["unexamined"]]
    batch = to_stored(names, *(np.concatenate([part[i] for part in found]) for i in range(6)))
    keys = np.sort(np.concatenate(left))
    part = f"part-{group[0]:05d}.parquet"
    if batch.num_rows:
        with plan.writer("edges", part, STORED, list(CODED)) as out:
            out.write_batch(batch)
        yield "edges", out.shard
    if len(keys):
        with plan.writer("unexamined", part, LEFT, False) as out:
            out.write_batch(pa.record_batch([keys], schema=LEFT))
            out.counts["members"] = len(keys)
        yield "unexamined", out.shard


def _compared(blocks: list[Any], settings: DedupSettings, shards: tuple[Signed, ...]) -> tuple[list[Any], list[Any]]:
    """(kind, key, a, b, similarity, joined) of the buckets of one partition, and keys of what was left over."""
    threshold = settings.resolved()["threshold"]
    others = np.array([shard.foreign for shard in shards], bool)
    store = ShingleStore([shard.shingles_url for shard in shards])

    def foreign(handles: np.ndarray) -> np.ndarray:
        return others[(handles >> np.uint64(32)).astype(np.int64)]

    def verify(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return similarity(store, left, right, settings.measure) if settings.verify else np.ones(len(left))

    none = np.zeros(0, np.uint64)
    found: list[Any] = [(none.astype(np.uint8), none, none, none, np.zeros(0), np.zeros(0, bool))]
    left = [none]
    for kind in sorted({block[0] for block in blocks}):
        own = [block for block in blocks if block[0] == kind]
        key, handle = (np.concatenate([block[i] for block in own]) for i in (1, 2))
        if kind > 0:
            check = np.concatenate([block[3] for block in own])
            bucket, a, b = exact_stars(key, check, handle, store.ranks, foreign)
            similar, joined = np.ones(len(a)), np.ones(len(a), bool)
        else:
            near = stars(key, handle, store.ranks, foreign, threshold, settings.leaders, verify)
            bucket, a, b = near.key, near.a, near.b
            left.append(near.left)
            similar = near.similarity if settings.verify else np.full(len(a), np.nan)
            joined = near.similarity >= threshold
        found.append((np.full(len(a), kind, np.uint8), bucket, a, b, similar, joined))
    return found, left


def _put_compared(plan: Plan[DedupSettings], listed: str) -> Report:
    with plan.writer("compared", "shards.parquet", COMPARED, False) as out:
        out.write_rows({"shard": shard.name, "content": shard.content} for shard in shards_at(listed))
    return "compared", out.shard


def read_edges(url: str, listed: str) -> pa.RecordBatch:
    """A shard of edges/ between handles: `EDGES`, every pair once."""
    rows = read_columns(url, None, CODED)
    a, b = by_handle(rows, _numbers(listed))
    columns = {"a": pa.array(a), "b": pa.array(b)} | {n: rows[n].combine_chunks() for n in EDGES.names[2:]}
    return distinct([pa.record_batch([columns[name] for name in EDGES.names], schema=EDGES)])


EDGE: Stage[DedupSettings] = Stage(
    name="edges",
    command=STAGE,
    version=2,
    tables=TABLES,
    inputs=signature_inputs,
    graph=graph,
    items=items,
    whole=True,
    redecides=True,
    recorded=recorded,
)
