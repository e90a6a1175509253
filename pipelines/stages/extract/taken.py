"""What a call of extract took in: for each input that it named, what became of its records, and why any failed.

Reads the tables that extraction writes and changes nothing. Nothing at all out of inputs that hold bytes is no success.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ....corpus.readers.inputs import Input, resolve
from ....corpus.readers.planning import File, read_ledger
from ....corpus.store.workspace import Workspace

REASONS = 3  # that a line names


@dataclass
class Taken:
    """One input as it was named."""

    named: str
    files: int = 0
    size: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    repeats: list[File] = field(default_factory=list)
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
            one = self.repeats[0]
            told += f"; {len(self.repeats):,} left out as a repeat ({one.path} has the bytes of {one.repeats})"
        if self.elsewhere:
            one = self.elsewhere[0]
            told += f"; {len(self.elsewhere):,} taken in before as source {one.source}, domain {one.domain}"
        return told


def taken(workspace: Workspace, inputs: tuple[Input, ...]) -> list[Taken]:
    """What became of each input of a call, in their order."""
    ledger = {file.path: file for file in read_ledger(workspace).files}
    found: list[Taken] = []
    of: dict[str, Taken] = {}
    for given in inputs:
        for path in given.paths:
            one = Taken(path)
            found.append(one)
            for source in resolve((given.model_copy(update={"paths": (path,)}),)):
                one.files += 1
                file = ledger.get(source.path)
                of[source.path] = one
                if file is None:
                    continue
                one.size += file.size
                if file.repeats:
                    one.repeats.append(file)
                    of[file.repeats] = of.get(file.repeats, one)
                elif (file.source, file.domain) != (source.source, source.domain):
                    one.elsewhere.append(file)
    for row in rows(workspace, "inputs"):
        one = of.get(row["path"])
        if one is not None:
            one.counts.update({name: row[name] for name in ("kept", "dropped", "failed", "ignored")})
            one.ignored.update({kind["type"]: kind["count"] for kind in row["ignored_by_type"]})
    for row in rows(workspace, "failures/extract", ["origin", "error"]):
        one = of.get(row["origin"]["path"])
        if one is not None:
            one.reasons[reason(row["error"])] += 1
    return found


def reason(error: str) -> str:
    """The kind of an error: without the numbers and names of one record."""
    return re.sub(r"\d[\d.,]*", "…", re.split(r": |; ", error)[0])[:90]


def rows(workspace: Workspace, table: str, columns: list[str] | None = None) -> Any:
    """Rows of a finished table."""
    for batch in workspace.table(table).read(columns):
        yield from batch.to_pylist()


def nothing_came(found: list[Taken]) -> bool:
    """Whether inputs that hold bytes gave no document at all, though nobody asked to be left out."""
    held = any(one.size or one.counts["failed"] or one.counts["ignored"] for one in found)
    return held and not any(one.counts["kept"] or one.counts["dropped"] for one in found)
