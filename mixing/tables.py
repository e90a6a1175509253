"""Tables of measurements as CSV files, and numbers as options: what is read is a number, and is one thing only.

Refuses a file that is not UTF-8, columns parted by anything but commas, two columns of one name, a line with other
cells than the header has, and a cell that is no finite number or lies outside what its column can hold; each by file,
line and column. `as_json` writes reports:
what could not be measured (nan, infinity) is null there, because JSON knows no other word for it.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..corpus.given_files import read_given
from ..corpus.store.errors import RequestError, unknown_name

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars"}  # what else parts columns, and what it is called


@dataclass(frozen=True)
class CsvTable:
    """A header and the rows under it; `lines` are the numbers of the lines that the rows end on."""

    path: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def place(self, column: str) -> int:
        """Where a column stands. A RequestError for one that is not there."""
        if column not in self.header:
            raise unknown_name("column", column, [name for name in self.header if name], where=self.path)
        return self.header.index(column)

    def numbers(self, column: str, above: float | None = None, most: float | None = None) -> list[float]:
        """The cells of a column as numbers > `above` (>= 0 where `most` is given) and <= `most`."""
        place = self.place(column)
        return [
            checked(row[place], f"{self.path} line {line}: {column}", above=above, most=most)
            for row, line in zip(self.rows, self.lines, strict=True)
        ]


def read_csv(path: str) -> CsvTable:
    """The table in a CSV file, cells as they stand, names and cells without white space around them."""
    text = read_given(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row:
                rows.append(tuple(cell.strip() for cell in row))
                lines.append(reader.line_num)
    except csv.Error as error:
        raise RequestError(f"{path} line {reader.line_num} is not CSV: {error}") from error
    parted = next(
        (name for mark, name in SEPARATORS.items() if rows and len(rows[0]) == 1 and mark in rows[0][0]), None
    )
    if parted:
        raise RequestError(f"{path} parts its columns by {parted}; write them with commas, and numbers with a point")
    if len(rows) < 2:
        raise RequestError(f"{path} has no rows under its header")
    header = rows[0]
    named_once(header, f"{path}: a column")
    for place, name in enumerate(header):
        if not name and place and any(row[place : place + 1] != ("",) for row in rows[1:]):
            raise RequestError(f"{path}: column {place + 1} has no name, so what it holds cannot be used")
    for row, line in zip(rows[1:], lines[1:], strict=True):
        if len(row) != len(header):
            raise RequestError(f"{path} line {line}: {len(row)} cells under {len(header)} column names")
    return CsvTable(path, header, tuple(rows[1:]), tuple(lines[1:]))


def named_once(names: Iterable[str], what: str) -> None:
    """Refuse a name (empty ones apart) that is there twice: which of the two is meant cannot be known."""
    seen = set()
    for name in names:
        if name and name in seen:
            raise RequestError(f"{what} named {name!r} is there twice; give each a name of its own")
        seen.add(name)


def checked(cell: Any, place: str, *, above: float | None = None, most: float | None = None) -> float:
    """A finite number, > `above`; with `most`, between 0 and it. A RequestError that begins with `place` otherwise."""
    try:
        value = math.nan if isinstance(cell, str) and "_" in cell else float(cell)
    except (TypeError, ValueError, OverflowError):
        raise RequestError(f"{place} is {cell!r}, not a number") from None
    if not math.isfinite(value):
        raise RequestError(f"{place} is {cell!r}, not a finite number")
    if above is not None and value <= above:
        raise RequestError(f"{place} is {value:g}; it must be above {above:g}")
    if most is not None and not 0 <= value <= most:
        raise RequestError(f"{place} is {value:g}; it must lie between 0 and {most:g}")
    return value


def named_numbers(entries: Sequence[str], option: str) -> dict[str, float]:
    """NAME=NUMBER entries as name -> number, each name once."""
    found: dict[str, float] = {}
    for entry in entries:
        name, equals, cell = entry.rpartition("=")
        name = name.strip()
        if not equals or not name or not cell.strip():
            raise RequestError(f"{option} {entry}: expected NAME=NUMBER")
        try:
            value = checked(cell.strip(), f"{option} {entry}: the number")
        except RequestError as error:
            raise RequestError(f"{error}; expected NAME=NUMBER") from None
        if name in found:
            raise RequestError(f"{option} {entry}: {name} was given before; give each name once")
        found[name] = value
    return found


def all_finite(given: Mapping[str, float] | None, what: str, least: float | None = None) -> None:
    """Refuse a value that is no finite number, or is below `least`, by its name."""
    for name, value in (given or {}).items():
        if not math.isfinite(value):
            raise RequestError(f"{what}: {name} is {value}, not a finite number")
        if least is not None and value < least:
            raise RequestError(f"{what}: {name} is {value:g}; it must be {least:g} at least")


def plain_values(told: Any) -> Any:
    """The same report with null where a number is not finite, and mappings and lists of plain values."""
    if isinstance(told, Mapping):
        return {key: plain_values(value) for key, value in told.items()}
    if isinstance(told, (list, tuple)):
        return [plain_values(value) for value in told]
    if isinstance(told, float) and not math.isfinite(told):
        return None
    return told


def as_json(told: Any, indent: int | None = None) -> str:
    """A report as JSON that every reader takes."""
    return json.dumps(plain_values(told), indent=indent, allow_nan=False)
