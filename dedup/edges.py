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


def part_findings(edges: pa.RecordBatch, resolved: dict[str, Any], unexamined: int) -> dict[str, float]:
    """Sums over distinct edges: what `whole_findings` is made from, for one part of the edges or for all."""
    near = edges["kind"].to_numpy() == 0
    found = near & edges["joined"].to_numpy(zero_copy_only=False)
    chance = s_curve(edges["similarity"].to_numpy()[found], resolved["bands"], resolved["rows"])
    return {
        "exact_edges": int((~near).sum()),
        "candidates": int(near.sum()),
        "found": int(found.sum()),
        "expected": float((1 / chance).sum()),
        "unexamined": unexamined,
    }


def whole_findings(parts: Sequence[dict[str, float]], settings: DedupSettings) -> Findings:
    """What the manifest tells: candidates, how many verification refused, precision, estimated recall.

    Recall is estimated from the S-curve: a pair found at similarity s stands for 1 / P(s) pairs, of which the bands
    show us one share. Pairs that share an exact key are not among the candidates. `unexamined` are members of buckets
    that no leader covered within the budget: the other bands still see them.
    """
    total = {
        name: sum(part[name] for part in parts) for name in part_findings(distinct([]), {"bands": 1, "rows": 1}, 0)
    }
    resolved = settings.resolved()
    findings: Findings = {
        "bands": resolved["bands"],
        "rows": resolved["rows"],
        "exact_edges": int(total["exact_edges"]),
        "candidates": int(total["candidates"]),
        "refused": int(total["candidates"] - total["found"]),
        "unexamined": int(total["unexamined"]),
    }
    if settings.minhash and settings.verify and total["candidates"]:
        findings["candidate_precision"] = round(total["found"] / total["candidates"], 6)
        if total["found"] and settings.measure == "jaccard":
            findings["estimated_recall"] = round(total["found"] / total["expected"], 6)
    return findings
