"""The fate of documents: a chain of deciding stages, each of which sees what the one before it kept.

`decisions/<stage>/` has one row for every document that entered the stage, in shards that bear the names of the
shards of `documents/`. A document's fate is therefore its row in the last stage that it entered. A stage may also
edit text: `edits/<stage>/` holds the new text, and what was cut, of the documents it changed. The order of the chain
stands in the commits: each names the deciding stages that come before it.

`sources` resolves the chain once, shard by shard; a `Source` travels to the worker that reads the shard.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from .. import arrow_functions as pc
from .commands import command_for
from .commits import MANIFEST, Manifest
from .errors import WorkspaceError
from .freshness import BEFORE as BEFORE
from .freshness import reasons
from .lists.rows import BLOCK, digest_text
from .lists.shards import ShardList
from .shards import filesystem, read_batches
from .workspace import Workspace

DOMAINS = "domains"  # id -> mixture unit, where documents are regrouped (by topic, cluster, ...) after the chain
DECISIONS, EDITS = "decisions/", "edits/"
CUTS = "cuts_text"  # a setting of decisions that another result goes with: the edits of the same stage


def deciding(workspace: Workspace, before: Collection[str] | None = None) -> list[str]:
    """Names of the stages that have decided, in chain order; of those in `before` only, where it is given."""
    after = {
        name.removeprefix(DECISIONS): commit.after
        for commit in workspace.commits().values()
        for name in commit.tables
        if name.startswith(DECISIONS)
    }
    chosen = {stage for stage in after if before is None or stage in before}
    ordered: list[str] = []
    while chosen:
        ready = [stage for stage in sorted(chosen) if not chosen & set(after[stage]) - {stage}]
        if not ready:
            raise WorkspaceError(f"the commits of {', '.join(sorted(chosen))} disagree on which of them decides first")
        ordered.append(ready[0])
        chosen.remove(ready[0])
    return ordered


def inputs(workspace: Workspace, needed_by: str, before: Collection[str] | None = None) -> dict[str, str]:
    """Fingerprints of what decides the surviving documents: `documents` and the chain of decisions so far.

    Raises WorkspaceError where a link of the chain was made from something that is no longer there.
    """
    found = {}
    for name in chain(workspace, needed_by, before):
        found[name] = workspace.table(name).finished(needed_by).fingerprint
    return found


def chain(workspace: Workspace, needed_by: str, before: Collection[str] | None = None) -> list[str]:
    """Tables that decide which documents are left and with which text, in order; refuses a stale one."""
    tables = [BEFORE]
    workspace.table(BEFORE).finished(needed_by)
    for lost in without_commit(workspace):
        if before is None or lost.rpartition("/")[2] in before:
            raise WorkspaceError(
                f"{needed_by} needs {lost}/, whose commit is lost: {MANIFEST} is there and no commit names it; "
                f"restore the commit, or make it anew: gristmill {command_for(lost)} --workspace {workspace.url}"
            )
    for stage in deciding(workspace, before):
        tables.append(DECISIONS + stage)
        if workspace.table(EDITS + stage).manifest() is not None:
            tables.append(EDITS + stage)
        elif workspace.table(DECISIONS + stage).finished(needed_by).settings.get(CUTS):
            raise WorkspaceError(
                f"{needed_by} needs {EDITS}{stage}/, which was asked for and is not finished in {workspace.url}; "
                f"run: gristmill {stage} again as it was run"
            )
    if before is None and workspace.table(DOMAINS).manifest() is not None:
        tables.append(DOMAINS)
    for name in tables:
        refuse_stale(workspace, name, needed_by)
    return tables


def without_commit(workspace: Workspace) -> list[str]:
    """Tables of the chain that were finished and that no commit names any more."""
    known = {name for commit in workspace.commits().values() for name in commit.tables}
    fs, root = filesystem(workspace.url)
    found = []
    for folder in (DECISIONS.rstrip("/"), EDITS.rstrip("/"), ""):
        home = f"{root}/{folder}".rstrip("/")
        names = [DOMAINS] if not folder else [f"{folder}/{os.path.basename(e.rstrip('/'))}" for e in _folder(fs, home)]
        found += [name for name in names if name not in known and fs.exists(f"{root}/{name}/{MANIFEST}")]
    return sorted(found)


def _folder(fs: Any, home: str) -> list[str]:
    try:
        return list(fs.ls(home, detail=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def refuse_stale(workspace: Workspace, table: str, needed_by: str) -> None:
    """WorkspaceError where a table was made from something else than what is there now; names the command."""
    manifest = workspace.table(table).finished(needed_by)
    why = reasons(workspace, manifest.commit)
    if why:
        raise WorkspaceError(
            f"{needed_by} needs {table}/, which was made before {', '.join(why)} changed; "
            f"run: gristmill {manifest.commit.command} --workspace {workspace.url}"
        )


@dataclass(frozen=True)
class ShardSource:
    """One shard of documents with all that decides what is left of it: files, and what they hold.

    documents  URL of the file
    decided    the last decisions on it, None where no stage has decided
    edits      texts that stages changed, the last edit last
    regrouped  mixture units, where documents were regrouped
    made_from  shard of a table -> fingerprint, of everything above and of the decisions before the last
    only       ids of the documents that are asked for, of those that are left; None for all
    """

    shard: str
    documents: str
    decided: str | None = None
    edits: tuple[str, ...] = ()
    regrouped: str | None = None
    made_from: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    only: pa.Array | None = None

    def kept(self) -> pa.Array | None:
        """Ids of the documents that are left; None where no stage has decided."""
        if self.decided is None:
            return None
        rows = pa.Table.from_batches(list(read_batches(self.decided, ["id", "kept"])), DECIDED)
        return rows.filter(rows["kept"])["id"].combine_chunks()

    def read(self, columns: list[str] | None = None, rows: int = 4096) -> Iterator[pa.RecordBatch]:
        """Documents that every stage of the chain kept, with the text as the stages left it.

        `columns` must include `id`; batches keep the order of the shard and have at least one row.
        """
        if columns is not None and "id" not in columns:
            raise ValueError("reading documents needs the column id")
        kept = self.kept()
        if self.only is not None:
            kept = self.only if kept is None else kept.filter(pc.is_in(kept, value_set=self.only))
        edited = _edited(self.edits) if columns is None or "text" in columns else {}
        units = _column(self.regrouped, "domain") if columns is None or "domain" in columns else {}
        for batch in read_batches(self.documents, columns, rows):
            if kept is not None:
                batch = batch.filter(pc.is_in(batch["id"], value_set=kept))
            for column, replaced in (("text", edited), ("domain", units)):
                if batch.num_rows and replaced:
                    batch = _replace(batch, column, replaced)
            if batch.num_rows:
                yield batch


DECIDED = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("kept", pa.bool_(), nullable=False)])


def sources(
    workspace: Workspace, needed_by: str, before: Collection[str] | None = None, regroup: bool = True
) -> Mapping[str, ShardSource]:
    """shard of documents/ -> its source, every manifest read once. Refuses a stale link of the chain."""
    tables = chain(workspace, needed_by, before)
    if not regroup:
        tables = [name for name in tables if name != DOMAINS]
    manifests = {name: workspace.table(name).finished(needed_by) for name in tables}
    return Sources(workspace, manifests)


Facts = tuple[str, str, int]  # of a shard: file, content, rows


def beside_documents(manifests: Mapping[str, Manifest]) -> Iterator[tuple[str, dict[str, Facts]]]:
    """(shard of documents/, {table: facts of the shard of that name}) for each shard, in the order of their names."""
    documents = manifests[BEFORE].shards
    if not isinstance(documents, ShardList):
        for shard in documents:
            found = {table: manifest.by_name.get(shard.name) for table, manifest in manifests.items()}
            yield shard.name, {t: (s.file, s.content, s.rows) for t, s in found.items() if s is not None}
        return
    columns = {  # held here: a list that lies in parts may be forgotten and read again between two blocks
        table: ShardList.of(manifest.shards).table.select(["name", "file", "content", "rows"])
        for table, manifest in manifests.items()
    }
    names = columns[BEFORE]["name"].combine_chunks()
    places = {t: pc.index_in(names, value_set=own["name"].combine_chunks()) for t, own in columns.items()}
    for at in range(0, len(documents), BLOCK):
        blocks = {}
        for table, own in columns.items():
            rows = own.select(["file", "content", "rows"]).take(places[table].slice(at, BLOCK))
            blocks[table] = list(zip(*(column.to_pylist() for column in rows.columns), strict=True))
        for row, name in enumerate(names.slice(at, BLOCK).to_pylist()):
            yield name, {t: (f, digest_text(c), n) for t, own in blocks.items() for f, c, n in (own[row],) if f}


class Sources(Mapping[str, ShardSource]):
    """shard of documents/ -> its source. Sources are made when they are asked for, block by block of many."""

    def __init__(self, workspace: Workspace, manifests: Mapping[str, Manifest]) -> None:
        self.workspace, self.manifests = workspace, manifests

    def __iter__(self) -> Iterator[str]:
        return iter(self.manifests[BEFORE].by_name)

    def __len__(self) -> int:
        return len(self.manifests[BEFORE].shards)

    def __getitem__(self, name: str) -> ShardSource:
        found = {table: manifest.by_name.get(name) for table, manifest in self.manifests.items()}
        if found[BEFORE] is None:
            raise KeyError(name)
        return self._source(name, {t: (s.file, s.content, s.rows) for t, s in found.items() if s is not None})

    def items(self) -> Any:
        """(shard, source) of all, in the order of their names."""
        return ((name, self._source(name, found)) for name, found in beside_documents(self.manifests))

    def values(self) -> Any:
        return (source for _, source in self.items())

    def _source(self, name: str, found: Mapping[str, Facts]) -> ShardSource:
        urls: dict[str, str] = {}
        made_from: dict[str, str] = {}
        for table, (file, content, rows) in found.items():
            if rows or not table.startswith(EDITS):  # an edit of nothing changes nothing
                urls[table] = f"{self.workspace.url}/{table}/{file}"
                made_from[f"{table}/{name}"] = content
        decisions = [url for table, url in urls.items() if table.startswith(DECISIONS)]
        edits = tuple(url for table, url in urls.items() if table.startswith(EDITS))
        decided = decisions[-1] if decisions else None
        return ShardSource(name, urls[BEFORE], decided, edits, urls.get(DOMAINS), made_from, found[BEFORE][2])


def read_kept(
    workspace: Workspace, shard: str, columns: list[str] | None = None, before: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """`Source.read` of one shard, for whoever reads a few; resolves the chain, so not for many."""
    return sources(workspace, "reading", before)[shard].read(columns)


def _replace(batch: pa.RecordBatch, column: str, values: dict[str, str]) -> pa.RecordBatch:
    """The batch with a column's values replaced for those ids that are given."""
    ids, now = batch["id"].to_pylist(), batch[column].to_pylist()
    changed = [values.get(name, value) for name, value in zip(ids, now, strict=True)]
    place = batch.schema.get_field_index(column)
    return batch.set_column(place, batch.schema.field(column), pa.array(changed, pa.string()))


def _column(url: str | None, column: str) -> dict[str, str]:
    """id -> value of a column of a shard."""
    values: dict[str, str] = {}
    for batch in read_batches(url, ["id", column]) if url else ():
        values.update(zip(batch["id"].to_pylist(), batch[column].to_pylist(), strict=True))
    return values


def _edited(urls: tuple[str, ...]) -> dict[str, str]:
    """id -> text of the documents that stages edited, the last edit last."""
    texts: dict[str, str] = {}
    for url in urls:
        texts |= _column(url, "text")
    return texts
