"""Commits: one file a stage that readers trust. It names all tables of the stage, their shards and what they are of.

The file begins with a seal over the rest of its bytes: one that was cut short or changed since it was put is refused by
everyone, with the command that makes the stage anew. `setting_aside` is for that command alone: in its process, damaged
commits that it is about to replace count as absent. Beyond some thousands of shards or work items the file names parts
that list them (`lists/`), of which growth adds one; a part that is lost or changed is damage to the commit.
"""

import hashlib
import json
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import quote, unquote

from pydantic import BaseModel, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from .calls import Call
from .commands import command_for
from .errors import WorkspaceError
from .lists.rows import NamedRows
from .lists.shards import ByName, ShardList, content_fingerprint, listed
from .lists.work import Made as Made
from .lists.work import worked
from .puts import read, state_of, states
from .shards import Shard, filesystem, fingerprint

COMMITS, HISTORY, UNFINISHED, MANIFEST = "commits", "commits/history", "unfinished", "_manifest.json"
SEAL = b'{"seal":"'


def seal_of(told: bytes) -> bytes:
    return hashlib.blake2b(told, digest_size=16).hexdigest().encode()


_SHARDS, _WORK = TypeAdapter(tuple[Shard, ...]), TypeAdapter(dict[str, Made])


def _checked(kind: TypeAdapter[Any], value: Any) -> Any:
    return value if isinstance(value, NamedRows) else kind.validate_python(value)


def _told(value: Any) -> Any:
    if isinstance(value, NamedRows):
        return value.told()
    kind: TypeAdapter[Any] = _WORK if isinstance(value, Mapping) else _SHARDS
    return kind.dump_python(value, mode="json")


# few of them as they are, many as a list that lies in parts
Shards = Annotated[Sequence[Shard], PlainValidator(lambda v: _checked(_SHARDS, listed(v))), PlainSerializer(_told)]
Work = Annotated[Mapping[str, Made], PlainValidator(lambda v: _checked(_WORK, worked(v))), PlainSerializer(_told)]


class TableRecord(BaseModel, frozen=True, extra="forbid"):
    """What a commit says of one of its tables."""

    settings: dict[str, Any]
    shards: Shards  # sorted by name
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
    work: Work = {}
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
    def lists(self) -> list[NamedRows]:
        """What lies in parts."""
        found: list[Any] = [self.work, *(table.shards for table in self.tables.values())]
        return [one for one in found if isinstance(one, NamedRows)]

    @property
    def parts(self) -> set[str]:
        """Files of those parts, below the workspace."""
        return {part.file for rows in self.lists for part in rows.parts}

    @property
    def named(self) -> set[str]:
        """Copies under plain names that follow from it, as TABLE/NAME."""
        return {f"{n}/{shard.name}" for n, table in self.tables.items() for shard in table.shards if is_named(n, shard)}

    def bytes(self) -> bytes:
        """What stands in the file: JSON whose first field seals the bytes after it."""
        told = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()[1:] + b"\n"
        return SEAL + seal_of(told) + b'",' + told


def _content(shards: Sequence[Shard]) -> list[tuple[str, str]] | str:
    return shards.fingerprint if isinstance(shards, ShardList) else [(shard.name, shard.content) for shard in shards]


def ready(commit: Commit) -> Commit:
    """The commit with all that is long in columns, whoever made it."""
    tables = {n: t.model_copy(update={"shards": listed(t.shards)}) for n, t in commit.tables.items()}
    return commit.model_copy(update={"tables": tables, "work": worked(commit.work)})


def store_lists(workspace: str, commit: Commit, before: Commit | None) -> None:
    """Put what is long in a commit into parts; of those of the commit before it, what serves yet is used again."""
    if isinstance(commit.work, NamedRows):
        commit.work.store(workspace, before.work if before else None)
    for name, table in commit.tables.items():
        if isinstance(table.shards, NamedRows):
            held = before.tables.get(name) if before else None
            table.shards.store(workspace, held.shards if held else None)


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
    def shards(self) -> Sequence[Shard]:
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
    def by_name(self) -> Mapping[str, Shard]:
        if isinstance(self.shards, ShardList):
            return ByName(self.shards)
        return {shard.name: shard for shard in self.shards}

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the table's rows: what a stage that reads the whole of it records as its input."""
        return content_fingerprint(self.shards)


def is_named(table: str, shard: Shard) -> bool:
    """Whether people name a file by its plain name, so that a copy of it lies under that name."""
    return table == "mixture" or not shard.name.endswith((".parquet", ".arrow"))


# ---- reading them

_CACHE: dict[str, tuple[tuple[Any, ...], Commit]] = {}  # file -> (what it was, the commit); files are never edited
_ASIDE: set[str] = set()  # damaged commits that this process is about to replace


def commits(workspace: str) -> dict[str, Commit]:
    """stage -> what is in force of it. Costs one listing, and one read of what changed since this process looked.

    WorkspaceError where one is damaged.
    """
    held, damaged = told_apart(workspace)
    for stage, why in damaged.items():
        if commit_url(workspace, stage) not in _ASIDE:
            raise WorkspaceError(why)
    return held


def commit_of(workspace: str, stage: str) -> Commit | None:
    """What is in force of one stage. WorkspaceError where its commit is damaged."""
    url = commit_url(workspace, stage)
    fs, path = filesystem(url)
    try:
        state = state_of(fs.info(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    commit, why = _known(workspace, stage, state)
    if why and url not in _ASIDE:
        raise WorkspaceError(why)
    return commit


def _known(workspace: str, stage: str, state: tuple[Any, ...]) -> tuple[Commit | None, str]:
    """`decoded` of a commit whose file is in that state, which is read where this process has not; (None, "") where
    it was taken back meanwhile."""
    url = commit_url(workspace, stage)
    known = _CACHE.get(url)
    if known is not None and known[0] == state:
        return known[1], ""
    found = read(url)
    if found is None:
        return None, ""
    commit, why = decoded(workspace, stage, found[0])
    if commit is not None:
        _CACHE[url] = (state, commit)
    return commit, why


def told_apart(workspace: str) -> tuple[dict[str, Commit], dict[str, str]]:
    """(stage -> commit, stage -> what is wrong with its damaged commit)."""
    held: dict[str, Commit] = {}
    damaged: dict[str, str] = {}
    for stage, state in sorted(_listed(workspace).items()):
        commit, why = _known(workspace, stage, state)
        if commit is not None:
            held[stage] = commit
        elif why:
            damaged[stage] = why
    return held, damaged


def decoded(workspace: str, stage: str, data: bytes) -> tuple[Commit | None, str]:
    """(the commit, "") or (None, what is wrong with these bytes and what mends it)."""
    why = ""
    seal, told = data[len(SEAL) : len(SEAL) + 32], data[len(SEAL) + 34 :]
    if not data.startswith(SEAL) or seal_of(told) != seal:
        why = "it was cut short or changed since it was put"
    else:
        try:
            commit = Commit.model_validate_json(b"{" + told)
            for rows in commit.lists:
                rows.bind(workspace)
                why = why or rows.fault()
            if commit.stage == stage and not why:
                return commit, ""
            why = why or f"it is the commit of {commit.stage}"
        except ValidationError as error:
            why = f"this version cannot read it: {error.errors()[0]['msg']}"
    mend = f"gristmill {command_of(workspace, stage)} --workspace {workspace} --force"
    return None, f"{commit_url(workspace, stage)} is damaged ({why}); restore the file, or make it anew: {mend}"


def command_of(workspace: str, stage: str) -> str:
    """The command whose commit is damaged: told by the manifests that follow from it, else by the stage's name."""
    fs, root = filesystem(workspace)
    for path in fs.find(root) if fs.exists(root) else ():
        if path.endswith("/" + MANIFEST):
            try:
                told = json.loads(fs.cat_file(path))
            except ValueError:
                continue
            if isinstance(told, dict) and told.get("stage") == stage:
                return command_for(path.removeprefix(root).strip("/").rpartition("/")[0])
    return command_for(stage)


@contextmanager
def setting_aside(workspace: str, command: str) -> Generator[None, None, None]:
    """Within the block, damaged commits of this command count as absent, so that it can make them anew."""
    ours = {commit_url(workspace, s) for s in told_apart(workspace)[1] if command_of(workspace, s) == command}
    ours -= _ASIDE
    _ASIDE.update(ours)
    try:
        yield
    finally:
        _ASIDE.difference_update(ours)


def _listed(workspace: str) -> dict[str, tuple[Any, ...]]:
    """stage -> what tells one state of its file from another, from one listing."""
    found = {}
    for name, state in states(f"{workspace}/{COMMITS}"):
        if name.endswith(".json") and not name.startswith("."):
            found[unquote(name.removesuffix(".json"))] = state
    return found


def commit_url(workspace: str, stage: str) -> str:
    return f"{workspace}/{COMMITS}/{quote(stage, safe='')}.json"


def history_url(workspace: str, commit: Commit) -> str:
    """Where a generation lies that is kept after it was replaced."""
    return f"{workspace}/{HISTORY}/{quote(commit.stage, safe='')}.{commit.generation:08d}.json"


def stage_of(name: str) -> str:
    """The stage whose earlier generation lies in a file of this name."""
    return unquote(name.rsplit(".", 2)[0])


_MANIFESTS: dict[tuple[int, str], Manifest] = {}


def manifest_of(commit: Commit, table: str) -> Manifest:
    """One object for each table of a commit, so that what it works out is worked out once."""
    key = (id(commit), table)
    held = _MANIFESTS.get(key)
    if held is None or held.commit is not commit:
        held = _MANIFESTS[key] = Manifest(table, commit)
    return held


# ---- what follows from them


def manifest_bytes(commit: Commit, table: str) -> bytes:
    """What `<table>/_manifest.json` says, by the commit that it follows from."""
    told = {"table": table, "stage": commit.stage, "generation": commit.generation}
    told |= commit.tables[table].model_dump(mode="json")
    return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()


def without_items(commit: Commit, items: Collection[str]) -> Commit:
    """The next generation of a commit, in which some items count as not done: the next run does them again."""
    work = {name: made if name not in items else Made("", made.made_from) for name, made in commit.work.items()}
    update = {"generation": commit.generation + 1, "previous": commit.fingerprint, "work": worked(work)}
    return commit.model_copy(update=update)


def total(shards: Sequence[Shard]) -> dict[str, int]:
    """Counts summed over shards."""
    if isinstance(shards, ShardList):
        return shards.counts()
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
