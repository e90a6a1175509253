"""Where every document that has a vector lies on the map: two directions, all documents, made once for their vectors.

The directions are those in which unit vectors differ most, the first two principal components of a sample by the
beginning of the id: nothing is learnt, so that a place means the same in every session. Every vector is then projected,
a batch at a time. A file of DuckDB with the tables

    places  id, number and cell in `facts`, x, y of every document with a vector, and `field`, that of the grid which it
            is in; in the order of the fields, so that those which lie together are read together
    drawn   those of them that are drawn as points, a sample by the beginning of the id
    spread  the share of all variance that each direction holds, the bounds, and how many documents there are
    shades  how many documents lie in each field of a grid over the bounds

Refuses vectors of which fewer than three are there. A vector that is null, of another length or not finite has no place
and is counted.
"""

import os

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.sql import literal
from ....corpus.store.errors import RequestError
from ....corpus.store.shards import fingerprint, read_batches
from ....corpus.store.workspace import Workspace
from .background import HowFar, made
from .cache import cache_folder, cached, limits, owner
from .facts import facts_file, state_of
from .sampling import sample_below
from .summaries import SORTED, blocks

VERSION = 3
FITTED = 50_000  # vectors that the directions are taken from
DRAWN = 4000  # documents that are drawn as points
GRID = (96, 56)  # fields of `shades`
ROWS = 8192  # vectors that are read together
SCHEMA = pa.schema([("id", pa.string()), ("x", pa.float32()), ("y", pa.float32())])


def places_made(workspace: Workspace, table: str, column: str) -> str:
    """The fingerprint of the places by a column of vectors; numbers and cells of documents are those of `facts`."""
    vectors = workspace.table(table).finished("explore").fingerprint
    return fingerprint("places", VERSION, table, column, vectors, state_of(workspace))


def places_file(workspace: Workspace, table: str, column: str) -> str:
    """The path of the places. RequestError while they are being made."""
    path = cached(workspace, places_made(workspace, table, column), "places")
    return made(path, lambda scratch, told: _write(workspace, table, column, scratch, told), "the map")


def name_of_places(path_or_made: str) -> str:
    """The name under which a file of places is attached to a connection."""
    return "map_" + os.path.basename(path_or_made).rpartition("-")[2].partition(".")[0][:12]


def attached(workspace: Workspace) -> list[str]:
    """Statements that attach every file of places of a workspace that is there."""
    folder, whose = cache_folder(), owner(workspace)
    held = [name for name in sorted(os.listdir(folder)) if name.startswith(f"{whose}-") and name.endswith(".places")]
    return [
        f"attach {literal(os.path.join(folder, name))} as {name_of_places(name)} (read_only)"
        for name in {name_of_places(name): name for name in held}.values()
    ]


def _write(workspace: Workspace, table: str, column: str, path: str, progress: HowFar) -> None:
    shards = workspace.table(table).finished("explore").shards
    whole = sum(shard.rows for shard in shards)
    progress.of = 2 * max(1, whole)
    urls = [workspace.table(table).file_url(shard) for shard in shards]
    width, centre, directions, shares = _directions(urls, column, sample_below(whole, FITTED), progress)
    without = 0
    with duckdb.connect(path) as connection:
        for statement in limits(cache_folder(), "200MB"):
            connection.execute(statement)
        connection.execute(f"attach {literal(facts_file(workspace))} as explorer (read_only)")
        connection.execute("create temp table projected (id varchar, x float, y float)")
        for url in urls:
            for batch in read_batches(url, ["id", column], ROWS):
                ids, rows = unit_rows(batch, column, width)
                without += batch.num_rows - len(ids)
                at = ((rows - centre) @ directions).astype(np.float32)
                connection.register("batch", pa.table([ids, at[:, 0], at[:, 1]], schema=SCHEMA))
                connection.execute("insert into projected select id, x, y from batch")
                connection.unregister("batch")
                progress.done += batch.num_rows
        _place(connection, whole)
        below = sample_below(whole, DRAWN)
        connection.execute(f"create table drawn as select * from places where id < '{below}' order by id")
        connection.execute(
            "create table spread as select ?::double as share_x, ?::double as share_y, min(x) as x0, max(x) as x1, "
            "min(y) as y0, max(y) as y1, count(*) as documents, ?::bigint as without from places",
            [*map(float, shares), without],
        )
        connection.execute(
            f"create table shades as select field % {GRID[0]} as across, field // {GRID[0]} as up, "
            "count(*) as documents from places group by field order by field"
        )
        connection.execute("checkpoint")  # what fails at the end of a connection is not told


def _place(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
    """The table `places` of what was projected, in blocks: by id where numbers are joined, then by field."""
    run = connection.execute
    bounds = run("select min(x), max(x), min(y), max(y) from projected").fetchone() or ()
    if None in bounds:
        raise RequestError("no document has a vector of finite numbers")
    across, up = (
        f"least({fields - 1}, floor(({axis}::double - ({low!r})) / {(high - low) / fields or 1.0!r}))::int"
        for fields, axis, low, high in zip(GRID, "xy", bounds[::2], bounds[1::2], strict=True)
    )
    run("create temp table placed (id varchar, number bigint, cell integer, x float, y float, field integer)")
    for within in blocks("id", rows, SORTED):
        run(f"insert into placed select id, number, cell, x, y, {up} * {GRID[0]} + {across} as field from "
            f"projected join explorer.ids using (id) where {within}")  # fmt: skip
    run("drop table projected")
    run("create table places as from placed where false")
    held, first = 0, 0
    counted = run("select field, count(*) from placed group by field order by field").fetchall()
    for field, inside in [*counted, (GRID[0] * GRID[1], SORTED)]:
        if held and held + inside > SORTED:
            run(f"insert into places from placed where field >= {first} and field < {field} order by field, id")
            held, first = 0, field
        held += inside
    run("drop table placed")


def unit_rows(batch: pa.RecordBatch, column: str, width: int | None = None) -> tuple[pa.Array, np.ndarray]:
    """Ids (N,) and vectors (N, W) of length 1, of the rows that have a finite vector of this width (of the first)."""
    held = batch[column]
    lengths = pc.fill_null(pc.list_value_length(held), -1).to_numpy(zero_copy_only=False)  # type: ignore[attr-defined]
    known = lengths[lengths > 0]
    if width is None:
        width = int(known[0]) if len(known) else 0
    right = lengths == width if width else np.zeros(len(lengths), np.bool_)
    chosen = held.filter(pa.array(right))
    flat = chosen.flatten().to_numpy(zero_copy_only=False)
    rows = np.asarray(flat, np.float64).reshape(len(chosen), width)
    finite = np.isfinite(rows).all(1)
    rows = rows[finite] / np.maximum(np.linalg.norm(rows[finite], axis=1, keepdims=True), 1e-12)
    return batch["id"].filter(pa.array(right)).filter(pa.array(finite)), rows


def _directions(
    urls: list[str], column: str, below: str, progress: HowFar
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Width, mean (W,), two directions (W, 2), and the share of variance that each holds (2,), of a sample."""
    width, count = 0, 0
    total, products = np.zeros(0), np.zeros((0, 0))
    for url in urls:
        for batch in read_batches(url, ["id", column], ROWS):
            progress.done += batch.num_rows
            chosen = batch.filter(pc.less(batch["id"], below))  # type: ignore[attr-defined]
            _, rows = unit_rows(chosen, column, width or None)
            if len(rows) and not width:
                width = rows.shape[1]
                total, products = np.zeros(width), np.zeros((width, width))
            if len(rows):
                count, total, products = count + len(rows), total + rows.sum(0), products + rows.T @ rows
    if count < 3:
        raise RequestError("fewer than three documents have a vector, and a map needs more")
    centre = total / count
    values, found = np.linalg.eigh(products / count - np.outer(centre, centre))
    first = found[:, [-1, -2]] if width > 1 else np.c_[found, np.zeros(1)]
    first *= np.where(first[np.abs(first).argmax(0), [0, 1]] < 0, -1, 1)  # a sign that does not depend on the library
    shares = np.maximum(np.r_[values[-1], values[-2] if width > 1 else 0.0], 0) / max(values.sum(), 1e-12)
    return width, centre, first, shares
