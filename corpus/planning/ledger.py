"""The ledger of extraction, `plans/extract.json`: the input files, the shards made of them, and where they lie.

Absolute places stand here and nowhere else: tables, stamps and commits know a file by its content and by its path below
what the user named. A workspace that was moved together with its inputs finds them again beside it. Where the ledger is
lost, it is read back from the account in `inputs/`, which knows everything but the places.
Refuses a ledger that is no JSON of this form.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..store.calls import HERE, relocated
from ..store.errors import WorkspaceError
from ..store.shards import filesystem, fingerprint, read_batches, replacing
from ..store.workspace import Workspace

LEDGER = "plans/extract.json"
UNKNOWN = -1  # the size of a file that was not opened


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file: bytes [start, end), or row groups of Parquet. `end` None: to the end.

    place   where the file lies now
    path    below what the user named
    file    fingerprint that ids are made from
    weight  bytes of the file that it stands for
    content checksum of the file, where it had the quick fingerprint of an earlier version of itself
    seen    quick fingerprint of the file, and `size` its bytes
    """

    place: str
    path: str
    file: str
    format: str
    source: str = ""
    domain: str = ""
    start: int = 0
    end: int | None = None
    weight: int = 0
    content: str = ""
    seen: str = ""
    size: int = 0

    @property
    def facts(self) -> tuple[Any, ...]:
        """All that decides what is read of it."""
        return self.path, self.file, self.format, self.source, self.domain, self.start, self.end, self.content


@dataclass(frozen=True, slots=True)
class Lot:
    """What becomes one shard. `cut_from`: the shard that it is a part of, where a file of that one left."""

    name: str
    pieces: tuple[Piece, ...]
    cut_from: str | None = None

    @property
    def fingerprint(self) -> str:
        return fingerprint([piece.facts for piece in self.pieces])


@dataclass(frozen=True, slots=True)
class File:
    """A file that was taken in, or, where `repeat`, one that held the bytes of the one with the same `file`.

    seen    quick fingerprint
    state   what the file system said of it when it was opened, "" where that may not be relied on
    file    fingerprint that ids are made from: the quick one, or one with the full checksum where that was not unique
    content its checksum, where the quick fingerprint did not change with it
    kept    an earlier version of its place, kept on request
    """

    place: str
    path: str
    seen: str
    state: str
    file: str
    size: int
    source: str
    domain: str
    format: str
    repeat: bool = False
    kept: bool = False
    content: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The order of files, the same wherever they lie."""
        return self.source, self.domain, self.path, self.seen, self.file, self.place

    def piece(self, start: int = 0, end: int | None = None, weight: int | None = None) -> Piece:
        """A part of the file; all of it where nothing is given."""
        size = max(0, self.size) if weight is None else weight
        told = (self.place, self.path, self.file, self.format, self.source, self.domain)
        return Piece(*told, start, end, size, self.content, self.seen, self.size)


@dataclass(frozen=True)
class Ledger:
    """Files and shards, both in the order of their keys."""

    files: tuple[File, ...] = ()
    lots: tuple[Lot, ...] = ()

    def taken(self) -> dict[str, File]:
        """fingerprint -> the file whose documents bear it."""
        return {file.file: file for file in self.files if not file.repeat}


def read_ledger(workspace: Workspace) -> Ledger:
    """What is written down; WorkspaceError where that is damaged."""
    written = ledger_written(workspace)
    if written is None:
        return recovered(workspace)
    try:
        told = json.loads(written)
        files = tuple(File(_now(place, told["workspace"], workspace), *rest) for place, *rest in told["files"])
        of = {file.file: file for file in files if not file.repeat}
        lots = tuple(
            Lot(name, tuple(of[file].piece(start, end, weight) for file, start, end, weight in pieces), cut_from)
            for name, cut_from, pieces in told["lots"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"{workspace.path(LEDGER)} is damaged or of an earlier version of gristmill; restore it, or remove it, "
            f"after which it is made anew from inputs/"
        ) from error
    return Ledger(files, lots)


def ledger_written(workspace: Workspace) -> bytes | None:
    """The bytes of the ledger, None where there is none."""
    fs, path = filesystem(workspace.path(LEDGER))
    try:
        return cast(bytes, fs.cat_file(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _now(place: str, before: str, workspace: Workspace) -> str:
    """Where a file is: what lies in the workspace moves with it, and what lay beside it where it is there now."""
    if place.startswith(HERE):
        return workspace.url + place.removeprefix(HERE)
    return relocated(place, before, workspace.url)


def write_ledger(workspace: Workspace, ledger: Ledger) -> None:
    """Write it down in one step."""
    with replacing(workspace.path(LEDGER)) as scratch, open(scratch, "wb") as file:
        file.write(ledger_bytes(workspace, ledger))


def ledger_bytes(workspace: Workspace, ledger: Ledger) -> bytes:
    """What `write_ledger` writes."""
    here = workspace.url + "/"
    files = []
    for file in ledger.files:
        place = f"{HERE}/{file.place.removeprefix(here)}" if file.place.startswith(here) else file.place
        rest = (file.path, file.seen, file.state, file.file, file.size, file.source, file.domain, file.format)
        files.append([place, *rest, file.repeat, file.kept, file.content])
    lots = [[lot.name, lot.cut_from, [(p.file, p.start, p.end, p.weight) for p in lot.pieces]] for lot in ledger.lots]
    told = {"workspace": workspace.url, "files": files, "lots": lots}
    return (json.dumps(told, ensure_ascii=True, indent=0) + "\n").encode()


def recovered(workspace: Workspace) -> Ledger:
    """The ledger of what is in force, from the account of the inputs, which does not know the places."""
    manifest = workspace.table("inputs").manifest()
    if manifest is None:
        return Ledger()
    files: dict[str, File] = {}
    lots = []
    for shard in manifest.shards:
        pieces = []
        for batch in read_batches(workspace.table("inputs").file_url(shard)):
            for row in batch.to_pylist():
                file = files.setdefault(row["file"], _file(row))
                pieces.append(file.piece(row["start"], row["end"], 0))
        lots.append(Lot(shard.name, tuple(pieces)))
    return Ledger(tuple(sorted(files.values(), key=lambda file: file.key)), tuple(lots))


def _file(row: Mapping[str, Any]) -> File:
    told = (row["path"], row["seen"], "", row["file"], row["size"], row["source"], row["domain"], row["format"])
    return File("", *told)
