"""Opt-out: remove documents that a list covers, log them in `removed/`, and make anew what was made from them.

Writes anew only the shards that hold such documents, those that were rewritten from them included, and notes that what
is left in them is as it was, so that stages that look at one document at a time keep its rows; later extractions leave
them out from the start. What is in force stays so until the next is committed, and whoever reads what was made
from removed documents is refused; killed anywhere, the same command completes. Replies of engines that nothing asks
for any more leave the workspace's request cache. Models cannot forget: recipes and runs made before are named as
stale, not touched.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...corpus.columns.carried import FOLDER, write_rows_without
from ...corpus.removals import OptOut, add_optout
from ...corpus.store.catalog import refresh_catalog
from ...corpus.store.commits import Commit, TableRecord, total
from ...corpus.store.schema import CAPTURES, DOCUMENTS
from ...corpus.store.shards import Shard, open_shard, parquet_schema, read_batches
from ...corpus.store.workspace import Workspace
from ...proxy_models.engines.cache import cache_path, drop_aside, set_aside
from ..engine.held.agreement import note
from ..engine.leases import writing
from ..engine.rebuild import holding
from ..engine.rebuild import rebuild as rebuild_stages
from ..engine.runner import RunnerOptions
from .extract.stage import INPUTS
from .write.stale import stale_places

EXTRACT, LOG = "extract", "opt-out"
REMOVED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("url", pa.string()),
        pa.field("entry", pa.string(), nullable=False),  # the entry of the list that covers it
        pa.field("removed", pa.timestamp("s", tz="UTC"), nullable=False),
    ]
)
Row = dict[str, Any]
Covers = Callable[[pa.Array, pa.Array], dict[int, str]]  # ids, URLs -> row: the entry that covers the document


def opt_out(
    workspace: Workspace,
    asked: OptOut,
    options: RunnerOptions,
    quiet: bool = False,
    rebuild: bool = True,
    why: Mapping[str, str] | None = None,
    refit: bool = True,
) -> dict[str, Any]:
    """Honour a list. Returns what was removed, which stages were run again, which results are stale for good, and which
    places `write` wrote such documents to, with the command that takes them out.

    why    id -> what is told of documents that were found otherwise than by the list
    refit  fit tokenizers and models anew, too; else they stay as they are, fitted with what was removed
    """
    workspace.table("documents").finished("opt-out")
    with writing(workspace, "opt-out"):
        ids = asked.ids | frozenset(why or ())
        removed = _remove(workspace, add_optout(workspace, replace(asked, ids=ids)), dict(why or {}))
    gone = _gone(workspace)
    held = holding(workspace, gone) if not (removed and rebuild) else {}
    rebuilt: list[str] = []
    left: dict[str, str] = {}
    if rebuild and (removed or held):
        rebuilt, left = _rebuilt(workspace, options, quiet, refit)
        held = holding(workspace, gone)
    stale = [table.name for table in workspace.tables() if table.name.split("/")[0] in ("mixture", "runs")]
    return {
        "stage": "opt-out",
        "removed": removed,
        "rebuilt": rebuilt,
        "left": left,
        "stale": stale,
        "holding": held,
        "written": stale_places(workspace),
        "tables": {
            "documents": workspace.table("documents").finished("opt-out").counts,
            "removed": {"rows": len(gone)},
        },
    }


def _rebuilt(
    workspace: Workspace, options: RunnerOptions, quiet: bool, refit: bool
) -> tuple[list[str], dict[str, str]]:
    """Run the stages again; replies that none of them asks for any more are forgotten."""
    cache = cache_path(workspace, None) if workspace.is_local else None
    if cache is not None:
        set_aside(cache)
    rebuilt, left = rebuild_stages(workspace, options, quiet, refit=refit)
    if cache is not None and not left:
        drop_aside(cache)
    refresh_catalog(workspace)
    return rebuilt, left


def _remove(workspace: Workspace, whole: OptOut, why: dict[str, str]) -> int:
    """The next generation of extraction, without what the list covers. Documents removed."""
    held = workspace.commit_of(EXTRACT)
    assert held is not None
    before = _entries(workspace)
    changes = _Changes(workspace, held)
    found = changes.without(lambda ids, urls: _covering(whole, why, ids, urls))
    children = children_of(workspace, {**before, **found})
    if children:
        found |= changes.without(lambda ids, urls: _named(children, ids))
    if found:
        _log(workspace, whole, changes.logged)
        workspace.forget_earlier()
        note(workspace, changes.pairs, begin=True)
        workspace.put_commit(changes.commit())
        refresh_catalog(workspace)
    return len(found)


def _covering(whole: OptOut, why: Mapping[str, str], ids: pa.Array, urls: pa.Array) -> dict[int, str]:
    return whole.covering(ids, urls) | _named(why, ids)


def _named(why: Mapping[str, str], ids: pa.Array) -> dict[int, str]:
    """Row -> why, of the ids that are named."""
    rows = pc.indices_nonzero(pc.is_in(ids, value_set=pa.array(list(why), pa.string()))).to_pylist()
    return {row: why[ids[row].as_py()] for row in rows}


def children_of(workspace: Workspace, parents: dict[str, str]) -> dict[str, str]:
    """id -> entry of the documents that were rewritten from removed ones."""
    if workspace.table("lineage").manifest() is None:
        return {}
    return {
        row["id"]: parents[row["parent"]]
        for batch in workspace.table("lineage").read(["id", "parent"])
        for row in batch.to_pylist()
        if row["parent"] in parents
    }


class _Changes:
    """The shards of extraction as they will be."""

    def __init__(self, workspace: Workspace, held: Commit) -> None:
        self.workspace, self.held = workspace, held
        self.shards = {name: {s.name: s for s in table.shards} for name, table in held.tables.items()}
        self.logged: dict[str, list[Row]] = {}
        self.pairs: list[tuple[str, str]] = []  # contents of shards before and after

    def without(self, covers: Covers) -> dict[str, str]:
        """Write shards anew without what is covered; id -> entry of the documents that fall."""
        now = datetime.now(UTC).replace(microsecond=0)
        gone: dict[str, str] = {}
        for name in sorted(self.shards["documents"]):
            covered: list[Row] = []
            for batch in self._batches("documents", name, ["id", "url"]):
                for row, entry in covers(batch["id"], batch["url"]).items():
                    id, url = batch["id"][row].as_py(), batch["url"][row].as_py()
                    covered.append({"id": id, "url": url, "entry": entry, "removed": now})
            if any(covers(batch["id"], batch["url"]) for batch in self._batches("captures", name, ["id", "url"])):
                self._rewrite("captures", name, CAPTURES, lambda b: _others(b, list(covers(b["id"], b["url"]))))
            if covered:
                own = pa.array(sorted(row["id"] for row in covered), pa.string())
                self._rewrite_columns(name, own)
                self._rewrite("documents", name, DOCUMENTS, lambda b, own=own: _without(b, own))
                self._rewrite("inputs", name, INPUTS, _accounted(self._left(name)))
                self._count(name, len(covered))
                self.logged.setdefault(name, []).extend(covered)
                gone |= {row["id"]: row["entry"] for row in covered}
        return gone

    def _left(self, name: str) -> Counter[str]:
        """Documents of a shard by the file that they came from."""
        left: Counter[str] = Counter()
        for batch in self._batches("documents", name, ["origin"]):
            counts = pc.value_counts(pc.struct_field(batch["origin"], "file"))
            left.update(dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True)))
        return left

    def _batches(self, table: str, name: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        shard = self.shards.get(table, {}).get(name)
        if shard is not None:
            yield from read_batches(self.workspace.table(table).file_url(shard), columns)

    def _rewrite(
        self, table: str, name: str, schema: pa.Schema, change: Callable[[pa.RecordBatch], pa.RecordBatch]
    ) -> None:
        """Write a shard anew, with the rows that extraction would give."""
        old = self.shards[table][name]
        with open_shard(self.workspace.table(table).url, name, schema) as out:
            for batch in self._batches(table, name):
                out.write_batch(change(batch).cast(schema))
            out.counts = dict(old.counts)
        self._put(table, name, replace(out.shard, item=old.item), old)

    def _put(self, table: str, name: str, shard: Shard, old: Shard) -> None:
        self.shards[table][name] = shard
        self.pairs.append((old.content, shard.content))

    def _rewrite_columns(self, name: str, gone: pa.Array) -> None:
        """Write the columns of a shard anew; a table that holds no row of it any more has no such shard."""
        for table in [table for table in self.shards if table.split("/")[0] == FOLDER and name in self.shards[table]]:
            old = self.shards[table].pop(name)
            url = self.workspace.table(table).file_url(old)
            with open_shard(self.workspace.table(table).url, name, parquet_schema(url)) as out:
                write_rows_without(read_batches(url), gone, old.counts, out)
            if out.rows:
                self._put(table, name, replace(out.shard, item=old.item), old)
            else:
                self.workspace.remove(f"{table}/{out.shard.file}")  # no commit will name it

    def _count(self, name: str, dropped: int) -> None:
        shard = self.shards["documents"][name]
        counts = dict(shard.counts)
        counts |= {"kept": counts["kept"] - dropped, "dropped": counts.get("dropped", 0) + dropped}
        self.shards["documents"][name] = replace(shard, counts=counts)

    def commit(self) -> Commit:
        tables = {}
        for name, table in self.held.tables.items():
            shards = tuple(self.shards[name][key] for key in sorted(self.shards[name]))
            if not shards and name.split("/")[0] == FOLDER:
                continue
            tables[name] = table.model_copy(update={"shards": shards, "counts": total(shards)})
        return _next(self.held, tables)


def _without(batch: pa.RecordBatch, gone: pa.Array) -> pa.RecordBatch:
    return batch.filter(pc.invert(pc.is_in(batch["id"], value_set=gone)))


def _others(batch: pa.RecordBatch, rows: list[int]) -> pa.RecordBatch:
    mask = np.ones(batch.num_rows, np.bool_)
    mask[rows] = False
    return batch.filter(pa.array(mask))


def _accounted(left: Counter[str]) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Counts as dropped, in the account of the input, what is no longer kept; `left` are the documents by file."""
    room = Counter(left)

    def moved(row: Row) -> Row:
        kept = min(row["kept"], room[row["file"]])
        room[row["file"]] -= kept
        return {**row, "kept": kept, "dropped": row["dropped"] + row["kept"] - kept}

    return lambda batch: pa.RecordBatch.from_pylist([moved(row) for row in batch.to_pylist()], schema=INPUTS)


def _next(held: Commit, tables: dict[str, TableRecord]) -> Commit:
    return held.model_copy(update={"tables": tables, "generation": held.generation + 1, "previous": held.fingerprint})


def _log(workspace: Workspace, whole: OptOut, covered: dict[str, list[Row]]) -> None:
    """Add rows to the log before the documents go: killed in between, the next call finds the id already there."""
    table = workspace.table("removed")
    held = workspace.commit_of(LOG)
    shards: dict[str, Shard] = {s.name: s for s in held.tables["removed"].shards} if held else {}
    for name, found in covered.items():
        rows = (
            [row for b in read_batches(table.file_url(shards[name])) for row in b.to_pylist()] if name in shards else []
        )
        known = {row["id"] for row in rows}
        rows += [row for row in found if row["id"] not in known]
        with open_shard(table.url, name, REMOVED) as out:
            out.write_rows(sorted(rows, key=lambda row: row["id"]))
            out.counts = {"removed": len(rows)}
        shards[name] = out.shard
    ordered = tuple(shards[name] for name in sorted(shards))
    record = TableRecord(settings={"entries": whole.entries()}, shards=ordered, counts=total(ordered))
    first = Commit(stage=LOG, command=LOG, version=1, generation=1, previous="", tables={"removed": record}, inputs={})
    workspace.put_commit(_next(held, {"removed": record}) if held else first)


def _entries(workspace: Workspace) -> dict[str, str]:
    """id -> entry of every document that was ever removed."""
    table = workspace.table("removed")
    found: dict[str, str] = {}
    for batch in table.read(["id", "entry"]) if table.manifest() is not None else ():
        found.update(zip(batch["id"].to_pylist(), batch["entry"].to_pylist(), strict=True))
    return found


def _gone(workspace: Workspace) -> pa.Array:
    return pa.array(sorted(_entries(workspace)), pa.string())
