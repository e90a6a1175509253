"""A workspace: a folder (or fsspec URL) of tables, each a folder of shards, and the commits that say what holds.

`commits/<stage>.json` is what readers trust: one file, put in one step, names all tables of a stage with their shards.
A result stays in force until the next one is committed whole; files that no commit names are nobody's result.
`Workspace` and `Table` hold nothing but the URL, so they travel to workers. A table's name is its path: `documents`,
`signals/gopher`, `decisions/filter`, `tokens/books`.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from .commands import command_for
from .commits import (
    HISTORY,
    MANIFEST,
    Commit,
    Manifest,
    commit_of,
    commit_url,
    commits,
    decoded,
    history_url,
    is_named,
    manifest_bytes,
    manifest_of,
    ready,
    stage_of,
    store_lists,
)
from .errors import RequestError, WorkspaceError
from .lists.parts import PARTS
from .lists.shards import ShardList, facts_of, files_beyond
from .puts import Conflict, Version, put, put_if, read
from .shards import Shard, checksum, filesystem, read_batches, replacing, sync
from .soundness import NAMED

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


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

    def sizes(self) -> dict[str, int]:
        """Names of the files that lie in the table's folder, with their sizes in bytes, from one listing."""
        fs, path = filesystem(self.url)
        try:
            if isinstance(fs, LocalFileSystem):
                with os.scandir(path) as found:
                    return {entry.name: entry.stat().st_size for entry in found if entry.is_file()}
            entries = fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {os.path.basename(e["name"]): int(e["size"]) for e in entries if e["type"] != "directory"}

    def listed(self) -> set[str]:
        """Names of the files that lie in the table's folder."""
        fs, path = filesystem(self.url)
        if not isinstance(fs, LocalFileSystem):
            return set(self.sizes())
        try:
            with os.scandir(path) as found:
                return {entry.name for entry in found if entry.is_file()}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def file_url(self, shard: Shard) -> str:
        return f"{self.url}/{shard.file}"

    def read(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Every batch of the finished table, shards in the order of their names. WorkspaceError for a damaged one."""
        for shard in self.finished("reading").shards:
            yield from read_batches(self.file_url(shard), columns)


def _tables_of(workspace: str) -> dict[str, Manifest]:
    return {table: manifest_of(commit, table) for commit in commits(workspace).values() for table in commit.tables}


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
        return commit_of(self.url, stage)

    def put_commit(self, commit: Commit, keep: int = 1) -> None:
        """Make a result the one in force, in one step; then its manifests follow, and what it replaced is swept.

        `keep` generations stay, this one among them: the earlier ones under commits/history/, with all their files.
        Raises WorkspaceError where another writer committed the stage since `commit.previous`.
        """
        url = commit_url(self.url, commit.stage)
        found = read(url)
        version = found[1] if found is not None else None
        before = decoded(self.url, commit.stage, found[0])[0] if found is not None else None
        if (before.fingerprint if before else "") != commit.previous:
            raise self._beaten(commit.stage)
        commit = ready(commit)
        store_lists(self.url, commit, before)
        if keep > 1 and before is not None and found is not None:
            put(history_url(self.url, before), found[0])
        if self.is_local:
            for name in commit.tables:  # the names of its files are to outlive a power cut that it outlives
                if os.path.isdir(folder := filesystem(self.table(name).url)[1]):
                    sync(folder)
        self._put(url, commit.bytes(), version, commit.stage)
        self.follow(commit)
        earlier = self.earlier(commit.stage)
        for gone in earlier[max(0, keep - 1) :]:
            self.remove(history_url("", gone).strip("/"))
        self._sweep([*([before] if before else ()), *earlier[max(0, keep - 1) :]], commit)

    def earlier(self, stage: str) -> list[Commit]:
        """The earlier generations of a stage that are kept, the last one first."""
        found = [commit for commit in self.kept() if commit.stage == stage]
        return sorted(found, key=lambda commit: -commit.generation)

    def kept(self) -> list[Commit]:
        """All earlier generations that are kept."""
        home = self.table(HISTORY)
        told = [(name, read(f"{home.url}/{name}")) for name in sorted(home.listed()) if name.endswith(".json")]
        made = [decoded(self.url, stage_of(name), data[0])[0] for name, data in told if data is not None]
        return [commit for commit in made if commit is not None]

    def forget_earlier(self) -> None:
        """Keep no earlier generation of anything: what was removed from a corpus is in none."""
        for gone in self.kept():
            self.remove(history_url("", gone).strip("/"))
            self._sweep([gone], None)

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
            named = _named(name, table.shards)
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

    def _sweep(self, before: Sequence[Commit], commit: Commit | None) -> None:
        """Remove what generations before named and no commit does, and what killed runs left in its tables."""
        current = list(commits(self.url).values())
        held = [*current, *self.kept()]
        present = {table for own in current for table in own.tables}
        for table in sorted({name for own in before for name in own.tables} | {*(commit.tables if commit else ())}):
            new = commit.tables[table].shards if commit and table in commit.tables else ()
            gone: set[str] = set()
            for own in before:
                if table in own.tables:
                    gone |= set(files_beyond(own.tables[table].shards, new))
                    gone |= {shard.name for shard in _named(table, own.tables[table].shards)}
            if commit and table in commit.tables:
                gone |= self._strays(commit, table)
            for own in held if gone else ():
                _discard(gone, own, table)
            for own in current if gone else ():
                gone -= (
                    {shard.name for shard in _named(table, own.tables[table].shards)} if table in own.tables else set()
                )
            for file in gone:
                self.remove(f"{table}/{file}")
            if table not in present:
                self.remove(f"{table}/{MANIFEST}")
        if any(own.parts for own in before):
            self._sweep_parts(held)

    def _sweep_parts(self, held: Sequence[Commit]) -> None:
        """Remove parts of lists that no commit names."""
        named = {file for commit in held for file in commit.parts}
        for name in self.table(PARTS).listed():
            if f"{PARTS}/{name}" not in named:
                self.remove(f"{PARTS}/{name}")

    def settled(self, commit: Commit) -> bool:
        """Whether all that follows from a commit was done: manifests, copies under plain names, the sweep."""
        for name in commit.tables:
            fs, path = filesystem(f"{self.url}/{name}/{MANIFEST}")
            if not fs.exists(path) or fs.cat_file(path) != manifest_bytes(commit, name) or self._strays(commit, name):
                return False
        return all(self._copied(n, s) for n, t in commit.tables.items() for s in _named(n, t.shards))

    def settle(self, commit: Commit) -> None:
        """Do what follows from a commit and was not done, because its writer was killed. Needs the lease."""
        self.follow(commit)
        self._sweep([], commit)

    def unnamed(self, files: set[str]) -> set[str]:
        """Those of these files, TABLE/FILE, that no commit names."""
        left = set(files)
        for commit in [*commits(self.url).values(), *self.kept()] if files else ():
            for table in commit.tables:
                _discard(left, commit, table, f"{table}/")
        return left

    def _strays(self, commit: Commit, table: str) -> set[str]:
        """Files of ours in a table's folder that no commit names."""
        shards = commit.tables[table].shards
        there = self.table(table).listed()
        _discard(there, commit, table)  # first: what is left is little
        there = {file for file in there if NAMED.fullmatch(file) or TEMPORARY.fullmatch(file)}
        there -= {shard.name for shard in _named(table, shards)}
        for own in self.kept() if there else ():
            _discard(there, own, table)
        return there

    def retire(self, stage: str) -> bool:
        """Take a stage's result back, as if it had never been asked for. Whether there was one."""
        commit = self.commit_of(stage)
        if commit is None:
            return False
        self.remove(commit_url("", stage).strip("/"))
        self._sweep([commit], None)
        return True

    def remove(self, name: str) -> None:
        """Remove a file of the workspace, if it is there."""
        fs, path = filesystem(f"{self.url}/{name}")
        with suppress(FileNotFoundError):
            fs.rm_file(path)


def _named(table: str, shards: Sequence[Shard]) -> list[Shard]:
    """Shards of which a copy lies under a plain name."""
    if isinstance(shards, ShardList) and table != "mixture" and shards.all_end_with((".parquet", ".arrow")):
        return []
    return [shard for shard in shards if is_named(table, shard)]


def _discard(names: set[str], commit: Commit, table: str, before: str = "") -> None:
    """Take out the names of files that a commit has in a table; `before` stands before each in the set."""
    for _, file, _ in facts_of(commit.tables[table].shards if table in commit.tables else ()):
        names.discard(before + file)
