"""The refilter stage: other rules for what dedup left, such as a precise classifier after one that recalls.

`filter` decides early, on all documents; `refilter` decides on the documents and texts that every stage before it
left. `refiltered/` holds the signals that its rules need, measured on those texts; `decisions/refilter/` is made from
them, so other thresholds measure nothing again. Refuses rules that edit texts: those belong to `filter`.
"""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from ...corpus.store import fate
from ...corpus.store.errors import RequestError
from ...corpus.store.schema import DECISIONS
from ...corpus.store.shards import committed, fingerprint, open_shard, read_batches
from ...corpus.store.workspace import Workspace
from ...filters.rule_sets import DECIDED, Compiled, RuleSet, compiled, load_rules
from ...filters.signals.families import Family, families, known_families, measure_batch
from ..engine.runner import RunnerOptions
from ..engine.stage import Plan, Report, Stage, run_stage, shard_graph
from .filter import Measured, aligned

STAGE, DECISIONS_TABLE, SIGNALS = "refilter", "decisions/refilter", "refiltered"


class RefilterSettings(Measured, frozen=True, extra="forbid"):
    """Settings of the command."""

    rules: str | RuleSet  # a bundled rule set, the path of a YAML file, or the rules themselves

    def check(self) -> RuleSet:
        """The rules; a RequestError where they name an unknown signal or edit texts."""
        rules = load_rules(self.rules)
        if rules.edits:
            raise RequestError(f"{rules.name}: rules that cut lines or mask edit texts, which only filter does")
        compiled(rules, families=_known(self))
        return rules


class Again(Measured, frozen=True, extra="forbid"):
    """The rules themselves, not their name: a file may change under its name."""

    rules: RuleSet


def _known(settings: Measured) -> dict[str, Family]:
    return known_families(settings.classifiers, settings.urls, settings.segmenter)


def _compiled(settings: Again) -> tuple[Compiled, list[Family]]:
    known = _known(settings)
    rules = compiled(settings.rules, families=known)[0]
    return rules, families(rules.signals, known=known)


def refilter(
    workspace: Workspace, settings: RefilterSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Measure what the rules need on the documents that are left, and decide."""
    made_with = {name: getattr(settings, name) for name in Measured.model_fields}
    return run_stage(REFILTER, workspace, Again(rules=settings.check(), **made_with), options, force, quiet)


def _recorded(settings: Again, table: str) -> dict[str, Any]:
    measured = {"families": [family.recorded for family in _compiled(settings)[1]]}
    return measured if table == SIGNALS else measured | {"rules": settings.rules.model_dump(mode="json")}


def _shards(workspace: Workspace) -> list[tuple[str, str]]:
    return [(shard.name, shard.checksum) for shard in workspace.table(fate.BEFORE).finished(STAGE).shards]


def _graph(pipeline: beam.Pipeline, plan: Plan[Again]) -> beam.PCollection:
    return shard_graph(pipeline, plan, _shards(plan.workspace), refilter_shard, tables=REFILTER.tables)


REFILTER: Stage[Again] = Stage(
    name=STAGE,
    version=1,
    tables=(DECISIONS_TABLE, SIGNALS),
    inputs=lambda workspace, settings: fate.inputs(workspace, STAGE, until=STAGE),
    graph=_graph,
    work=lambda workspace, settings: len(_shards(workspace)),
    redecides=True,
    recorded=lambda settings: _recorded(settings, DECISIONS_TABLE),
    recorded_of=_recorded,
)


def refilter_shard(plan: Plan[Again], item: tuple[str, str]) -> Iterator[Report]:
    """Signals and decisions of one shard."""
    shard, checksum = item
    rules, wanted = _compiled(plan.settings)
    made_from = (checksum, sorted(plan.inputs.items()))
    stamps = {name: fingerprint(STAGE, plan.version, _recorded(plan.settings, name), *made_from)
              for name in REFILTER.tables}  # fmt: skip
    urls = {name: plan.workspace.table(name).shard_url(shard) for name in REFILTER.tables}
    if committed(urls[SIGNALS], stamps[SIGNALS]) is None:
        needed = sorted({"id", *(name for f in wanted for name in (f.column or "text", *f.beside))})
        schema = pa.schema([pa.field("id", pa.string(), nullable=False), *((f.name, f.type) for f in wanted)])
        with open_shard(urls[SIGNALS], schema, stamps[SIGNALS]) as out:
            for batch in fate.read_kept(plan.workspace, shard, needed, until=STAGE):
                measured = measure_batch(batch, wanted)
                rows = [batch["id"].cast(pa.string()), *(measured[family.name] for family in wanted)]
                out.write_batch(pa.RecordBatch.from_arrays(rows, schema=schema))
            out.counts["documents"] = out.rows
    if committed(urls[DECISIONS_TABLE], stamps[DECISIONS_TABLE]) is None:
        _decide(plan, shard, rules, urls, stamps)
    for name in reversed(REFILTER.tables):
        yield name, committed(urls[name], stamps[name])


def _decide(plan: Plan[Again], shard: str, rules: Compiled, urls: dict[str, str], stamps: dict[str, str]) -> None:
    columns = ["id", *sorted(rules.columns - {"id"})]
    documents = fate.read_kept(plan.workspace, shard, columns, until=STAGE)
    decided = [DECIDED.empty_table()]
    for document, measured in aligned([documents, read_batches(urls[SIGNALS], None)]):
        table = {name: document[name] for name in columns}
        for name in rules.signals:
            table[name] = pa.chunked_array([_some(measured[name].combine_chunks(), rules.schema.field(name).type)])
        decided.append(rules.decide(pa.table(table), STAGE, False).cast(DECIDED))
    whole = pa.concat_tables(decided)
    kept = int(pc.sum(whole["kept"]).as_py() or 0)
    with open_shard(urls[DECISIONS_TABLE], DECISIONS, stamps[DECISIONS_TABLE]) as out:
        for batch in whole.select(DECISIONS.names).cast(DECISIONS).combine_chunks().to_batches(1 << 16):
            out.write_batch(batch)
        out.counts |= {"in": len(whole), "kept": kept, "dropped": len(whole) - kept, "failed": 0}


def _some(struct: Any, asked: pa.StructType) -> pa.StructArray:
    """Those fields of a struct array that the rules read."""
    return pa.StructArray.from_arrays([struct.field(field.name) for field in asked], fields=list(asked))
