"""The refilter stage: other rules for what dedup left, such as a precise classifier after one that recalls.

`filter` decides early, on all documents; `refilter` decides on the documents and texts that every stage before it
left. `refiltered/` holds the signals that its rules need, measured on those texts; `decisions/refilter/` is made from
them, so other thresholds measure nothing again. Refuses rules that edit texts: those belong to `filter`.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.store import fate
from ....corpus.store.schema import DECISIONS
from ....corpus.store.shards import read_batches
from ....corpus.store.workspace import Workspace
from ....filters.rule_sets import DECIDED, Compiled, compiled
from ....filters.signals.families import Family, families, known_families, measure_batch
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.held.rows import KeepById, documents
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..filter.stage import Measured, aligned
from .settings import RefilterCall as RefilterCall
from .settings import RefilterSettings as RefilterSettings

STAGE, DECISIONS_TABLE, SIGNALS = "refilter", "decisions/refilter", "refiltered"


def _known(settings: Measured) -> dict[str, Family]:
    return known_families(settings.classifiers, settings.urls, settings.segmenter)


def _compiled(settings: RefilterCall) -> tuple[Compiled, list[Family]]:
    known = _known(settings)
    rules = compiled(settings.rules, families=known)[0]
    return rules, families(rules.signals, known=known)


def refilter(
    workspace: Workspace, settings: RefilterSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Measure what the rules need on the documents that are left, and decide."""
    made_with = {name: getattr(settings, name) for name in Measured.model_fields}
    asked = RefilterCall(rules=settings.check(), **made_with)
    measured = run_stage(MEASURE, workspace, asked, options, force, quiet)
    summary = run_stage(REFILTER, workspace, asked, options, force, quiet)
    return summary | {"tables": measured["tables"] | summary["tables"]}


REFILTER: Stage[RefilterCall] = Stage(
    name=STAGE,
    version=1,
    tables=(DECISIONS_TABLE,),
    inputs=lambda workspace, settings: {},
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, decide_shard), plan),
    items=lambda plan: _items(plan, (SIGNALS,)),
    before=chain_before(STAGE),
    redecides=True,
    recorded=lambda settings: {"families": _measured(settings), "rules": settings.rules.model_dump(mode="json")},
)
MEASURE: Stage[RefilterCall] = Stage(
    name=SIGNALS,
    command=STAGE,
    version=1,
    tables=(SIGNALS,),
    inputs=lambda workspace, settings: {},
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, measure_shard), plan),
    items=lambda plan: _items(plan, ()),
    redecides=True,
    recorded=lambda settings: {"families": _measured(settings)},
    by_document=True,
    keep=KeepById(documents),
)


def _measured(settings: RefilterCall) -> list[Any]:
    return [family.recorded for family in _compiled(settings)[1]]


def _items(plan: Plan[RefilterCall], tables: tuple[str, ...]) -> list[Work]:
    """Every shard of documents/, with the shards of these tables that bear its name."""
    items = []
    manifests = [plan.workspace.table(name).finished(STAGE) for name in tables]
    for name, source in fate.sources(plan.workspace, STAGE, chain_before(STAGE)).items():
        beside = {manifest.table: manifest.by_name[name] for manifest in manifests}
        urls = {table: plan.workspace.table(table).file_url(shard) for table, shard in beside.items()}
        items.append(Work.of(source, urls, **{f"{table}/{name}": shard.content for table, shard in beside.items()}))
    return items


def measure_shard(plan: Plan[RefilterCall], work: Work) -> Iterator[Report]:
    """Signals of the documents of one shard that are left."""
    wanted = _compiled(plan.settings)[1]
    needed = sorted({"id", *(name for f in wanted for name in (f.column or "text", *f.beside))})
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), *((f.name, f.type) for f in wanted)])
    with plan.writer(SIGNALS, work.name, schema) as out:
        for batch in work.documents.read(needed):
            measured = measure_batch(batch, wanted)
            rows = [batch["id"].cast(pa.string()), *(measured[family.name] for family in wanted)]
            out.write_batch(pa.RecordBatch.from_arrays(rows, schema=schema))
        out.counts["documents"] = out.rows
    yield SIGNALS, out.shard


def decide_shard(plan: Plan[RefilterCall], work: Work) -> Iterator[Report]:
    """Decisions of one shard, from its signals."""
    rules = _compiled(plan.settings)[0]
    columns = ["id", *sorted(rules.columns - {"id"})]
    decided = [DECIDED.empty_table()]
    for document, measured in aligned([work.documents.read(columns), read_batches(work.load[SIGNALS], None)]):
        table = {name: document[name] for name in columns}
        for name in rules.signals:
            table[name] = pa.chunked_array([_some(measured[name].combine_chunks(), rules.schema.field(name).type)])
        decided.append(rules.decide(pa.table(table), STAGE, False).cast(DECIDED))
    whole = pa.concat_tables(decided)
    kept = int(pc.sum(whole["kept"]).as_py() or 0)
    with plan.writer(DECISIONS_TABLE, work.name, DECISIONS) as out:
        for batch in whole.select(DECISIONS.names).cast(DECISIONS).combine_chunks().to_batches(1 << 16):
            out.write_batch(batch)
        out.counts |= {"in": len(whole), "kept": kept, "dropped": len(whole) - kept, "failed": 0}
    yield DECISIONS_TABLE, out.shard


def _some(struct: Any, asked: pa.StructType) -> pa.StructArray:
    """Those fields of a struct array that the rules read."""
    return pa.StructArray.from_arrays([struct.field(field.name) for field in asked], fields=list(asked))
