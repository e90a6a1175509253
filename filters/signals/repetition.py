"""How much of a text repeats: kernels over the hashes of words and lines. Measures and never decides.

`ngram_statistics` counts word n-grams for n = 2..10 in one pass that keeps only the positions that can still repeat:
an n-gram occurs twice only if the (n-1)-gram that it begins with does. The dialects in `gopher.py` are ratios of what
it returns; `skipping_duplicates` is the one count that cannot be had from it.
"""

from dataclasses import dataclass

import numpy as np

from ..words.kernels import BASE, NEXT, hashed, jit, load, longest, number, slot, store, table_size
from ..words.layout import Spans

SIZES = tuple(range(2, 11))  # the n of the n-grams; column k of every array below is n = k + 2


@dataclass(frozen=True)
class NgramStatistics:
    """Per document and n, all (D, 9) int64; zero where a document has fewer than n words."""

    top_count: np.ndarray  # occurrences of the most frequent n-gram, the first of equals
    top_chars: np.ndarray  # characters of its words
    top_longest: np.ndarray  # characters of the longest of the n-grams that occur as often
    top_covered: np.ndarray  # characters of the words that some occurrence of it covers, each once
    repeated_chars: np.ndarray  # characters over all occurrences of n-grams that occur more than once
    repeated_covered: np.ndarray  # characters of the words that such an occurrence covers, each once
    all_chars: np.ndarray  # characters over all n-grams
    chars: np.ndarray  # (D,) characters of all words


def ngram_statistics(words: Spans, largest: int = 10) -> NgramStatistics:
    """Counts of word n-grams, words compared by their bytes; zero for n above `largest`."""
    return NgramStatistics(*_ngrams(words.bounds, words.hash, words.chars, largest))


@jit
def _ngrams(bounds, hashes, chars, largest):
    documents = len(bounds) - 1
    out = np.zeros((7, documents, 9), np.int64)
    total = np.zeros(documents, np.int64)
    most = longest(bounds)
    whole = np.zeros((table_size(most), 2), np.uint64)
    counts = np.empty(most, np.int32)  # of the n-grams, in the order in which they come first: that keeps to the cache
    g, live, place = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    before = np.zeros(most + 1, np.int64)  # characters before word i
    stamp = np.uint64(0)
    for d in range(documents):
        base, w = bounds[d], bounds[d + 1] - bounds[d]
        table = whole[: table_size(w)]  # a short text keeps to the cache
        for i in range(w):
            before[i + 1] = before[i] + chars[base + i]
            g[i], live[i] = hashes[base + i], i
        total[d] = before[w]
        alive = w
        for k in range(largest - 1):
            n = k + 2
            if w < n:
                break
            out[6, d, k] = _window_chars(before, w, n)
            top, best, found, distinct = 1, 0, 0, 0
            stamp += np.uint64(1)
            for a in range(alive):
                i = live[a]
                if i + n > w:
                    continue
                g[i] = g[i] * NEXT + (hashes[base + i + n - 1] ^ (hashes[base + i + n - 1] >> np.uint64(29)))
                s = number(table, stamp, g[i], distinct)
                if s == distinct:
                    counts[s] = 0
                    distinct += 1
                counts[s] += 1
                live[found], place[found] = i, s
                found += 1
            for a in range(found):
                if counts[place[a]] > top:
                    top = counts[place[a]]
            wide, chosen, kept, reach = 0, np.int64(-1), 0, 0
            for a in range(found):
                i, s = live[a], place[a]
                size = before[i + n] - before[i]
                if counts[s] == top and top > 1:
                    wide = max(wide, size)
                    if chosen < 0:
                        chosen, best = s, size
                if counts[s] > 1:
                    out[4, d, k] += size
                    out[5, d, k] += before[i + n] - before[max(i, reach)]
                    reach = i + n
                    live[kept], place[kept] = i, s
                    kept += 1
            reach = 0
            for a in range(kept):
                if place[a] == chosen:
                    out[3, d, k] += before[live[a] + n] - before[max(live[a], reach)]
                    reach = live[a] + n
            if top == 1:
                best = before[n]
                out[3, d, k] = best
                for i in range(w - n + 1):
                    wide = max(wide, before[i + n] - before[i])
            out[0, d, k], out[1, d, k], out[2, d, k] = top, best, wide
            alive = kept
    return out[0], out[1], out[2], out[3], out[4], out[5], out[6], total


@jit
def _window_chars(before, w, n):
    """Characters summed over every window of n words."""
    chars = 0
    for i in range(w - n + 1):
        chars += before[i + n] - before[i]
    return chars


HEAD = 16


@jit
def skipping_duplicates(data, bounds, start, end, chars, smallest):  # -> (D, 11 - smallest) int64 characters
    """Characters of n-grams seen before, n = smallest..10, scanned without overlap, words joined without a space.

    The scan moves on by n words after an n-gram seen before and by one word otherwise, and only n-grams at which it
    stopped count as seen: datatrove's definition. Two equal n-grams of at least HEAD bytes begin with the same HEAD
    bytes, so what begins unlike all else and is not shorter can be passed by.
    """
    documents = len(bounds) - 1
    out = np.zeros((documents, 11 - smallest), np.int64)
    most, size = longest(bounds), np.int64(0)
    for d in range(documents):
        if bounds[d + 1] > bounds[d]:
            size = max(size, end[bounds[d + 1] - 1] - start[bounds[d]])
    all_keys, all_stamps = np.empty(table_size(most), np.uint64), np.zeros(table_size(most), np.int32)
    first, places, again = np.empty(len(all_keys), np.int32), np.empty(most, np.int64), np.empty(most, np.bool_)
    joined, offsets = np.empty(size + 2 * HEAD, np.uint8), np.zeros(most + 1, np.int64)
    stamp = np.int32(0)
    for d in range(documents):
        base, w = bounds[d], bounds[d + 1] - bounds[d]
        if w < smallest:
            continue
        keys, stamps = all_keys[: table_size(w)], all_stamps[: table_size(w)]
        _join(data, start[base : base + w], end[base : base + w], joined, offsets)
        stamp += np.int32(1)
        for i in range(w):
            at = offsets[i]
            key = (load(joined, at) * BASE) ^ load(joined, at + 8)
            s = slot(keys, stamps, stamp, key)
            again[i] = stamps[s] == stamp
            if again[i]:
                again[first[s]] = True
            else:
                keys[s], stamps[s], first[s] = key, stamp, i
        left = 0  # the places that can be of use, in front of the others
        for i in range(w - smallest + 1):
            if again[i] or offsets[i + smallest] - offsets[i] < HEAD:
                places[left] = i
                left += 1
        for n in range(smallest, 11):
            stamp += np.int32(1)
            free = 0  # where the scan may stop next
            for k in range(left):
                i = places[k]
                if i + n > w:
                    break
                if i < free or not (again[i] or offsets[i + n] - offsets[i] < HEAD):
                    continue
                key = hashed(joined, offsets[i], offsets[i + n])
                s = slot(keys, stamps, stamp, key)
                if stamps[s] == stamp:
                    free = i + n
                    for word in range(base + i, base + i + n):
                        out[d, n - smallest] += chars[word]
                else:
                    stamps[s], keys[s] = stamp, key
    return out


@jit
def _join(data, start, end, joined, offsets):
    """Put the words one after the other, HEAD zeros after the last, and where each begins."""
    at = np.int64(0)
    for i in range(len(start)):
        k, stop = start[i], end[i]
        offsets[i] = at
        at += stop - k
        to = at - (stop - k)
        while k < stop and k + 8 <= len(data):  # what is written too much, the next word overwrites
            store(joined, to, load(data, k))
            k, to = k + 8, to + 8
        while k < stop:
            joined[to] = data[k]
            k, to = k + 1, to + 1
    offsets[len(start)] = at
    joined[at : at + HEAD] = 0


@dataclass(frozen=True)
class PieceStatistics:
    """Per document, (D,) int64 each: how many lines (or paragraphs) there are and how many of them repeat."""

    pieces: np.ndarray
    chars: np.ndarray  # characters of all pieces
    later: np.ndarray  # pieces that equal an earlier one
    later_chars: np.ndarray
    repeated: np.ndarray  # pieces that equal another one, first occurrences included
    repeated_chars: np.ndarray


def piece_statistics(pieces: Spans, skip: np.ndarray | None = None) -> PieceStatistics:
    """Counts of equal pieces; `skip` (S,) bool leaves pieces out altogether."""
    none = np.zeros(len(pieces), np.bool_) if skip is None else skip
    return PieceStatistics(*_pieces(pieces.bounds, pieces.hash, pieces.chars, none))


@jit
def _pieces(bounds, hashes, chars, skip):
    documents = len(bounds) - 1
    out = np.zeros((6, documents), np.int64)
    size = table_size(longest(bounds))
    keys, stamps, counts = np.empty(size, np.uint64), np.full(size, -1, np.int64), np.empty(size, np.int64)
    for d in range(documents):
        for i in range(bounds[d], bounds[d + 1]):
            if skip[i]:
                continue
            out[0, d] += 1
            out[1, d] += chars[i]
            s = slot(keys, stamps, d, hashes[i])
            if stamps[s] != d:
                stamps[s], keys[s], counts[s] = d, hashes[i], 1
                continue
            counts[s] += 1
            out[2, d] += 1
            out[3, d] += chars[i]
            again = 2 if counts[s] == 2 else 1
            out[4, d] += again
            out[5, d] += again * chars[i]
    return out[0], out[1], out[2], out[3], out[4], out[5]
