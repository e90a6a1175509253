"""The stage contract: what every stage promises, and the one driver that holds it to that.

A stage names the tables it writes and says what it reads: work items with what each was made from (a mapping stage),
or the fingerprints of whole tables. `run_stage` skips what matches what is in force, refuses changed settings unless
forced, runs the graph over the items that are not done, checks conservation, and commits all tables in one step. The
result that was in force stays until then; a run that is refused, killed or crashes leaves it as it was.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from ...corpus.columns.shapes import MARK
from ...corpus.processors import COUNT
from ...corpus.store.calls import Call, call_of, keep_places, named_places, renamed
from ...corpus.store.catalog import refresh_catalog
from ...corpus.store.commits import Commit, TableRecord, conserved, total
from ...corpus.store.errors import RequestError
from ...corpus.store.lists.shards import joined, selected
from ...corpus.store.shards import Output, Shard, fingerprint, open_file, open_shard
from ...corpus.store.workspace import Workspace
from . import graph as verbs
from .beam import beam
from .graph import Keep, Pending, Report, Work
from .held.agreement import Agreement, note
from .held.parts import Count, HeldPart, agreeing
from .leases import writing
from .progress import Progress
from .room import say_room
from .runner import RunnerOptions, run_graph

S = TypeVar("S", bound=BaseModel)
Shards = Mapping[str, Sequence[Shard]]


@dataclass(frozen=True)
class Stage(Generic[S]):
    """A stage, or a step of one that commits on its own.

    name       of its commit
    tables     the tables it writes; empty: those that its reports name (a table a domain)
    folders    folders of tables that it writes beside, those that its reports name
    inputs     what the whole of it is made from: table -> fingerprint, `file:NAME` for what lies elsewhere; raises
               WorkspaceError for what is missing or stale. A mapping stage names artefacts, not what its items read
    graph      pipeline, plan -> the end of the graph, `graph.commit`
    items      of a mapping stage: plan -> its work items
    whole      the items only feed a graph over all of them: it runs over every one, and freshness goes by `inputs`
    parts      commit -> its tables, where several results come from one pass
    details    what the commit tells of its first table beyond counts (of each table by name, where `tables` is empty):
               plan, shards by table, findings of the graph
    command    the command that runs it; its name, unless given
    before     of a deciding stage: deciding stages that come before it
    fitted     what it makes stays in force when its inputs change, until it is asked for with --refit
    redecides  other settings may replace the tables without --force, because making them anew is cheap
    recorded   the settings that matter to the bytes; default: all. `recorded_of`: of one table, where they differ
    lasting    the settings without what belongs to one call; default: all
    models     models compute its values, whose last digits may differ between kinds of processors
    by_document  each row of its tables follows from one document alone, whichever others there are
    beside_rows  of those: inputs that say where a row lies, not what it holds
    keep       of those: makes an item of what was made of it before (`Work.held`): rows of documents that are left are
               kept, those of others made
    begin      called once the workspace is held, before the graph: writes down what a killed run is finished by
    """

    name: str
    version: int
    tables: tuple[str, ...]
    inputs: Callable[[Workspace, S], dict[str, str]]
    graph: Callable[[beam.Pipeline, "Plan[S]"], beam.PCollection]
    items: Callable[["Plan[S]"], Iterable[Work]] | None = None
    whole: bool = False
    parts: Callable[[S], dict[str, tuple[str, ...]]] | None = None
    details: Callable[["Plan[S]", Shards, list[dict[str, Any]]], dict[str, Any]] | None = None
    command: str = ""
    before: tuple[str, ...] = ()
    fitted: bool = False
    redecides: bool = False
    recorded: Callable[[S], dict[str, Any]] | None = None
    recorded_of: Callable[[S, str], dict[str, Any]] | None = None
    lasting: Callable[[S], S] | None = None
    folders: tuple[str, ...] = ()
    begin: "Callable[[Plan[S]], None] | None" = None
    models: bool = False
    by_document: bool = False
    beside_rows: tuple[str, ...] = ()
    keep: Keep | None = None

    def beside(self, table: str) -> bool:
        """Whether a table lies in one of its folders of tables."""
        return table.split("/")[0] in self.folders


@dataclass(frozen=True)
class Plan(Generic[S]):
    """What a graph is built from. Travels to workers, without its work."""

    stage: str
    version: int
    workspace: Workspace
    settings: S
    recorded: dict[str, Any]
    inputs: dict[str, str]
    by_table: dict[str, dict[str, Any]] = field(default_factory=dict)  # recorded settings of a table of its own
    before: tuple[str, ...] = ()
    work: Sequence[Work] = ()  # items that are not done
    keep: Keep | None = None
    models: bool = False

    @property
    def bare(self) -> "Plan[S]":
        """The plan as it travels."""
        return replace(self, work=())

    def recorded_of(self, table: str) -> dict[str, Any]:
        """The settings that the commit records for this table."""
        return self.by_table.get(table, self.recorded)

    def stamp(self, tables: Iterable[str], item: Work) -> str:
        """What an item is recognised by: all that decides the rows that it makes."""
        return self.stamper(tables)(item)

    def stamper(self, tables: Iterable[str]) -> Callable[[Work], str]:
        """`stamp` for many items: what is the same for all of them is written out once."""
        settings = [self.recorded_of(table) for table in sorted(tables)] if self.by_table else self.recorded
        begin = json.dumps([self.version, settings, self.inputs], sort_keys=True, default=str)[:-1]
        encode = json.JSONEncoder(sort_keys=True).encode  # one for all: it is asked for millions of items

        def stamp(item: Work) -> str:
            text = f"{begin}, {encode(item.name)}, {encode(item.made_from)}]"
            return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

        return stamp

    def writer(self, table: str, name: str, schema: Any, dictionary: bool | list[str] = True) -> Any:
        """A Parquet shard of a table, for a `with`: its `shard` is what to report."""
        return open_shard(self.workspace.table(table).url, name, schema, dictionary)

    def file(self, table: str, name: str) -> Any:
        """Any other file of a table, for a `with`: write its `path`."""
        return open_file(self.workspace.table(table).url, name)

    def put(self, table: str, name: str, data: bytes, rows: int = 1, **counts: int) -> Report:
        """A small file of a table, written at once."""
        with self.file(table, name) as out:
            assert isinstance(out, Output)
            with open(out.path, "wb") as file:
                file.write(data)
            out.rows, out.counts = rows, counts
        return table, out.shard


def run_stage(
    stage: Stage[S], workspace: Workspace, settings: S, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Bring the stage's tables up to date. Returns {stage, skipped, tables: {name: counts}, details}.

    Raises RequestError where what is in force was made with other settings and `force` is not given, or where another
    process writes to the workspace; WorkspaceError where an input is missing or stale or where documents were lost.
    """
    plan = _plan(stage, workspace, settings)
    rows = Agreement(workspace)
    parts, items = _parts(stage, plan, settings, options.mend, rows)
    if all(_fresh(stage, plan, part, options) for part in parts):
        _settle(stage, plan, [part.held for part in parts if part.held is not None])
        refresh_catalog(workspace)
        return _summary(stage, [part.held for part in parts], skipped=True)
    if not force and not stage.redecides and not (stage.fitted and options.refit):
        for part in parts:
            if part.held is not None and not part.same(plan):
                raise RequestError(_refusal(part, plan))
    say_room(workspace, stage.command or stage.name, [(part.held, part.anew) for part in parts], quiet)
    call, places = call_of(stage.lasting(settings) if stage.lasting else settings, workspace.url)
    with writing(workspace, stage.command or stage.name):
        if stage.begin is not None:
            stage.begin(plan)
        if stage.items and stage.whole:
            stamp = plan.stamper(stage.tables)
            items = Pending(replace(item, stamp=stamp(item)) for item in stage.items(plan))
        plan = replace(plan, work=items)
        expected = len(items) if stage.items and not stage.whole else None
        with Progress(stage.name, workspace, plan.stage, expected, quiet):
            run_graph(lambda pipeline: stage.graph(pipeline, plan), options)
        made, findings = verbs.handed_over(workspace, plan.stage)
        note(workspace, [pair for part in parts for pair in agreeing(stage, plan, part, made, rows)])
        commits = [_commit(stage, plan, part, made, findings, call) for part in parts]
        keep_places(workspace.url, places)
        for commit in commits:
            workspace.put_commit(commit, options.keep)
        _clean(workspace, plan.stage)
    refresh_catalog(workspace)
    return _summary(stage, [workspace.commit_of(part.name) for part in parts], skipped=False)


def _plan(stage: Stage[S], workspace: Workspace, settings: S) -> Plan[S]:
    inputs = stage.inputs(workspace, settings)  # refuses what cannot be had before anything is read
    recorded = stage.recorded(settings) if stage.recorded else settings.model_dump(mode="json", exclude={"workspace"})
    by_table = {name: stage.recorded_of(settings, name) for name in stage.tables} if stage.recorded_of else {}
    names = named_places(settings, workspace.url)  # equal calls in two folders record the same
    recorded, by_table = renamed(recorded, names), renamed(by_table, names)
    return Plan(
        stage.name,
        stage.version,
        workspace,
        settings,
        recorded,
        inputs,
        by_table,
        stage.before,
        keep=stage.keep,
        models=stage.models,
    )


def _settle(stage: Stage[S], plan: Plan[S], commits: list[Commit]) -> None:
    """Complete what an earlier run had committed and was killed over: manifests, copies, the sweep."""
    workspace = plan.workspace
    if all(workspace.settled(commit) for commit in commits) and not verbs.begun(workspace, plan.stage):
        return
    with writing(workspace, stage.command or stage.name):
        _clean(workspace, plan.stage)
        for commit in commits:
            workspace.settle(commit)


def _parts(
    stage: Stage[S], plan: Plan[S], settings: S, mend: bool, rows: Agreement
) -> tuple[list[HeldPart], Sequence[Work]]:
    """The commits of the run, and the work items that at least one of them lacks."""
    named = stage.parts(settings) if stage.parts else {stage.name: stage.tables}
    counts = [Count(stage, plan, name, tables, mend, rows) for name, tables in named.items()]
    items = Pending()
    for item in stage.items(plan) if stage.items and not stage.whole else ():
        stamps = {count.name: stamp for count in counts if (stamp := count.lacking(item)) is not None}
        if stamps:
            stamp = next(iter(stamps.values())) if len(stamps) == 1 else fingerprint(list(stamps.values()))
            before = [count.before(item) for count in counts if count.name in stamps] if stage.keep else [()]
            held = tuple(report for own in before for report in own) if all(before) else ()
            items.append(replace(item, stamp=stamp, parts=tuple(stamps), held=held))
    return [count.part() for count in counts], items


def _fresh(stage: Stage[S], plan: Plan[S], part: HeldPart, options: RunnerOptions) -> bool:
    if part.held is None or part.damaged or not part.same(plan):
        return False
    if stage.fitted and not options.refit:  # the corpus may change behind it, not the files that were named
        return _files(part.held.inputs) == _files(plan.inputs)
    if stage.items and not stage.whole:
        return part.complete
    return part.held.inputs == plan.inputs


def _files(inputs: Mapping[str, str]) -> dict[str, str]:
    """Of inputs, those that are no tables."""
    return {name: made for name, made in inputs.items() if ":" in name}


def _commit(
    stage: Stage[S], plan: Plan[S], part: HeldPart, made: list[Report], findings: list[dict[str, Any]], call: Call
) -> Commit:
    """The next generation of one result, validated."""
    shards: dict[str, Sequence[Shard]] = dict.fromkeys(part.tables, ())
    if part.held is not None and part.kept:
        for name, table in part.held.tables.items():
            if not part.tables or name in part.tables or stage.beside(name):
                own = selected(table.shards, part.kept)
                if own or name in shards:
                    shards[name] = own
    new: dict[str, list[Shard]] = {}
    for name, shard in made:
        if not part.tables or name in part.tables or stage.beside(name):
            new.setdefault(name, []).append(shard)
    ordered = {name: joined(shards.get(name, ()), new.get(name, ())) for name in sorted({*shards, *new})}
    told = stage.details(plan, ordered, findings) if stage.details else {}
    tables = {}
    for name, own in ordered.items():
        counts = total(own)
        if "in" in counts:
            conserved(counts, f"{plan.stage}: {name}")
        own_details = told.get(name, {}) if not part.tables else told if name == part.tables[0] else {}
        tables[name] = TableRecord(settings=plan.recorded_of(name), shards=own, counts=counts, details=own_details)
    held = part.held
    return Commit(
        stage=part.name,
        command=stage.command or stage.name,
        version=plan.version,
        generation=held.generation + 1 if held else 1,
        previous=held.fingerprint if held else "",
        tables=tables,
        inputs=plan.inputs,
        work=part.made,
        after=plan.before,
        fitted=stage.fitted,
        call=call,
    )


def _clean(workspace: Workspace, name: str) -> None:
    """Forget the records of a stage's unfinished work, and remove what they name and no commit does."""
    for file in workspace.unnamed(verbs.orphans(workspace, name)):
        workspace.remove(file)
    verbs.forget(workspace, name)


def _refusal(part: HeldPart, plan: Plan[S]) -> str:
    """Name each setting that differs, with both values, and what --force would do."""
    assert part.held is not None
    for table in part.tables or tuple(part.held.tables):
        there = part.held.tables[table].settings if table in part.held.tables else {}
        asked = plan.recorded_of(table)
        differ = [
            f"{key}: {there.get(key)!r} there, {asked.get(key)!r} asked"
            for key in sorted({*there, *asked})
            if there.get(key) != asked.get(key)
        ]
        if part.held.version != plan.version:
            differ.append(f"stage version: {part.held.version} there, {plan.version} now")
        if differ:
            return (
                f"{table}/ in {plan.workspace.url} was made with other settings ({'; '.join(differ)}); "
                f"--force makes it anew, after which everything made from it is stale"
            )
    return f"{part.name} in {plan.workspace.url} has other tables than those asked for; --force makes it anew"


def _summary(stage: Stage[S], commits: list[Commit | None], skipped: bool) -> dict[str, Any]:
    tables = {name: table for commit in commits if commit for name, table in commit.tables.items()}
    first = tables.get(stage.tables[0]) if stage.tables else None
    counts = {n: {k: v for k, v in t.counts.items() if not k.startswith((MARK, COUNT))} for n, t in tables.items()}
    return {
        "stage": stage.command or stage.name,
        "skipped": skipped,
        "tables": counts,
        "details": first.details if first else {},
    }
