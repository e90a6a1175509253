"""Map: documents by their vectors, on the two directions in which those differ most, with a lasso to a list and a rule.

Vectors are those of `semantic`, or of any table that holds one a document. A sample by the beginning of the id is
shown. The directions are principal components: nothing is learnt, so that a place means the same in every session.
"""

import re

import numpy as np
import pyarrow as pa

from ....corpus.sql import literal
from ....corpus.store.errors import RequestError
from ....corpus.store.shards import read_batches
from ...report.charts import legend
from ...report.text import count, escape, paragraph, percent
from ...stages.columns import stored_schema
from ..drawings import cloud
from ..page import choose
from ..view import View
from .documents import document_row

MOST = 3000  # points
COLOURS = 7
OUTLINE = re.compile(r"-?[0-9.e+-]+,-?[0-9.e+-]+( -?[0-9.e+-]+,-?[0-9.e+-]+){2,400}")


def vector_columns(view: View) -> dict[str, tuple[str, str]]:
    """TABLE.COLUMN -> (table, column) of vectors that documents have."""
    found = {}
    for one in view.source.workspace.tables():
        if one.name.split("/")[0] not in ("embeddings", "scores", "signals") or one.name in view.source.stale:
            continue
        schema = stored_schema(view.source.workspace, one.finished("explore"))
        for field in schema or ():
            kind = field.type
            lists = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
            if lists and pa.types.is_floating(kind.value_type):
                found[f"{one.name}.{field.name}"] = (one.name, field.name)
    return found


def embedding_map(view: View) -> str:
    """The tab."""
    known = vector_columns(view)
    if "embeddings" in view.source.stale:
        return paragraph(view.source.stale["embeddings"], "warn")
    if not known:
        return paragraph(f"Not run: gristmill semantic --workspace {view.source.name} --model MODEL", "absent")
    table = view.choice("vectors", list(known)) or next(iter(known))
    ids, places, shares = positions(view, *known[table])
    if not len(ids):
        return paragraph("No document has a vector.", "lead")
    columns = [name for name in view.source.columns if name.strip('"') not in ("id", "begins", "url", "title")]
    colour = view.choice("colour", columns, '"domain"')
    body = _form(view, table, list(known), colour, columns)
    rows = {
        row[0]: row[1:]
        for row in view.rows(
            "documents on the map",
            f"select id, {colour}::varchar as colour, coalesce(title, begins) as words from facts "
            f"where id < '{sampled_below(view, known[table][0])}'",
        )
    }
    told: dict[str, int] = {}
    for value, _ in rows.values():
        told[value or "none"] = told.get(value or "none", 0) + 1
    names = sorted(told, key=lambda one: (-told[one], one))
    shown = names if len(names) <= COLOURS + 1 else [*names[:COLOURS], "others"]
    outline = view.one("lasso")
    if outline and not OUTLINE.fullmatch(outline):
        raise RequestError("a lasso is pairs of numbers: x,y x,y x,y …")
    points = []
    for one, (x, y) in zip(ids, places.tolist(), strict=True):
        value, words = rows.get(one, (None, None))
        name = value or "none"
        place = shown.index(name) if name in shown else len(shown) - 1
        tip = f"{' '.join((words or one).split())[:100]} ({name})"
        points.append((x, y, place, tip, view.link(f"document/{one}")))
    said = f"{count(len(ids))} documents by {table}, coloured by {colour.strip(chr(34))}."
    drawn, bounds = cloud(
        points, (f"direction 1, {percent(shares[0])}", f"direction 2, {percent(shares[1])}"), said, outline
    )
    caption = (
        f"{said} The two directions hold {percent(float(shares.sum()))} of all differences. Draw "
        "around "
        "documents to list them."
    )
    figure = view.figure("map drawn", drawn, caption, legend(shown, "swatch"))
    edges = " ".join(f"{value!r}" for value in bounds)
    body += f'<div id="map" data-bounds="{escape(edges)}" data-here="{view.link(None, lasso=None)}">{figure}</div>'
    return body + (_inside(view, ids, places, outline) if outline else _without_pointer(view))


def sampled_below(view: View, table: str) -> str:
    """The beginning of an id below which documents are shown: about `MOST` of those that have a vector."""
    shards = view.source.workspace.table(table).finished("explore").shards
    whole = max(1, sum(shard.rows for shard in shards))
    return f"{min(round(MOST / whole * 16**8), 16**8 - 1):08x}" if whole > MOST else "g"


def positions(view: View, table: str, column: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """ids (N,), their places (N, 2) and the share of all variance that each direction holds (2,)."""
    held = view.source.places.get((table, column))
    if held is not None:
        return held
    manifest = view.source.workspace.table(table).finished("explore")
    below = sampled_below(view, table)
    ids: list[str] = []
    vectors = []
    for shard in manifest.shards:
        for batch in read_batches(view.source.workspace.table(table).file_url(shard), ["id", column]):
            for one, vector in zip(batch["id"].to_pylist(), batch[column].to_pylist(), strict=True):
                if one < below and vector is not None:
                    ids.append(one)
                    vectors.append(vector)
    if len(ids) < 3:
        return [], np.zeros((0, 2)), np.zeros(2)
    rows = np.asarray(vectors, np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    rows -= rows.mean(0)
    values, directions = np.linalg.eigh(rows.T @ rows)
    first = directions[:, [-1, -2]] if directions.shape[1] > 1 else np.c_[directions, np.zeros(len(directions))]
    first *= np.where(first[np.abs(first).argmax(0), [0, 1]] < 0, -1, 1)  # a sign that does not depend on the library
    shares = np.maximum(np.r_[values[-1], values[-2] if len(values) > 1 else 0.0], 0) / max(values.sum(), 1e-12)
    found = ids, rows @ first, shares
    view.source.places[table, column] = found
    return found


def within(places: np.ndarray, outline: str) -> np.ndarray:
    """Which places (N, 2) lie inside of a polygon: (N,) bool, by the crossings of a ray."""
    corners = np.array([[float(part) for part in pair.split(",")] for pair in outline.split()])
    x, y = places[:, 0], places[:, 1]
    inside = np.zeros(len(places), np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, 0), strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def _inside(view: View, ids: list[str], places: np.ndarray, outline: str) -> str:
    chosen = [ids[n] for n in np.flatnonzero(within(places, outline))]
    if not chosen:
        return paragraph("No document lies inside of the line.", "lead")
    listed = ", ".join(map(literal, chosen))
    rows = view.records(
        "documents inside of the line",
        "select id, title, url, domain, language, fate, stage, rule, value, threshold, duplicate_of, bytes, begins "
        f"from facts where id in ({listed}) order by id",
    )
    save = "" if view.static else (
        f'<form class="choices save" action="save-rules" method="post"><input type="hidden" name="ids" '
        f'value="{" ".join(chosen)}"><label>Save a rule that drops them, after those of the last filter run, as rules/'
        '<input name="name" required maxlength="64" value="without-chosen">.yaml</label><button>Save</button></form>'
    )  # fmt: skip
    shown = "".join(document_row(view, row) for row in rows[:50])
    return f"<h2>{count(len(chosen))} documents inside of the line</h2>{save}{shown}"


def _without_pointer(view: View) -> str:
    """The same for those who draw with no pointer."""
    return (
        f'<form class="choices" action="map"><label>Or give the corners: <input name="lasso" placeholder="x,y x,y x,y">'
        '</label><input type="hidden" name="vectors" '
        f'value="{escape(view.one("vectors"))}"><button>List</button></form>'
    )


def _form(view: View, table: str, known: list[str], colour: str, columns: list[str]) -> str:
    return (
        '<form class="choices" action="map">'
        + choose("vectors", "Vectors", [(one, one) for one in known], table)
        + choose("colour", "Colour", [(one, one.replace('"', "")) for one in columns], colour)
        + "<button>Show</button></form>"
    )
