"""The filter stage: measure signals once, decide from them as often as the rules change.

`signals/<family>/` holds one struct column a family, measured from the text; `decisions/filter/` is made from stored
signals alone, so other rules never touch the text again, and a rule that needs a family not yet measured has only
that one measured. Line rules cut lines out of texts and are the exception: they read it; `edits/filter/` has the new
text with what was cut. `failing_rules/` tells every rule that a document failed, where it is asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.columns.carried import FOLDER
from ....corpus.columns.views import ShardExtra
from ....corpus.store.errors import MissingExtra, WorkspaceError
from ....corpus.store.fate import ShardSource, beside_documents
from ....corpus.store.freshness import reasons
from ....corpus.store.schema import DECISIONS, EDITS
from ....corpus.store.shards import fingerprint, read_batches
from ....corpus.store.workspace import Workspace
from ....filters.cuts import CutBatch, cut_lines, masked
from ....filters.rule_sets import DECIDED, Compiled, Rule, RuleSet, compiled, load_rules
from ....filters.signals import by_language
from ....filters.signals.families import EXTRA, Family, families, measure_batch
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.held.rows import KeepById, documents
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..tag.columns import FAMILY, learnt
from .settings import DecideSettings as DecideSettings
from .settings import FilterSettings as FilterSettings
from .settings import Measured as Measured
from .settings import MeasureSettings as MeasureSettings

STAGE = "filter"
DECISIONS_TABLE, FAILING, EDITS_TABLE = "decisions/filter", "failing_rules", "edits/filter"
URLS, SEGMENTED = "url", "gopher@fineweb2"  # families that need lists, or may need a segmenter
LISTED = Rule(rule="listed_url", value="url.listed", threshold=0, keep="value <= threshold")  # unless the rules use it
READ = 2048  # documents that are measured at once
MADE_HERE = ("kept", "removed", EXTRA)  # families that line rules make or documents came with, not measured ahead
FAILING_SCHEMA = pa.schema([DECIDED.field("id"), DECIDED.field("failing")])


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
    missing = _missing(workspace, wanted)
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


def _missing(workspace: Workspace, wanted: Sequence[Family]) -> tuple[str, ...]:
    """Families that are not measured on every document as it is now, by their present version."""
    missing = []
    for family in wanted:
        manifest = workspace.table(f"signals/{family.name}").manifest()
        if manifest is None or manifest.settings != family.recorded or reasons(workspace, manifest.commit):
            missing.append(family.name)
    return tuple(missing)


def measure_stage(names: tuple[str, ...], known: dict[str, Family]) -> Stage[MeasureSettings]:
    """The stage that measures these families in one pass; each is a result of its own."""
    tables = tuple(f"signals/{name}" for name in names)
    return Stage(
        name="signals",
        command=STAGE,
        version=1,
        tables=tables,
        inputs=lambda workspace, settings: {},
        graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, measure_shard), plan),
        items=lambda plan: _items(plan, _own_columns(plan) if any(EXTRA in known[n].beside for n in names) else ()),
        parts=lambda settings: {table: (table,) for table in tables},
        redecides=True,
        recorded=lambda settings: {},
        recorded_of=lambda settings, table: known[table.removeprefix("signals/")].recorded,
        by_document=True,
        keep=KeepById(documents, READ),
    )


def _items(plan: Plan[Any], tables: Sequence[str]) -> Iterator[Work]:
    """Every shard of documents/, with the shards of these tables that bear its name."""
    manifests = {name: plan.workspace.table(name).finished(STAGE) for name in ("documents", *tables)}
    for shard, found in beside_documents(manifests):
        urls = {name: f"{plan.workspace.table(name).url}/{file}" for name, (file, _, _) in found.items()}
        made_from = {f"{name}/{shard}": content for name, (_, content, _) in found.items()}
        yield Work(shard, made_from, ShardSource(shard, urls.pop("documents")), urls)


_FAMILIES: list[tuple[Plan[Any], dict[str, Family]]] = []  # of the last plans that arrived here


def _known(plan: Plan[Any]) -> dict[str, Family]:
    """The families there are, worked out once for a plan, which is as it was when its run began."""
    for own, known in _FAMILIES:
        if own is plan:
            return known
    known = plan.settings.known(plan.workspace)
    _FAMILIES[:] = [*_FAMILIES[-3:], (plan, known)]
    return known


def measure_shard(plan: Plan[MeasureSettings], work: Work) -> Iterator[Report]:
    """Signals of one shard of documents, every family that lacks it from the same pass."""
    absent = families([name.removeprefix("signals/") for name in work.parts], known=_known(plan))
    with ExitStack() as stack:
        out = {f.name: stack.enter_context(plan.writer(f"signals/{f.name}", work.name, f.schema)) for f in absent}
        columns = sorted({"id", *(name for f in absent for name in (f.column or "text", *f.beside))} - {EXTRA})
        own = ShardExtra(plan.workspace, work.name) if any(EXTRA in f.beside for f in absent) else None
        for batch in work.documents.read(columns, READ):
            if own is not None:
                batch = batch.append_column(EXTRA, own.of(batch["id"]))
            for name, column in measure_batch(batch, absent).items():
                rows = [batch["id"].cast(pa.string()), column]
                out[name].write_batch(pa.RecordBatch.from_arrays(rows, schema=out[name].schema))
        for writer in out.values():
            writer.counts["documents"] = writer.rows
    for name, writer in out.items():
        yield f"signals/{name}", writer.shard


def _tables(settings: DecideSettings) -> tuple[str, ...]:
    """What these rules write, the marker first."""
    edits = (EDITS_TABLE,) if settings.rules.edits else ()
    return (DECISIONS_TABLE, *edits, *((FAILING,) if settings.all_failing else ()))


def _asked(rules: Compiled) -> list[str]:
    return sorted(set(rules.signals) - {*MADE_HERE})


def decide_stage(settings: DecideSettings) -> Stage[DecideSettings]:
    """The stage that decides from stored signals; other rules replace its tables without --force."""
    return Stage(
        name=STAGE,
        version=1,
        tables=_tables(settings),
        inputs=_decide_inputs,
        graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, decide_shard), plan),
        items=_decide_items,
        before=chain_before(STAGE),
        redecides=True,
        by_document=True,
    )


def _decide_items(plan: Plan[DecideSettings]) -> Iterator[Work]:
    rules = compiled(plan.settings.rules, families=plan.settings.known(plan.workspace))[0]
    own = _own_columns(plan) if EXTRA in rules.signals else ()
    return _items(plan, [*(f"signals/{name}" for name in _asked(rules)), *own])


def _own_columns(plan: Plan[Any]) -> list[str]:
    """Tables of the columns that documents came with."""
    return [table.name for table in plan.workspace.tables() if table.name.split("/")[0] == FOLDER]


def _decide_inputs(workspace: Workspace, settings: DecideSettings) -> dict[str, str]:
    """The types of the documents' own columns, where rules read them: another schema that came in may change them."""
    rules = compiled(settings.rules, families=settings.known(workspace))[0]
    return {"type:extra": fingerprint(str(rules.schema.field(EXTRA).type))} if EXTRA in rules.signals else {}


def decide_shard(plan: Plan[DecideSettings], work: Work) -> Iterator[Report]:
    """Decisions of one shard, from its signals; the text is read only where there are line rules."""
    edits: list[dict[str, Any]] = []
    decided = [DECIDED.empty_table()]
    rules, lines = compiled(plan.settings.rules, families=_known(plan))
    for rows in signal_rows(plan.workspace, work, rules, plan.settings.rules.edits):
        cut = None
        if lines is not None and plan.settings.rules.lines is not None:
            cut = cut_lines(rows["text"].combine_chunks(), plan.settings.rules.lines, lines)
            rows = rows.append_column("kept", cut.kept).append_column("removed", cut.removed)
        decided.append(rules.decide(rows, STAGE, plan.settings.all_failing).cast(DECIDED))
        if plan.settings.rules.edits:
            edits += _edits(rows, decided[-1], cut, plan.settings.rules)
    yield from _write_decided(plan, work.name, pa.concat_tables(decided), edits)


def _edits(rows: pa.Table, decided: pa.Table, cut: CutBatch | None, rules: RuleSet) -> Iterator[dict[str, Any]]:
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
    plan: Plan[DecideSettings], name: str, decided: pa.Table, edits: list[dict[str, Any]]
) -> Iterator[Report]:
    tables = _tables(plan.settings)
    if EDITS_TABLE in tables:
        with plan.writer(EDITS_TABLE, name, EDITS) as out:
            out.write_rows(edits)
            out.counts["documents"] = len(edits)
        yield EDITS_TABLE, out.shard
    if FAILING in tables:
        with plan.writer(FAILING, name, FAILING_SCHEMA) as out:
            for batch in decided.select(FAILING_SCHEMA.names).to_batches():
                out.write_batch(batch)
        yield FAILING, out.shard
    kept = int(pc.sum(decided["kept"]).as_py() or 0)
    with plan.writer(DECISIONS_TABLE, name, DECISIONS) as out:
        for batch in decided.select(DECISIONS.names).cast(DECISIONS).combine_chunks().to_batches(1 << 16):
            out.write_batch(batch)
        out.counts |= {"in": len(decided), "kept": kept, "dropped": len(decided) - kept, "failed": 0}
    yield DECISIONS_TABLE, out.shard


def signal_rows(workspace: Workspace, work: Work, rules: Compiled, text: bool = False) -> Iterator[pa.Table]:
    """Rows of one shard, in its order: the columns that the rules read, and the text only where it is asked for."""
    columns = ["id", *sorted(rules.columns - {"id"}), *(["text"] if text else [])]
    rows = 1 << 11 if text else 1 << 16
    sources = [read_batches(work.documents.documents, columns, rows)]
    names = _asked(rules)
    for name in names:
        wanted = ["id", *(f"{name}.{column}" for column in rules.signals[name])]
        sources.append(read_batches(work.load[f"signals/{name}"], wanted, rows))
    own = ShardExtra(workspace, work.name, rules.signals[EXTRA]) if EXTRA in rules.signals else None
    for parts in aligned(sources):
        for name, part in zip(names, parts[1:], strict=True):
            if not part["id"].equals(parts[0]["id"]):
                raise WorkspaceError(
                    f"signals/{name}/{work.name} in {workspace.url} does not follow documents/{work.name}; "
                    f"run: gristmill filter --workspace {workspace.url} --force"
                )
        table = {column: parts[0][column] for column in columns}
        for name, part in zip(names, parts[1:], strict=True):
            table[name] = part[name].cast(rules.schema.field(name).type)
        if own is not None:
            table[EXTRA] = own.of(parts[0]["id"].combine_chunks()).cast(rules.schema.field(EXTRA).type)
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
            raise WorkspaceError("tables of one shard differ in length; run: gristmill filter --force")
        rows = min(batch.num_rows for batch in held)
        yield [pa.Table.from_batches([batch[:rows]]) for batch in held]
        rest = [batch[rows:] for batch in held]
