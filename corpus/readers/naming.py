"""Which column of a row is what: the names that were given, and what is refused of them before anything is read.

A column that was named must be there: in the schema of every Parquet and Arrow file, and in one of the first 1,000 rows
of every JSONL file. What turns out to lack it later is a failure, row by row. Columns that nobody named are looked for
under their usual names.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property

from ..store.errors import unknown_name

LOOKED_AT = 1000  # rows of a JSONL file


@dataclass(frozen=True)
class Naming:
    """Names of columns; None: looked for under its usual names. `keep` and `drop` choose of the users' own columns."""

    id: str | None = None
    text: str | None = None
    url: str | None = None
    date: str | None = None
    title: str | None = None
    language: str | None = None
    license: str | None = None
    domain: str | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    @cached_property
    def named(self) -> dict[str, str]:
        """option -> the column that it names, of those that were given."""
        own = {
            f"--{one.name}-column": getattr(self, one.name) for one in fields(self) if one.name not in ("keep", "drop")
        }
        return {option: name for option, name in own.items() if name is not None}

    def refuse(self, there: Iterable[str], path: str) -> None:
        """RequestError, with the nearest right name, for a named column that is not there."""
        known = list(there)
        for option, name in self.named.items():
            if name not in known:
                raise unknown_name("column", name, known, f"{option}: {path}")
        for option, names in (("--keep-columns", self.keep), ("--drop-columns", self.drop)):
            for name in names:
                if name not in known:
                    raise unknown_name("column", name, known, f"{option}: {path}")


def first_names(rows: Iterable[Iterable[str]]) -> list[str]:
    """The keys of the first rows, each once, in the order in which they come."""
    return list(dict.fromkeys(name for row in itertools.islice(rows, LOOKED_AT) for name in row))
