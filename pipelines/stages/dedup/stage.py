"""Deduplicate: `signatures/` in, `duplicates/` and `decisions/dedup/` out.

    bands      each shard's band keys and exact keys, as one block for each partition of the key space
    compare    leader stars inside buckets, verified on stored shingle hashes; one block of edges a partition
    cluster    connected components over the verified edges, as (shard, row, component)
    describe   each shard looks up ids and survivor keys of its members
    choose     each component picks its survivor
    write      each shard writes its duplicates and its decisions

What crosses a shuffle is integers, ids and dates in blocks, never text. Refuses a workspace whose signatures were
made from other documents or with other settings: `deduplicate` runs both stages in order.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ....corpus.store import fate
from ....corpus.store.shards import Shard
from ....corpus.store.workspace import Workspace
from ....dedup.edges import whole_findings
from ....dedup.settings import DedupSettings
from ...engine.chain import chain_before
from ...engine.graph import Work, commit, gather, group_by_key
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from .repeats import cut_repeats, leave_text
from .rounds import clustered_by_rounds, connect, round_items
from .signatures import SIGN, STAGE
from .signed import in_memory, items, put_shards, shards_at, signed_inputs, signed_shards
from .steps import MEMBERS, TABLES, choose_survivors, cluster, compare, describe, edges_of, write

if TYPE_CHECKING:
    import apache_beam as beam


def deduplicate(
    workspace: Workspace, settings: DedupSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Sign what is not signed, decide, cut repeats where asked for. Returns the summary of the deciding stage."""
    settings.check()
    run_stage(SIGN, workspace, settings, options, force=force, quiet=quiet)
    made_from = inputs(workspace, settings)
    if not in_memory(tuple(signed_shards(workspace, settings)), settings):
        connect(workspace, settings, made_from, options, quiet)
    summary = run_stage(DEDUP, workspace, settings, options, force=force, quiet=quiet)
    if settings.repeats is None:
        leave_text(workspace)
        return summary
    edited = cut_repeats(workspace, settings.repeats, options, force=force, quiet=quiet)
    skipped = summary["skipped"] and edited["skipped"]
    return {**summary, "skipped": skipped, "tables": {**summary["tables"], **edited["tables"]}}


def inputs(workspace: Workspace, settings: DedupSettings) -> dict[str, str]:
    """The chain so far, this workspace's signatures, and those it is compared against. Edges and components that were
    made apart follow from these."""
    return fate.inputs(workspace, STAGE, chain_before(STAGE)) | signed_inputs(workspace, settings)


def all_items(plan: Plan[DedupSettings]) -> list[Work]:
    """Every shard that takes part; with the edges and components, where they were made apart."""
    own = items(plan)
    if in_memory(tuple(signed_shards(plan.workspace, plan.settings)), plan.settings):
        return own
    return own + round_items(plan.workspace, ("edges", "components"))


def graph(pipeline: "beam.Pipeline", plan: Plan[DedupSettings]) -> "beam.PCollection":
    """Edges -> components -> survivors -> the decisions of each shard."""
    listed = put_shards(plan)
    shards = shards_at(listed)
    parts = max(1, sum(shard.rows for shard in shards) // MEMBERS)
    more = (plan.bare, listed)
    if in_memory(shards, plan.settings):
        clustered = gather(edges_of(pipeline, plan, listed, compare), "cluster", cluster, *more, parts)
    else:
        clustered = clustered_by_rounds(pipeline, plan, listed, parts)
    described = group_by_key(clustered, "describe", describe, *more, parts)
    chosen = group_by_key(described, "choose", choose_survivors, *more)
    return commit(group_by_key(chosen, "write", write, *more), plan)


def details(
    plan: Plan[DedupSettings], shards: Mapping[str, list[Shard]], findings: list[dict[str, Any]]
) -> dict[str, Any]:
    """What was found; floats are summed in one order."""
    return whole_findings(sorted(findings, key=lambda part: sorted(part.items())), plan.settings)


DEDUP: Stage[DedupSettings] = Stage(
    name=STAGE,
    version=1,
    tables=TABLES,
    inputs=inputs,
    graph=graph,
    items=all_items,
    whole=True,
    details=details,
    before=chain_before(STAGE),
    redecides=True,
    recorded=DedupSettings.deciding,
)
