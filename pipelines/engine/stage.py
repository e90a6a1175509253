"""The stage contract: what every stage promises, and the one driver that holds it to that.

A stage names the tables it writes, fingerprints what it reads, and builds a Beam graph with one output: the
fingerprints of the manifests that it committed. `run_stage` skips a stage whose manifests match, refuses changed
settings unless forced, runs the graph otherwise, and checks conservation.

Most stages map a shard to a shard: `shard_graph` is their whole graph.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import apache_beam as beam
from pydantic import BaseModel

from ...corpus.store.calls import Call, call_of
from ...corpus.store.catalog import refresh_catalog
from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.shards import Shard
from ...corpus.store.workspace import Manifest, Workspace, conserved, total
from .progress import Progress
from .runner import RunnerOptions, run_graph

S = TypeVar("S", bound=BaseModel)

# (table, shard): what a worker reports of a shard that is in place; shard None: nothing to write there
Report = tuple[str, Shard | None]


@dataclass(frozen=True)
class Stage(Generic[S]):
    """A stage.

    tables    the tables it writes, the one whose shards mark work as done first
    inputs    what it reads: name -> fingerprint; raises WorkspaceError for what is missing or stale
    graph     pipeline, plan -> the one PCollection of manifest fingerprints
    redecides other settings may replace the tables without --force, because making them anew is cheap
    """

    name: str
    version: int
    tables: tuple[str, ...]
    inputs: Callable[[Workspace, S], dict[str, str]]
    graph: Callable[[beam.Pipeline, "Plan[S]"], beam.PCollection]
    work: Callable[[Workspace, S], int] | None = None  # how many shards it will write, for the progress line
    redecides: bool = False
    recorded: Callable[[S], dict[str, Any]] | None = None  # the settings that matter to the bytes; default: all
    recorded_of: Callable[[S, str], dict[str, Any]] | None = None  # those of one table, where its tables differ
    lasting: Callable[[S], S] | None = None  # the settings without what belongs to one call; default: all


@dataclass(frozen=True)
class Plan(Generic[S]):
    """What a graph is built from. Travels to workers."""

    stage: str
    version: int
    workspace: Workspace
    settings: S
    recorded: dict[str, Any]
    inputs: dict[str, str]
    details: dict[str, Any] = field(default_factory=dict)
    by_table: dict[str, dict[str, Any]] = field(default_factory=dict)  # recorded settings of a table of its own
    call: Call | None = None

    def recorded_of(self, table: str) -> dict[str, Any]:
        """The settings that the manifest of this table records."""
        return self.by_table.get(table, self.recorded)

    def manifest(self, table: str, shards: Iterable[Shard], details: dict[str, Any] | None = None) -> Manifest:
        ordered = tuple(sorted(shards, key=lambda shard: shard.name))
        return Manifest(
            table=table,
            stage=self.stage,
            version=self.version,
            settings=self.recorded_of(table),
            inputs=self.inputs,
            shards=ordered,
            counts=total(ordered),
            details=details or {},
            call=self.call,
        )


def run_stage(
    stage: Stage[S], workspace: Workspace, settings: S, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Bring the stage's tables up to date. Returns {stage, skipped, tables: {name: counts}}.

    Raises RequestError where the tables on disk were made with other settings and `force` is not given,
    WorkspaceError where an input is missing or stale or where documents were lost.
    """
    inputs = stage.inputs(workspace, settings)
    plan = Plan(
        stage.name,
        stage.version,
        workspace,
        settings,
        stage.recorded(settings) if stage.recorded else settings.model_dump(mode="json", exclude={"workspace"}),
        inputs,
        by_table={name: stage.recorded_of(settings, name) for name in stage.tables} if stage.recorded_of else {},
    )
    present = {name: workspace.table(name).manifest() for name in stage.tables}
    fresh = all(m is not None and _same(m, plan) and m.inputs == inputs for m in present.values())
    if fresh:
        for name, manifest in present.items():
            assert manifest is not None
            workspace.table(name).sweep(manifest)
        refresh_catalog(workspace)
        return _summary(stage, present, skipped=True)
    if not force and not stage.redecides:
        for name, manifest in present.items():
            if manifest is not None and not _same(manifest, plan):
                raise RequestError(_refusal(stage.name, name, manifest, plan))
    plan = replace(plan, call=call_of(stage.lasting(settings) if stage.lasting else settings, workspace.url))
    workspace.create()
    with workspace.locked():
        for name in stage.tables:
            workspace.table(name).remove_manifest()
        shards = stage.work(workspace, settings) if stage.work else None
        with Progress(stage.name, workspace.table(stage.tables[0]), shards, quiet):
            run_graph(lambda pipeline: stage.graph(pipeline, plan), options)
    present = {name: workspace.table(name).manifest() for name in stage.tables}
    missing = [name for name, manifest in present.items() if manifest is None]
    if missing:
        raise WorkspaceError(f"{stage.name} ended without committing {', '.join(missing)}; run it again")
    refresh_catalog(workspace)
    return _summary(stage, present, skipped=False)


def shard_graph(
    pipeline: beam.Pipeline,
    plan: Plan,
    work: Sequence[Any],
    process: Callable[[Plan, Any], Iterator[Report]],
    details: Callable[[dict[str, list[Shard]]], dict[str, Any]] | None = None,
    tables: Sequence[str] = (),
) -> beam.PCollection:
    """Work items in, one report per written shard, one commit at the end.

    process   plan, item -> (table, shard) for each table it wrote; a shard already committed is reported, not redone
    """
    return (
        pipeline
        | "work" >> beam.Create([*work, None])  # None: a graph without elements would never commit
        | "spread" >> beam.Reshuffle()
        | stage_label(plan, "process") >> beam.FlatMap(_process, plan, process)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit, plan, tuple(tables), details)
    )


def stage_label(plan: Plan, what: str) -> str:
    return f"{what} {plan.stage}"


def _process(item: Any, plan: Plan, process: Callable[[Plan, Any], Iterator[Report]]) -> Iterator[Report]:
    if item is None:
        yield "", None
        return
    yield from process(plan, item)


def commit(
    group: tuple[int, Iterable[Report]],
    plan: Plan,
    tables: tuple[str, ...],
    details: Callable[[dict[str, list[Shard]]], dict[str, Any]] | None = None,
) -> Iterator[str]:
    """Write the manifests of `tables`, the marker table (first) last. Yields their fingerprints."""
    shards: dict[str, list[Shard]] = {name: [] for name in tables}
    for table, shard in group[1]:
        if shard is not None:
            shards[table].append(shard)
    told = details(shards) if details else {}
    for table in reversed(tables):
        manifest = plan.manifest(table, shards[table], told if table == tables[0] else {})
        if "in" in manifest.counts:
            conserved(manifest.counts, f"{plan.stage}: {table}")
        yield plan.workspace.table(table).write_manifest(manifest)


def _same(manifest: Manifest, plan: Plan) -> bool:
    asked = (plan.stage, plan.version, plan.recorded_of(manifest.table))
    return (manifest.stage, manifest.version, manifest.settings) == asked


def _refusal(stage: str, table: str, manifest: Manifest, plan: Plan) -> str:
    """Name each setting that differs, with both values, and what --force would do."""
    asked = plan.recorded_of(table)
    differ = [
        f"{key}: {manifest.settings.get(key)!r} there, {asked.get(key)!r} asked"
        for key in sorted({*manifest.settings, *asked})
        if manifest.settings.get(key) != asked.get(key)
    ]
    if manifest.version != plan.version:
        differ.append(f"stage version: {manifest.version} there, {plan.version} now")
    return (
        f"{table}/ in {plan.workspace.url} was made with other settings ({'; '.join(differ)}); "
        f"--force makes it anew, after which everything made from it is stale"
    )


def _summary(stage: Stage, present: dict[str, Manifest | None], skipped: bool) -> dict[str, Any]:
    tables = {name: manifest.counts for name, manifest in present.items() if manifest is not None}
    first = present[stage.tables[0]]
    return {"stage": stage.name, "skipped": skipped, "tables": tables, "details": first.details if first else {}}
