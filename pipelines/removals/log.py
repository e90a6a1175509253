"""The log of removals: `removals/log.jsonl`, each line bound to the one before it, its head signed by the user's key.

A line says when, on what kind of request, how many documents went, and which runs and recipes had read them. What was
asked for and what was removed appear as keyed hashes alone (`removals/NUMBER.parquet`; the key lies in
`removals/secret`, which stays with the user): whoever reads the log learns nothing of the text, and whoever holds the
key can prove that nothing of it is left. A line's hash covers the line and the hash before it, so that a line that was
changed, dropped or put in breaks the chain; a chain that was computed anew as a whole does not fit the signature.
Refuses a log that does not hold together, before anything is added to it.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.shards import replacing
from ...corpus.store.workspace import Workspace
from .signing import is_minisign, name_of, sign, verified

FOLDER, LOG, HEAD, SIGNATURE, SECRET = "removals", "log.jsonl", "head", "head.sig", "secret"
START = "0" * 64
KINDS = ("request", "id", "text", "piece")
HASHES = pa.schema([pa.field("kind", pa.string(), nullable=False), pa.field("hash", pa.binary(16), nullable=False)])


@dataclass
class Hashes:
    """Keyed hashes of what an entry is of, by kind."""

    key: bytes
    found: dict[str, set[bytes]] = field(default_factory=lambda: {kind: set() for kind in KINDS})

    def add(self, kind: str, what: bytes) -> None:
        self.found[kind].add(keyed(self.key, kind, what))


def keyed(key: bytes, kind: str, what: bytes) -> bytes:
    """16 bytes of blake2b of something under the workspace's secret key."""
    return hashlib.blake2b(kind.encode() + b"\0" + what, key=key, digest_size=16).digest()


def place(workspace: Workspace, *names: str) -> str:
    if not workspace.is_local:
        raise RequestError(f"{workspace.url}: the log of removals is kept on a local disk; copy the workspace first")
    return workspace.path(FOLDER, *names)


def secret(workspace: Workspace, make: bool = False) -> bytes | None:
    """The key of the hashes; None where there is none and none is to be made."""
    path = place(workspace, SECRET)
    if os.path.exists(path):
        with open(path, "rb") as file:
            return bytes.fromhex(file.read().decode().strip())
    if not make:
        return None
    os.makedirs(place(workspace), exist_ok=True)
    key = secrets.token_bytes(32)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
    return key


def entries(workspace: Workspace) -> list[dict[str, Any]]:
    """The lines of the log; WorkspaceError where it does not hold together."""
    told, faults = read_log(workspace)
    if faults:
        raise WorkspaceError(f"the log of removals in {workspace.url} does not hold together: {faults[0]}")
    return told


def read_log(workspace: Workspace) -> tuple[list[dict[str, Any]], list[str]]:
    """(lines, what is wrong with the chain or with the files of hashes)."""
    path = place(workspace, LOG)
    if not os.path.exists(path):
        left = [name for name in (HEAD, SIGNATURE) if os.path.exists(place(workspace, name))]
        return [], [f"{LOG} is gone and {', '.join(left)} is there"] if left else []
    lines, faults, previous = [], [], START
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
            except ValueError:
                return lines, [*faults, f"line {number} is no JSON"]
            if line.get("number") != number or line.get("previous") != previous:
                faults.append(f"line {number} does not follow the line before it: one was dropped, put in or changed")
            if line.get("hash") != hash_of(line):
                faults.append(f"line {number} was changed after it was written")
            previous = str(line.get("hash"))
            file_hash = _sha256(place(workspace, f"{number}.parquet"))
            if file_hash != line.get("hashes"):
                state = "lost" if file_hash is None else f"another than line {number} says"
                faults.append(f"{number}.parquet is {state}")
            lines.append(line)
    head = _read(place(workspace, HEAD))
    if head != head_of(lines):
        faults.append("the head is not that of the last line: lines were dropped or the log was computed anew")
    return lines, faults


def hash_of(line: dict[str, Any]) -> str:
    """sha256 over a line without its own hash; `previous` binds it to the one before."""
    told = {name: value for name, value in line.items() if name != "hash"}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def head_of(lines: Sequence[dict[str, Any]]) -> str:
    """What is signed: how many lines there are, and the hash of the last."""
    return f"gristmill-removals {len(lines)} {lines[-1]['hash'] if lines else START}\n"


def append(workspace: Workspace, told: dict[str, Any], hashes: Hashes, key_file: str | None) -> dict[str, Any]:
    """Add a line, move the head, and sign it where a key is given. The line."""
    lines = entries(workspace)
    number = len(lines) + 1
    path = place(workspace, f"{number}.parquet")
    rows = [(kind, one) for kind in KINDS for one in sorted(hashes.found[kind])]
    table = pa.table([[kind for kind, _ in rows], [one for _, one in rows]], schema=HASHES)
    with replacing(path) as scratch:
        pq.write_table(table, scratch, compression="zstd")
    line = {
        "number": number,
        "time": datetime.now(UTC).replace(microsecond=0).isoformat(),
        **told,
        "hashed": {kind: len(found) for kind, found in hashes.found.items()},
        "hashes": _sha256(path),
        "previous": lines[-1]["hash"] if lines else START,
    }
    line["hash"] = hash_of(line)
    lines.append(line)
    with replacing(place(workspace, LOG)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(one, sort_keys=True) + "\n" for one in lines)
    with replacing(place(workspace, HEAD)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(head_of(lines))
    signature = place(workspace, SIGNATURE)
    if os.path.exists(signature):
        os.remove(signature)  # it was of the head before
    if key_file is not None:
        sign(place(workspace, HEAD), key_file)
    return line


def hashed(workspace: Workspace, kinds: Iterable[str] = KINDS) -> dict[str, set[bytes]]:
    """All keyed hashes of the log, by kind."""
    found: dict[str, set[bytes]] = {kind: set() for kind in kinds}
    for line in entries(workspace):
        for batch in pq.ParquetFile(place(workspace, f"{line['number']}.parquet")).iter_batches():
            for kind, one in zip(batch["kind"].to_pylist(), batch["hash"].to_pylist(), strict=True):
                if kind in found:
                    found[kind].add(one)
    return found


def signature_faults(workspace: Workspace, signer: str | None) -> list[str]:
    """What is wrong with the signature of the head, against a public key where one is given."""
    head, signature = place(workspace, HEAD), place(workspace, SIGNATURE)
    if not os.path.exists(signature):
        return ["the head of the log is not signed"] if signer is not None else []
    return verified(head, signature, signer)


def told_in_card(workspace: Workspace) -> list[str]:
    """The head of the log and who signed it, for a card; nothing where nothing was removed."""
    if not workspace.is_local or not os.path.exists(place(workspace, LOG)):
        return []
    lines = entries(workspace)
    said = [f"{len(lines)} entries in a hash chain; the head is `{lines[-1]['hash']}`."]
    signature = place(workspace, SIGNATURE)
    if not os.path.exists(signature):
        return [*said, "It is not signed."]
    named = name_of(signature)
    if is_minisign(signature):
        return [*said, f"It is signed by the minisign key `{named}`, by whose public key it can be verified."]
    faults = verified(place(workspace, HEAD), signature, None)
    return [*said, f"Its signature {'does not verify' if faults else f'is by the SSH key `{named}`'}."]


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def _sha256(path: str) -> str | None:
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
