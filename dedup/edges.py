"""Blocks of edges: compared pairs with their exact similarity, and what they say about the run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .minhash import s_curve
from .settings import DedupSettings

Findings = dict[str, Any]
EDGES = pa.schema(
    [
        ("a", pa.uint64()),  # handle of one end, the smaller
        ("b", pa.uint64()),
        ("similarity", pa.float64()),  # nan where it was not verified
        ("kind", pa.uint8()),  # 0 MinHash, 1 + n the n-th exact key
        ("joined", pa.bool_()),  # verification passed
    ]
)


def distinct(blocks: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One block with every pair once, by (a, b); an exact key outranks MinHash."""
    table = pa.Table.from_batches(list(blocks), EDGES)
    a, b = table["a"].to_numpy(), table["b"].to_numpy()
    kind = table["kind"].to_numpy()
    order = np.lexsort((np.where(kind == 0, 255, kind), b, a))
    new = np.r_[True, (a[order][1:] != a[order][:-1]) | (b[order][1:] != b[order][:-1])][: len(order)]
    chosen = table.take(pa.array(order[new])).combine_chunks()
    return chosen.to_batches()[0] if chosen.num_rows else pa.RecordBatch.from_pylist([], schema=EDGES)


def closest(edges: pa.RecordBatch, nodes: np.ndarray, ids: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The closest neighbour of each node: highest similarity, then smallest id.

    nodes    (N,) uint64 handles of the rows of ids, in any order; every end of an edge is among them
    returns  match (N,) int64 index into ids, similarity (N,) float64, kind (N,) uint8
    """
    by_id = np.empty(len(ids), np.int64)
    by_id[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    order = np.argsort(nodes)
    a = order[np.searchsorted(nodes, edges["a"].to_numpy(), sorter=order)]
    b = order[np.searchsorted(nodes, edges["b"].to_numpy(), sorter=order)]
    value, kind = edges["similarity"].to_numpy(), edges["kind"].to_numpy()
    one, other = np.r_[a, b], np.r_[b, a]
    value, kind = np.r_[value, value], np.r_[kind, kind]
    best = np.lexsort((by_id[other], kind, -value, one))
    first = best[np.r_[True, one[best][1:] != one[best][:-1]][: len(best)]]
    return other[first], value[first], kind[first]


def gather_findings(edges: pa.RecordBatch, resolved: dict[str, Any], settings: DedupSettings, left: int) -> Findings:
    """What the manifest tells: candidates, how many verification refused, precision, estimated recall.

    Recall is estimated from the S-curve: a pair found at similarity s stands for 1 / P(s) pairs, of which the bands
    show us one share. Pairs that share an exact key are not among the candidates.
    """
    near = edges["kind"].to_numpy() == 0
    joined = edges["joined"].to_numpy(zero_copy_only=False)
    similar = edges["similarity"].to_numpy()
    found = near & joined
    findings: Findings = {
        "bands": resolved["bands"],
        "rows": resolved["rows"],
        "exact_edges": int((~near).sum()),
        "candidates": int(near.sum()),
        "refused": int((near & ~joined).sum()),
        "unexamined": left,  # bucket members that no leader covered within the budget; other bands still see them
    }
    if settings.minhash and settings.verify and near.any():
        findings["candidate_precision"] = round(float(found.sum() / near.sum()), 6)
        if found.any() and settings.measure == "jaccard":
            chance = s_curve(similar[found], resolved["bands"], resolved["rows"])
            findings["estimated_recall"] = round(float(found.sum() / (1 / chance).sum()), 6)
    return findings
