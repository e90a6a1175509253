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
    """Pairs that were compared, once for each bucket and round in which they were.

    key         of the bucket
    a, b        handles, a < b
    similarity  of the pair
    left        key of each member that no leader covered within budget
    """

    key: np.ndarray
    a: np.ndarray
    b: np.ndarray
    similarity: np.ndarray
    left: np.ndarray

    @property
    def unexamined(self) -> int:
        return len(self.left)


def in_buckets(key: np.ndarray) -> np.ndarray:
    """Indices of the entries whose key occurs more than once. key (N,) uint64 -> (M,) int64, ascending by key."""
    order = np.argsort(key)
    ordered = key[order]
    same = ordered[1:] == ordered[:-1]
    return order[np.r_[same, False] | np.r_[False, same]] if len(key) else order


def stars(
    key: np.ndarray,
    handle: np.ndarray,
    ranks: Callable[[np.ndarray], np.ndarray],
    foreign: Callable[[np.ndarray], np.ndarray],
    threshold: float,
    leaders: int,
    verify: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Edges:
    """Leader stars of all buckets at once.

    key, handle  (N,) uint64; entries of equal key form a bucket
    ranks        handles (M,) -> rank (M,) uint64; asked for those that share a bucket
    foreign      handles (M,) -> (M,) bool, of a workspace that is only compared against: no two of these are compared
    verify       handles a, b (E,) -> similarity (E,) float64; asked once for each distinct pair of a round
    """
    key, handle, other = _ordered(in_buckets(key), (key,), handle, ranks, foreign)
    none = np.zeros(0, np.uint64)
    found = [(none, none, none, np.zeros(0, np.float64))]
    for _ in range(leaders):
        if not len(key):
            break
        first = np.r_[True, key[1:] != key[:-1]]
        bucket = np.cumsum(first) - 1
        leads = np.flatnonzero(first)[bucket]
        asked = ~first & ~(other & other[leads]) & (handle != handle[leads])
        a, b = handle[leads[asked]], handle[asked]
        low, high = np.minimum(a, b), np.maximum(a, b)
        order = np.lexsort((high, low))
        new = np.r_[True, (low[order][1:] != low[order][:-1]) | (high[order][1:] != high[order][:-1])][: len(order)]
        place = np.empty(len(order), np.int64)
        place[order] = np.cumsum(new) - 1
        similarity = verify(low[order[new]], high[order[new]])[place]
        found.append((key[asked], low, high, similarity))
        covered = first.copy()
        covered[asked] = similarity >= threshold
        key, handle, other = key[~covered], handle[~covered], other[~covered]
        remaining = in_buckets_sorted(key, other)
        key, handle, other = key[remaining], handle[remaining], other[remaining]
    return Edges(*(np.concatenate([part[i] for part in found]) for i in range(4)), left=key)


def in_buckets_sorted(key: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """Which entries of a sorted column still share their bucket with one that they may be compared with: (N,) bool."""
    if not len(key):
        return np.zeros(0, np.bool_)
    bucket = np.cumsum(np.r_[True, key[1:] != key[:-1]]) - 1
    size = np.bincount(bucket)
    own = np.bincount(bucket, weights=~foreign)
    return ((size > 1) & (own > 0))[bucket]


def exact_stars(
    key: np.ndarray,
    check: np.ndarray,
    handle: np.ndarray,
    ranks: Callable[[np.ndarray], np.ndarray],
    foreign: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges from the first document of each exact key to the others: key, handles a < b, (E,) uint64.

    key, check (N,) uint64 are a 128-bit key together, so that equal keys need no verification.
    """
    check, key, handle, other = _ordered(in_buckets(key), (check, key), handle, ranks, foreign)
    first = np.r_[True, (key[1:] != key[:-1]) | (check[1:] != check[:-1])][: len(key)]
    leads = np.flatnonzero(first)[np.cumsum(first) - 1]
    asked = ~first & ~other
    a, b = handle[leads[asked]], handle[asked]
    return key[asked], np.minimum(a, b), np.maximum(a, b)


def _ordered(chosen, keys, handle, ranks, foreign):
    """The chosen entries by key, documents of other workspaces first, then by rank: (*keys, handle, foreign)."""
    handle = handle[chosen]
    other = foreign(handle)
    order = np.lexsort((handle, ranks(handle), ~other, *(key[chosen] for key in keys)))
    return *(key[chosen][order] for key in keys), handle[order], other[order]
