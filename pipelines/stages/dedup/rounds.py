"""Clusters of more edges than one worker holds: edges on disk, components by large-star and small-star rounds.

    edges/       what compare found, a shard for each partition of the key space
    components/  (node, smallest node of its component), a shard for each partition of the nodes

A round reads links, sends each to the partition of its node, and writes the links that its star makes of them; rounds
alternate until neither star makes a new link, after a number of rounds that grows with the logarithm of the longest
chain. The clusters are those that one worker finds. Both tables bear handles and are good for one run only: they are
remade when signatures change.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from ....corpus.store.shards import Shard, committed, filesystem, fingerprint, open_shard
from ....corpus.store.workspace import Manifest, Workspace
from ....dedup.clusters import large_star, small_star
from ....dedup.edges import EDGES, distinct, part_findings
from ....dedup.settings import DedupSettings
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Report, Stage, commit, run_stage
from .steps import Signed, by_component, edges_of, own_shards, read_columns, signed_shards

LINKS = pa.schema([pa.field("node", pa.uint64(), nullable=False), pa.field("least", pa.uint64(), nullable=False)])
LINKS_HELD = 4_000_000  # links that one worker holds at a time
ROUNDS = 100


class RoundSettings(BaseModel, frozen=True, extra="forbid"):
    """One round: which star, over which table, in how many partitions."""

    number: int
    source: str
    partitions: int
    made_from: str  # fingerprint of the source

    @property
    def large(self) -> bool:
        return self.number % 2 == 1

    @property
    def table(self) -> str:
        return f"components/round-{self.number:03d}"


def connect(
    workspace: Workspace, settings: DedupSettings, made_from: dict[str, str], options: RunnerOptions, quiet: bool
) -> None:
    """Bring edges/ and components/ up to date."""
    stage = Stage(
        name="edges",
        version=1,
        tables=("edges",),
        inputs=lambda workspace, settings: made_from,
        graph=edges_graph,
        redecides=True,
        recorded=DedupSettings.deciding,
    )
    run_stage(stage, workspace, settings, options, quiet=quiet)
    edges = workspace.table("edges").finished("dedup")
    before = workspace.table("components").manifest()
    if before is not None and before.inputs == {"edges": edges.fingerprint}:
        return
    partitions = max(1, -(-2 * edges.counts.get("edges", 0) // LINKS_HELD))
    source, unchanged, number = edges, 0, 0
    while unchanged < 2 and number < ROUNDS:
        number += 1
        name = "edges" if number == 1 else f"components/round-{number - 1:03d}"
        this = RoundSettings(number=number, source=name, partitions=partitions, made_from=source.fingerprint)
        run_stage(_round(this), workspace, this, options, quiet=quiet)
        source = workspace.table(this.table).finished("dedup")
        unchanged = unchanged + 1 if source.counts.get("new", 0) == 0 else 0
    if unchanged < 2:
        raise RuntimeError(f"components did not settle in {ROUNDS} rounds")
    _settle(workspace, edges, source, number)


def _round(settings: RoundSettings) -> Stage[RoundSettings]:
    return Stage(
        name="components",
        version=1,
        tables=(settings.table,),
        inputs=lambda workspace, settings: {settings.source: settings.made_from},
        graph=round_graph,
        redecides=True,
    )


def _settle(workspace: Workspace, edges: Manifest, last: Manifest, rounds: int) -> None:
    """The last round's shards become components/; the rounds go."""
    fs, target = filesystem(workspace.table("components").url)
    for shard in last.shards:
        fs.copy(f"{target}/round-{rounds:03d}/{shard.name}", f"{target}/{shard.name}")
    manifest = last.model_copy(
        update={"table": "components", "inputs": {"edges": edges.fingerprint}, "settings": {"rounds": rounds}}
    )
    workspace.table("components").write_manifest(manifest)
    for number in range(1, rounds + 1):
        fs.rm(f"{target}/round-{number:03d}", recursive=True)


def edges_graph(pipeline: beam.Pipeline, plan: Plan) -> Any:
    """signatures/ -> edges/."""
    shards = tuple(signed_shards(plan.workspace, plan.settings))
    return (
        edges_of(pipeline, plan, shards)
        | "write edges" >> beam.FlatMap(write_edges, plan)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit, plan, ("edges",))
    )


def write_edges(item: tuple[int, Any], plan: Plan) -> Iterator[Report]:
    """One shard of edges/."""
    partition, (edges, unexamined) = item
    counts = {"edges": edges.num_rows, "unexamined": unexamined}
    yield "edges", _write(plan, "edges", partition, edges, EDGES, counts)


def round_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """Links by the partition of their node -> the links that the star makes."""
    source = [shard.name for shard in plan.workspace.table(plan.settings.source).finished("dedup").shards]
    return (
        pipeline
        | "shards" >> beam.Create([*source, None])
        | "spread" >> beam.Reshuffle()
        | "links" >> beam.FlatMap(links, plan)
        | "nodes" >> beam.GroupByKey()
        | "star" >> beam.FlatMap(star, plan)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit, plan, (plan.settings.table,))
    )


def links(shard: str | None, plan: Plan) -> Iterator[tuple[int, Any]]:
    """(partition, (node, neighbour)): both directions for the large star, from the larger end for the small one."""
    settings: RoundSettings = plan.settings
    if shard is None:
        yield from ((partition, None) for partition in range(settings.partitions))
        return
    table = read_columns(plan.workspace.table(settings.source).shard_url(shard), None)
    if settings.source == "edges":
        table = table.filter(table["joined"])
    high, low = (table[name].to_numpy() for name in (("b", "a") if settings.source == "edges" else LINKS.names))
    node, other = (np.r_[high, low], np.r_[low, high]) if settings.large else (high, low)
    place = node % np.uint64(settings.partitions)
    for partition in np.unique(place).tolist():
        own = place == partition
        yield int(partition), (node[own], other[own])


def star(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[Report]:
    """The links of one partition of nodes, and how many of them may be new."""
    blocks = [block for block in group[1] if block is not None]
    none = np.zeros(0, np.uint64)
    node, other = (np.concatenate([none, *(block[i] for block in blocks)]) for i in range(2))
    least = _least(node, other)
    new = (other > node) & (least < node) if plan.settings.large else (other != least)
    made = (large_star if plan.settings.large else small_star)(node, other)
    batch = pa.record_batch([pa.array(column) for column in made], schema=LINKS)
    counts = {"links": len(made[0]), "new": int(new.sum())}
    yield plan.settings.table, _write(plan, plan.settings.table, group[0], batch, LINKS, counts)


def _least(node: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The smallest of a row's node and all its neighbours."""
    nodes, place = np.unique(node, return_inverse=True)
    least = nodes.copy()
    np.minimum.at(least, place, other)
    return least[place]


def clustered_by_rounds(pipeline: beam.Pipeline, plan: Plan, shards: tuple[Signed, ...], parts: int) -> Any:
    """What `cluster` yields where edges are in one group: edges/ and components/ joined by node."""
    work = [
        (table, s.name) for table in ("edges", "components") for s in plan.workspace.table(table).finished("d").shards
    ]
    partitions = len(plan.workspace.table("components").finished("dedup").shards)
    return (
        pipeline
        | "shards" >> beam.Create([*work, None])
        | "spread" >> beam.Reshuffle()
        | "by node" >> beam.FlatMap(by_node, plan, partitions)
        | "nodes" >> beam.GroupByKey()
        | "place" >> beam.FlatMap(place_edges, plan, shards, parts)
        | "shards of nodes" >> beam.GroupByKey()
        | "gather shards" >> beam.FlatMap(gather_members)
    )


def by_node(item: tuple[str, str] | None, plan: Plan, partitions: int) -> Iterator[tuple[int, Any]]:
    """Edges by their first node, links by their node, and roots as links to themselves."""
    if item is None:
        yield from ((partition, None) for partition in range(partitions))
        return
    name, shard = item
    table = read_columns(plan.workspace.table(name).shard_url(shard), None)
    if name == "components":
        roots = pa.chunked_array([pa.array(np.unique(table["least"].to_numpy()))])
        table = pa.concat_tables([table, pa.table([roots, roots], schema=LINKS)])
    place = table["a" if name == "edges" else "node"].to_numpy() % np.uint64(partitions)
    for partition in np.unique(place).tolist():
        yield int(partition), (name, table.filter(pa.array(place == partition)))


def place_edges(
    group: tuple[int, Iterable[Any]], plan: Plan, shards: tuple[Signed, ...], parts: int
) -> Iterator[tuple[int, Any]]:
    """(shard, members) and (-1, anything else) of one partition of nodes."""
    blocks = [block for block in group[1] if block is not None]
    edges = distinct([b for name, t in blocks if name == "edges" for b in t.combine_chunks().to_batches()])
    joined = pa.concat_tables([LINKS.empty_table(), *(t for name, t in blocks if name == "components")])
    nodes, first = np.unique(joined["node"].to_numpy(), return_index=True)
    component = joined["least"].to_numpy()[first]
    left = plan.workspace.table("edges").finished("dedup").counts.get("unexamined", 0) if group[0] == 0 else 0
    yield -1, ("findings", 0, part_findings(edges, plan.settings.resolved(), left))
    if group[0] == 0:
        yield from ((-1, item) for item in own_shards(shards))
    for what, number, block in by_component(edges.filter(edges["joined"]), nodes, component, parts):
        yield (number if what == "members" else -1), (what, number, block)


def gather_members(group: tuple[int, Iterable[Any]]) -> Iterator[tuple[str, int, Any]]:
    """Members of one shard as one block; anything else as it came."""
    if group[0] < 0:
        yield from group[1]
        return
    blocks = [block for _, _, block in group[1]]
    nodes, component = (np.concatenate([block[i] for block in blocks]) for i in range(2))
    order = np.argsort(nodes)
    yield "members", group[0], (nodes[order], component[order])


def _write(plan: Plan, table: str, part: int, batch: pa.RecordBatch, schema: pa.Schema, counts: dict) -> Shard:
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, part)
    url = plan.workspace.table(table).shard_url(f"part-{part:05d}.parquet")
    if committed(url, stamp) is None:
        with open_shard(url, schema, stamp, dictionary=False) as out:
            out.write_batch(batch)
            out.counts.update(counts)
    done = committed(url, stamp)
    assert done is not None
    return done
