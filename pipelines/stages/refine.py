"""The refine stage (ProX): a program for each surviving document, run under the safety rules.

Reads what the filter kept; writes `edits/refine/` (the new text and what was cut), `programs/` (what each document's
program was and who wrote it) and `decisions/refine/`. Documents without anything to do have a decision and no edit.
A document whose program could not be had stays as it is, counted as `unrefined`. Refuses an engine without settings.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import apache_beam as beam
import pyarrow as pa
from pydantic import BaseModel, Field, model_validator

from ...corpus.store import fate
from ...corpus.store.calls import File
from ...corpus.store.errors import RequestError
from ...corpus.store.schema import DECISIONS, EDITS
from ...corpus.store.shards import committed, fingerprint, open_shard, read_batches
from ...corpus.store.workspace import Workspace
from ...proxy_models.engines.cache import RequestCache, cache_path
from ...proxy_models.engines.engine import Spending, answer
from ...proxy_models.engines.open import engine_settings, open_engine
from ...proxy_models.rewriting.programs import Outcome, Program, difference, execute, parse
from ...proxy_models.rewriting.refine import Dialect, program_of, refine_requests
from ...proxy_models.rewriting.refine_model import LineModel, load_line_model, train_line_model
from ...proxy_models.rewriting.refine_rules import refine_program
from ...proxy_models.rewriting.rephrase_chunks import token_counter
from ..engine.stage import Plan, Report, Stage, shard_graph

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


class RefineSettings(BaseModel, frozen=True, extra="forbid"):
    """Who writes the programs."""

    by: Literal["rules", "model", "engine"] = "rules"
    line_model: File | None = Field(None, description="what --learn wrote, for --by model")
    engine: dict[str, Any] | None = Field(None, description="engine settings, for --by engine")
    dialect: Dialect = "instruct"
    window_tokens: int = Field(1500, ge=50)
    tokenizer: File | None = Field(
        None, description="tokenizer.json that counts the windows' tokens; default: estimate"
    )
    request_cache: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> "RefineSettings":
        for who, given, option in (
            ("model", self.line_model, "--line-model"),
            ("engine", self.engine, "--endpoint, --model or --engine"),
        ):
            if (self.by == who) != (given is not None):
                raise ValueError(f"--by {who} and {option} go together")
        return self


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


def refine_inputs(workspace: Workspace, settings: RefineSettings) -> dict[str, str]:
    return fate.inputs(workspace, STAGE, until=STAGE)


def refine_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    shards = plan.workspace.table(fate.BEFORE).finished(STAGE).shards
    return shard_graph(pipeline, plan, [s.name for s in shards], refine_shard, tables=TABLES)


REFINE: Stage[RefineSettings] = Stage(
    name=STAGE,
    version=1,
    tables=TABLES,
    inputs=refine_inputs,
    graph=refine_graph,
    work=lambda workspace, settings: len(workspace.table(fate.BEFORE).finished(STAGE).shards),
    recorded=refine_recorded,
)


def refine_shard(plan: Plan, shard: str) -> Iterator[Report]:
    """One shard of documents -> its programs, edits and decisions; the decisions last, for they mark it as done."""
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    urls = {table: plan.workspace.table(table).shard_url(shard) for table in TABLES}
    present = {table: committed(url, stamp) for table, url in urls.items()}
    if all(present.values()):
        yield from present.items()
        return
    documents = [
        (id, text)
        for batch in fate.read_kept(plan.workspace, shard, ["id", "text"], until=STAGE)
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
        with open_shard(urls[table], schema, stamp) as out:
            out.write_rows(rows)
            out.counts = counts if table == "decisions/refine" else {"rows": len(rows)}
        yield table, committed(urls[table], stamp)


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
    documents: list[tuple[str, str]], programs: list[Program], outcomes: list[Outcome], by: str
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
    refine_inputs(workspace, settings)
    found = 0
    for shard in workspace.table(fate.BEFORE).finished(STAGE).shards:
        for batch in fate.read_kept(workspace, shard.name, ["id", "text"], until=STAGE):
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
    for shard in manifest.shards:
        written = {
            row["id"]: parse(row["program"])
            for batch in read_batches(table.shard_url(shard.name), ["id", "program", "errors"])
            for row in batch.to_pylist()
            if not row["errors"]
        }
        for batch in fate.read_kept(workspace, shard.name, ["id", "text"], until=STAGE):
            for row in batch.to_pylist():
                if row["id"] in written:
                    pairs.append((row["id"], row["text"], written[row["id"]]))
    return train_line_model(
        ((text, program) for _, text, program in sorted(pairs, key=lambda pair: pair[0])), threshold
    )
