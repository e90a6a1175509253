"""What a call of extract took in: for each input that it named, what became of its records, and why any failed.

Reads the tables that extraction writes and changes nothing. Nothing at all out of inputs that hold bytes is no success.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ....corpus.planning.ledger import File
from ....corpus.store.shards import read_batches
from ....corpus.store.workspace import Workspace
from .planned import Asked

REASONS = 3  # that a line names
MANY_SOURCES = 100


@dataclass
class Taken:
    """One input as it was named."""

    named: str
    files: int = 0
    size: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    repeats: list[tuple[File, File]] = field(default_factory=list)  # (the repeat, what has its bytes)
    replaced: list[tuple[File, File]] = field(default_factory=list)  # (the earlier version, what is there now)
    elsewhere: list[File] = field(default_factory=list)  # taken in before, under another source or domain

    def line(self) -> str:
        """One line for a person."""
        counted = ", ".join(f"{name} {self.counts[name]:,}" for name in ("kept", "dropped", "failed", "ignored"))
        told = f"{self.named}: {self.files:,} {'file' if self.files == 1 else 'files'}, {counted}"
        for why, found in (("failed", self.reasons), ("ignored", self.ignored)):
            if found:
                first = "; ".join(f"{reason} ({number:,})" for reason, number in found.most_common(REASONS))
                told += f"; {why}: {first}{'; …' if len(found) > REASONS else ''}"
        if self.repeats:
            one, other = self.repeats[0]
            told += f"; {len(self.repeats):,} left out as a repeat ({one.path} has the bytes of {other.path})"
        if self.replaced:
            one, _ = self.replaced[0]
            told += f"; {len(self.replaced):,} in place of an earlier version ({one.path} has other bytes now; "
            told += "--keep-versions keeps both)"
        if self.elsewhere:
            one = self.elsewhere[0]
            told += f"; {len(self.elsewhere):,} taken in before as source {one.source}, domain {one.domain}"
        return told


def taken(workspace: Workspace, asked: Asked) -> list[Taken]:
    """What became of each input of a call, in their order. Reads the accounts of its own shards alone."""
    first = asked.ledger.taken()
    found: list[Taken] = []
    of: dict[str, Taken] = {}
    for named, sources in asked.named:
        one = Taken(named)
        found.append(one)
        for source in sources:
            one.files += 1
            file = asked.planned.of.get(source.place)
            if file is None:
                continue
            of.setdefault(file.file, one)
            one.size += max(0, file.size)
            if file.repeat:
                one.repeats.append((file, first[file.file]))
            elif (file.source, file.domain) != (source.source, source.domain):
                one.elsewhere.append(file)
    for earlier, now in asked.planned.replaced:
        if now.file in of:
            of[now.file].replaced.append((earlier, now))
    lots = {lot.name for lot in asked.ledger.lots if any(piece.file in of for piece in lot.pieces)}
    for row in _rows(workspace, "inputs", lots):
        one = of.get(row["file"])
        if one is not None:
            one.counts.update({name: row[name] for name in ("kept", "dropped", "failed", "ignored")})
            one.ignored.update({kind["type"]: kind["count"] for kind in row["ignored_by_type"]})
    for row in _rows(workspace, "failures/extract", lots, ["origin", "error"]):
        one = of.get(row["origin"]["file"])
        if one is not None:
            one.reasons[reason(row["error"])] += 1
    return found


def advice(asked: Asked) -> list[str]:
    """One line where a call made more sources than anyone wants to tell apart."""
    sources = {source.source for _, own in asked.named for source in own}
    if len(sources) <= MANY_SOURCES:
        return []
    return [
        f"{len(sources):,} sources in one call, one for each path that was named: --source NAME makes them one source, "
        f"--domain NAME one mixture unit, and a folder that is named is one of each"
    ]


def reason(error: str) -> str:
    """The kind of an error: without the numbers and names of one record."""
    return re.sub(r"\d[\d.,]*", "…", re.split(r": |; ", error)[0])[:90]


def _rows(workspace: Workspace, table: str, lots: set[str], columns: list[str] | None = None) -> Any:
    for shard in workspace.table(table).finished("extract").shards:
        if shard.rows and shard.name in lots:
            for batch in read_batches(workspace.table(table).file_url(shard), columns):
                yield from batch.to_pylist()


def nothing_came(found: list[Taken]) -> bool:
    """Whether inputs that hold bytes gave no document at all, though nobody asked to be left out."""
    held = any(one.size or one.counts["failed"] or one.counts["ignored"] for one in found)
    return held and not any(one.counts["kept"] or one.counts["dropped"] for one in found)
