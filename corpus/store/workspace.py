"""A workspace: a folder (or fsspec URL) of tables, each a folder of shards, and the commits that say what holds.

`commits/<stage>.json` is what readers trust: one file, put in one step, names all tables of a stage with their shards.
A result stays in force until the next one is committed whole; files that no commit names are nobody's result.
`Workspace` and `Table` hold nothing but the URL, so they travel to workers. A table's name is its path: `documents`,
`signals/gopher`, `decisions/filter`, `tokens/books`.
"""

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast
from urllib.parse import quote, unquote

import pyarrow as pa
from pydantic import BaseModel

from .calls import Call
from .commands import command_for
from .errors import RequestError, WorkspaceError
from .puts import Conflict, Version, put_if, read
from .shards import Shard, checksum, filesystem, fingerprint, read_batches, replacing

COMMITS, UNFINISHED, MANIFEST = "commits", "unfinished", "_manifest.json"


@dataclass(frozen=True)
class Made:
    """What a work item was made from.

    stamp      of the stage, its settings and all that this item read: equal stamps, equal rows
    made_from  shard (`documents/web-0001.parquet`) -> fingerprint of its content then
    """

    stamp: str
    made_from: Mapping[str, str] = field(default_factory=dict)


class TableRecord(BaseModel, frozen=True, extra="forbid"):
    """What a commit says of one of its tables."""

    settings: dict[str, Any]
    shards: tuple[Shard, ...]  # sorted by name
    counts: dict[str, int]
    details: dict[str, Any] = {}


class Commit(BaseModel, frozen=True, extra="forbid"):
    """A finished stage: all its tables at once.

    command   the command that runs it
    inputs    what the whole of it was made from: table or other input -> fingerprint
    work      for stages that map shards: work item -> what it was made from
    after     deciding stages that come before it in the chain
    fitted    stays in force when its inputs change
    """

    stage: str
    command: str
    version: int
    generation: int
    previous: str  # fingerprint of the generation before, "" for the first
    tables: dict[str, TableRecord]
    inputs: dict[str, str]
    work: dict[str, Made] = {}
    after: tuple[str, ...] = ()
    fitted: bool = False
    call: Call | None = None  # how it was asked for: enough to ask again

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(
            self.stage, self.generation, self.previous, {n: _content(t.shards) for n, t in self.tables.items()}
        )

    @property
    def files(self) -> set[str]:
        """Every file that it names, as TABLE/FILE."""
        return {f"{name}/{shard.file}" for name, table in self.tables.items() for shard in table.shards}

    @property
    def named(self) -> set[str]:
        """Copies under plain names that follow from it, as TABLE/NAME."""
        return {f"{n}/{shard.name}" for n, table in self.tables.items() for shard in table.shards if is_named(n, shard)}

    def bytes(self) -> bytes:
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")) + "\n").encode()


def _content(shards: Sequence[Shard]) -> list[tuple[str, str]]:
    return [(shard.name, shard.content) for shard in shards]


@dataclass(frozen=True)
class Manifest:
    """A finished table, as its stage's commit tells of it."""

    table: str
    commit: Commit

    @property
    def record(self) -> TableRecord:
        return self.commit.tables[self.table]

    @property
    def stage(self) -> str:
        return self.commit.stage

    @property
    def version(self) -> int:
        return self.commit.version

    @property
    def settings(self) -> dict[str, Any]:
        return self.record.settings

    @property
    def inputs(self) -> dict[str, str]:
        return self.commit.inputs

    @property
    def shards(self) -> tuple[Shard, ...]:
        return self.record.shards

    @property
    def counts(self) -> dict[str, int]:
        return self.record.counts

    @property
    def details(self) -> dict[str, Any]:
        return self.record.details

    @property
    def call(self) -> Call | None:
        return self.commit.call

    @property
    def settings_fingerprint(self) -> str:
        return fingerprint(self.stage, self.version, self.settings)

    @cached_property
    def by_name(self) -> dict[str, Shard]:
        return {shard.name: shard for shard in self.shards}

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the table's rows: what a stage that reads the whole of it records as its input."""
        return fingerprint(_content(self.shards))


@dataclass(frozen=True)
class Table:
    """One table of a workspace."""

    workspace: str
    name: str

    @property
    def url(self) -> str:
        return f"{self.workspace}/{self.name}"

    def manifest(self) -> Manifest | None:
        """What is committed of the table, or None where it is absent or was never finished."""
        return _tables_of(self.workspace).get(self.name)

    def finished(self, needed_by: str) -> Manifest:
        """The manifest, or a WorkspaceError that names the command to run first."""
        manifest = self.manifest()
        if manifest is None:
            raise WorkspaceError(
                f"{needed_by} needs {self.name}/, which is not there or not finished in {self.workspace}; "
                f"run: gristmill {command_for(self.name)} --workspace {self.workspace}"
            )
        return manifest

    def shard_url(self, name: str) -> str:
        """Where a shard of the finished table lies. WorkspaceError where the table has none of that name."""
        shard = self.finished("reading").by_name.get(name)
        if shard is None:
            raise WorkspaceError(f"{self.name}/ in {self.workspace} has no shard {name}")
        return self.file_url(shard)

    def listed(self) -> set[str]:
        """Names of the files that lie in the table's folder."""
        fs, path = filesystem(self.url)
        try:
            return {os.path.basename(entry.rstrip("/")) for entry in fs.ls(path, detail=False)}
        except FileNotFoundError:
            return set()

    def file_url(self, shard: Shard) -> str:
        return f"{self.url}/{shard.file}"

    def read(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Every batch of the finished table, shards in the order of their names."""
        for shard in self.finished("reading").shards:
            yield from read_batches(self.file_url(shard), columns)


def is_named(table: str, shard: Shard) -> bool:
    """Whether people name a file by its plain name, so that a copy of it lies under that name."""
    return table == "mixture" or not shard.name.endswith((".parquet", ".arrow"))


# ---- commits

_CACHE: dict[
    str, tuple[tuple[Any, ...], Commit]
] = {}  # path -> (what the file was, the commit); files are never edited


def _listed(workspace: str) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """stage -> (path, what tells one state of the file from another), from one listing."""
    fs, path = filesystem(f"{workspace}/{COMMITS}")
    try:
        entries = fs.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = {}
    for entry in entries:
        name = os.path.basename(entry["name"])
        if name.endswith(".json") and not name.startswith("."):
            state = tuple(entry.get(key) for key in ("size", "mtime", "ino", "ETag", "etag", "generation"))
            found[unquote(name.removesuffix(".json"))] = (entry["name"], state)
    return found


def commits(workspace: str) -> dict[str, Commit]:
    """stage -> what is in force of it. Costs one listing, and one read of what changed since this process looked."""
    held: dict[str, Commit] = {}
    for stage, (path, state) in sorted(_listed(workspace).items()):
        key = f"{workspace} {stage}"
        known = _CACHE.get(key)
        if known is None or known[0] != state:
            commit = _parsed(workspace, stage, path)
            if commit is None:
                continue
            known = _CACHE[key] = (state, commit)
        held[stage] = known[1]
    return held


def _parsed(workspace: str, stage: str, path: str) -> Commit | None:
    found = read(commit_url(workspace, stage))
    if found is None:  # taken back since it was listed
        return None
    try:
        return Commit.model_validate_json(found[0])
    except ValueError as error:
        raise WorkspaceError(
            f"{commit_url(workspace, stage)} is damaged: {str(error).splitlines()[0]}; "
            f"run the stage again with --force, or restore the file"
        ) from error


def commit_url(workspace: str, stage: str) -> str:
    return f"{workspace}/{COMMITS}/{quote(stage, safe='')}.json"


def _tables_of(workspace: str) -> dict[str, Manifest]:
    return {table: _manifest(commit, table) for commit in commits(workspace).values() for table in commit.tables}


_MANIFESTS: dict[tuple[int, str], Manifest] = {}


def _manifest(commit: Commit, table: str) -> Manifest:
    """One object for each table of a commit, so that what it works out is worked out once."""
    key = (id(commit), table)
    held = _MANIFESTS.get(key)
    if held is None or held.commit is not commit:
        held = _MANIFESTS[key] = Manifest(table, commit)
    return held


@dataclass(frozen=True)
class Workspace:
    """The folder that holds the tables."""

    url: str

    def __post_init__(self) -> None:
        try:
            self.url.encode()
        except UnicodeEncodeError:
            name = os.fsencode(self.url).decode("utf-8", "replace")
            raise RequestError(f"--workspace {name}: its name is no UTF-8, which tables cannot refer to") from None
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

    def tables(self) -> list[Table]:
        """Every finished table, by name."""
        fs, path = filesystem(self.url)
        if not fs.exists(path):
            raise RequestError(f"--workspace {self.url} does not exist; gristmill extract makes one")
        return [self.table(name) for name in sorted(_tables_of(self.url))]

    # ---- commits

    def commits(self) -> dict[str, Commit]:
        """stage -> what is in force of it."""
        return commits(self.url)

    def commit_of(self, stage: str) -> Commit | None:
        return commits(self.url).get(stage)

    def put_commit(self, commit: Commit) -> None:
        """Make a result the one in force, in one step; then its manifests follow, and what it replaced is swept.

        Raises WorkspaceError where another writer committed the stage since `commit.previous`.
        """
        url = commit_url(self.url, commit.stage)
        found = read(url)
        before, version = (None, None) if found is None else (Commit.model_validate_json(found[0]), found[1])
        if (before.fingerprint if before else "") != commit.previous:
            raise self._beaten(commit.stage)
        self._put(url, commit.bytes(), version, commit.stage)
        self.follow(commit)
        self._sweep(before, commit)

    def _put(self, url: str, data: bytes, version: Version | None, stage: str) -> None:
        try:
            put_if(url, data, version)
        except Conflict:
            raise self._beaten(stage) from None

    def _beaten(self, stage: str) -> WorkspaceError:
        return WorkspaceError(f"another run committed {stage} in {self.url} meanwhile; run the command again")

    def follow(self, commit: Commit) -> None:
        """Bring what follows from a commit up to date, for whoever opens the folders: `<table>/_manifest.json`, and
        files that people name (a recipe, a tokenizer, a model) under their plain names."""
        for name, table in commit.tables.items():
            data = manifest_bytes(commit, name)
            fs, path = filesystem(f"{self.url}/{name}/{MANIFEST}")
            named = [shard for shard in table.shards if is_named(name, shard)]
            if fs.exists(path) and fs.cat_file(path) == data and all(self._copied(name, shard) for shard in named):
                continue
            for shard in named:
                self._copy(f"{self.url}/{name}/{shard.file}", f"{self.url}/{name}/{shard.name}")
            with replacing(f"{self.url}/{name}/{MANIFEST}") as scratch, open(scratch, "wb") as file:
                file.write(data)

    def _copied(self, table: str, shard: Shard) -> bool:
        url = f"{self.url}/{table}/{shard.name}"
        fs, path = filesystem(url)
        return bool(fs.exists(path)) and checksum(url) == shard.checksum

    def _copy(self, source: str, target: str) -> None:
        fs, path = filesystem(source)
        with fs.open(path, "rb") as there, replacing(target) as scratch, open(scratch, "wb") as here:
            shutil.copyfileobj(cast(Any, there), here)

    def _sweep(self, before: Commit | None, commit: Commit | None) -> None:
        """Remove what the generation before named and this one does not."""
        if before is None:
            return
        now = commit.files if commit else set()
        kept = set(commit.tables) if commit else set()
        for name in before.files - now:
            self.remove(name)
        named = (
            {f"{t}/{s.name}" for t, own in commit.tables.items() for s in own.shards if is_named(t, s)}
            if commit
            else set()
        )
        for table, own in before.tables.items():
            for shard in own.shards:
                if is_named(table, shard) and f"{table}/{shard.name}" not in named:
                    self.remove(f"{table}/{shard.name}")
        for table in set(before.tables) - kept:
            self.remove(f"{table}/{MANIFEST}")

    def retire(self, stage: str) -> bool:
        """Take a stage's result back, as if it had never been asked for. Whether there was one."""
        commit = self.commit_of(stage)
        if commit is None:
            return False
        self.remove(f"{COMMITS}/{quote(stage, safe='')}.json")
        self._sweep(commit, None)
        return True

    def remove(self, name: str) -> None:
        """Remove a file of the workspace, if it is there."""
        fs, path = filesystem(f"{self.url}/{name}")
        with suppress(FileNotFoundError):
            fs.rm_file(path)


def manifest_bytes(commit: Commit, table: str) -> bytes:
    """What `<table>/_manifest.json` says, by the commit that it follows from."""
    told = {"table": table, "stage": commit.stage, "generation": commit.generation}
    told |= commit.tables[table].model_dump(mode="json")
    return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()


def without_items(commit: Commit, items: Collection[str]) -> Commit:
    """The next generation of a commit, in which some items count as not done: the next run does them again."""
    work = {name: made if name not in items else Made("", made.made_from) for name, made in commit.work.items()}
    return commit.model_copy(update={"generation": commit.generation + 1, "previous": commit.fingerprint, "work": work})


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
