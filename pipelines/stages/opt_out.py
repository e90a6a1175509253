"""Opt-out: remove documents that a list covers, log them in `removed/`, and rebuild what was made from them.

Rewrites only the shards that hold such documents, those that were rewritten from them included; later extractions
leave them out from the start. Killed anywhere, the same command completes. Replies of engines that nothing asks for
any more leave the workspace's request cache. Models cannot forget: recipes and runs made before are named as stale,
not touched.
"""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...corpus.store.catalog import refresh_catalog
from ...corpus.store.removals import OptOut, add_optout
from ...corpus.store.schema import CAPTURES, DOCUMENTS
from ...corpus.store.shards import COUNTS, STAMP, Shard, committed, filesystem, fingerprint, open_shard, read_batches
from ...corpus.store.workspace import Manifest, Workspace, total
from ...proxy_models.engines.cache import cache_path, drop_aside, set_aside
from ..engine.rebuild import Calls, calls_of, forget, holding, pending, write_down
from ..engine.rebuild import rebuild as rebuild_stages
from ..engine.runner import RunnerOptions
from .extract import INPUTS

REMOVED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("url", pa.string()),
        pa.field("entry", pa.string(), nullable=False),  # the entry of the list that covers it
        pa.field("removed", pa.timestamp("s", tz="UTC"), nullable=False),
    ]
)


def opt_out(
    workspace: Workspace, asked: OptOut, options: RunnerOptions, quiet: bool = False, rebuild: bool = True
) -> dict[str, Any]:
    """Honour a list. Returns what was removed, which stages were rebuilt, and which results are stale for good."""
    workspace.table("documents").finished("opt-out")
    begun = pending(workspace) is not None
    calls = calls_of(workspace)
    write_down(workspace, calls)
    removed = _remove(workspace, add_optout(workspace, asked))
    rebuilt: list[str] = []
    left: dict[str, str] = {}
    if (removed or begun) and rebuild:
        rebuilt, left = _rebuilt(workspace, calls, options, quiet)
    if not left and (rebuild or not (removed or begun)):
        forget(workspace)
    stale = [table.name for table in workspace.tables() if table.name.split("/")[0] in ("mixture", "runs")]
    return {
        "stage": "opt-out",
        "removed": removed,
        "rebuilt": rebuilt,
        "left": left,
        "stale": stale,
        "holding": holding(workspace, _gone(workspace)),
        "tables": {
            "documents": workspace.table("documents").finished("opt-out").counts,
            "removed": {"rows": _logged(workspace)},
        },
    }


def _remove(workspace: Workspace, whole: OptOut) -> int:
    """Rewrite `documents/` and what goes with it without what the list covers. Documents removed."""
    names = [shard.name for shard in workspace.table("documents").finished("opt-out").shards]
    removed = sum(_without(workspace, name, whole.covers) for name in names)
    parents = _entries(workspace)
    children = {}  # what was rewritten from them
    if workspace.table("lineage").manifest() is not None:
        for batch in workspace.table("lineage").read(["id", "parent"]):
            children |= {row["id"]: parents[row["parent"]] for row in batch.to_pylist() if row["parent"] in parents}
    if children:
        removed += sum(_without(workspace, name, lambda id, url: children.get(id)) for name in names)
    for table in ("inputs", "captures", "documents"):
        _settle(workspace, table)
    _log_manifest(workspace, whole)
    refresh_catalog(workspace)
    return removed


def _rebuilt(
    workspace: Workspace, calls: Calls, options: RunnerOptions, quiet: bool
) -> tuple[list[str], dict[str, str]]:
    """Run the stages again; replies that none of them asks for any more are forgotten."""
    cache = cache_path(workspace, None) if workspace.is_local else None
    if cache is not None:
        set_aside(cache)
    rebuilt, left = rebuild_stages(workspace, calls, options, quiet)
    if cache is not None and not left:
        drop_aside(cache)
    refresh_catalog(workspace)
    return rebuilt, left


Covers = Callable[[str, str | None], str | None]  # id, url -> the entry that covers the document, if any


def _without(workspace: Workspace, name: str, covers: Covers) -> int:
    """Rewrite the shards of that name without what is covered, documents last. Documents removed."""
    url = workspace.table("documents").shard_url(name)
    now = datetime.now(UTC).replace(microsecond=0)
    paths: Counter[str] = Counter()
    covered = []
    for batch in read_batches(url, ["id", "url", "origin"]):
        for row in batch.to_pylist():
            if entry := covers(row["id"], row["url"]):
                covered.append({"id": row["id"], "url": row["url"], "entry": entry, "removed": now})
            else:
                paths[row["origin"]["path"]] += 1
    captures = workspace.table("captures").shard_url(name)
    if _any_covered(captures, covers):
        _rewrite(captures, CAPTURES, lambda row: None if covers(row["id"], row["url"]) else row)
    if covered:
        _log(workspace, name, covered)
        _account(workspace.table("inputs").shard_url(name), paths)
        gone = {row["id"] for row in covered}
        _rewrite(url, DOCUMENTS, lambda row: None if row["id"] in gone else row, len(covered))
    return len(covered)


def _any_covered(url: str, covers: Covers) -> bool:
    fs, path = filesystem(url)
    rows = (row for batch in read_batches(url, ["id", "url"]) for row in batch.to_pylist()) if fs.exists(path) else ()
    return any(covers(row["id"], row["url"]) for row in rows)


def _account(url: str, left: Counter[str]) -> None:
    """Count as dropped, in the account of the input, what is no longer kept; `left` are the documents by file."""
    room = Counter(left)

    def moved(row: dict[str, Any]) -> dict[str, Any]:
        kept = min(row["kept"], room[row["path"]])
        room[row["path"]] -= kept
        return {**row, "kept": kept, "dropped": row["dropped"] + row["kept"] - kept}

    _rewrite(url, INPUTS, moved)


def _rewrite(
    url: str, schema: pa.Schema, change: Callable[[dict[str, Any]], dict[str, Any] | None], dropped: int = 0
) -> None:
    """Write a shard anew, row by row, under its old stamp: the bytes that extraction would give."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        held = dict(pq.read_metadata(file).metadata or {})
    counts = json.loads(held[COUNTS])
    if dropped:
        counts |= {"kept": counts["kept"] - dropped, "dropped": counts.get("dropped", 0) + dropped}
    with open_shard(url, schema, held[STAMP].decode()) as writer:
        rows = (change(row) for batch in read_batches(url) for row in batch.to_pylist())
        writer.write_rows(row for row in rows if row is not None)
        writer.counts = counts


def _settle(workspace: Workspace, name: str) -> None:
    """Bring a table's manifest up to date with its shards."""
    table = workspace.table(name)
    manifest = table.manifest()
    if manifest is None:
        return
    shards = tuple(_as_it_is(table.shard_url(shard.name)) for shard in manifest.shards)
    if [shard.checksum for shard in shards] != [shard.checksum for shard in manifest.shards]:
        table.write_manifest(manifest.model_copy(update={"shards": shards, "counts": total(shards)}))


def _as_it_is(url: str) -> Shard:
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        stamp = dict(pq.read_metadata(file).metadata or {})[STAMP].decode()
    shard = committed(url, stamp)
    assert shard is not None
    return shard


def _log(workspace: Workspace, name: str, covered: list[dict[str, Any]]) -> None:
    """Add rows to the log before the documents go: killed in between, the next call finds the id already there."""
    url = workspace.table("removed").shard_url(name)
    fs, path = filesystem(url)
    rows = [row for batch in read_batches(url) for row in batch.to_pylist()] if fs.exists(path) else []
    known = {row["id"] for row in rows}
    rows += [row for row in covered if row["id"] not in known]
    with open_shard(url, REMOVED, fingerprint("removed", name)) as writer:
        writer.write_rows(sorted(rows, key=lambda row: row["id"]))


def _log_manifest(workspace: Workspace, whole: OptOut) -> None:
    table = workspace.table("removed")
    fs, path = filesystem(table.url)
    names = sorted(entry.rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)) if fs.exists(path) else []
    shards = [committed(table.shard_url(n), fingerprint("removed", n)) for n in names if n.endswith(".parquet")]
    present = tuple(shard for shard in shards if shard is not None)
    if present:
        table.write_manifest(
            Manifest(
                table="removed",
                stage="opt-out",
                version=1,
                settings={"entries": whole.entries()},
                inputs={},
                shards=present,
                counts={"removed": sum(shard.rows for shard in present)},
            )
        )


def _entries(workspace: Workspace) -> dict[str, str]:
    """id -> entry of every document that was ever removed; from the files, for the manifest comes after them."""
    table = workspace.table("removed")
    fs, path = filesystem(table.url)
    names = [entry for entry in fs.ls(path, detail=False) if entry.endswith(".parquet")] if fs.exists(path) else []
    found: dict[str, str] = {}
    for name in sorted(names):
        for batch in read_batches(table.shard_url(name.rsplit("/", 1)[-1]), ["id", "entry"]):
            found.update(zip(batch["id"].to_pylist(), batch["entry"].to_pylist(), strict=True))
    return found


def _gone(workspace: Workspace) -> pa.Array:
    return pa.array(sorted(_entries(workspace)), pa.string())


def _logged(workspace: Workspace) -> int:
    manifest = workspace.table("removed").manifest()
    return manifest.counts["removed"] if manifest else 0
