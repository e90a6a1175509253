"""The commits of a run, held against what is asked for: which work items lack a result, and what of it can stay.

Of an item that has to be done again, a stage that looks at one document at a time is handed what it made of the item
before, where nothing but the set of documents differs: it keeps the rows of those that are left. Refuses nothing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....corpus.store.commits import Commit, Made
from ....corpus.store.lists.rows import digest_bytes
from ....corpus.store.lists.shards import ByName, ShardList, facts_of
from ....corpus.store.lists.work import WorkBuilder, stamps_of
from ....corpus.store.shards import Shard, filesystem
from ....corpus.store.soundness import is_sound
from ....corpus.store.workspace import Workspace
from .agreement import Agreement, Pair

if TYPE_CHECKING:
    from ..graph import Report, Work


@dataclass(frozen=True)
class HeldPart:
    """One commit of a run: its tables, what is in force, and the items of that which stay."""

    name: str
    tables: tuple[str, ...]
    held: Commit | None
    kept: Collection[str]
    made: Mapping[str, Made]  # every item by now
    damaged: bool  # a file of it is gone

    @property
    def anew(self) -> float:
        """How much is made, relative to what is in force."""
        items = len(self.held.work) if self.held is not None else 0
        return (len(self.made) - len(self.kept)) / items if items and self.made else 1.0

    @property
    def complete(self) -> bool:
        """Whether nothing has to be done and nothing has to go."""
        return self.held is not None and len(self.held.work) == len(self.kept) == len(self.made)

    def same(self, plan: Any) -> bool:
        """Whether what is in force was made with the settings asked for, by this version of the stage."""
        held = self.held
        assert held is not None
        return _same(held, self.tables, plan)


def _same(held: Commit, tables: Collection[str], plan: Any) -> bool:
    return held.version == plan.version and all(
        name in held.tables and held.tables[name].settings == plan.recorded_of(name)
        for name in tables or tuple(held.tables)
    )


class Count:
    """Counts, item by item, what is in force of one result."""

    def __init__(self, stage: Any, plan: Any, name: str, tables: tuple[str, ...], mend: bool, rows: Agreement) -> None:
        self.name, self.tables, self.rows = name, tables, rows
        self.held = plan.workspace.commit_of(name)
        there = {table for table in self.held.tables if not stage.beside(table)} if self.held else set()
        same = self.held is not None and there == set(tables or there)
        self.stamp = plan.stamper(tables)
        self.lost = lost(plan.workspace, self.held, mend) if self.held else frozenset()
        self.stamps = stamps_of(self.held.work) if self.held is not None and same else set()
        self.kept: set[str] = set()
        self.made = WorkBuilder()
        self.by_document = same and by_document(stage, plan, self.held, tables)
        self.files: _Files | None = None

    def lacking(self, item: "Work") -> str | None:
        """The stamp of an item that has to be done; None where it is there."""
        stamp = self.stamp(item)
        self.made.add(item.name, Made(stamp, item.made_from))
        if digest_bytes(stamp) not in self.stamps or item.name in self.lost:
            return stamp
        self.kept.add(item.name)
        return None

    def before(self, item: "Work") -> "tuple[Report, ...]":
        """What was made of an item whose rows are good for every document that is left in it; empty where some may not
        be."""
        held = self.held
        if held is None or not self.by_document or item.name in self.lost or item.name not in held.work:
            return ()
        if not self.rows.same_rows(held.work[item.name].made_from, item.made_from):
            return ()
        self.files = self.files or _Files(held)
        return tuple(self.files.of(item.name))

    def part(self) -> HeldPart:
        return HeldPart(self.name, self.tables, self.held, self.kept, self.made.done(), bool(self.lost))


def by_document(stage: Any, plan: Any, held: Commit | None, tables: Collection[str]) -> bool:
    """Whether rows in force are those that this plan would give the same documents."""
    if not stage.by_document or held is None or not _same(held, tables, plan):
        return False
    names = {*held.inputs, *plan.inputs} - {*stage.beside_rows}
    return all(held.inputs.get(name) == plan.inputs.get(name) for name in names)


class _Files:
    """The shards of a commit by work item."""

    def __init__(self, held: Commit) -> None:
        self.held = held
        self.places: dict[str, list[tuple[str, int]]] = {}
        for name, table in held.tables.items():
            for row, (item, _, _) in enumerate(facts_of(table.shards)):
                self.places.setdefault(item, []).append((name, row))

    def of(self, item: str) -> "Iterator[Report]":
        for name, row in self.places.get(item, ()):
            yield name, self.held.tables[name].shards[row]


def lost(workspace: Workspace, held: Commit, mend: bool) -> frozenset[str]:
    """Work items of a commit of which a file is gone or has another size, told by one listing of each table; with
    `mend` also those of which one holds something else than was put."""
    found = set()
    for name, table in held.tables.items():
        home = workspace.table(name)
        there = home.sizes()
        for item, file, size in facts_of(table.shards):
            if there.get(file) != size or (mend and not is_sound(*filesystem(f"{home.url}/{file}"))):
                found.add(item)
    return frozenset(found)


def agreeing(stage: Any, plan: Any, part: HeldPart, made: "list[Report]", rows: Agreement) -> Iterator[Pair]:
    """(content before, content now) of the shards of a result by document that agree."""
    held = part.held
    if not rows.pairs or held is None or not by_document(stage, plan, held, part.tables):
        return
    named = {name: _by_name(table.shards) for name, table in held.tables.items()}
    for table, shard in made:
        if table not in named or shard.item not in held.work or shard.item not in part.made:
            continue
        before = named[table].get(shard.name)
        if before is not None and rows.same_rows(held.work[shard.item].made_from, part.made[shard.item].made_from):
            yield before.content, shard.content


def _by_name(shards: Sequence[Shard]) -> Mapping[str, Shard]:
    return ByName(shards) if isinstance(shards, ShardList) else {shard.name: shard for shard in shards}
