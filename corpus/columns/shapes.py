"""What kinds of values the keys of JSON objects hold, counted shard by shard, and the type that all of them fit.

A key whose values are all of one kind has that kind's type: numbers as integers or, where one has a fraction, as
doubles; strings, booleans, lists, objects. One that holds several kinds, integers that neither fits, or more than was
counted, is JSON: its text. Keys beyond a limit share one column of JSON, `other_keys`, so that none is lost. Counts add
up over shards, so that growth looks at new shards alone.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

MARK = "extra "  # begins the names of such counts among those of a shard
DEPTH, KEYS, PATHS = 4, 200, 2000  # beyond: JSON as it is
COLUMNS = 1000  # keys of an object that become columns of a file; PATHS is also how many a shard counts
OTHER = "other_keys"  # the column of those that do not
EXACT = 1 << 53  # integers up to this are doubles too
Path = tuple[str | int, ...]


class KeyCounts:
    """Counts of (path, kind) over objects. A step of a path is a key; 0 stands for the elements of a list. What holds
    more than is counted below it has the kind `open` beside its own."""

    def __init__(self) -> None:
        self._found: Counter[tuple[Path, str]] = Counter()
        self._keys: set[Path] = set()
        self._below: set[Path] = set()

    def add(self, row: Mapping[str, Any], but: str | None = None) -> None:
        """Count a row's keys; the one that holds the text is counted as that."""
        for key, value in row.items():
            if key != but:
                self._count((key,), value)
        if but is not None:
            self._found[(but,), "text"] += 1

    def _count(self, path: Path, value: Any) -> None:
        kind, counted = kind_of(value), self._keys if len(path) == 1 else self._below
        if path not in counted:
            if len(counted) >= PATHS:
                self._found[path[:-1], "open"] += 1
                return
            counted.add(path)
        self._found[path, kind] += 1
        if not value or not isinstance(value, dict | list):
            return
        if len(path) >= DEPTH:
            self._found[path, "open"] += 1
            return
        for step, inner in value.items() if isinstance(value, dict) else ((0, inner) for inner in value):
            self._count((*path, step), inner)

    def counts(self) -> dict[str, int]:
        """As counts of a shard."""
        return {
            f"{MARK}{json.dumps(path)} {kind}": number for (path, kind), number in sorted(self._found.items(), key=str)
        }


def counts_left(counts: Mapping[str, int], gone: KeyCounts) -> dict[str, int] | None:
    """Counts of a shard without those of rows that go; None where the shard has too many paths to have counted all."""
    told = {name: number for name, number in counts.items() if name.startswith(MARK)}
    if len(told) >= PATHS:
        return None
    less = gone.counts()
    return {name: left for name, number in told.items() if (left := number - less.get(name, 0))}


def kind_of(value: Any) -> str:
    """The kind of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if abs(value) <= EXACT else "wide" if -(1 << 63) <= value < 1 << 63 else "huge"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


@dataclass
class KeyShape:
    """What a place in the objects holds: how often each kind, and what is below it."""

    kinds: Counter[str] = field(default_factory=Counter)
    below: dict[str | int, "KeyShape"] = field(default_factory=dict)

    @property
    def type(self) -> pa.DataType:
        """The Arrow type that all values fit; strings of JSON where there is none."""
        kinds = {*self.kinds} - {"null"}
        if kinds and kinds <= {"integer", "wide"}:
            return pa.int64()
        if kinds and kinds <= {"integer", "number"}:
            return pa.float64()
        if kinds <= {"string", "text"}:
            return pa.string()
        if kinds == {"boolean"}:
            return pa.bool_()
        if kinds == {"array"} and (not self.below or self.below[0].kinds):
            return pa.list_(self.below[0].type if self.below else pa.string())
        if kinds == {"object"} and 0 < len(self.below) <= KEYS:
            return pa.struct([(str(name), inner.type) for name, inner in self.below.items()])
        return pa.string()

    @property
    def plain(self) -> bool:
        """Whether values are strings because they are strings, and not JSON."""
        return {*self.kinds} <= {"string", "text", "null"}

    @property
    def is_rest(self) -> bool:
        """Whether it stands for the keys that have no column of their own."""
        return "rest" in self.kinds

    def held(self, value: Any) -> Any:
        """A value as its type holds it."""
        if value is None:
            return None
        kind = self.type
        if pa.types.is_struct(kind):
            return {str(name): inner.held(value.get(name)) for name, inner in self.below.items()}
        if pa.types.is_list(kind):
            inner = self.below.get(0)
            return [inner.held(one) if inner is not None else None for one in value]
        if pa.types.is_floating(kind):
            return float(value)
        return json.dumps(value, ensure_ascii=False) if pa.types.is_string(kind) and not self.plain else value

    def structure(self) -> Any:
        """The type as DuckDB's `json_transform` wants it."""
        kind = self.type
        if pa.types.is_struct(kind):
            named = {str(name): inner.structure() for name, inner in self.below.items()}
            return named if sql_can_name([*named]) else "JSON"
        if pa.types.is_list(kind):
            return [self.below[0].structure() if self.below else "JSON"]
        names = {pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
        return names.get(kind, "VARCHAR" if self.plain else "JSON")


def sql_can_name(names: list[str]) -> bool:
    """Whether SQL tells these fields of a struct apart: it knows no empty name, and no case."""
    return all(names) and len({name.lower() for name in names}) == len(names)


def shape_of(counts: Mapping[str, int], limit: int = KEYS) -> dict[str, KeyShape]:
    """key -> shape, from the counts of a table; keys in the order of their names, the most frequent of them up to the
    limit. Where there are more, the last is one of their own, `other_keys`, for an object of all the others."""
    root = KeyShape()
    for name, number in counts.items():
        if name.startswith(MARK):
            path, _, kind = name.removeprefix(MARK).rpartition(" ")
            here = root
            for step in json.loads(path):
                here = here.below.setdefault(step, KeyShape())
            here.kinds[kind] += number
    often = sorted(
        root.below.items(), key=lambda pair: ("text" not in pair[1].kinds, -sum(pair[1].kinds.values()), str(pair[0]))
    )
    found = {str(name): shape for name, shape in sorted(often[:limit], key=lambda pair: str(pair[0]))}
    if len(often) > limit or root.kinds:
        name = OTHER
        while name in found:
            name += "_"
        found[name] = KeyShape(Counter({"rest": 1}))
    return found


def others(row: Mapping[str, Any], shapes: Mapping[str, KeyShape]) -> str | None:
    """An object of a row's keys that have no shape, as JSON; None where it has no such key."""
    left = {name: value for name, value in row.items() if name not in shapes or shapes[name].is_rest}
    return json.dumps(left, ensure_ascii=False) if left else None
