"""Copies of evaluation examples in which some words were changed, left out or put in.

Four words in common, in order, are a seed; from there the example (of a long one, the `window` words around the seed)
is aligned with the text in both directions, and the edits that turn one into the other are counted. It is a near copy
where they are at most `tolerance` of the words. An example of a few words may differ in one. Words are those of
`corpus/folding.py`; where there are no spaces between words, letters are compared, and a seed has as many of them as
make four words. A seed that more than `COMMON` examples share is not followed.
"""

from dataclasses import dataclass

import numpy as np

from ..corpus.folding import WORD, Words
from .words.kernels import NEXT, jit, slot, table_size

SEED = 4  # words; an example of 8 words with one changed keeps a run of four
COMMON = 64
WIDEST = 256  # of the letters and words of the widest window


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
    sizes: np.ndarray  # (P,) int64 words or letters of the piece
    windows: np.ndarray  # (E,) int64 words or letters that are aligned
    tolerance: float


def near_index(words: Words, shortest: int, window: int, tolerance: float) -> NearIndex:
    """Index the examples of at least `shortest` words."""
    weights = np.r_[0, np.cumsum(words.weight, dtype=np.int64)][words.offsets]
    weight, count = np.diff(weights), np.diff(words.offsets)
    windows = np.minimum(count, np.minimum(max(window, 2 * SEED) * WORD * count // np.maximum(weight, 1), WIDEST))
    grams, places, owners, sizes = _pieces(words.offsets, words.hash, words.weight, weight >= shortest * WORD)
    order = np.argsort(grams, kind="stable")
    unique, begin, size = np.unique(grams[order], return_index=True, return_counts=True)
    keys = np.zeros(table_size(max(len(unique), 1)), np.uint64)
    stamps, first, count = (np.zeros(len(keys), np.int64) for _ in range(3))
    _fill(unique, begin, size, keys, stamps, first, count)
    return NearIndex(words.hash, words.offsets, keys, stamps, first, count, places[order], owners[order],
                     sizes[order], windows, tolerance)  # fmt: skip


def near_copies(words: Words, index: NearIndex) -> np.ndarray:
    """(hits, 5) int64: document, word where it begins, words of the text, example, edits."""
    tables = (index.keys, index.stamps, index.first, index.count, index.places, index.owners, index.sizes)
    text = (words.offsets, words.hash, words.weight)
    return _near(*text, index.hashes, index.bounds, *tables, index.windows, index.tolerance)


@jit
def _piece(hashes, weights, at, end):  # -> hash of the four words from `at` on, how many words or letters; 0: no four
    g, weight, k = np.uint64(SEED), 0, at
    while weight < SEED * WORD:
        if k == end:
            return g, 0
        g = (g ^ (g >> np.uint64(31))) * NEXT + hashes[k]
        weight += weights[k]
        k += 1
    return g, k - at


@jit
def _pieces(bounds, hashes, weights, wanted):
    total = 0
    for e in range(len(bounds) - 1):
        if wanted[e]:
            total += bounds[e + 1] - bounds[e]
    grams, sizes = np.empty(total, np.uint64), np.empty(total, np.int64)
    places, owners = np.empty(total, np.int64), np.empty(total, np.int64)
    n = 0
    for e in range(len(bounds) - 1):
        if wanted[e]:
            for at in range(bounds[e], bounds[e + 1]):
                g, size = _piece(hashes, weights, at, bounds[e + 1])
                if size == 0:
                    break
                grams[n], places[n], owners[n], sizes[n] = g, at, e, size
                n += 1
    return grams[:n].copy(), places[:n].copy(), owners[:n].copy(), sizes[:n].copy()


@jit
def _fill(unique, begin, size, keys, stamps, first, count):
    for k in range(len(unique)):
        s = slot(keys, stamps, 1, unique[k])
        keys[s], stamps[s], first[s], count[s] = unique[k], 1, begin[k], size[k]


@jit
def _edits(left, a, stop, step, right, b, limit, end, row):
    """Fewest edits between left[a:stop] and a stretch of right that begins at b, and the words of that stretch.

    Both are walked with `step` (1 or -1), right up to `end`. More than `limit`: limit + 1, 0. `row` is scratch. Only
    the band is filled in which so few edits are possible.
    """
    length = (stop - a) * step
    width = min(length + limit, (end - b) * step)
    far = limit + 1
    for j in range(width + 1):
        row[j] = min(j, far)
    for i in range(1, length + 1):
        word = left[a + (i - 1) * step]
        low, high = max(1, i - limit), min(width, i + limit)
        diagonal = row[low - 1]
        row[low - 1] = min(i, far) if low == 1 else far
        best = row[low - 1]
        for j in range(low, high + 1):
            above = row[j] if j < i + limit else far
            cost = diagonal + (right[b + (j - 1) * step] != word)
            row[j] = min(cost, min(above, row[j - 1]) + 1)
            diagonal = above
            best = min(best, row[j])
        if best > limit:
            return far, 0
    at, low = -1, max(0, length - limit)
    for j in range(low, width + 1):
        if at < 0 or row[j] < row[at]:
            at = j
    return (far, 0) if at < 0 or row[at] > limit else (row[at], at)


@jit
def _near(bounds, hashes, weights, examples, spans, keys, stamps, first, count, places, owners, sizes, windows,
          tolerance):  # fmt: skip
    found = np.empty((16, 5), np.int64)
    made = 0
    row = np.empty(2 * WIDEST + 2, np.int64)
    document, reach = np.full(len(spans) - 1, -1, np.int64), np.zeros(len(spans) - 1, np.int64)
    for d in range(len(bounds) - 1):
        for p in range(bounds[d], bounds[d + 1]):
            g, length = _piece(hashes, weights, p, bounds[d + 1])
            if length == 0:
                break
            s = slot(keys, stamps, 1, g)
            if stamps[s] != 1 or count[s] > COMMON:
                continue
            for k in range(first[s], first[s] + count[s]):
                e, at = owners[k], places[k]
                if sizes[k] != length or (document[e] == d and p < reach[e]):
                    continue
                size = windows[e]
                begin = min(max(at + length // 2 - size // 2, spans[e]), spans[e + 1] - size, at)
                limit = max(int(tolerance * size), 1)
                before, back = _edits(examples, at - 1, begin - 1, -1, hashes, p - 1, limit, bounds[d] - 1, row)
                if before > limit:
                    continue
                after, on = _edits(examples, at + length, max(begin + size, at + length), 1, hashes, p + length,
                                   limit - before, bounds[d + 1], row)  # fmt: skip
                if before + after > limit:
                    continue
                if made == len(found):
                    wider = np.empty((2 * made, 5), np.int64)
                    wider[:made] = found
                    found = wider
                found[made, 0], found[made, 1], found[made, 2] = d, p - back, back + length + on
                found[made, 3], found[made, 4] = e, before + after
                made += 1
                document[e], reach[e] = d, p + length + on
    return found[:made]
