"""Deduplicate: `signatures/` in, `duplicates/` and `decisions/dedup/` out.

    bands      each shard's band keys and exact keys, kept in `bands/`
    compare    leader stars inside buckets, verified on stored shingle hashes, kept in `edges/`
    cluster    connected components over the verified edges, as (shard, row, component)
    describe   each shard looks up ids and survivor keys of its members
    choose     each component picks its survivor
    write      each shard writes its duplicates and its decisions

What crosses a shuffle is integers, ids and dates in blocks, never text. Refuses a workspace whose signatures were
made from other documents or with other settings: `deduplicate` runs all stages in order.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....corpus.store import fate
from ....corpus.store.shards import Shard
from ....corpus.store.workspace import Workspace
from ....dedup.edges import whole_findings
from ....dedup.settings import DedupSettings
from ...engine.chain import chain_before
from ...engine.graph import Work, commit, gather, group_by_key, map_blocks
from ...engine.leases import writing
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..listed import put_list
from .bands import BAND
from .compare import EDGE, stored_items
from .repeats import MADE, cut_repeats
from .rounds import clustered_by_rounds, connect
from .signatures import SIGN, STAGE
from .signed import in_memory, put_shards, shards_at, signal_inputs, signature_inputs, signed_shards
from .steps import MEMBERS, TABLES, choose_survivors, cluster, describe, load_edges, write

if TYPE_CHECKING:
    import apache_beam as beam


def deduplicate(
    workspace: Workspace, settings: DedupSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Sign what is not signed, decide, cut repeats where asked for. Returns the summary of the deciding stage."""
    settings.check()
    run_stage(SIGN, workspace, settings, options, force=force, quiet=quiet)
    inputs(workspace, settings)  # refuses what cannot be compared before anything is
    for stage in (BAND, EDGE):
        run_stage(stage, workspace, settings, options, force=force, quiet=quiet)
    shards = signed_shards(workspace, settings)
    apart = not in_memory(shards, settings)
    if apart:
        connect(workspace, shards, options, quiet)
    summary = run_stage(DEDUP, workspace, settings, options, force=force, quiet=quiet)
    take_back(workspace, () if apart else ("components",))
    if settings.repeats is None:
        take_back(workspace, MADE)
        return summary
    edited = cut_repeats(workspace, settings.repeats, options, force=force, quiet=quiet)
    skipped = summary["skipped"] and edited["skipped"]
    return {**summary, "skipped": skipped, "tables": {**summary["tables"], **edited["tables"]}}


def take_back(workspace: Workspace, stages: Iterable[str]) -> None:
    """Take results back that the settings do not ask for."""
    made = [name for name in stages if workspace.commit_of(name)]
    if made:
        with writing(workspace, STAGE):
            for name in made:
                workspace.retire(name)


def inputs(workspace: Workspace, settings: DedupSettings) -> dict[str, str]:
    """The chain so far, this workspace's signatures, those it is compared against, and signals that choose. Edges and
    components follow from these."""
    found = fate.inputs(workspace, STAGE, chain_before(STAGE))
    return found | signature_inputs(workspace, settings) | signal_inputs(workspace, settings)


def items(plan: Plan[DedupSettings]) -> list[Work]:
    """Every shard of edges; with the components, where one worker cannot find them."""
    if in_memory(signed_shards(plan.workspace, plan.settings), plan.settings):
        return stored_items(plan, ("edges",))
    return [*stored_items(plan, ("edges", "components")), Work("shards", {})]


def recorded(settings: DedupSettings) -> dict[str, Any]:
    """The settings that decide, and whether decisions count for nothing until text was cut, too."""
    return settings.deciding() | ({fate.CUTS: True} if settings.repeats is not None else {})


def graph(pipeline: "beam.Pipeline", plan: Plan[DedupSettings]) -> "beam.PCollection":
    """Edges -> components -> survivors -> the decisions of each shard."""
    listed = put_shards(plan)
    shards = shards_at(listed)
    parts = max(1, sum(shard.rows for shard in shards) // MEMBERS)
    more = (plan.bare, listed)
    unexamined = plan.workspace.table("unexamined").finished(STAGE).counts.get("members", 0)
    if in_memory(shards, plan.settings):
        edges = map_blocks(pipeline, plan, load_edges, listed)
        clustered = gather(edges, "cluster", cluster, *more, parts, unexamined)
    else:
        clustered = clustered_by_rounds(pipeline, plan, listed, parts, unexamined)
    described = group_by_key(clustered, "describe", describe, *more, parts)
    chosen = group_by_key(described, "choose", choose_survivors, *more)
    before = plan.workspace.table(TABLES[0]).manifest()
    held = put_list(plan, [dict(before.by_name) if before else {}])
    return commit(group_by_key(chosen, "write", write, *more, held), plan)


def details(
    plan: Plan[DedupSettings], shards: Mapping[str, Sequence[Shard]], findings: list[dict[str, Any]]
) -> dict[str, Any]:
    """What was found; floats are summed in one order."""
    return whole_findings(sorted(findings, key=lambda part: sorted(part.items())), plan.settings)


DEDUP: Stage[DedupSettings] = Stage(
    name=STAGE,
    version=1,
    tables=TABLES,
    inputs=inputs,
    graph=graph,
    items=items,
    whole=True,
    details=details,
    before=chain_before(STAGE),
    redecides=True,
    recorded=recorded,
)
