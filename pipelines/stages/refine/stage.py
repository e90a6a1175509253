"""The refine stage (ProX): a program for each surviving document, run under the safety rules.

Reads what the filter kept; writes `edits/refine/` (the new text and what was cut), `programs/` (what each document's
program was and who wrote it) and `decisions/refine/`. Documents without anything to do have a decision and no edit.
A document whose program could not be had stays as it is, counted as `unrefined`. Refuses an engine without settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ....corpus.store import fate
from ....corpus.store.errors import RequestError
from ....corpus.store.schema import DECISIONS, EDITS
from ....corpus.store.shards import fingerprint, read_batches
from ....corpus.store.workspace import Workspace
from ....proxy_models.engines.cache import RequestCache, cache_path
from ....proxy_models.engines.engine import Spending, answer
from ....proxy_models.engines.open import engine_settings, open_engine
from ....proxy_models.rewriting.programs import Program, ProgramOutcome, difference, execute, parse
from ....proxy_models.rewriting.refine import program_of, refine_requests
from ....proxy_models.rewriting.refine_model import LineModel, load_line_model, train_line_model
from ....proxy_models.rewriting.refine_rules import refine_program
from ....proxy_models.rewriting.rephrase_chunks import token_counter
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.stage import Plan, Stage
from .settings import RefineSettings as RefineSettings

STAGE = "refine"
TABLES = ("decisions/refine", "programs", "edits/refine")
PROGRAMS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("program", pa.string(), nullable=False),
        pa.field("errors", pa.list_(pa.string()), nullable=False),
        pa.field("written_by", pa.string(), nullable=False),  # rules, model or engine
    ]
)
Rows = list[dict[str, Any]]


def refine_recorded(settings: RefineSettings) -> dict[str, Any]:
    """Who writes the programs, by content rather than by path."""
    told: dict[str, Any] = {"by": settings.by}
    if settings.line_model is not None:
        model = load_line_model(settings.line_model)
        told["model"] = fingerprint(model.weights.tobytes().hex(), model.bias, model.threshold)
    if settings.engine is not None:
        told |= settings.model_dump(include={"dialect", "window_tokens", "tokenizer"})
        told["engine"] = engine_settings(settings.engine).recorded()
    return told


def refine_sources(workspace: Workspace) -> Mapping[str, fate.ShardSource]:
    """What the stages before this one left."""
    return fate.sources(workspace, STAGE, chain_before(STAGE))


REFINE: Stage[RefineSettings] = Stage(
    name=STAGE,
    version=2,  # thoughts are known by more marks
    tables=TABLES,
    inputs=lambda workspace, settings: {},
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, refine_shard), plan),
    items=lambda plan: (Work.of(source) for source in refine_sources(plan.workspace).values()),
    before=chain_before(STAGE),
    recorded=refine_recorded,
)


def refine_shard(plan: Plan[RefineSettings], work: Work) -> Iterator[Report]:
    """One shard of documents -> its programs, edits and decisions."""
    documents = [
        (id, text)
        for batch in work.documents.read(["id", "text"])
        for id, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True)
    ]
    programs, spending = write_programs(plan.workspace, plan.settings, [text for _, text in documents])
    outcomes = [execute(text, program) for (_, text), program in zip(documents, programs, strict=True)]
    decisions, edits, written = _rows(documents, programs, outcomes, plan.settings.by)
    kept = sum(row["kept"] for row in decisions)
    counts = {"in": len(documents), "kept": kept, "dropped": len(documents) - kept, "failed": 0, "edited": len(edits)}
    counts["unrefined"] = sum(bool(program.errors) and not program.operations for program in programs)
    if plan.settings.by == "engine":
        counts |= spending.counts()
    for table, schema, rows in (
        ("edits/refine", EDITS, edits),
        ("programs", PROGRAMS, written),
        ("decisions/refine", DECISIONS, decisions),
    ):
        with plan.writer(table, work.name, schema) as out:
            out.write_rows(rows)
            out.counts = counts if table == "decisions/refine" else {"rows": len(rows)}
        yield table, out.shard


def write_programs(
    workspace: Workspace, settings: RefineSettings, texts: Sequence[str]
) -> tuple[list[Program], Spending]:
    """A program for each text, by whoever the settings name."""
    if settings.by == "rules":
        return [refine_program(text) for text in texts], Spending()
    if settings.line_model is not None:
        model = load_line_model(settings.line_model)
        return [model.program(text) for text in texts], Spending()
    assert settings.engine is not None
    engine = open_engine(engine_settings(settings.engine))
    count = token_counter(settings.tokenizer)
    asked = [refine_requests(text, count, settings.dialect, settings.window_tokens) for text in texts]
    with RequestCache(cache_path(workspace, settings.request_cache)) as cache:
        replies, spending = answer(engine, [request for requests in asked for request in requests], cache)
    programs, at = [], 0
    for requests in asked:
        programs.append(program_of(replies[at : at + len(requests)]))
        at += len(requests)
    return programs, spending


def _rows(
    documents: list[tuple[str, str]], programs: list[Program], outcomes: list[ProgramOutcome], by: str
) -> tuple[Rows, Rows, Rows]:
    """Rows of decisions, edits and programs."""
    decisions: Rows = []
    edits: Rows = []
    written: Rows = []
    for (id, text), program, outcome in zip(documents, programs, outcomes, strict=True):
        decided = {"rule": outcome.rule, "value": outcome.value, "threshold": outcome.threshold, "duplicate_of": None}
        decisions.append({"id": id, "kept": outcome.kept, "stage": STAGE, **decided})
        written.append({"id": id, "program": str(program), "errors": list(outcome.errors), "written_by": by})
        if outcome.kept and outcome.text != text:
            removed = [{"start": start, "end": end, "rule": rule} for start, end, rule in outcome.removed]
            edits.append({"id": id, "text": outcome.text, "removed": removed})
    return decisions, edits, written


def preview(workspace: Workspace, settings: RefineSettings, most: int) -> Iterator[tuple[str, str]]:
    """(id, difference) for the first documents that would change; writes nothing but the request cache."""
    found = 0
    for source in refine_sources(workspace).values():
        for batch in source.read(["id", "text"]):
            for start in range(0, batch.num_rows, 32):
                part = batch.slice(start, 32)
                texts = part["text"].to_pylist()
                programs, _ = write_programs(workspace, settings, texts)
                for id, text, program in zip(part["id"].to_pylist(), texts, programs, strict=True):
                    outcome = execute(text, program)
                    if not outcome.kept or outcome.text != text:
                        yield id, f"dropped: {outcome.rule}" if not outcome.kept else difference(text, outcome)
                        found += 1
                        if found == most:
                            return


def learn(workspace: Workspace, threshold: float = 0.5) -> LineModel:
    """A line model from the programs that the stage wrote, which must have come from somewhere better than itself."""
    table = workspace.table("programs")
    manifest = table.finished("learning a line model")
    if manifest.settings.get("by") == "model":
        raise RequestError("programs/ were written by a line model; learn from those of an engine or of the rules")
    pairs: list[tuple[str, str, Program]] = []
    sources = refine_sources(workspace)
    for shard in manifest.shards:
        written = {
            row["id"]: parse(row["program"])
            for batch in read_batches(table.file_url(shard), ["id", "program", "errors"])
            for row in batch.to_pylist()
            if not row["errors"]
        }
        for batch in sources[shard.name].read(["id", "text"]):
            for row in batch.to_pylist():
                if row["id"] in written:
                    pairs.append((row["id"], row["text"], written[row["id"]]))
    return train_line_model(
        ((text, program) for _, text, program in sorted(pairs, key=lambda pair: pair[0])), threshold
    )
