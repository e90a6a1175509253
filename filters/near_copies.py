"""Copies of evaluation examples in which some words were changed, left out or put in.

Four words in common, in order, are a seed; from there the example (of a long one, the `window` words around the seed)
is aligned with the text in both directions, and the edits that turn one into the other are counted. It is a near copy
where they are at most `tolerance` of the words. An example of a few words may differ in one. Words are those of
`decontamination.py`: without case and punctuation. A seed that more than `COMMON` examples share is not followed.
"""

from dataclasses import dataclass

import numpy as np

from .words.kernels import NEXT, jit, slot, table_size
from .words.layout import Spans

SEED = 4  # words; an example of 8 words with one changed keeps a run of four
COMMON = 64
WIDEST = 64  # words of the widest window


@dataclass(frozen=True)
class NearIndex:
    """Where the four-word pieces of the examples occur; E examples, P places."""

    hashes: np.ndarray  # (W,) uint64 words of all examples, one after the other
    bounds: np.ndarray  # (E+1,) int64 words of example e are bounds[e] to bounds[e+1]
    keys: np.ndarray  # (2**k,) uint64
    stamps: np.ndarray  # (2**k,) int64, 1 where taken
    first: np.ndarray  # (2**k,) int64, the first of its places
    count: np.ndarray  # (2**k,) int64, how many
    places: np.ndarray  # (P,) int64 words of examples where a piece begins, by piece
    owners: np.ndarray  # (P,) int64 their examples
    window: int
    tolerance: float


def near_index(words: Spans, shortest: int, window: int, tolerance: float) -> NearIndex:
    """Index the examples of at least `shortest` words."""
    window = min(max(window, 2 * SEED), WIDEST)
    grams, places, owners = _pieces(words.bounds, words.hash, shortest)
    order = np.argsort(grams, kind="stable")
    unique, begin, size = np.unique(grams[order], return_index=True, return_counts=True)
    keys = np.zeros(table_size(max(len(unique), 1)), np.uint64)
    stamps, first, count = (np.zeros(len(keys), np.int64) for _ in range(3))
    _fill(unique, begin, size, keys, stamps, first, count)
    return NearIndex(words.hash, words.bounds, keys, stamps, first, count, places[order], owners[order], window,
                     tolerance)  # fmt: skip


def near_copies(words: Spans, index: NearIndex) -> np.ndarray:
    """(hits, 5) int64: document, word where it begins, words of the text, example, edits."""
    tables = (index.keys, index.stamps, index.first, index.count, index.places, index.owners)
    return _near(words.bounds, words.hash, index.hashes, index.bounds, *tables, index.window, index.tolerance)


@jit
def _piece(hashes, at):
    g = np.uint64(SEED)
    for k in range(SEED):
        g = (g ^ (g >> np.uint64(31))) * NEXT + hashes[at + k]
    return g


@jit
def _pieces(bounds, hashes, shortest):
    total = 0
    for e in range(len(bounds) - 1):
        if bounds[e + 1] - bounds[e] >= shortest:
            total += max(bounds[e + 1] - bounds[e] - SEED + 1, 0)
    grams = np.empty(total, np.uint64)
    places, owners = np.empty(total, np.int64), np.empty(total, np.int64)
    n = 0
    for e in range(len(bounds) - 1):
        if bounds[e + 1] - bounds[e] >= shortest:
            for at in range(bounds[e], bounds[e + 1] - SEED + 1):
                grams[n], places[n], owners[n] = _piece(hashes, at), at, e
                n += 1
    return grams, places, owners


@jit
def _fill(unique, begin, size, keys, stamps, first, count):
    for k in range(len(unique)):
        s = slot(keys, stamps, 1, unique[k])
        keys[s], stamps[s], first[s], count[s] = unique[k], 1, begin[k], size[k]


@jit
def _edits(left, a, stop, step, right, b, limit, end, row):
    """Fewest edits between left[a:stop] and a stretch of right that begins at b, and the words of that stretch.

    Both are walked with `step` (1 or -1), right up to `end`. More than `limit`: limit + 1, 0. `row` is scratch.
    """
    length = (stop - a) * step
    width = min(length + limit, (end - b) * step)
    for j in range(width + 1):
        row[j] = j
    for i in range(1, length + 1):
        word = left[a + (i - 1) * step]
        diagonal, row[0], best = row[0], i, i
        for j in range(1, width + 1):
            above = row[j]
            cost = diagonal + (right[b + (j - 1) * step] != word)
            row[j] = min(cost, min(above, row[j - 1]) + 1)
            diagonal = above
            best = min(best, row[j])
        if best > limit:
            return limit + 1, 0
    at = 0
    for j in range(width + 1):
        if row[j] < row[at]:
            at = j
    return row[at], at


@jit
def _near(bounds, hashes, examples, spans, keys, stamps, first, count, places, owners, window, tolerance):
    found = np.empty((16, 5), np.int64)
    made = 0
    row = np.empty(2 * WIDEST + 2, np.int64)
    document, reach = np.full(len(spans) - 1, -1, np.int64), np.zeros(len(spans) - 1, np.int64)
    for d in range(len(bounds) - 1):
        for p in range(bounds[d], bounds[d + 1] - SEED + 1):
            s = slot(keys, stamps, 1, _piece(hashes, p))
            if stamps[s] != 1 or count[s] > COMMON:
                continue
            for k in range(first[s], first[s] + count[s]):
                e, at = owners[k], places[k]
                if document[e] == d and p < reach[e]:
                    continue
                size = min(spans[e + 1] - spans[e], window)
                begin = min(max(at + SEED // 2 - size // 2, spans[e]), spans[e + 1] - size)
                limit = max(int(tolerance * size), 1)
                before, back = _edits(examples, at - 1, begin - 1, -1, hashes, p - 1, limit, bounds[d] - 1, row)
                if before > limit:
                    continue
                after, on = _edits(examples, at + SEED, begin + size, 1, hashes, p + SEED, limit - before,
                                   bounds[d + 1], row)  # fmt: skip
                if before + after > limit:
                    continue
                if made == len(found):
                    wider = np.empty((2 * made, 5), np.int64)
                    wider[:made] = found
                    found = wider
                found[made, 0], found[made, 1], found[made, 2] = d, p - back, back + SEED + on
                found[made, 3], found[made, 4] = e, before + after
                made += 1
                document[e], reach[e] = d, p + SEED + on
    return found[:made]
