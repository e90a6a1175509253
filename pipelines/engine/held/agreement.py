"""Which shards agree: a document that both have is the same in both.

`plans/agreeing.json` holds pairs of fingerprints of shards, the later of which was made from the earlier one by taking
rows out, or was made as it was by a stage that looks at one document at a time. A removal begins it, stages that follow
add to it, and it goes once all have. A fact about hashes is true in every copy of a workspace; without it stages make
whole shards anew. Refuses nothing.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ....corpus.store.fate import DECISIONS, EDITS
from ....corpus.store.shards import filesystem, replacing
from ....corpus.store.workspace import Workspace

PLACE = "plans/agreeing.json"
Pair = tuple[str, str]  # the earlier fingerprint, the later one


class Agreement:
    """The pairs of a workspace as they were when they were read."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.pairs = _read(workspace)
        self.earlier: dict[str, set[str]] = {}
        for then, now in self.pairs:
            self.earlier.setdefault(now, set()).add(then)

    def agree(self, then: str, now: str) -> bool:
        """Whether two contents agree, as far as is known."""
        seen, ahead = {now}, [now]
        while ahead and then not in seen:
            more = self.earlier.get(ahead.pop(), set()) - seen
            seen |= more
            ahead += more
        return then in seen

    def same_rows(self, then: Mapping[str, str], now: Mapping[str, str]) -> bool:
        """Whether what is made of one document alone is the same of both, for documents that are left in both.

        then, now  shard of a table -> its content: what a work item was, and would be, made from

        Decisions may differ: they say which documents are left.
        """
        for place in then.keys() | now.keys():
            table, _, shard = place.rpartition("/")
            if table.startswith(DECISIONS) or then.get(place) == now.get(place):
                continue
            if place not in then:
                return False
            present = now.get(place) or (self._content(table, shard) if table.startswith(EDITS) else None)
            if present is None or not self.agree(then[place], present):
                return False
        return True

    def _content(self, table: str, shard: str) -> str | None:
        """The content of a shard of edits that edits nothing, which no work item names."""
        manifest = self.workspace.table(table).manifest()
        found = manifest.by_name.get(shard) if manifest is not None else None
        return found.content if found is not None else None


def note(workspace: Workspace, pairs: Iterable[Pair], begin: bool = False) -> None:
    """Add pairs to those of the workspace; with `begin`, where there are none, too. Needs the lease."""
    held = _read(workspace)
    more = {pair for pair in pairs if pair[0] != pair[1]} - held
    if not more or not (held or begin):
        return
    with replacing(workspace.path(PLACE)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        json.dump(sorted(held | more), file)


def forget(workspace: Workspace) -> None:
    """Every stage has followed: nothing will be asked of the pairs."""
    workspace.remove(PLACE)


def _read(workspace: Workspace) -> set[Pair]:
    fs, path = filesystem(workspace.path(PLACE))
    if not fs.exists(path):
        return set()
    try:
        told: Any = json.loads(fs.cat_file(path))
    except ValueError:  # cut short: shards are made anew
        return set()
    return {(then, now) for then, now in told}
