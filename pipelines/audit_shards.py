"""What the shards of a workspace hold, held against what the commits say of them and against each other.

Every file is read again: its checksum, its content, its rows, the ids of its documents, the counts of its decisions.
What lies in the folder of a table and is nobody's, and work that a killed run left, is told as well. Changes nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..corpus.store.commands import command_for
from ..corpus.store.commits import MANIFEST, UNFINISHED, Commit, is_named, total
from ..corpus.store.fate import without_commit
from ..corpus.store.shards import Shard, checksum, filesystem, read_batches
from ..corpus.store.soundness import NAMED
from ..corpus.store.workspace import TEMPORARY, Workspace

BY_ID = ("documents", "signals/", "decisions/", "edits/", "duplicates", "domains", "tags", "scores/", "embeddings")
Found = tuple[str, str, str]  # check, where, message


def by_id(table: str) -> bool:
    """Whether a table has at most one row for a document."""
    return table in BY_ID or table.startswith(tuple(name for name in BY_ID if name.endswith("/")))


def damaged_shards(workspace: Workspace, held: Mapping[str, Commit]) -> Iterator[Found]:
    """Shards that the disk does not have, or has with other bytes, rows or counts than the commit says."""
    for commit in held.values():
        for name, table in commit.tables.items():
            for shard in table.shards:
                told = damage(f"{workspace.url}/{name}/{shard.file}", shard)
                if told:
                    yield "checksum", f"{name}/{shard.name}", f"{told}; run: gristmill {commit.command} --force"
            if table.counts != total(table.shards):
                message = f"the commit counts {table.counts}, its shards {total(table.shards)}"
                yield "counts", name, message


def damage(url: str, shard: Shard) -> str:
    """What is wrong with a file, "" where nothing is."""
    fs, path = filesystem(url)
    if not fs.exists(path):
        return "the shard is missing"
    found = checksum(url)
    if found != shard.checksum:
        return f"checksum {found}, the commit says {shard.checksum}: the shard was changed or damaged"
    if fs.size(path) != shard.bytes:
        return f"{fs.size(path)} bytes, the commit says {shard.bytes}"
    if f".{found[:16]}" not in shard.file:
        return f"checksum {found} is not that of its name"
    with fs.open(path, "rb") as file:
        rows = rows_of(file, path)
    if rows is not None and rows != shard.rows:
        return f"{rows} rows, the commit says {shard.rows}"
    return ""


def rows_of(file: Any, path: str) -> int | None:
    """Rows of a file of a table; None for what is no table."""
    file.seek(0)
    if path.endswith(".parquet"):
        return pq.read_metadata(file).num_rows
    if path.endswith(".arrow") and "/tokens/" in path:
        with pa.ipc.open_file(file) as reader:
            return sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
    return None


def lost_tables(workspace: Workspace, held: Mapping[str, Commit]) -> Iterator[Found]:
    """Tables that a commit was made from and that no commit names, and finished tables whose commit is gone."""
    known = {name for commit in held.values() for name in commit.tables}
    for commit in held.values():
        places = {place.rpartition("/")[0] for made in commit.work.values() for place in made.made_from}
        for name in sorted((places | set(commit.inputs)) - known):
            if name and ":" not in name and not _dropped(commit, name):
                message = f"made from {name}/, which no commit names; run: gristmill {command_for(name)}"
                yield "lost", ", ".join(sorted(commit.tables)), message
    for name in without_commit(workspace):
        message = f"{MANIFEST} is there and no commit names the table: its commit is lost; run: gristmill "
        yield "lost", name, message + command_for(name)


def _dropped(commit: Commit, name: str) -> bool:
    """Whether a result by document alone may outlive this input."""
    return name.startswith(("decisions/", "edits/")) and all(by_id(t) or t == "tokens" for t in commit.tables)


def strays(workspace: Workspace, held: Mapping[str, Commit]) -> Iterator[Found]:
    """Files in the folders of tables that no commit names and no unfinished work either."""
    named: dict[str, set[str]] = {}
    for commit in [*held.values(), *workspace.kept()]:
        for name, table in commit.tables.items():
            own = named.setdefault(name, {MANIFEST})
            own |= {shard.file for shard in table.shards}
            own |= {shard.name for shard in table.shards if is_named(name, shard)}
    begun = bool(unfinished(workspace))
    for name, own in named.items():
        for file in sorted(workspace.table(name).listed() - own):
            ours = NAMED.fullmatch(file) or TEMPORARY.fullmatch(file)
            if (ours and not begun) or (not ours and file.endswith((".parquet", ".arrow"))):
                yield "foreign", f"{name}/{file}", "no commit names this file, and nothing reads it"


def unfinished(workspace: Workspace) -> list[str]:
    """Stages with work that was begun and not committed."""
    fs, path = filesystem(workspace.path(UNFINISHED))
    entries = fs.ls(path, detail=False) if fs.exists(path) else []
    return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries)


def unfinished_work(workspace: Workspace, held: Mapping[str, Commit]) -> Iterator[Found]:
    """Work that a run began and did not commit; what was in force before it is in force yet."""
    for stage in unfinished(workspace):
        command = held[stage].command if stage in held else stage
        message = f"a run of {stage} ended before it had committed; the same command completes it"
        yield "unfinished", f"{UNFINISHED}/{stage}", f"{message} (gristmill {command})"


def repeated_and_foreign_ids(workspace: Workspace, held: Mapping[str, Commit]) -> Iterator[Found]:
    """Rows of one document twice, and of documents that are not in the shard of that name."""
    tables = {name: table for commit in held.values() for name, table in commit.tables.items() if by_id(name)}
    documents = {shard.name: shard for shard in tables["documents"].shards} if "documents" in tables else {}
    for shard_name, document_shard in documents.items():
        known = _ids(workspace, "documents", document_shard)
        for name, table in tables.items():
            for shard in table.shards:
                if shard.name == shard_name:
                    yield from _compared(f"{name}/{shard_name}", _ids(workspace, name, shard), known)


def _ids(workspace: Workspace, table: str, shard: Shard) -> pa.ChunkedArray:
    batches = read_batches(f"{workspace.url}/{table}/{shard.file}", ["id"], 1 << 16)
    return pa.chunked_array([batch["id"] for batch in batches], pa.string())


def _compared(where: str, ids: pa.ChunkedArray, known: pa.ChunkedArray) -> Iterator[Found]:
    repeated = len(ids) - pc.count_distinct(ids).as_py()
    if repeated:
        yield "ids", where, f"{repeated} rows are of a document that has one already"
    foreign = len(ids) - (pc.sum(pc.is_in(ids, value_set=known.combine_chunks())).as_py() or 0)
    if foreign:
        yield "ids", where, f"{foreign} rows are of documents that are not in documents/ of that name"


def contradictory_decisions(workspace: Workspace, held: Mapping[str, Commit]) -> Iterator[Found]:
    """Decisions that contradict themselves (kept by a rule that drops), or the counts of their shard."""
    for commit in held.values():
        for name, table in commit.tables.items():
            if not name.startswith("decisions/"):
                continue
            for shard in table.shards:
                url = f"{workspace.url}/{name}/{shard.file}"
                kept = dropped = odd = 0
                for batch in read_batches(url, ["kept", "rule"]):
                    here = pc.sum(batch["kept"]).as_py() or 0
                    kept, dropped = kept + here, dropped + batch.num_rows - here
                    odd += pc.sum(pc.equal(batch["kept"], pc.is_valid(batch["rule"]))).as_py() or 0
                if odd:
                    message = f"{odd} documents are kept with a rule that drops, or dropped without one"
                    yield "decisions", f"{name}/{shard.name}", message
                told = shard.counts.get("kept"), shard.counts.get("dropped")
                if told != (None, None) and (told[0] or 0, told[1] or 0) != (kept, dropped):
                    message = f"counted as kept, dropped = {told}; the rows say {kept}, {dropped}"
                    yield "conservation", f"{name}/{shard.name}", message


def contradictory_duplicates(workspace: Workspace, held: Mapping[str, Commit], connection: Any) -> Iterator[Found]:
    """Documents that are no survivor of their cluster and kept by `dedup`, or a survivor and dropped."""
    tables = {name for commit in held.values() for name in commit.tables}
    if not {"duplicates", "decisions/dedup"} <= tables:
        return
    from ..corpus.store.catalog import files

    decided = files(workspace, "decisions/dedup")
    row = connection.execute(
        f"select count(*) from {decided} d left join duplicates u using (id) where d.kept <> coalesce(u.survivor, true)"
    ).fetchone()
    if row and row[0]:
        message = f"{row[0]} documents are kept and no survivor of their cluster, or a survivor and dropped"
        yield "survivors", "decisions/dedup", message
