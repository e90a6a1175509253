"""Duplicates of a table in memory: the keys, buckets, verification and survivors of the stage, without a workspace.

For what fits in memory, some millions of documents. The same pairs are joined as by the stage. Refuses settings that
need one: signals that choose survivors, other workspaces, cuts of repeats.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..corpus.store.errors import RequestError
from .buckets import exact_stars, stars
from .clusters import components
from .edges import EDGES, closest, distinct
from .keys import bucket_of, columns_needed, exact_keys, ranks, scope_hashes, split_key
from .minhash import band_keys, signatures
from .settings import DedupSettings
from .shingles import shingle
from .survivors import choose, order_columns, signals_of
from .verification import set_similarity

EXACT = {"text": "exact", "url": "exact_url"}
FOUND = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),  # smallest id of the cluster
        pa.field("cluster_size", pa.int64(), nullable=False),
        pa.field("survivor", pa.bool_(), nullable=False),
        ("duplicate_of", pa.string()),
        ("jaccard", pa.float64()),  # of the closest verified pair
        ("method", pa.string()),
    ]
)


def duplicates_of(table: pa.Table, settings: DedupSettings) -> pa.Table:
    """A row of `FOUND` for each row of the table, in its order.

    table  columns id and text, those that exact keys and the scope name, and date, where survivors go by it
    """
    settings.check()
    if settings.against or settings.repeats is not None or signals_of(settings.survivors) or settings.scope == "crawl":
        raise RequestError("duplicates: --against, repeats, signals and the scope crawl need a workspace")
    lacking = [name for name in _needed(settings) if name not in table.column_names]
    if lacking:
        raise RequestError(f"duplicates: the table has no column {lacking[0]}; it has: {', '.join(table.column_names)}")
    batch = pa.RecordBatch.from_arrays([c.combine_chunks() for c in table.columns], names=table.column_names)
    ids = batch["id"]
    if len(pc.unique(ids)) != len(ids) or ids.null_count:
        raise RequestError("duplicates: the column id must name each row once")
    edges = _edges(batch, settings)
    joined = edges.filter(edges["joined"])
    nodes, component = components(joined["a"].to_numpy(), joined["b"].to_numpy())
    cluster = np.arange(len(ids), dtype=np.uint64)
    cluster[nodes.astype(np.int64)] = component
    lengths = pc.binary_length(batch["text"].cast(pa.large_string())).fill_null(0).to_numpy(zero_copy_only=False)
    columns = order_columns(settings.survivors, _seconds(table), lengths, {})
    best = choose(cluster, columns, ids)
    _, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    smallest = choose(cluster, [], ids)
    survives = best == np.arange(len(ids))
    jaccard: list[float | None] = [None] * len(ids)
    method: list[str | None] = [None] * len(ids)
    if len(nodes):
        _, value, kind = closest(joined, nodes, ids.take(pa.array(nodes.astype(np.int64))))
        for node, near, how in zip(nodes.tolist(), value.tolist(), kind.tolist(), strict=True):
            jaccard[node] = None if np.isnan(near) else near
            method[node] = "minhash" if how == 0 else EXACT.get(settings.exact[how - 1], "exact_sql")
    made = {
        "id": ids,
        "cluster": ids.take(pa.array(smallest)),
        "cluster_size": pa.array(sizes[place].astype(np.int64)),
        "survivor": pa.array(survives),
        "duplicate_of": ids.take(pa.array(best, mask=survives)),
        "jaccard": pa.array(jaccard, pa.float64()),
        "method": pa.array(method, pa.string()),
    }
    return pa.table([made[name] for name in FOUND.names], schema=FOUND)


def _needed(settings: DedupSettings) -> list[str]:
    own = {"id", "text", *([] if settings.scope == "global" else [settings.scope])}
    exact = set(columns_needed(settings.exact)) if settings.exact != ("text",) else set()
    return sorted(own | (exact & {"url"}))


def _edges(batch: pa.RecordBatch, settings: DedupSettings) -> pa.RecordBatch:
    """`EDGES` between rows."""
    asked, rows = settings.resolved(), batch.num_rows
    handle = np.arange(rows, dtype=np.uint64)
    sets = shingle(batch["text"], asked["unit"], asked["size"], asked["fold"])
    order = ranks(batch["id"])
    scope = scope_hashes(None if settings.scope == "global" else batch[settings.scope], rows)
    near = np.diff(sets.offsets) > 0

    def rank(handles: np.ndarray) -> np.ndarray:
        return order[handles.astype(np.int64)]

    def foreign(handles: np.ndarray) -> np.ndarray:
        return np.zeros(len(handles), bool)

    def verify(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        if not settings.verify:
            return np.ones(len(left))
        a, b = left.astype(np.int64), right.astype(np.int64)
        return set_similarity(sets.hashes, sets.offsets, a, b, settings.measure)

    parts = [pa.RecordBatch.from_pylist([], EDGES)]
    if settings.minhash and near.any():
        rows_of = signatures(sets.hashes, sets.offsets, asked["num_perm"], settings.seed)[near]
        keys = band_keys(rows_of, asked["bands"], asked["rows"], scope[near]).T.reshape(-1)
        entries = np.tile(handle[near], asked["bands"])
        found = stars(keys, entries, rank, foreign, asked["threshold"], settings.leaders, verify)
        similar = found.similarity if settings.verify else np.full(len(found.a), np.nan)
        parts.append(_batch(found.a, found.b, similar, 0, found.similarity >= asked["threshold"]))
    for number, expression in enumerate(settings.exact):
        keys = exact_keys(batch, expression, sets.content)
        present = keys.is_valid().to_numpy(zero_copy_only=False)
        if present.any():
            halves = split_key(keys.drop_null())
            bucket = bucket_of(halves, scope[present], number)
            _, a, b = exact_stars(bucket, halves[:, 1], handle[present], rank, foreign)
            parts.append(_batch(a, b, np.ones(len(a)), number + 1, np.ones(len(a), bool)))
    return distinct(parts)


def _batch(a: np.ndarray, b: np.ndarray, similarity: np.ndarray, kind: int, joined: np.ndarray) -> pa.RecordBatch:
    columns = {"a": a, "b": b, "similarity": similarity, "kind": np.full(len(a), kind, np.uint8), "joined": joined}
    return pa.record_batch([pa.array(columns[name]) for name in EDGES.names], schema=EDGES)


def _seconds(table: pa.Table) -> np.ndarray:
    """(N,) float64 seconds of the column date, nan where there is none."""
    if "date" not in table.column_names or not pa.types.is_temporal(table["date"].type):
        return np.full(len(table), np.nan)
    seconds = table["date"].cast(pa.timestamp("s", tz="UTC")).cast(pa.int64()).cast(pa.float64())
    return seconds.fill_null(np.nan).to_numpy()
