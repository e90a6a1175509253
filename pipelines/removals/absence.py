"""Proof of absence: nothing of what was removed on request is left in a workspace.

Looks for removed ids in every table, for removed texts and pieces of them in every text, in the replies of engines and
in what the columns of rows hold, and for files that no commit names; checks the chain of the log and its signature. Ids
are those that `removed/` has, held against the keyed hashes of the log. Tokens are looked for by their ids: that
they are those of the documents is what `gristmill audit` proves. Changes nothing. Cannot prove anything of models:
those that had read what was removed are named.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...corpus.exported import export_places
from ...corpus.planning.ledger import read_ledger
from ...corpus.removals import read_optout
from ...corpus.store.commits import COMMITS, MANIFEST, UNFINISHED
from ...corpus.store.errors import RequestError
from ...corpus.store.shards import Shard, read_batches
from ...corpus.store.workspace import Workspace
from ...proxy_models.engines.cache import cache_path
from ..engine.rebuild import holding
from ..stages.write.stale import stale_places
from .log import FOLDER, hashed, keyed, read_log, secret, signature_faults
from .pieces import chosen_pieces, wholes

DATA = (".parquet", ".arrow", ".jsonl", ".sqlite", ".txt", ".zst", ".gz")
EXPORT = "export.json"  # is in every folder that an exporter wrote into
OWN = (FOLDER, COMMITS, "runs", "mixture")
Found = dict[str, str]


def prove_absence(workspace: Workspace, signer: str | None = None) -> dict[str, Any]:
    """{findings: [check, where, message], checked, trained: runs and recipes that had read what is gone}."""
    workspace.tables()  # refuses a workspace that is not there
    lines, faults = read_log(workspace)
    findings = [_found("log", FOLDER, fault) for fault in faults]
    checked = {"entries": len(lines)}
    if lines:
        findings += [_found("signature", FOLDER, fault) for fault in signature_faults(workspace, signer)]
    elif not faults and (signer is not None or (rows := len(_ids(workspace)))):
        said = "was asked for" if signer is not None else f"has to tell of {rows:,} removed documents"
        findings.append(_found("log", FOLDER, f"a log of removals {said}, and there is none"))
    trained = [one for line in lines for one in line.get("trained", ())]
    if faults or not lines:  # what should be gone cannot be told
        return {"findings": findings, "checked": checked, "trained": trained}
    key = secret(workspace)
    if key is None:
        raise RequestError(f"{workspace.path(FOLDER, 'secret')} is not there, without which hashes cannot be compared")
    told = hashed(workspace)
    gone = _ids(workspace)
    findings += list(_log_and_table(key, gone, told["id"]))
    for table, rows in holding(workspace, pa.array(sorted(gone), pa.string())).items():
        findings.append(_found("ids", table, f"{rows:,} rows of removed documents"))
    texts = 0
    for where, batch in [*_texts(workspace), *_replies(workspace)]:
        texts += len(batch)
        findings += list(_held(where, batch, key, told))
    findings += list(_strays(workspace))
    for place, command in stale_places(workspace).items():
        findings.append(_found("written", place, f"was written from documents that are no more; run: {command}"))
    checked |= {"ids": len(gone), "texts": len(told["text"]), "pieces": len(told["piece"]), "texts looked at": texts}
    return {"findings": findings, "checked": checked, "trained": trained}


def _ids(workspace: Workspace) -> set[str]:
    """Ids that were removed on request."""
    table = workspace.table("removed")
    found: set[str] = set(read_optout(workspace).ids)
    for batch in table.read(["id"]) if table.manifest() is not None else ():
        found |= set(batch["id"].to_pylist())
    return found


def _log_and_table(key: bytes, gone: set[str], logged: set[bytes]) -> Iterator[Found]:
    """The two accounts of what was removed have to agree."""
    known = {keyed(key, "id", id.encode()) for id in gone}
    if lacking := len(logged - known):
        yield _found("log", "removed", f"{lacking:,} ids of the log are not in removed/, so they cannot be looked for")


def _texts(workspace: Workspace) -> Iterator[tuple[str, pa.Array]]:
    """Every text of every table, batch by batch: columns of strings whose name says that they hold text."""
    for table in workspace.tables():
        for shard in table.finished("audit").shards:
            if not shard.name.endswith(".parquet") or table.name == "removed":
                continue
            url = table.file_url(shard)
            schema = pq.read_schema(url) if workspace.is_local else None
            names = [f.name for f in schema or () if _holds_text(table.name, f)]
            for batch in read_batches(url, names, 2048) if names else ():
                for name in names:
                    yield f"{table.name}/{shard.name}", batch[name].cast(pa.string())


def _holds_text(table: str, field: pa.Field) -> bool:
    plain = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    return plain and (field.name in ("text", "excerpt", "prompt", "reply") or table.startswith("columns/"))


def _replies(workspace: Workspace) -> Iterator[tuple[str, pa.Array]]:
    """What engines answered."""
    path = cache_path(workspace, None)
    for place in (path, f"{path}.aside"):
        if os.path.exists(place):
            with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as connection:
                rows = connection.execute("select text from replies")
                while batch := rows.fetchmany(2048):
                    yield os.path.relpath(place, workspace.url), pa.array([row[0] for row in batch], pa.string())


def _held(where: str, texts: pa.Array, key: bytes, told: dict[str, set[bytes]]) -> Iterator[Found]:
    """Texts that were removed, and texts that hold pieces of such."""
    same = sum(keyed(key, "text", whole) in told["text"] for whole in wholes(texts)) if told["text"] else 0
    if same:
        yield _found("texts", where, f"{same:,} texts are, word for word, those of removed documents")
    if told["piece"]:
        pieces = sum(
            any(keyed(key, "piece", piece.tobytes()) in told["piece"] for piece in own) for own in chosen_pieces(texts)
        )
        if pieces > same:
            yield _found("pieces", where, f"{pieces:,} texts hold runs of 25 words of removed documents")


def _strays(workspace: Workspace) -> Iterator[Found]:
    """Files with rows that no commit names: what they hold is nobody's, and may be what was removed."""
    named = {file for commit in workspace.commits().values() for file in (*commit.files, *commit.named, *commit.parts)}
    inputs = {os.path.relpath(file.place, workspace.url) for file in read_ledger(workspace).files if file.place}
    exports = {os.path.relpath(place, workspace.url) for place in export_places(workspace)}  # see `stale_places`
    kept = workspace.kept()
    for commit in kept:
        yield _found("generations", commit.stage, f"generation {commit.generation} is kept, from before or after")
        named |= commit.files
    for folder, folders, files in os.walk(workspace.url):
        below = os.path.relpath(folder, workspace.url)
        folders[:] = [name for name in folders if below != "." or name not in OWN]
        if below in exports or EXPORT in files:
            folders[:] = []
            if below not in exports:
                yield _found(
                    "strays", below, "no record tells what this export was made of; write it anew or remove it"
                )
            continue
        for file in files:
            path = file if below == "." else f"{below}/{file}"
            known = (
                path in named
                or path in inputs
                or file == MANIFEST
                or below in (".", "plans")
                or below.startswith("requests")
            )
            if not known and file.endswith(DATA):
                state = "unfinished work" if below.startswith(UNFINISHED) else "in no commit"
                yield _found("strays", path, f"the file is {state}; what it holds is not accounted for")


def _found(check: str, where: str, message: str) -> Found:
    return {"check": check, "where": where, "message": message}


def differences(one: Workspace, other: Workspace, without: Iterable[str] = ("removed",)) -> list[str]:
    """Tables whose rows are others in two workspaces, whatever their order."""
    skipped = set(without)
    names = {t.name for t in one.tables()} ^ {t.name for t in other.tables()}
    found = [name for name in sorted(names) if name not in skipped]
    for table in one.tables():
        if table.name not in skipped and table.name not in names:
            apart = [_apart(space, elsewhere, table.name) for space, elsewhere in ((one, other), (other, one))]
            if _rows(one, table.name, apart[0]) != _rows(other, table.name, apart[1]):
                found.append(table.name)
    return found


def _apart(space: Workspace, elsewhere: Workspace, name: str) -> list[Shard]:
    """The shards of a table whose rows the other workspace has in no shard of that name: equal ones need no reading."""
    there = {(shard.name, shard.content) for shard in elsewhere.table(name).finished("audit").shards}
    return [s for s in space.table(name).finished("audit").shards if (s.name, s.content) not in there]


def _rows(workspace: Workspace, name: str, shards: Iterable[Shard]) -> tuple[int, int]:
    """(rows, sum of their hashes): equal for equal rows in whatever order and shards."""
    count = total = 0
    for row in _told(workspace, name, shards):
        count += 1
        total += int.from_bytes(hashlib.blake2b(row.encode(), digest_size=16).digest(), "big")
    return count, total % 2**128


def _told(workspace: Workspace, name: str, shards: Iterable[Shard]) -> Iterator[str]:
    """Every row of shards of a table; of files that are no table what they hold."""
    table = workspace.table(name)
    for shard in shards:
        url = table.file_url(shard)
        if shard.name.endswith(".parquet"):
            for batch in read_batches(url):
                yield from map(repr, batch.to_pylist())
        elif shard.name.endswith(".arrow"):
            with pa.memory_map(url) as file, pa.ipc.open_file(file) as reader:
                for number in range(reader.num_record_batches):
                    yield from map(repr, reader.get_batch(number).to_pylist())
        else:
            yield f"{shard.name} {shard.checksum}"
