"""Variable sequence length: the bucket of row lengths that a step draws from (Dataset Decomposition, arXiv 2405.13226).

Every step has the same number of tokens: many short rows or few long ones. A curriculum is a set of odds: in each of
`cycles` equal parts of the phase the steps are drawn without replacement, with odds that favour short rows (grow) or
long ones (shrink), so the favoured lengths come first and the others when those are used up. For six buckets the
published odds, shortest first, are: uniform 1:1:1:1:1:1, grow-linear 6:5:4:3:2:1, grow-p2 32:16:8:4:2:1, grow-p100
100^5:...:100:1, shrink-p100 the reverse. `natural` has no odds: a step's bucket follows what is left of each.
"""

from collections.abc import Callable

import numpy as np

from ...corpus.compiling import compiled
from ...corpus.store.errors import RequestError, unknown_name
from .permutation import derive

# position of a bucket from the longest (0) -> its odds; natural has none
CURRICULA: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "natural": np.zeros_like,
    "uniform": np.ones_like,
    "grow-linear": lambda place: place + 1.0,
    "grow-p2": lambda place: 2.0**place,
    "grow-p100": lambda place: 100.0**place,
    "shrink-p2": lambda place: 2.0**-place,
    "shrink-p100": lambda place: 100.0**-place,
}


def bucket_sizes(longest: int, shortest: int = 0) -> list[int]:
    """Row lengths from shortest to longest, powers of two. `shortest` 0: five doublings below the longest."""
    shortest = shortest or max(2, longest // 32)
    if longest & (longest - 1) or shortest & (shortest - 1) or shortest > longest:
        raise RequestError(f"decompose needs powers of two for its lengths, got {shortest} to {longest}")
    return [1 << k for k in range(shortest.bit_length() - 1, longest.bit_length())]


def bucket_order(counts: np.ndarray, curriculum: str, cycles: int, key: np.uint64) -> np.ndarray:
    """counts (K,) steps per bucket, shortest first -> (steps,) int8 bucket of each step."""
    if curriculum not in CURRICULA:
        raise unknown_name("curriculum", curriculum, CURRICULA)
    odds = CURRICULA[curriculum](np.arange(len(counts), dtype=np.float64)[::-1].copy())
    return draw_order(counts.astype(np.int64), odds, max(1, cycles), key)


@compiled
def draw_order(counts: np.ndarray, odds: np.ndarray, cycles: int, key: int) -> np.ndarray:
    out = np.empty(counts.sum(), np.int8)
    at = 0
    for cycle in range(cycles):
        left = counts * (cycle + 1) // cycles - counts * cycle // cycles
        for _ in range(left.sum()):
            weights = np.where(left > 0, odds, 0.0) if odds[0] > 0 else left.astype(np.float64)
            point = derive(key, at) / 2.0**64 * weights.sum()
            bucket = 0
            while bucket < len(left) - 1 and (left[bucket] == 0 or point >= weights[bucket]):
                point -= weights[bucket]
                bucket += 1
            while left[bucket] == 0:  # rounding of the last weight
                bucket -= 1
            out[at] = bucket
            left[bucket] -= 1
            at += 1
    return out
