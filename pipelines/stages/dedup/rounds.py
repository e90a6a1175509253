"""Clusters of more edges than one worker holds: edges on disk, components by large-star and small-star rounds.

    edges/       what compare found, a shard for each partition of the key space
    components/  (node, smallest node of its component), a shard for each partition of the nodes

A round reads links, sends each to the partition of its node, and writes the links that its star makes of them; rounds
alternate until neither star makes a new link, after a number of rounds that grows with the logarithm of the longest
chain. The clusters are those that one worker finds. Both tables bear handles and are good for one run only: they are
remade when signatures change.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field

from ....corpus.store.workspace import Manifest, Workspace
from ....dedup.clusters import large_star, small_star
from ....dedup.edges import EDGES, distinct, part_findings
from ....dedup.settings import DedupSettings
from ...engine.graph import Report, Work, commit, group_by_key, map_blocks
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from .signatures import STAGE
from .signed import items, put_shards, read_columns, shards_at
from .steps import FINDINGS, Item, by_component, compare, edges_of

if TYPE_CHECKING:
    import apache_beam as beam

LINKS = pa.schema([pa.field("node", pa.uint64(), nullable=False), pa.field("least", pa.uint64(), nullable=False)])
LINKS_HELD = 4_000_000  # links that one worker holds at a time
ROUNDS = 100


class RoundSettings(BaseModel, frozen=True, extra="forbid"):
    """One round: which star, over which table, in how many partitions."""

    number: int = Field(description="of the round, from 1")
    source: str = Field(description="table that is read: edges/ in the first round, components/ in the others")
    partitions: int = Field(description="partitions of the nodes")
    unchanged: int = Field(description="rounds just before this one that made no new link")

    @property
    def large(self) -> bool:
        return self.number % 2 == 1


def connect(
    workspace: Workspace, settings: DedupSettings, made_from: dict[str, str], options: RunnerOptions, quiet: bool
) -> None:
    """Bring edges/ and components/ up to date. Rounds that were made of the same edges are gone on with."""
    stage = Stage(
        name="edges",
        command=STAGE,
        version=1,
        tables=("edges",),
        inputs=lambda workspace, settings: made_from,
        graph=edges_graph,
        items=items,
        whole=True,
        redecides=True,
        recorded=DedupSettings.deciding,
    )
    run_stage(stage, workspace, settings, options, quiet=quiet)
    edges = workspace.table("edges").finished(STAGE)
    partitions = max(1, -(-2 * edges.counts.get("edges", 0) // LINKS_HELD))
    last = _last(workspace, edges)
    while last is None or _unchanged(last) < 2:
        number = last.settings["number"] + 1 if last else 1
        if number > ROUNDS:
            raise RuntimeError(f"components did not settle in {ROUNDS} rounds")
        this = RoundSettings(
            number=number,
            source="components" if last else "edges",
            partitions=last.settings["partitions"] if last else partitions,
            unchanged=_unchanged(last) if last else 0,
        )
        run_stage(_round(edges, last), workspace, this, options, quiet=quiet)
        last = _last(workspace, edges)


def _last(workspace: Workspace, edges: Manifest) -> Manifest | None:
    """The last round over these edges, None where there was none."""
    manifest = workspace.table("components").manifest()
    return manifest if manifest is not None and manifest.inputs.get("edges") == edges.fingerprint else None


def _unchanged(last: Manifest) -> int:
    """How many rounds up to this one made no new link; the clusters are found after two, one of each star."""
    return last.settings["unchanged"] + 1 if last.counts.get("new", 0) == 0 else 0


def _round(edges: Manifest, last: Manifest | None) -> Stage[RoundSettings]:
    before = {"round:before": last.fingerprint} if last else {}
    return Stage(
        name="components",
        command=STAGE,
        version=1,
        tables=("components",),
        inputs=lambda workspace, settings: {"edges": edges.fingerprint, **before},
        graph=round_graph,
        items=lambda plan: round_items(plan.workspace, (plan.settings.source,)),
        whole=True,
        redecides=True,
    )


def round_items(workspace: Workspace, tables: Iterable[str]) -> list[Work]:
    """Every shard of these tables: what it is, and where."""
    found = []
    for name in tables:
        table = workspace.table(name)
        for shard in table.finished(STAGE).shards:
            place = f"{name}/{shard.name}"
            found.append(Work(place, {place: shard.content}, load=(name, table.file_url(shard))))
    return found


def edges_graph(pipeline: "beam.Pipeline", plan: Plan) -> "beam.PCollection":
    """signatures/ -> edges/."""
    return commit(edges_of(pipeline, plan, put_shards(plan), write_edges), plan)


def write_edges(group: tuple[int, Iterable[Any]], plan: Plan, listed: str) -> Iterator[Report]:
    """One shard of edges/: those of one partition of the key space."""
    for edges, unexamined in compare(group, plan, listed):
        counts = {"edges": edges.num_rows, "unexamined": unexamined}
        yield _write(plan, "edges", group[0], edges, EDGES, counts)


def round_graph(pipeline: "beam.Pipeline", plan: Plan) -> "beam.PCollection":
    """Links by the partition of their node -> the links that the star makes."""
    return commit(group_by_key(map_blocks(pipeline, plan, links), "star", star, plan.bare), plan)


def links(work: Work, plan: Plan) -> Iterator[tuple[int, Any]]:
    """(partition, (node, neighbour)): both directions for the large star, from the larger end for the small one."""
    settings: RoundSettings = plan.settings
    name, url = work.load
    table = read_columns(url, None)
    if name == "edges":
        table = table.filter(table["joined"])
    high, low = (table[column].to_numpy() for column in (("b", "a") if name == "edges" else LINKS.names))
    node, other = (np.r_[high, low], np.r_[low, high]) if settings.large else (high, low)
    place = node % np.uint64(settings.partitions)
    for partition in np.unique(place).tolist():
        own = place == partition
        yield int(partition), (node[own], other[own])


def star(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[Report]:
    """The links of one partition of nodes, and how many of them may be new."""
    blocks = list(group[1])
    node, other = (np.concatenate([block[i] for block in blocks]) for i in range(2))
    least = _least(node, other)
    new = (other > node) & (least < node) if plan.settings.large else (other != least)
    made = (large_star if plan.settings.large else small_star)(node, other)
    batch = pa.record_batch([pa.array(column) for column in made], schema=LINKS)
    counts = {"links": len(made[0]), "new": int(new.sum())}
    yield _write(plan, "components", group[0], batch, LINKS, counts)


def _least(node: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The smallest of a row's node and all its neighbours."""
    nodes, place = np.unique(node, return_inverse=True)
    least = nodes.copy()
    np.minimum.at(least, place, other)
    return least[place]


def clustered_by_rounds(pipeline: "beam.Pipeline", plan: Plan, listed: str, parts: int) -> Any:
    """What `cluster` yields where edges are in one group: edges/ and components/ joined by node."""
    partitions = max(1, len(plan.workspace.table("components").finished(STAGE).shards))
    unexamined = plan.workspace.table("edges").finished(STAGE).counts.get("unexamined", 0)
    nodes = map_blocks(pipeline, plan, by_node, listed, partitions)
    return group_by_key(nodes, "place", place_edges, plan.bare, parts, unexamined)


def by_node(work: Work, plan: Plan, listed: str, partitions: int) -> Iterator[tuple[int, Any]]:
    """Edges by their first node, links by their node, and roots as links to themselves; a mark for each shard that has
    decisions to be written."""
    if isinstance(work.load, int):
        if not shards_at(listed)[work.load].foreign:
            yield 0, ("shard", work.load)
        return
    name, url = work.load
    table = read_columns(url, None)
    if name == "components":
        roots = pa.chunked_array([pa.array(np.unique(table["least"].to_numpy()))])
        table = pa.concat_tables([table, pa.table([roots, roots], schema=LINKS)])
    place = table["a" if name == "edges" else "node"].to_numpy() % np.uint64(partitions)
    for partition in np.unique(place).tolist():
        yield int(partition), (name, table.filter(pa.array(place == partition)))


def place_edges(
    group: tuple[int, Iterable[Any]], plan: Plan, parts: int, unexamined: int
) -> Iterator[tuple[int, Item]]:
    """Members by shard, edges by component and findings, of one partition of nodes."""
    blocks = list(group[1])
    edges = distinct([b for name, t in blocks if name == "edges" for b in t.combine_chunks().to_batches()])
    joined = pa.concat_tables([LINKS.empty_table(), *(t for name, t in blocks if name == "components")])
    nodes, first = np.unique(joined["node"].to_numpy(), return_index=True)
    component = joined["least"].to_numpy()[first]
    left = unexamined if group[0] == 0 else 0
    yield FINDINGS, ("findings", 0, part_findings(edges, plan.settings.resolved(), left))
    yield from ((number, ("shard", number, None)) for what, number in blocks if what == "shard")
    yield from by_component(edges.filter(edges["joined"]), nodes, component, parts)


def _write(plan: Plan, table: str, part: int, batch: pa.RecordBatch, schema: pa.Schema, counts: dict) -> Report:
    with plan.writer(table, f"part-{part:05d}.parquet", schema, False) as out:
        out.write_batch(batch)
        out.counts.update(counts)
    return table, out.shard
