"""From buckets to verified edges: leader stars, and new leaders for what the first one does not cover.

A bucket holds the documents that share a band key (or an exact key). Its leader is compared with every other member;
members that verification refuses stay uncovered, and the first of them leads the next round. So a bucket of n true
copies costs n - 1 comparisons, not n(n-1)/2, and an accident of banding (a header shared by a whole site) costs at
most `leaders` comparisons a member and joins nobody. What is still uncovered then is counted as `unexamined`: its
pairs have the other bands to be found in.

Order inside a bucket is by `rank`, a hash of the id, with documents of other workspaces first: results depend on
ids alone, never on shards, workers or arrival.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# a, b (E,) indices of entries -> similarity (E,) float64
Verify = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Edges:
    """Pairs that were compared: handles a < b, their similarity, how many members no leader covered within budget."""

    a: np.ndarray
    b: np.ndarray
    similarity: np.ndarray
    unexamined: int


def in_buckets(key: np.ndarray) -> np.ndarray:
    """Indices of the entries whose key occurs more than once. key (N,) uint64 -> (M,) int64, ascending by key."""
    order = np.argsort(key)
    ordered = key[order]
    same = ordered[1:] == ordered[:-1]
    return order[np.r_[same, False] | np.r_[False, same]] if len(key) else order


def stars(
    key: np.ndarray,
    rank: np.ndarray,
    handle: np.ndarray,
    foreign: np.ndarray,
    threshold: float,
    leaders: int,
    verify: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Edges:
    """Leader stars of all buckets at once.

    key, rank, handle  (N,) uint64; entries of equal key form a bucket
    foreign            (N,) bool, of a workspace that is only compared against: two of these are never compared
    verify             handles a, b (E,) -> similarity (E,) float64; asked once for each distinct pair of a round
    """
    chosen = in_buckets(key)
    chosen = chosen[np.lexsort((handle[chosen], rank[chosen], ~foreign[chosen], key[chosen]))]
    key, handle, foreign = key[chosen], handle[chosen], foreign[chosen]
    found = [(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.float64))]
    for _ in range(leaders):
        if not len(key):
            break
        first = np.r_[True, key[1:] != key[:-1]]
        bucket = np.cumsum(first) - 1
        leads = np.flatnonzero(first)[bucket]
        asked = ~first & ~(foreign & foreign[leads]) & (handle != handle[leads])
        a, b = handle[leads[asked]], handle[asked]
        low, high = np.minimum(a, b), np.maximum(a, b)
        order = np.lexsort((high, low))
        new = np.r_[True, (low[order][1:] != low[order][:-1]) | (high[order][1:] != high[order][:-1])][: len(order)]
        place = np.empty(len(order), np.int64)
        place[order] = np.cumsum(new) - 1
        low, high = low[order[new]], high[order[new]]
        similarity = verify(low, high)
        found.append((low, high, similarity))
        covered = first.copy()
        covered[asked] = similarity[place] >= threshold
        key, handle, foreign = key[~covered], handle[~covered], foreign[~covered]
        remaining = in_buckets_sorted(key, foreign)
        key, handle, foreign = key[remaining], handle[remaining], foreign[remaining]
    a, b, similarity = (np.concatenate([part[i] for part in found]) for i in range(3))
    order = np.lexsort((b, a))
    new = np.r_[True, (a[order][1:] != a[order][:-1]) | (b[order][1:] != b[order][:-1])][: len(order)]
    keep = order[new]
    return Edges(a[keep], b[keep], similarity[keep], len(key))


def in_buckets_sorted(key: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """Which entries of a sorted column still share their bucket with one that they may be compared with: (N,) bool."""
    if not len(key):
        return np.zeros(0, np.bool_)
    bucket = np.cumsum(np.r_[True, key[1:] != key[:-1]]) - 1
    size = np.bincount(bucket)
    own = np.bincount(bucket, weights=~foreign)
    return ((size > 1) & (own > 0))[bucket]


def exact_stars(
    key: np.ndarray, check: np.ndarray, rank: np.ndarray, handle: np.ndarray, foreign: np.ndarray, kind: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges from the first document of each exact key to the others: a, b (E,) uint64, kind (E,) uint8.

    key, check (N,) uint64 are a 128-bit key together, so that equal keys need no verification.
    """
    chosen = in_buckets(key)
    chosen = chosen[np.lexsort((handle[chosen], rank[chosen], ~foreign[chosen], check[chosen], key[chosen]))]
    key, check, handle, foreign, kind = (column[chosen] for column in (key, check, handle, foreign, kind))
    first = np.r_[True, (key[1:] != key[:-1]) | (check[1:] != check[:-1])][: len(key)]
    leads = np.flatnonzero(first)[np.cumsum(first) - 1]
    asked = ~first & ~foreign
    a, b = handle[leads[asked]], handle[asked]
    return np.minimum(a, b), np.maximum(a, b), kind[asked]
