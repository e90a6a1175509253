"""A workspace: a folder (or fsspec URL) of tables, each a folder of shards with one manifest.

A table without a manifest is unfinished and is never read. `Workspace` and `Table` hold nothing but the URL, so they
travel to workers. A table's name is its path: `documents`, `signals`, `decisions/filter`, `tokens/books`.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from .calls import Call
from .errors import RequestError, WorkspaceError
from .shards import Shard, filesystem, fingerprint, read_batches, replacing

MANIFEST = "_manifest.json"


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """What a finished table says of itself."""

    table: str
    stage: str
    version: int  # of the stage's output: raised when the same settings give other bytes
    settings: dict[str, Any]
    inputs: dict[str, str]  # name of what was read -> its fingerprint
    shards: tuple[Shard, ...]  # sorted by name
    counts: dict[str, int]
    details: dict[str, Any] = {}  # what the stage wants to tell beyond counts
    call: Call | None = None  # how it was asked for: enough to ask again

    @property
    def settings_fingerprint(self) -> str:
        return fingerprint(self.stage, self.version, self.settings)

    @property
    def fingerprint(self) -> str:
        """Identifies the table's content: what a stage that reads it records as its input."""
        return fingerprint(self.settings_fingerprint, [(s.name, s.checksum) for s in self.shards])


@dataclass(frozen=True)
class Table:
    """One table of a workspace."""

    workspace: str
    name: str

    @property
    def url(self) -> str:
        return f"{self.workspace}/{self.name}"

    def shard_url(self, shard: str) -> str:
        return f"{self.url}/{shard}"

    def manifest(self) -> Manifest | None:
        """The manifest, or None where the table is absent or unfinished."""
        fs, path = filesystem(f"{self.url}/{MANIFEST}")
        if not fs.exists(path):
            return None
        with fs.open(path, "rb") as file:
            try:
                return Manifest.model_validate_json(file.read())
            except ValueError as error:
                raise WorkspaceError(f"{self.url}/{MANIFEST} is damaged: {error}") from error

    def finished(self, needed_by: str) -> Manifest:
        """The manifest, or a WorkspaceError that names the stage to run first."""
        manifest = self.manifest()
        if manifest is None:
            stage = WRITTEN_BY.get(self.name.split("/")[0], self.name.split("/")[-1])
            raise WorkspaceError(
                f"{needed_by} needs {self.name}/, which is not there or not finished in {self.workspace}; "
                f"run: gristmill {stage} --workspace {self.workspace}"
            )
        return manifest

    def read(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Every batch of the finished table, shards in the order of their names."""
        for shard in self.finished("reading").shards:
            yield from read_batches(self.shard_url(shard.name), columns)

    def write_manifest(self, manifest: Manifest) -> str:
        """Commit: write the manifest (last), then sweep files that it does not list. Returns its fingerprint."""
        with replacing(f"{self.url}/{MANIFEST}") as scratch, open(scratch, "w", encoding="utf-8") as file:
            file.write(json.dumps(json.loads(manifest.model_dump_json()), indent=1, sort_keys=True) + "\n")
        self.sweep(manifest)
        return manifest.fingerprint

    def remove_manifest(self) -> None:
        fs, path = filesystem(f"{self.url}/{MANIFEST}")
        if fs.exists(path):
            fs.rm_file(path)

    def sweep(self, manifest: Manifest) -> None:
        """Remove shards of earlier settings and temporaries of killed writers."""
        fs, path = filesystem(self.url)
        listed = {shard.name for shard in manifest.shards} | {MANIFEST}
        for entry in fs.ls(path, detail=True):
            name = os.path.basename(entry["name"].rstrip("/"))
            if entry["type"] == "file" and name not in listed:
                fs.rm_file(entry["name"])


# the command that writes a table, for error messages; tables not named here are written by the command of their name
WRITTEN_BY = {
    "documents": "extract",
    "signals": "filter",
    "duplicates": "dedup",
    "signatures": "dedup",
    "shingles": "dedup",
    "repeats": "dedup",
    "edges": "dedup",
    "components": "dedup",
    "tokens": "tokenize",
    "scores": "score",
    "tags": "tag",
    "matches": "balance",
    "concepts": "balance",
    "domains": "tag",
    "labels": "tag",
    "labellers": "tag",
    "clusters": "tag",
    "programs": "refine",
    "synthetic": "rewrite",
    "lineage": "rewrite",
    "rewrites": "rewrite",
    "mixture": "mix",
}


@dataclass(frozen=True)
class Workspace:
    """The folder that holds the tables."""

    url: str

    def __post_init__(self) -> None:
        if "://" not in self.url:
            object.__setattr__(self, "url", os.path.abspath(os.path.expanduser(self.url)))
        object.__setattr__(self, "url", self.url.rstrip("/"))

    @property
    def is_local(self) -> bool:
        return "://" not in self.url

    def table(self, name: str) -> Table:
        return Table(self.url, name)

    def path(self, *parts: str) -> str:
        return "/".join((self.url, *parts))

    def create(self) -> None:
        """Make the folder; a RequestError where it cannot be written."""
        fs, path = filesystem(self.url)
        try:
            fs.makedirs(path, exist_ok=True)
            with replacing(self.path(".writable")) as scratch, open(scratch, "w") as file:
                file.write("")
            fs.rm_file(f"{path}/.writable")
        except OSError as error:
            raise RequestError(f"--workspace {self.url} cannot be written: {error}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for writing; a RequestError where another process does. Freed when the process ends.

        Only local workspaces can be locked: on an object store, two runs at once are the user's to avoid.
        """
        if not self.is_local:
            yield
            return
        with open(self.path(".lock"), "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RequestError(f"another gristmill is at work in {self.url}; wait for it to end") from None
            yield

    def tables(self) -> list[Table]:
        """Every finished table, by name."""
        fs, path = filesystem(self.url)
        if not fs.exists(path):
            raise RequestError(f"--workspace {self.url} does not exist; gristmill extract makes one")
        found = [entry for entry in fs.find(path) if entry.endswith("/" + MANIFEST)]
        return [self.table(os.path.dirname(os.path.relpath(entry, path))) for entry in sorted(found)]


def total(shards: Sequence[Shard]) -> dict[str, int]:
    """Counts summed over shards."""
    counts: dict[str, int] = {}
    for shard in shards:
        for name, value in shard.counts.items():
            counts[name] = counts.get(name, 0) + value
    return dict(sorted(counts.items()))


def conserved(counts: dict[str, int], where: str) -> dict[str, int]:
    """The counts themselves, once `in = kept + dropped + failed` holds; a WorkspaceError otherwise."""
    accounted = counts.get("kept", 0) + counts.get("dropped", 0) + counts.get("failed", 0)
    if counts.get("in", 0) != accounted:
        raise WorkspaceError(
            f"{where} lost track of documents: in {counts.get('in', 0)} != kept {counts.get('kept', 0)} "
            f"+ dropped {counts.get('dropped', 0)} + failed {counts.get('failed', 0)}"
        )
    return counts
