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

from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq

from ....corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ....corpus.store.fate import changed
from ....corpus.store.shards import filesystem
from ....corpus.store.workspace import Manifest, Workspace
from ....dedup.settings import DedupSettings
from ....dedup.survivors import signals_of
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from .repeats import cut_repeats
from .rounds import clustered_by_rounds, connect
from .signatures import documents_and_chain, signing
from .steps import (
    MEMBERS,
    TABLES,
    Signed,
    choose_survivors,
    cluster,
    describe,
    edges_of,
    entries,
    finish,
    signed_shards,
    write,
)


def deduplicate(
    workspace: Workspace, settings: DedupSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Sign what is not signed, decide, cut repeats where asked for. Returns the summary of the deciding stage."""
    settings.check()
    run_stage(signing, workspace, settings, options, force=force, quiet=quiet)
    if not in_memory(tuple(signed_shards(workspace, settings)), settings):
        connect(workspace, settings, found_inputs(workspace, settings), options, quiet)
    summary = run_stage(dedup, workspace, settings, options, force=force, quiet=quiet)
    if settings.repeats is None:
        workspace.table("edits/dedup").remove_manifest()
        return summary
    edited = cut_repeats(workspace, settings.repeats, options, force=force, quiet=quiet)
    skipped = summary["skipped"] and edited["skipped"]
    return {**summary, "skipped": skipped, "tables": {**summary["tables"], **edited["tables"]}}


def dedup_inputs(workspace: Workspace, settings: DedupSettings) -> dict[str, str]:
    """What the decisions are made from; the components too, where they are made apart."""
    found = found_inputs(workspace, settings)
    if not in_memory(tuple(signed_shards(workspace, settings)), settings):
        for table in ("edges", "components"):
            found[table] = workspace.table(table).finished("dedup").fingerprint
    return found


def found_inputs(workspace: Workspace, settings: DedupSettings) -> dict[str, str]:
    """The chain so far, this workspace's signatures, and those it is compared against."""
    found = documents_and_chain(workspace, settings)
    own = _signatures(workspace, settings)
    stale = changed(own, found)
    if stale:
        raise WorkspaceError(
            f"dedup needs signatures/, which was made before {', '.join(stale)} changed; "
            f"run: gristmill dedup --workspace {workspace.url}"
        )
    found["signatures"] = own.fingerprint
    for name in signals_of(settings.survivors):
        found[f"signals/{name.split('.')[0]}"] = _check_signal(workspace, name)
    others = sorted(_signatures(Workspace(url), settings).fingerprint for url in settings.against)
    found.update({f"against/{n}": name for n, name in enumerate(others)})
    return found


def _signatures(workspace: Workspace, settings: DedupSettings) -> Manifest:
    manifest = workspace.table("signatures").finished("dedup")
    if manifest.settings != settings.signing():
        differ = sorted(k for k, v in settings.signing().items() if manifest.settings.get(k) != v)
        raise RequestError(
            f"signatures/ in {workspace.url} were made with other settings of {', '.join(differ)}; "
            f"ask for the same, or make them anew there: gristmill dedup --workspace {workspace.url} --force"
        )
    return manifest


def in_memory(shards: tuple[Signed, ...], settings: DedupSettings) -> bool:
    """Whether one worker can hold all edges: there are never more than entries of buckets."""
    return entries(shards, settings) <= settings.edges_in_memory


def dedup_graph(pipeline: beam.Pipeline, plan: Plan[DedupSettings]) -> beam.PCollection:
    """The graph. Its one output is the fingerprints of the manifests."""
    shards = tuple(signed_shards(plan.workspace, plan.settings))
    parts = max(1, sum(shard.rows for shard in shards) // MEMBERS)
    if in_memory(shards, plan.settings):
        clustered = (
            edges_of(pipeline, plan, shards)
            | "one group of edges" >> beam.Map(lambda edges: (0, edges[1]))
            | "edges" >> beam.GroupByKey()
            | "cluster" >> beam.FlatMap(cluster, plan, shards, parts)
        )
    else:
        clustered = clustered_by_rounds(pipeline, plan, shards, parts)
    return (
        clustered
        | "describe" >> beam.FlatMap(describe, plan, shards, parts)
        | "members" >> beam.GroupByKey()
        | "choose" >> beam.FlatMap(choose_survivors, plan, shards)
        | "by shard" >> beam.GroupByKey()
        | "write" >> beam.FlatMap(write, plan, shards)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(finish, plan)
    )


def _check_signal(workspace: Workspace, name: str) -> str:
    """The fingerprint of the table that holds a signal; refuses a signal that was not measured."""
    family, signal = name.split(".", 1)
    manifest = workspace.table(f"signals/{family}").manifest()
    if manifest is None:
        present = [table.name.removeprefix("signals/") for table in workspace.tables() if "signals/" in table.name]
        raise unknown_name("signal family", family, present, "dedup: survivors")
    for shard in manifest.shards[:1]:
        fs, path = filesystem(workspace.table(f"signals/{family}").shard_url(shard.name))
        with fs.open(path, "rb") as file:
            kind = pq.read_schema(file).field(family).type
        known = [kind.field(n).name for n in range(kind.num_fields)]
        if signal not in known:
            raise unknown_name("signal", name, [f"{family}.{other}" for other in known], "dedup: survivors")
    return manifest.fingerprint


dedup = Stage(
    name="dedup",
    version=1,
    tables=TABLES,
    inputs=dedup_inputs,
    graph=dedup_graph,
    work=lambda workspace, settings: len(workspace.table("signatures").finished("dedup").shards),
    redecides=True,
    recorded=DedupSettings.deciding,
)
