"""Clusters of more edges than one worker holds: components by large-star and small-star rounds.

    components/  (node, smallest node of its component), a shard for each partition of the nodes

A round reads links, sends each to the partition of its node, and writes the links that its star makes of them; rounds
alternate until neither star makes a new link, after a number of rounds that grows with the logarithm of the longest
chain. The clusters are those that one worker finds. The table bears handles and is good for one set of shards only: it
is remade when edges change.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field

from ....corpus.store.commits import Manifest
from ....corpus.store.workspace import Workspace
from ....dedup.clusters import large_star, small_star
from ....dedup.edges import distinct, part_findings
from ...engine.graph import Report, Work, commit, group_by_key, map_blocks
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..listed import put_list
from .compare import read_edges, stored_items
from .reading import read_columns
from .signatures import STAGE
from .signed import Signed
from .steps import FINDINGS, Item, by_component, own_shards

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


def connect(workspace: Workspace, shards: list[Signed], options: RunnerOptions, quiet: bool) -> None:
    """Bring components/ up to date. Rounds that were made of the same edges are gone on with."""
    edges = workspace.table("edges").finished(STAGE)
    partitions = max(1, -(-2 * sum(shard.rows for shard in edges.shards) // LINKS_HELD))
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
        run_stage(_round(edges, last, shards), workspace, this, options, quiet=quiet)
        last = _last(workspace, edges)


def _last(workspace: Workspace, edges: Manifest) -> Manifest | None:
    """The last round over these edges, None where there was none."""
    manifest = workspace.table("components").manifest()
    return manifest if manifest is not None and manifest.inputs.get("edges") == edges.fingerprint else None


def _unchanged(last: Manifest) -> int:
    """How many rounds up to this one made no new link; the clusters are found after two, one of each star."""
    return last.settings["unchanged"] + 1 if last.counts.get("new", 0) == 0 else 0


def _round(edges: Manifest, last: Manifest | None, shards: list[Signed]) -> Stage[RoundSettings]:
    before = {"round:before": last.fingerprint} if last else {}
    return Stage(
        name="components",
        command=STAGE,
        version=1,
        tables=("components",),
        inputs=lambda workspace, settings: {"edges": edges.fingerprint, **before},
        graph=lambda pipeline, plan: round_graph(pipeline, plan, put_list(plan, shards)),
        items=lambda plan: stored_items(plan, (plan.settings.source,)),
        whole=True,
        redecides=True,
    )


def round_graph(pipeline: "beam.Pipeline", plan: Plan, listed: str) -> "beam.PCollection":
    """Links by the partition of their node -> the links that the star makes."""
    return commit(group_by_key(map_blocks(pipeline, plan, links, listed), "star", star, plan.bare), plan)


def links(work: Work, plan: Plan, listed: str) -> Iterator[tuple[int, Any]]:
    """(partition, (node, neighbour)): both directions for the large star, from the larger end for the small one."""
    settings: RoundSettings = plan.settings
    name, url = work.load
    if name == "edges":
        table = _edges(url, listed)
        table = table.filter(table["joined"])
    else:
        table = read_columns(url, None)
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


def clustered_by_rounds(pipeline: "beam.Pipeline", plan: Plan, listed: str, parts: int, unexamined: int) -> Any:
    """What `cluster` yields where edges are in one group: edges/ and components/ joined by node."""
    partitions = max(1, len(plan.workspace.table("components").finished(STAGE).shards))
    nodes = map_blocks(pipeline, plan, by_node, listed, partitions)
    return group_by_key(nodes, "place", place_edges, plan.bare, listed, parts, unexamined)


def by_node(work: Work, plan: Plan, listed: str, partitions: int) -> Iterator[tuple[int, Any]]:
    """Edges by their first node, links by their node, and roots as links to themselves; a mark of what is said once."""
    if work.load is None:
        yield 0, ("shards", None)
        return
    name, url = work.load
    table = _edges(url, listed) if name == "edges" else read_columns(url, None)
    if name == "components":
        roots = pa.chunked_array([pa.array(np.unique(table["least"].to_numpy()))])
        table = pa.concat_tables([table, pa.table([roots, roots], schema=LINKS)])
    place = table["a" if name == "edges" else "node"].to_numpy() % np.uint64(partitions)
    for partition in np.unique(place).tolist():
        yield int(partition), (name, table.filter(pa.array(place == partition)))


def _edges(url: str, listed: str) -> pa.Table:
    return pa.Table.from_batches([read_edges(url, listed)])


def place_edges(
    group: tuple[int, Iterable[Any]], plan: Plan, listed: str, parts: int, unexamined: int
) -> Iterator[tuple[int, Item]]:
    """Members by shard, edges by component and findings, of one partition of nodes."""
    blocks = list(group[1])
    edges = distinct([b for name, t in blocks if name == "edges" for b in t.combine_chunks().to_batches()])
    joined = pa.concat_tables([LINKS.empty_table(), *(t for name, t in blocks if name == "components")])
    nodes, first = np.unique(joined["node"].to_numpy(), return_index=True)
    component = joined["least"].to_numpy()[first]
    first_part = any(name == "shards" for name, _ in blocks)
    told = part_findings(edges, plan.settings.resolved(), unexamined if first_part else 0)
    yield FINDINGS, ("findings", 0, told)
    if first_part:
        yield from own_shards(listed)
    yield from by_component(edges.filter(edges["joined"]), nodes, component, parts)


def _write(plan: Plan, table: str, part: int, batch: pa.RecordBatch, schema: pa.Schema, counts: dict) -> Report:
    with plan.writer(table, f"part-{part:05d}.parquet", schema, False) as out:
        out.write_batch(batch)
        out.counts.update(counts)
    return table, out.shard
