"""Write documents to files: a shard of `documents/` in, its files out, and a receipt of them in `written/<place>/`.

The receipt is a shard like any other, so that a killed run goes on, growth writes what is new, and a removal writes
anew just the files that held what is gone. Files of an earlier call that this one does not write go at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.columns.carried import FOLDER
from ....corpus.columns.given_back import (
    Texts,
    arrow_rows,
    json_batch,
    json_line,
    json_lines,
    json_schema,
    only_keys,
    schema_with_text,
    with_key,
)
from ....corpus.columns.json_objects import members
from ....corpus.columns.shapes import COLUMNS, KeyShape, shape_of
from ....corpus.columns.views import original_schema
from ....corpus.store.catalog import refresh_catalog
from ....corpus.store.commits import without_items
from ....corpus.store.fate import DECISIONS, EDITS, ShardSource, deciding, sources
from ....corpus.store.schema import DECISIONS as DECIDED
from ....corpus.store.schema import DOCUMENTS
from ....corpus.store.shards import filesystem, fingerprint, read_batches
from ....corpus.store.workspace import Workspace
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.leases import writing
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from .card import card, upload
from .files import ENDS, Files
from .places import MARK, mark, put, remove, there
from .settings import WriteSettings as WriteSettings

RECEIPT = pa.schema([("file", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64())])
FELL = pa.struct([field for field in DECIDED if field.name != "kept"])  # what --dropped adds, as `gristmill`
OWN = "gristmill"


@dataclass(frozen=True)
class OwnRows:
    """A table of `columns/` as a worker reads it: its shard, and what its rows came as."""

    table: str
    url: str
    schema: pa.Schema | None  # None: JSON
    shapes: dict[str, KeyShape] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """What a shard is written from, beside its documents: own columns, and each stage's decisions and edits."""

    rows: tuple[OwnRows, ...]
    steps: tuple[tuple[str | None, str | None], ...] = ()


def table_of(output: str) -> str:
    """The table of the receipts of a place."""
    fs, path = filesystem(output)
    return f"written/{fingerprint(fs.unstrip_protocol(path))[:12]}"


def run_write(
    workspace: Workspace, settings: WriteSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Bring the files up to date. The summary, with the rows and files that lie there under `details`."""
    workspace.table("documents").finished("write")
    mark(settings.output)
    table = table_of(settings.output)
    before = _receipts(workspace, table)
    _forget_lost(workspace, table, before, there(settings.output))
    stage = write_stage(table)
    summary = run_stage(stage, workspace, settings, options, force, quiet)
    now = _receipts(workspace, table)
    files = {row["file"] for rows in now.values() for row in rows}
    ours = there(settings.output)
    stray = {name for name in ours if name.endswith(tuple({*ENDS.values(), "jsonl.gz", "jsonl.zst", "jsonl"}))} - files
    remove(settings.output, stray)
    total = sum(row["rows"] for rows in now.values() for row in rows)
    if settings.format == "hf":
        put(settings.output, "README.md", card(workspace, settings, sorted(files), total))
    elif "README.md" in ours and MARK in ours:
        remove(settings.output, ["README.md"])
    details: dict[str, Any] = {"output": settings.output, "files": len(files), "rows": total}
    if settings.push is not None:
        details["pushed"] = upload(settings.output, settings.push)
    refresh_catalog(workspace)
    return summary | {"tables": {settings.output: {"rows": total, "files": len(files)}}, "details": details}


def _receipts(workspace: Workspace, table: str) -> dict[str, list[dict[str, Any]]]:
    """work item -> the files that were written for it."""
    manifest = workspace.table(table).manifest()
    shards = manifest.shards if manifest is not None else ()
    return {
        s.item: [r for b in read_batches(workspace.table(table).file_url(s)) for r in b.to_pylist()] for s in shards
    }


def _forget_lost(workspace: Workspace, table: str, receipts: dict[str, list[dict[str, Any]]], found: set[str]) -> None:
    """Items of which a file is gone count as not done."""
    lost = {item for item, rows in receipts.items() if any(row["file"] not in found for row in rows)}
    held = workspace.commit_of(table)
    if lost and held is not None:
        with writing(workspace, "write"):
            workspace.put_commit(without_items(held, lost))


def write_stage(table: str) -> Stage[WriteSettings]:
    """The stage that writes to one place."""
    return Stage(
        name=table,
        command="write",
        version=3,
        tables=(table,),
        inputs=lambda workspace, settings: {},
        graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, process), plan),
        items=items,
        redecides=True,
        recorded=lambda settings: settings.model_dump(mode="json", exclude={"output", "push"}),
    )


def items(plan: Plan[WriteSettings]) -> list[Work]:
    """Every shard of documents, with its columns and, where dropped ones are written, all that was decided of it."""
    workspace = plan.workspace
    names = [table.name for table in workspace.tables() if table.name.split("/")[0] == FOLDER]
    manifests = {name: workspace.table(name).finished("write") for name in names}
    schemas = {name: original_schema(workspace, name) for name in names}
    shapes = {name: shape_of(manifests[name].counts, COLUMNS) if schemas[name] is None else {} for name in names}
    lines = plan.settings.format.startswith("jsonl")
    chain = deciding(workspace) if plan.settings.dropped else []
    found = []
    for shard, source in sources(workspace, "write").items():
        made, rows = {}, []
        for name in names:
            own = manifests[name].by_name.get(shard)
            if own is not None:
                made[f"{name}/{shard}"] = own.content
                rows.append(OwnRows(name, workspace.table(name).file_url(own), schemas[name], shapes[name]))
                if schemas[name] is None and not lines:
                    made["type:json"] = fingerprint(str(json_schema(shapes[name], False)))
        steps = tuple((_url(workspace, f"{DECISIONS}{s}", shard), _url(workspace, f"{EDITS}{s}", shard)) for s in chain)
        for stage in chain:
            for table in (f"{DECISIONS}{stage}", f"{EDITS}{stage}"):
                manifest = workspace.table(table).manifest()
                if manifest is not None and shard in manifest.by_name:
                    made[f"{table}/{shard}"] = manifest.by_name[shard].content
        found.append(Work.of(source, Load(tuple(rows), steps), **made))
    return found


def _url(workspace: Workspace, table: str, shard: str) -> str | None:
    manifest = workspace.table(table).manifest()
    own = manifest.by_name.get(shard) if manifest is not None else None
    return workspace.table(table).file_url(own) if own is not None else None


def process(plan: Plan[WriteSettings], work: Work) -> Iterator[Report]:
    """The files of one shard, and their receipt."""
    documents, changed, fell = _chosen(plan.settings, work)
    texts = Texts(
        dict(zip(documents["id"].to_pylist(), documents["text"].to_pylist(), strict=True)),
        changed,
        plan.settings.normalised,
    )
    writer = _Shard(plan.settings, work.name.rpartition(".")[0], documents, texts, fell)
    made = writer.write(work.load.rows)
    rows = [{"file": file, "rows": count, "bytes": size} for file, count, size in sorted(made)]
    table = plan.stage
    with plan.writer(table, work.name, RECEIPT) as out:
        out.write_rows(rows)
        out.counts = {"written": sum(row["rows"] for row in rows)}
    yield table, out.shard


def _chosen(settings: WriteSettings, work: Work) -> tuple[pa.Table, set[str], dict[str, dict[str, Any]]]:
    """The documents to write as rows of documents/, the ids whose text a stage changed, and why each fell."""
    source, fell = work.documents, dict[str, dict[str, Any]]()
    if not settings.dropped:
        table = _rows(source)
        changed = _edited(source.edits)
    else:
        parts, edits, changed = [DOCUMENTS.empty_table()], list[str](), set[str]()
        for decisions, edit in work.load.steps:
            gone = {}
            for batch in read_batches(decisions) if decisions else ():
                gone |= {row["id"]: row for row in batch.filter(pc.invert(batch["kept"])).to_pylist()}
            part = _rows(ShardSource(source.shard, source.documents, None, tuple(edits)))
            parts.append(part.filter(pc.is_in(part["id"], value_set=pa.array(sorted(gone), pa.string()))))
            changed |= _edited(tuple(edits)) & set(gone)
            fell |= {name: {key: value for key, value in row.items() if key != "kept"} for name, row in gone.items()}
            edits += [edit] if edit else []
        table = pa.concat_tables(parts)
    if settings.domain:
        table = table.filter(pc.is_in(table["domain"], value_set=pa.array(settings.domain)))
    return table, changed, fell


def _rows(source: ShardSource) -> pa.Table:
    batches = list(source.read())
    return pa.Table.from_batches(batches).cast(DOCUMENTS) if batches else DOCUMENTS.empty_table()


def _edited(urls: tuple[str, ...]) -> set[str]:
    return {name for url in urls for batch in read_batches(url, ["id"]) for name in batch["id"].to_pylist()}


class _Shard:
    """The files of one shard."""

    def __init__(
        self, settings: WriteSettings, stem: str, documents: pa.Table, texts: Texts, fell: dict[str, dict[str, Any]]
    ) -> None:
        self.settings, self.stem, self.texts, self.fell = settings, stem, texts, fell
        self.documents = documents.combine_chunks()
        self.ids = self.documents["id"].combine_chunks()
        self.own = OWN

    def write(self, tables: tuple[OwnRows, ...]) -> list[tuple[str, int, int]]:
        """(file, rows, bytes of rows) of each."""
        names = {
            name for one in tables for name in (*one.shapes, *(one.schema.names if one.schema is not None else ()))
        }
        while self.own in names:  # a column of theirs is not written over
            self.own += "_"
        if self.settings.format.startswith("jsonl"):
            return self._lines(tables)
        made: list[tuple[str, int, int]] = []
        with_own: list[pa.Array] = [pa.array([], pa.string())]
        for one in tables:
            with self._files(one.table.split("/")[1]) as files:
                for ids, batch in self._batches(one):
                    with_own.append(ids)
                    files.batch(self._finished(ids, batch))
            made += files.made
        with self._files("documents") as files:
            rest = self.documents.filter(pc.invert(pc.is_in(self.ids, value_set=pa.concat_arrays(with_own))))
            for batch in rest.to_batches(4096):
                files.batch(self._finished(batch["id"], batch))
        return made + files.made

    def _files(self, group: str) -> Files:
        format = self.settings.format
        name = f"data/{group}/{self.stem}" if format == "hf" else f"{self.stem}.{group}" if group else self.stem
        return Files(self.settings.output, name, format, self.settings.shard_size)

    def _stored(self, one: OwnRows) -> Iterator[pa.RecordBatch]:
        """OwnRows of a table of columns, of the documents that are written."""
        for batch in read_batches(one.url, rows=1024):
            left = batch.filter(pc.is_in(batch["id"], value_set=self.ids))
            if left.num_rows:
                yield left

    def _batches(self, one: OwnRows) -> Iterator[tuple[pa.Array, pa.RecordBatch]]:
        """(ids, rows in the schema that they came with)."""
        if one.schema is None:
            schema = json_schema(one.shapes, self._lacking(one, "key"))
            for batch in self._stored(one):
                yield batch["id"], json_batch(batch.to_pylist(), schema, one.shapes, self.texts)
            return
        schema = schema_with_text(one.schema, self._lacking(one, "text_from"))
        for batch in self._stored(one):
            yield batch["id"], arrow_rows(batch, schema, one.schema, self.texts)

    def _lacking(self, one: OwnRows, column: str) -> bool:
        """Whether a row's text is in none of its columns: it came as HTML."""
        return any(batch[column].null_count for batch in read_batches(one.url, [column]))

    def _finished(self, ids: pa.Array, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with the columns that were asked for, and why they fell."""
        if self.settings.columns:
            names = batch.schema.names
            places = pc.index_in(ids, value_set=self.ids)
            fields, columns = [], []
            for name in self.settings.columns:
                if name in names:
                    fields.append(batch.schema.field(name))
                    columns.append(batch.column(name))
                elif name in DOCUMENTS.names:
                    fields.append(DOCUMENTS.field(name))
                    columns.append(self.documents[name].combine_chunks().take(places))
            batch = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, batch.schema.metadata))
        if self.settings.dropped:
            why = pa.array([self.fell[name] for name in ids.to_pylist()], FELL)
            batch = batch.append_column(self.own, why)
        return batch

    def _lines(self, tables: tuple[OwnRows, ...]) -> list[tuple[str, int, int]]:
        """One file of lines for documents of all schemas, in their order."""
        lines: dict[str, str] = {}
        for one in tables:
            if one.schema is None:
                for batch in self._stored(one):
                    lines |= {row["id"]: json_line(row, self.texts) for row in batch.to_pylist()}
            else:
                for ids, batch in self._batches(one):
                    lines |= dict(zip(ids.to_pylist(), json_lines(batch), strict=True))
        rest = self.documents.filter(pc.invert(pc.is_in(self.ids, value_set=pa.array(list(lines), pa.string()))))
        for batch in rest.to_batches(4096):
            lines |= dict(zip(batch["id"].to_pylist(), json_lines(batch), strict=True))
        with self._files("") as files:
            files.lines(self._with_more(name, lines[name], at) for at, name in enumerate(self.ids.to_pylist()))
        return files.made

    def _with_more(self, name: str, line: str, at: int) -> str:
        if self.settings.columns:
            own = only_keys(line, self.settings.columns)
            had = {member.key for member in members(own)}
            ours = [c for c in self.settings.columns if c in DOCUMENTS.names and c not in had]
            if ours:
                row = next(json_lines(self.documents.select(ours).slice(at, 1).combine_chunks().to_batches()[0]))
                own = row if own == "{}" else own.rstrip().removesuffix("}") + ", " + row.removeprefix("{")
            line = own
        if self.settings.dropped:
            why = next(json_lines(pa.RecordBatch.from_pylist([self.fell[name]], pa.schema(list(FELL)))))
            line = with_key(line, self.own, why)
        return line
