"""Extract documents from crawls and files: pieces of input in, shards of `documents/` out.

Writes four tables with the same shard names: `documents/`, `failures/extract/`, `captures/` (records of crawls, with
the revisits: the view `revisits` finds their originals) and `inputs/` (what was read of which file), and
`columns/<schema>/` for what rows held beside. A second call with other inputs adds their shards and redoes none; a call
with the same inputs does nothing. An input that has other bytes by now replaces its earlier version. Refuses inputs
that do not exist, and other settings over the same workspace unless forced.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from ....corpus.columns.carried import FOLDER, ColumnsWriter
from ....corpus.languages.identification import check_model
from ....corpus.languages.identification import identity as model_identity
from ....corpus.metadata.licences import class_of, settled
from ....corpus.metadata.page import Sent
from ....corpus.planning.identity import EDGE, document_id, part_checksum
from ....corpus.planning.ledger import Ledger, Lot, Piece
from ....corpus.readers.records import Raw, Reading, read_piece
from ....corpus.removals import OptOut, read_optout
from ....corpus.store import schema
from ....corpus.store.shards import Shard, read_batches
from ....corpus.store.workspace import Workspace
from ....corpus.text.extraction import ENGINES, check_engine
from ....corpus.text.normalising import check_repair
from ....corpus.text.pages import Job, Options, Outcome, work_on
from ....corpus.text.sandbox import sandbox
from ...engine.beam import beam
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.leases import writing
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from .cutting import AT_ONCE, COUNTED, cut_shard
from .planned import Asked, Task, planned, tasks
from .settings import ExtractSettings as ExtractSettings

TABLES = ("documents", "failures/extract", "captures", "inputs")
TOLD_FILES = 1000  # files that the manifest lists; beyond, `inputs/` alone has them


def recorded(settings: ExtractSettings) -> dict[str, Any]:
    """The settings that decide a document's bytes: not which files were added by which call, nor the cut of shards."""
    return settings.model_dump(
        mode="json", exclude={"inputs", "shard_bytes", "sandbox", "language_model", "keep_versions"}
    ) | {"language_model": model_identity(settings.language_model) if settings.language_model else None}


def checked(workspace: Workspace, settings: ExtractSettings) -> dict[str, str]:
    """Nothing but what the ledger holds is read; refuses an engine or a model that is not to be had."""
    check_engine(settings.engine)
    if settings.repair_mojibake:
        check_repair()
    if settings.language_model:
        check_model(settings.language_model)
    return {}


def graph(pipeline: beam.Pipeline, plan: Plan[ExtractSettings]) -> beam.PCollection:
    return commit(map_shards(pipeline, plan, process), plan)


def details(
    plan: Plan[ExtractSettings], shards: Mapping[str, Sequence[Shard]], _: list[dict[str, Any]], ledger: Ledger
) -> dict[str, Any]:
    """Each input file with its counts, and the files that repeated another; shards that were told of are not read."""
    taken = ledger.taken()
    held = plan.workspace.table("inputs").manifest()
    before = plan.workspace.table(TABLES[0]).manifest()
    told: dict[str, Any] = {
        "files": len(taken),
        "repeats": [{"path": f.path, "repeats": taken[f.file].path} for f in ledger.files if f.repeat],
        "ignored": {},
    }
    per_file: dict[str, dict[str, int]] | None = {}
    known: set[str] = set()
    if held is not None and before is not None and {s.file for s in held.shards} <= {s.file for s in shards["inputs"]}:
        known = {shard.file for shard in held.shards}
        told["ignored"] = dict(before.details.get("ignored", {}))
        per_file = {name: dict(own) for name, own in before.details["per_file"].items()} if "per_file" in (
            before.details
        ) else None  # fmt: skip
    table = plan.workspace.table("inputs")
    for shard in shards["inputs"]:
        if shard.file in known:
            continue
        for batch in read_batches(table.file_url(shard)):
            for row in batch.to_pylist():
                for kind in row["ignored_by_type"]:
                    told["ignored"][kind["type"]] = told["ignored"].get(kind["type"], 0) + kind["count"]
                if per_file is not None:
                    counts = per_file.setdefault(row["path"], dict.fromkeys(COUNTED, 0))
                    for name in COUNTED:
                        counts[name] += row[name]
    told["ignored"] = dict(sorted(told["ignored"].items()))
    if per_file is not None and len(per_file) <= TOLD_FILES:
        told["per_file"] = dict(sorted(per_file.items()))
    return told


INPUTS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # below what was named
        pa.field("file", pa.string(), nullable=False),  # fingerprint that ids are made from
        pa.field("format", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        ("end", pa.int64()),
        pa.field("seen", pa.string(), nullable=False),  # quick fingerprint of the file
        pa.field("size", pa.int64(), nullable=False),  # bytes of the file, -1 where they were not known
        ("checksum", pa.string()),  # of the part, where the quick fingerprint does not cover the whole file
        *(pa.field(name, pa.int64(), nullable=False) for name in COUNTED),
        ("ignored_by_type", pa.list_(pa.struct([("type", pa.string()), ("count", pa.int64())]))),
    ]
)


def process(plan: Plan[ExtractSettings], work: Work) -> Iterator[Report]:
    """One shard of documents, with its failures and its account of the input."""
    task: Task = work.load
    lot = task.lot
    if task.cut:
        yield from cut_shard(plan, lot, task.cut, TABLES)
        return
    with ExitStack() as stack:
        documents = stack.enter_context(plan.writer("documents", lot.name, schema.DOCUMENTS))
        failures = stack.enter_context(plan.writer("failures/extract", lot.name, schema.FAILURES))
        captures = stack.enter_context(plan.writer("captures", lot.name, schema.CAPTURES))
        account = stack.enter_context(plan.writer("inputs", lot.name, INPUTS))
        tally = Tally()
        aside = Aside(failures, captures, tally)
        own = ColumnsWriter(
            lambda table, kind: stack.enter_context(plan.writer(table, lot.name, kind)),
            plan.settings.kept,
            plan.settings.drop_columns,
        )
        documents.write_rows(_documents(plan.settings, lot, aside, own, read_optout(plan.workspace)))
        aside.flush()
        own.finish()
        account.write_rows(tally.rows)
        documents.counts = tally.counts()
        failures.counts = {"failed": documents.counts["failed"]}
    for table, out in (*zip(TABLES, (documents, failures, captures, account), strict=True), *own.written.items()):
        yield table, out.shard


class Tally:
    """Counts of a shard, by piece."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._ignored: dict[str, int] = {}

    def begin(self, piece: Piece) -> None:
        self._ignored = {}
        given: dict[str, Any] = {
            name: getattr(piece, name)
            for name in ("path", "file", "format", "source", "domain", "start", "end", "seen", "size")
        }
        given["checksum"] = _checksum(piece)
        self.rows.append({**given, **dict.fromkeys(COUNTED, 0), "ignored_by_type": []})

    def count(self, raw: Raw, left_out: bool) -> None:
        row = self.rows[-1]
        row["records" if raw.counted else "gaps"] += 1
        if raw.ignored:
            row["ignored"] += 1
            self._ignored[raw.ignored] = self._ignored.get(raw.ignored, 0) + 1
            row["ignored_by_type"] = [{"type": k, "count": n} for k, n in sorted(self._ignored.items())]
        else:
            row["in"] += 1
            row["failed" if raw.error else "dropped" if left_out else "kept"] += 1

    def counts(self) -> dict[str, int]:
        return {name: sum(row[name] for row in self.rows) for name in COUNTED}


def _checksum(piece: Piece) -> str | None:
    """Of a part of a large file of this machine: what tells later whether it was changed in the middle."""
    rows = piece.format == "parquet"
    if piece.size <= 2 * EDGE or "://" in piece.place or (rows and piece.start):
        return None
    try:
        return part_checksum(piece.place, 0 if rows else piece.start, None if rows else piece.end)
    except OSError:
        return None  # reading it says what is wrong with it


@dataclass(frozen=True)
class Aside:
    """Where a shard writes what is no document."""

    failures: Any
    captures: Any
    tally: Tally
    failed: list[dict[str, Any]] = field(default_factory=list)
    captured: list[dict[str, Any]] = field(default_factory=list)

    def flush(self, least: int = 0) -> None:
        """Write what has gathered, in blocks; what is less than `least` rows goes on waiting."""
        for rows, table in ((self.failed, self.failures), (self.captured, self.captures)):
            while len(rows) >= max(least, 1):
                table.write_rows(rows[:AT_ONCE])
                del rows[:AT_ONCE]


BATCH_PAGES, BATCH_BYTES = 64, 4 << 20


def _documents(
    settings: ExtractSettings, lot: Lot, aside: Aside, own: ColumnsWriter, optout: OptOut
) -> Iterator[dict[str, Any]]:
    """Rows of the shard; failures, captures and columns are written aside as they come."""
    reading = Reading(settings.max_page_bytes, settings.naming())
    for piece in lot.pieces:
        aside.tally.begin(piece)
        for batch in _batches(read_piece(piece, reading)):
            jobs = [_job(raw) for raw in batch if _is_page(raw) and raw.body is not None]
            outcomes = _outcomes(settings, jobs)
            for raw in batch:
                outcome = next(outcomes) if _is_page(raw) else None
                if outcome is not None:
                    raw.error = outcome.error
                name = document_id(piece.file, raw.place, raw.inner)
                left_out = bool((outcome is not None or raw.ignored) and optout and optout.covers(name, raw.url))
                aside.tally.count(raw, left_out)
                if left_out:
                    continue
                if raw.error:
                    aside.failed.append(_failure(piece, raw))
                elif raw.capture is not None and (outcome is not None or raw.capture.revisit):
                    aside.captured.append({"id": name, "file": piece.file, "url": raw.url, **vars(raw.capture)})
                if outcome is not None and not raw.error:
                    document = _document(name, piece, raw, outcome)
                    if raw.columns is not None:
                        own.add(name, raw.columns, raw.body, document["text"])
                    yield document
            aside.flush(AT_ONCE)


def _is_page(raw: Raw) -> bool:
    return not raw.ignored and not raw.error


def _job(raw: Raw) -> Job:
    assert raw.body is not None
    captured = raw.capture.captured if raw.capture is not None else None
    return Job(raw.body, raw.markup, raw.charset, Sent(raw.url, raw.fields, captured) if raw.markup else None)


def _batches(raws: Iterator[Raw]) -> Iterator[list[Raw]]:
    """Records in runs of at most `BATCH_PAGES` and about `BATCH_BYTES`."""
    batch: list[Raw] = []
    size = 0
    for raw in raws:
        batch.append(raw)
        size += len(raw.body or "")
        if len(batch) >= BATCH_PAGES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _outcomes(settings: ExtractSettings, jobs: list[Job]) -> Iterator[Outcome]:
    options = Options(
        settings.engine,
        settings.output == "markdown",
        settings.headline,
        settings.captions,
        settings.normalise,
        settings.repair_mojibake,
        settings.language_model,
    )
    if settings.sandbox:
        return sandbox(options, settings.max_page_seconds).extract(jobs)
    return (work_on(job, options) for job in jobs)


def _document(name: str, piece: Piece, raw: Raw, outcome: Outcome) -> dict[str, Any]:
    """The row of a document. What the input itself states goes before what the page states."""
    about = outcome.stated
    languages = [{"label": label, "score": score} for label, score in outcome.languages]
    licence = settled(raw.license) if raw.license else about.license
    return {
        "id": name,
        "text": outcome.text,
        "url": raw.url,
        "host": host(raw.url),
        "source": piece.source,
        "domain": raw.domain or piece.domain,
        "date": about.date or raw.date,
        "title": raw.title or about.title,
        "language": languages[0]["label"] if languages else raw.language,
        "license": licence,
        "origin": {"path": piece.path, "offset": raw.place, "file": piece.file},
        "license_class": class_of(licence),
        "language_score": languages[0]["score"] if languages else None,
        "languages": languages or None,
        "language_stated": about.language,
        "links": about.links if raw.markup else None,
        "page_type": about.page_type,
        "page_type_score": about.page_type_score,
        "canonical": about.canonical,
        "robots": about.robots,
    }


def host(url: str | None) -> str | None:
    """The host of a URL in lower case, None where it has none."""
    try:
        return (urlsplit(url).hostname or None) if url else None
    except ValueError:
        return None


def _failure(piece: Piece, raw: Raw) -> dict[str, Any]:
    body = raw.body if raw.body is not None else ""
    excerpt = body[:400].decode("utf-8", "replace") if isinstance(body, bytes) else body
    error = " ".join(str(raw.error).split())
    return {
        "origin": {"path": piece.path, "offset": raw.place, "file": piece.file},
        "stage": "extract",
        "error": error,
        "excerpt": excerpt[:200].replace("\0", "\N{REPLACEMENT CHARACTER}") or raw.url,
    }


def run_extract(
    workspace: Workspace, settings: ExtractSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Bring `documents/` up to date with the inputs. Returns the summary of the run."""
    return run_asked(workspace, settings, planned(workspace, settings), options, force, quiet)


def run_asked(
    workspace: Workspace,
    settings: ExtractSettings,
    asked: Asked,
    options: RunnerOptions,
    force: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Bring `documents/` up to date with a call that was planned. The ledger is written down before the first shard: a
    killed run is finished by any later one."""
    stage = replace(
        EXTRACT,
        items=lambda plan: tasks(plan, asked.ledger),
        begin=lambda plan: asked.write(plan.workspace),
        details=lambda plan, shards, findings: details(plan, shards, findings, asked.ledger),
    )
    summary = run_stage(stage, workspace, settings, options, force=force, quiet=quiet)
    if summary["skipped"] and asked.changes(workspace):
        with writing(workspace, "extract"):
            asked.write(workspace)
    return summary


EXTRACT = Stage(
    "extract",
    9,  # pages nested deeper than browsers read keep all text, in one line
    TABLES,
    checked,
    graph,
    recorded=recorded,
    folders=(FOLDER,),
    lasting=lambda settings: settings.model_copy(update={"inputs": (), "keep_versions": False}),  # in the ledger
)

assert set(ExtractSettings.model_fields["engine"].annotation.__args__) == set(ENGINES)  # type: ignore[union-attr]
