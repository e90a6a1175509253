"""Text that repeats across documents: lines, paragraphs and exact runs of words, found by hashes alone.

Lines and paragraphs are compared as their words (see `corpus/folding.py`) with every digit as 0, and counted by how
many documents contain them.

Runs of at least `length` words are found exactly without a suffix array and without shuffling a hash for each word:

    seeds    of every window of length / 2 words one hash in about length / 4 is kept (winnowing, Schleimer et al.
             2003): two texts that share `length` words share a seed
    windows  only where a seed repeats across documents, every window of `length` words is hashed in full
    cut      a word is part of a repeat if and only if it lies in a window that two documents share

so the second shuffle is proportional to the duplicated text. Hashes have 64 bits. Measures and cuts nothing.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..corpus.compiling import compiled
from ..corpus.folding import BASE, Words, mix
from ..corpus.folding import words as words
from .shingles import shingle


@dataclass(frozen=True)
class Pieces:
    """Pieces of the texts of D documents.

    key         (S,) uint64 hash of what is compared
    document    (S,) int64 which document
    start, end  (S,) int64 bytes from the start of the document's text, end exclusive
    """

    key: np.ndarray
    document: np.ndarray
    start: np.ndarray
    end: np.ndarray


def segments(text: pa.Array, unit: str) -> Pieces:
    """Lines, each with its line feed, or paragraphs, which end at a blank line; those without a visible character not.

    text  (D,) string without nulls
    unit  "line" or "paragraph"
    """
    text = text.cast(pa.large_string())
    nothing = np.zeros(0, np.int64)
    none = Pieces(nothing.astype(np.uint64), nothing, nothing, nothing)
    if not len(text):
        return none
    ends = np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1]
    data = np.frombuffer(text.buffers()[2] or b"", np.uint8)[: ends[-1]]
    feeds = np.flatnonzero(data[ends[0] :] == 10) + ends[0]
    if unit == "paragraph":
        feeds = feeds[1:][np.diff(feeds) == 1]
    cuts = np.sort(np.concatenate([feeds + 1, ends]), kind="stable")  # two runs in order, which `unique` would hash
    cuts = cuts[np.diff(cuts, prepend=-1) > 0]
    if len(cuts) < 2:
        return none
    column = pa.LargeStringArray.from_buffers(len(cuts) - 1, pa.py_buffer(cuts), text.buffers()[2])
    # the others hold blanks and controls alone, and are not worth a hash
    inked = np.logical_or.reduceat(data[cuts[0] :] > 32, cuts[:-1] - cuts[0])
    found = shingle(column.filter(pa.array(inked)), "words", 64, "digits")
    visible = np.diff(found.offsets) > 0
    first, last = cuts[:-1][inked], cuts[1:][inked]
    document = np.searchsorted(ends, first, side="right") - 1
    start, end = first - ends[document], last - ends[document]
    return Pieces(found.content[visible, 0], document[visible], start[visible], end[visible])


def seeds(found: Words, length: int) -> Pieces:
    """Winnowed windows of length // 2 words: every run of `length` words contains one, chosen by its words alone."""
    short = max(1, length // 2)
    place = _winnow(_windows(found.hash, found.offsets, short), found.offsets, short, length - short + 1)
    return _pieces(found, place, short)


def windows(found: Words, length: int, at: np.ndarray) -> Pieces:
    """All windows of `length` words that contain a seed. at (N,) int64: places of the seeds' first words."""
    short = max(1, length // 2)
    return _pieces(found, _around(found.offsets, at, short, length), length)


def places(found: Words, pieces: Pieces) -> np.ndarray:
    """The place of each piece's first word among all words."""
    out = np.empty(len(pieces.key), np.int64)
    for i, (d, start) in enumerate(zip(pieces.document.tolist(), pieces.start.tolist(), strict=True)):
        low, high = found.offsets[d], found.offsets[d + 1]
        out[i] = low + np.searchsorted(found.start[low:high], start)
    return out


def repeated(key: np.ndarray, rank: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys that at least `least` documents contain: key ascending, how many documents, the smallest rank.

    key, rank  (N,) uint64, one row for each occurrence, in any order
    """
    order = np.lexsort((rank, key))
    key, rank = key[order], rank[order]
    new = np.r_[True, (key[1:] != key[:-1]) | (rank[1:] != rank[:-1])][: len(key)]
    key, rank = key[new], rank[new]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]][: len(key)])
    count = np.diff(np.r_[first, len(key)])
    often = count >= least
    return key[first][often], count[often], rank[first][often]


def _pieces(found: Words, place: np.ndarray, length: int) -> Pieces:
    document = np.searchsorted(found.offsets, place, side="right") - 1
    key = _hash_at(found.hash, place, length)
    return Pieces(key, document, found.start[place], found.end[place + length - 1])


@compiled
def _windows(hashes, offsets, length):  # (W,) uint64 -> (W,) uint64 hash of the window that starts there, 0 if none
    out = np.zeros(len(hashes), np.uint64)
    last = np.uint64(1)
    for _ in range(length):
        last *= BASE
    for d in range(len(offsets) - 1):
        rolling = np.uint64(0)
        for i in range(offsets[d], offsets[d + 1]):
            rolling = rolling * BASE + hashes[i]
            if i - offsets[d] >= length:
                rolling -= hashes[i - length] * last
            if i - offsets[d] >= length - 1:
                out[i - length + 1] = mix(rolling)
    return out


@compiled
def _winnow(keys, offsets, length, span):  # places of the smallest key, the last of equals, of every `span` windows
    out = np.empty(len(keys), np.int64)
    n = 0
    for d in range(len(offsets) - 1):
        stop = offsets[d + 1] - length + 1  # one past the last window
        best = np.int64(-1)
        for i in range(offsets[d], stop):
            low = max(offsets[d], i - span + 1)
            if best < low:  # the chosen one left the span: look again
                best = low
                for j in range(low + 1, i + 1):
                    if keys[j] <= keys[best]:
                        best = j
            elif keys[i] <= keys[best]:
                best = i
            if (i - offsets[d] >= span - 1 or i == stop - 1) and (n == 0 or out[n - 1] != best):
                out[n] = best
                n += 1
    return out[:n].copy()


@compiled
def _around(offsets, at, short, length):  # starts of the windows that contain a seed, ascending
    wanted = np.zeros(offsets[-1], np.bool_)
    d = 0
    for place in at:
        while offsets[d + 1] <= place:
            d += 1
        for start in range(max(offsets[d], place + short - length), min(place, offsets[d + 1] - length) + 1):
            wanted[start] = True
    return np.flatnonzero(wanted)


@compiled
def _hash_at(hashes, place, length):
    out = np.empty(len(place), np.uint64)
    for k in range(len(place)):
        h = np.uint64(0)
        for i in range(place[k], place[k] + length):
            h = h * BASE + hashes[i]
        out[k] = mix(h)
    return out
