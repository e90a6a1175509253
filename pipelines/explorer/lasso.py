"""Vectors of documents, and the line that is drawn around some on the map, as SQL that every document is held against.

A line is corners, x,y pairs between blanks; a document is inside where a ray from it crosses the line an odd number of
times. The plane is cut into bands until few edges lie in each, so that what a line of hundreds of corners costs is the
few edges beside a document. Refuses what is no such line.
"""

import math
import re
from collections.abc import Sequence

import pyarrow as pa

from ...corpus.store.errors import RequestError
from ..stages.columns import stored_schema
from .made.places import name_of_places, places_file, places_made
from .view import Reopened, View

MOST_IDS = 20_000  # documents that a rule can name
FEW = 4  # edges that are tried one after the other
OUTLINE = re.compile(r"[-+0-9.e]+,[-+0-9.e]+( [-+0-9.e]+,[-+0-9.e]+){2,400}")


def outline_of(view: View) -> str:
    """The line of an address, "" where none is drawn."""
    outline = view.one("lasso")
    if outline:
        corners(outline)
    return outline


def corners(outline: str) -> list[tuple[float, float]]:
    """The corners of a line. RequestError where it is none."""
    try:
        found = [(float(x), float(y)) for x, _, y in (pair.partition(",") for pair in outline.split(" "))]
    except ValueError:
        found = []
    if not OUTLINE.fullmatch(outline) or not all(map(math.isfinite, sum(found, ()))):
        raise RequestError("a lasso is at least three pairs of numbers, and at most 400: x,y x,y x,y …")
    return found


def inside(table: str, outline: str, column: str = "id") -> str:
    """SQL: a column of the rows of a table with x and y that lie inside of a line."""
    points = corners(outline)
    edges = []
    for ends in zip(points, [*points[1:], points[0]], strict=True):
        (x, low), (to, high) = sorted(ends, key=lambda end: (end[1], end[0]))  # whichever way the line was drawn
        if low < high:  # the ray is level
            slope = (to - x) / (high - low)
            edges.append((low, high, x - slope * low, slope))
    if not edges:
        return f"select {column} from {table} where false"
    (left, right), (low, high) = ((min(one), max(one)) for one in zip(*points, strict=True))
    box = f"x >= {real(left)} and x <= {real(right)} and y >= {real(low)} and y < {real(high)}"
    return f"select {column} from {table} where {box} and ({_crossed(sorted(edges), low, high)}) % 2 = 1"


def real(value: float) -> str:
    """A finite number as a DOUBLE of SQL."""
    told = repr(value)
    return told if "e" in told else f"{told}e0"


def _crossed(edges: Sequence[tuple[float, float, float, float]], low: float, high: float) -> str:
    """SQL: how many of the edges (lower y, upper y, x where y is 0, x by y) a ray crosses from a point in the band
    low <= y < high, to the right."""
    bounds = sorted({end for edge in edges for end in edge[:2] if low < end < high})
    middle = bounds[len(bounds) // 2] if bounds else high
    below, above = [edge for edge in edges if edge[0] < middle], [edge for edge in edges if edge[1] > middle]
    if len(edges) <= FEW or not bounds or 3 * (len(below) + len(above)) > 4 * len(edges):  # too many lie in both
        return " + ".join(_crosses(edge, low, high) for edge in edges) or "0"
    parts = _crossed(below, low, middle), _crossed(above, middle, high)
    return f"case when y < {real(middle)} then {parts[0]} else {parts[1]} end"


def _crosses(edge: tuple[float, float, float, float], low: float, high: float) -> str:
    begins, ends, x, slope = edge
    within = [f"y >= {real(begins)}"] if begins > low else []
    within += [f"y < {real(ends)}"] if ends < high else []
    return f"({' and '.join([*within, f'x < {real(x)} + {real(slope)} * y'])})::int"


def vector_columns(view: View) -> dict[str, tuple[str, str]]:
    """TABLE.COLUMN -> (table, column) of vectors that documents have."""
    found = {}
    for one in view.source.workspace.tables():
        if one.name.split("/")[0] not in ("embeddings", "scores", "signals") or one.name in view.source.stale:
            continue
        schema = stored_schema(view.source.workspace, one.finished("explore"))
        for field in schema or ():
            kind = field.type
            lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
            if lists and pa.types.is_floating(kind.value_type):
                found[f"{one.name}.{field.name}"] = (one.name, field.name)
    return found


def places(view: View, vectors: tuple[str, str]) -> str:
    """The database of the places by a column of vectors, attached. RequestError while it is being made."""
    workspace = view.source.workspace
    name = name_of_places(places_made(workspace, *vectors))
    if name not in view.source.maps:
        places_file(workspace, *vectors)
        raise Reopened
    return name


def lasso_rows(view: View, columns: str) -> str:
    """SQL: columns (of id, number, cell) of the documents inside of the line that an address draws."""
    known = vector_columns(view)
    chosen = view.choice("vectors", list(known)) or next(iter(known), "")
    if not chosen:
        return f"select {columns} from ids where false"
    return inside(f"{places(view, known[chosen])}.places", outline_of(view), columns)


def lasso_condition(view: View) -> str:
    """SQL over `facts`: the documents inside of that line."""
    return f"number in ({lasso_rows(view, 'number')})"


def lasso_ids(view: View) -> list[str]:
    """The ids that a rule of this line names: those of all documents inside of it, sorted."""
    sql = f"select id from facts where {lasso_condition(view)} order by id limit {MOST_IDS + 1}"
    return view.source.table(sql)["id"].to_pylist()
