"""The filter stage: measure signals once, decide from them as often as the rules change.

`signals/<family>/` holds one struct column a family, measured from the text; `decisions/filter/` is made from stored
signals alone, so other rules never touch the text again, and a rule that needs a family not yet measured has only
that one measured. Line rules cut lines out of texts and are the exception: they read it; `edits/filter/` has the new
text with what was cut. `failing_rules/` tells every rule that a document failed, where it is asked for.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Literal

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from ...corpus.store.calls import File
from ...corpus.store.catalog import refresh_catalog
from ...corpus.store.errors import MissingExtra, WorkspaceError
from ...corpus.store.schema import DECISIONS, EDITS
from ...corpus.store.shards import committed, fingerprint, open_shard, read_batches
from ...corpus.store.workspace import Workspace
from ...filters.cuts import Cut, cut_lines, masked
from ...filters.rule_sets import DECIDED, Compiled, Rule, RuleSet, compiled, load_rules
from ...filters.signals import by_language
from ...filters.signals.families import Family, families, known_families, measure_batch
from ...filters.urls import UrlRules
from ..engine.runner import RunnerOptions
from ..engine.stage import Plan, Report, Stage, run_stage, shard_graph
from .tag.columns import FAMILY, learnt, tag_family

STAGE = "filter"
DECISIONS_TABLE, FAILING, EDITS_TABLE = "decisions/filter", "failing_rules", "edits/filter"
URLS, SEGMENTED = "url", "gopher@fineweb2"  # families that need lists, or may need a segmenter
LISTED = Rule(rule="listed_url", value="url.listed", threshold=0, keep="value <= threshold")  # unless the rules use it
MADE_HERE = ("kept", "removed")  # families that line rules make, not measured ahead
FAILING_SCHEMA = pa.schema([DECIDED.field("id"), DECIDED.field("failing")])


class Measured(BaseModel, frozen=True, extra="forbid"):
    """What signals are measured with, beside the text."""

    classifiers: dict[str, File] = {}  # name -> path of a model; its family is classifier_NAME
    urls: UrlRules | None = None  # lists of hosts, domains, URLs and words; their family is url
    segmenter: Literal["icu", "none"] = "icu"  # of languages without white space between words: gopher@fineweb2

    def known(self, workspace: Workspace) -> dict[str, Family]:
        """Families there are: those of the package, of these models and lists, and the workspace's own tags."""
        return {**known_families(self.classifiers, self.urls, self.segmenter), FAMILY: tag_family(workspace)}


class FilterSettings(Measured, frozen=True, extra="forbid"):
    """Settings of the command."""

    rules: str | RuleSet = "gopher"  # a bundled rule set, the path of a YAML file, or the rules themselves
    families: tuple[str, ...] = ()  # signal families to measure beside those that the rules need
    all_failing: bool = False  # record every failing rule, not only the first


class MeasureSettings(Measured, frozen=True, extra="forbid"):
    """Families to measure together, in one pass over the text."""

    families: tuple[str, ...]


class DecideSettings(Measured, frozen=True, extra="forbid"):
    """The rules themselves, not their name: a file may change under its name."""

    rules: RuleSet
    all_failing: bool = False


def run_filter(
    workspace: Workspace, settings: FilterSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Measure what is missing, then decide. Rules are checked before anything runs."""
    rules = load_rules(settings.rules)
    if settings.urls is not None and not any(f"{URLS}." in f"{rule.value} {rule.keep}" for rule in rules.rules):
        rules = rules.model_copy(update={"rules": (LISTED, *rules.rules)})
    known = settings.known(workspace)
    where = settings.rules if isinstance(settings.rules, str) else rules.name
    if not learnt(workspace) and any(f"{FAMILY}." in rule.value + rule.keep for rule in rules.rules):
        where += " (no taxonomy has been learnt yet by gristmill tag)"
    asked = _asked(compiled(rules, where, known)[0])
    wanted = families({*asked, *settings.families}, "--signals", known)
    inputs = _documents(workspace)
    missing = tuple(family.name for family in wanted if not _measured(workspace, family, inputs))
    made_with = {name: getattr(settings, name) for name in Measured.model_fields}
    tables: dict[str, Any] = {}
    if SEGMENTED in missing and settings.segmenter == by_language.ICU:
        _need_segmenter(workspace)
    if missing:
        asked_for = MeasureSettings(families=missing, **made_with)
        summary = run_stage(measure_stage(missing, known), workspace, asked_for, options, True, quiet)
        tables |= summary["tables"]
    decided = DecideSettings(rules=rules, all_failing=settings.all_failing, **made_with)
    summary = run_stage(decide_stage(decided), workspace, decided, options, force, quiet)
    _forget(workspace, decided)
    return summary | {"tables": tables | summary["tables"]}


def _need_segmenter(workspace: Workspace) -> None:
    """MissingExtra, before anything runs, where a document's language needs a segmenter that is not installed."""
    try:
        by_language.icu()
    except MissingExtra as error:
        table = workspace.table("documents")
        for shard in table.finished(STAGE).shards:
            for batch in read_batches(table.shard_url(shard.name), ["language"]):
                for language in by_language.SEGMENTED & set(batch["language"].to_pylist()):
                    error.add_note(f"there are documents with language {language!r}")
                    raise


def _documents(workspace: Workspace) -> dict[str, str]:
    return {"documents": workspace.table("documents").finished(STAGE).fingerprint}


def _measured(workspace: Workspace, family: Family, inputs: dict[str, str]) -> bool:
    manifest = workspace.table(f"signals/{family.name}").manifest()
    return manifest is not None and manifest.settings == family.recorded and manifest.inputs == inputs


def measure_stage(names: tuple[str, ...], known: dict[str, Family]) -> Stage[MeasureSettings]:
    """The stage that measures these families, each into a table of its own."""
    tables = tuple(f"signals/{name}" for name in names)
    return Stage(
        name=STAGE,
        version=1,
        tables=tables,
        inputs=lambda workspace, settings: _documents(workspace),
        graph=_measure_graph,
        work=lambda workspace, settings: len(_shards(workspace)),
        recorded=lambda settings: {},
        recorded_of=lambda settings, table: known[table.removeprefix("signals/")].recorded,
    )


def _shards(workspace: Workspace) -> list[tuple[str, str]]:
    manifest = workspace.table("documents").finished(STAGE)
    return [(shard.name, shard.checksum) for shard in manifest.shards]


def _measure_graph(pipeline: beam.Pipeline, plan: Plan[MeasureSettings]) -> beam.PCollection:
    tables = [f"signals/{name}" for name in plan.settings.families]
    return shard_graph(pipeline, plan, _shards(plan.workspace), measure_shard, tables=tables)


def measure_shard(plan: Plan[MeasureSettings], item: tuple[str, str]) -> Iterator[Report]:
    """Signals of one shard of documents, every family from the same pass."""
    shard, checksum = item
    wanted = families(plan.settings.families, known=plan.settings.known(plan.workspace))
    urls = {family.name: plan.workspace.table(f"signals/{family.name}").shard_url(shard) for family in wanted}
    stamps = {f.name: fingerprint(STAGE, f.recorded, checksum) for f in wanted}
    there = {name: committed(url, stamps[name]) for name, url in urls.items()}
    absent = [family for family in wanted if there[family.name] is None]
    with ExitStack() as stack:
        out = {f.name: stack.enter_context(open_shard(urls[f.name], f.schema, stamps[f.name])) for f in absent}
        columns = sorted({"id", *(name for f in absent for name in (f.column or "text", *f.beside))})
        for batch in read_batches(plan.workspace.table("documents").shard_url(shard), columns, 2048):
            if not absent:
                break
            for name, column in measure_batch(batch, absent).items():
                rows = [batch["id"].cast(pa.string()), column]
                out[name].write_batch(pa.RecordBatch.from_arrays(rows, schema=out[name].schema))
        for writer in out.values():
            writer.counts["documents"] = writer.rows
    for family in wanted:
        yield f"signals/{family.name}", there[family.name] or committed(urls[family.name], stamps[family.name])


def _tables(settings: DecideSettings) -> tuple[str, ...]:
    """What these rules write, the marker first."""
    edits = (EDITS_TABLE,) if settings.rules.edits else ()
    return (DECISIONS_TABLE, *edits, *((FAILING,) if settings.all_failing else ()))


def _asked(rules: Compiled) -> list[str]:
    return sorted(set(rules.signals) - {*MADE_HERE})


def _forget(workspace: Workspace, settings: DecideSettings) -> None:
    """Edits and failing rules of earlier rules are no longer true where these rules make none."""
    for name in {EDITS_TABLE, FAILING} - {*_tables(settings)}:
        if workspace.table(name).manifest() is not None:
            workspace.table(name).remove_manifest()
            refresh_catalog(workspace)


def decide_stage(settings: DecideSettings) -> Stage[DecideSettings]:
    """The stage that decides from stored signals; other rules replace its tables without --force."""
    return Stage(
        name=STAGE,
        version=1,
        tables=_tables(settings),
        inputs=_decide_inputs,
        graph=_decide_graph,
        work=lambda workspace, settings: len(_shards(workspace)),
        redecides=True,
    )


def _decide_inputs(workspace: Workspace, settings: DecideSettings) -> dict[str, str]:
    inputs = _documents(workspace)
    for name in _asked(compiled(settings.rules, families=settings.known(workspace))[0]):
        inputs[f"signals/{name}"] = workspace.table(f"signals/{name}").finished(STAGE).fingerprint
    return inputs


def _decide_graph(pipeline: beam.Pipeline, plan: Plan[DecideSettings]) -> beam.PCollection:
    return shard_graph(pipeline, plan, _shards(plan.workspace), decide_shard, tables=_tables(plan.settings))


def decide_shard(plan: Plan[DecideSettings], item: tuple[str, str]) -> Iterator[Report]:
    """Decisions of one shard, from its signals; the text is read only where there are line rules."""
    shard, checksum = item
    stamp = fingerprint(STAGE, plan.version, plan.recorded, checksum, sorted(plan.inputs.items()))
    tables = _tables(plan.settings)
    urls = {name: plan.workspace.table(name).shard_url(shard) for name in tables}
    if any(committed(url, stamp) is None for url in urls.values()):
        edits, decided = [], [DECIDED.empty_table()]
        rules, lines = compiled(plan.settings.rules, families=plan.settings.known(plan.workspace))
        for rows in signal_rows(plan.workspace, shard, rules, plan.settings.rules.edits):
            cut = None
            if lines is not None and plan.settings.rules.lines is not None:
                cut = cut_lines(rows["text"].combine_chunks(), plan.settings.rules.lines, lines)
                rows = rows.append_column("kept", cut.kept).append_column("removed", cut.removed)
            decided.append(rules.decide(rows, STAGE, plan.settings.all_failing).cast(DECIDED))
            if plan.settings.rules.edits:
                edits += _edits(rows, decided[-1], cut, plan.settings.rules)
        _write_decided(plan, urls, stamp, pa.concat_tables(decided), edits)
    for name in reversed(tables):
        yield name, committed(urls[name], stamp)


def _edits(rows: pa.Table, decided: pa.Table, cut: Cut | None, rules: RuleSet) -> Iterator[dict[str, Any]]:
    """Rows of `EDITS` for the documents that stay and change."""
    cuts = cut.edits if cut else [None] * len(rows)
    texts = rows["text"].to_pylist()
    for name, kept, text, edit in zip(decided["id"].to_pylist(), decided["kept"].to_pylist(), texts, cuts, strict=True):
        if not kept:
            continue
        left, removed = edit or (text, [])
        if rules.mask:
            left, removed = masked(text, removed, rules.mask, rules.mask_key.encode() if rules.mask_key else None)
        if removed:
            yield {"id": name, "text": left, "removed": removed}


def _write_decided(
    plan: Plan[DecideSettings], urls: dict[str, str], stamp: str, decided: pa.Table, edits: list[dict[str, Any]]
) -> None:
    """Edits and failing rules first, the decisions last."""
    if EDITS_TABLE in urls:
        with open_shard(urls[EDITS_TABLE], EDITS, stamp) as out:
            out.write_rows(edits)
            out.counts["documents"] = len(edits)
    if FAILING in urls:
        with open_shard(urls[FAILING], FAILING_SCHEMA, stamp) as out:
            for batch in decided.select(FAILING_SCHEMA.names).to_batches():
                out.write_batch(batch)
    kept = int(pc.sum(decided["kept"]).as_py() or 0)
    with open_shard(urls[DECISIONS_TABLE], DECISIONS, stamp) as out:
        for batch in decided.select(DECISIONS.names).cast(DECISIONS).combine_chunks().to_batches(1 << 16):
            out.write_batch(batch)
        out.counts |= {"in": len(decided), "kept": kept, "dropped": len(decided) - kept, "failed": 0}


def signal_rows(workspace: Workspace, shard: str, rules: Compiled, text: bool = False) -> Iterator[pa.Table]:
    """Rows of one shard, in its order: the columns that the rules read, and the text only where it is asked for."""
    columns = ["id", *sorted(rules.columns - {"id"}), *(["text"] if text else [])]
    rows = 1 << 11 if text else 1 << 16
    sources = [read_batches(workspace.table("documents").shard_url(shard), columns, rows)]
    names = _asked(rules)
    for name in names:
        wanted = ["id", *(f"{name}.{column}" for column in rules.signals[name])]
        sources.append(read_batches(workspace.table(f"signals/{name}").shard_url(shard), wanted, rows))
    for parts in aligned(sources):
        for name, part in zip(names, parts[1:], strict=True):
            if not part["id"].equals(parts[0]["id"]):
                raise WorkspaceError(
                    f"signals/{name}/{shard} in {workspace.url} does not follow documents/{shard}; "
                    f"remove signals/{name}/ and run: gristmill filter --workspace {workspace.url}"
                )
        table = {column: parts[0][column] for column in columns}
        for name, part in zip(names, parts[1:], strict=True):
            table[name] = part[name].cast(rules.schema.field(name).type)
        yield pa.table(table)


def aligned(sources: list[Iterator[pa.RecordBatch]]) -> Iterator[list[pa.Table]]:
    """Walk through sources of equally many rows together, in slices of equal length."""
    rest: list[pa.RecordBatch | None] = [None] * len(sources)
    while True:
        for place, source in enumerate(sources):
            while (held := rest[place]) is None or not held.num_rows:
                rest[place] = next(source, None)
                if rest[place] is None:
                    break
        held = [batch for batch in rest if batch is not None]
        if not held:
            return
        if len(held) < len(rest):
            raise WorkspaceError("tables of one shard differ in length; remove signals/ and run gristmill filter again")
        rows = min(batch.num_rows for batch in held)
        yield [pa.Table.from_batches([batch[:rows]]) for batch in held]
        rest = [batch[rows:] for batch in held]
