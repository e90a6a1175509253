"""Shingle sets of documents: which parts of a text are compared, hashed straight from Arrow's UTF-8 buffers.

A text is read code point by code point through two tables (what a character folds to, what kind it is: see
gristmill.dedup.folds), cut into tokens, and every window of `size` tokens becomes one 64-bit hash. A document is the
sorted set of these hashes.

    words        maximal runs of what the fold counts as part of a word; an ideograph is a word of its own
    characters   the same characters, runs of white space as one space, everything else left out

Short documents have a defined set as well: fewer tokens than `size` make two hashes of all of them (128 bits); a text
with no token but with something visible in it makes two of its visible bytes, so `!!!` and `???` differ; a blank text
has none and is never a near-duplicate (but under the fold `raw`, where blanks count).

How likely two documents are dropped for each other by chance, among n of them: exact duplicates and documents shorter
than a shingle share 128 bits, so n^2 / 2^129, 1.5e-17 for 10^11 documents. Where the set is m hashes of 64 bits, all
or nearly all must agree: n^2 / 2^65 for those of one window, which is 3e-4 where one in a thousand of 10^11 documents
has exactly `size` tokens, and less than 1e-15 from two windows on. For the words themselves: 64 bits each, so that two
of 10^10 different words are mistaken for each other with probability 0.9 somewhere, and by two documents that are
otherwise the same with none worth a number.

Cost: about 15 microseconds for 3 KB of English, sorting included. Measures and decides nothing.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from ..corpus.compiling import compiled
from ..corpus.folding import (
    BASE,
    CHECK,
    DIGIT,
    EXTEND,
    IDEOGRAPH,
    LETTER,
    MARK,
    OTHER,
    SEED,
    SPACE,
    SPELT,
    beyond,
    buffers,
    decoded,
    joins,
    mix,
    settled,
)
from .folds import DECIMAL, FORMS, OWN, characters, composed

WORDS, CHARACTERS = 0, 1
UNITS = {"words": WORDS, "characters": CHARACTERS}


@dataclass(frozen=True)
class Shingles:
    """Shingle sets of D documents.

    hashes   (H,) uint64, each document's sorted and distinct
    offsets  (D+1,) int64 into hashes
    content  (D, 2) uint64, a 128-bit hash of the normalised text: all its tokens in order
    """

    hashes: np.ndarray
    offsets: np.ndarray
    content: np.ndarray


def shingle(text: pa.Array, unit: str = "words", size: int = 5, fold: str = "lower", one_in: int = 1) -> Shingles:
    """Shingle sets of a column of texts; a null text counts as blank.

    text     (D,) string
    one_in   keep hashes that this divides alone: the same shingles of every text, far fewer to sort
    returns  Shingles of the D documents, in order
    """
    text = text.cast(pa.large_string())
    if fold in FORMS:
        text = composed(text, FORMS[fold])
    octets, ends = buffers(text)
    table, spelt = characters(fold)
    room = np.empty((ends[-1] - ends[0]) * (2 if unit == "characters" else 1) + 2 * len(text) + 16, np.uint64)
    offsets, content, suspects = _shingle(octets, ends, table, spelt, fold in OWN, UNITS[unit], size, one_in, room)
    which = np.flatnonzero(suspects).tolist() if fold in OWN else ()
    if any(not settled(text[d].as_py()) for d in which):  # what was extracted is in NFC; what came otherwise may not be
        return shingle(composed(text, "NFC"), unit, size, fold, one_in)
    return Shingles(room[: offsets[-1]], offsets, content)


@compiled
def _shingle(data, ends, table, spelt, own, unit, size, one_in, out):
    # data (bytes,) uint8, ends (D+1,), out (room,) uint64 -> offsets (D+1,) int64, content (D, 2) uint64,
    # suspects (D,) bool: may not be in NFC
    documents = len(ends) - 1
    offsets = np.zeros(documents + 1, np.int64)
    content = np.zeros((documents, 2), np.uint64)
    suspects = np.zeros(documents, np.bool_)
    window = np.zeros(size, np.uint64)
    last = np.uint64(1)  # BASE ** size: what the oldest token of a window has been multiplied by once it leaves
    for _ in range(size):
        last *= BASE
    position = 0
    for d in range(documents):
        first = position
        document = data[ends[d] : ends[d + 1]]
        if unit == WORDS:  # twice, so that reading words does not pay for what characters need
            position, suspects[d] = _document(
                document, table, spelt, own, WORDS, window, last, out, position, content[d]
            )
        else:
            position, suspects[d] = _document(
                document, table, spelt, own, CHARACTERS, window, last, out, position, content[d]
            )
        if one_in > 1:
            position = first + _divided(out[first:position], np.uint64(one_in))
        offsets[d + 1] = first + _sort_distinct(out[first:position])
        position = offsets[d + 1]
    return offsets, content, suspects


@compiled
def _divided(values, by):
    # moves the values that `by` divides to the front; how many there are
    found = 0
    for value in values:
        if value % by == 0:
            values[found] = value
            found += 1
    return found


@partial(compiled, inline="always")
def _document(data, table, spelt, own, unit, window, last, out, position, content):
    # appends the hashes of one document to out, unsorted; the sum h2 and the chain h1 of its tokens are its content
    size, tokens, slot, rolling = len(window), 0, 0, np.uint64(0)
    h1, h2, word = SEED, BASE, SEED
    inside, gap = 0, False  # inside: 1 within a word, 2 behind a letter that is a word
    i, first, end, left, at, seen = 0, 0, len(data), 0, 0, np.int64(0)
    while i <= end:
        # one character: what it folds to and its kind; past the end a separator flushes the last word
        entry = np.int64(SPACE << 24)
        if left:
            entry, left, at = np.int64(spelt[at]), left - 1, at + 1
        elif i < end:
            first = i
            if data[i] < 0x80:  # without a call, which costs more than all else
                entry, i = np.int64(table[data[i]]), i + 1
            else:
                entry, i = _folded(data, i, end, table, own)
        else:
            i += 1
        what, point = entry >> 24, entry & 0x1FFFFF
        seen |= entry
        if what >= MARK:
            if what == MARK:
                continue
            if what == SPELT:
                at, left = point + 1, np.int64(spelt[point])
                continue
            if what == DIGIT:
                what, i = LETTER, _number(data, i, end, table)
            elif inside == 1 and joins(data, i, end, table, data[max(first - 1, 0)]):
                if point == 0:
                    continue
                what = LETTER
            else:
                what = OTHER
        if unit == WORDS:
            if what == LETTER and inside < 2:
                word = (word ^ np.uint64(point)) * np.uint64(0x100000001B3)
                inside = 1
                while left == 0 and i < end and data[i] < 0x80:  # as often as letters of ASCII follow
                    entry = np.int64(table[data[i]])
                    if entry >> 24 != LETTER:
                        break
                    word = (word ^ np.uint64(entry & 0x1FFFFF)) * np.uint64(0x100000001B3)
                    i += 1
                continue
            if what == EXTEND and inside > 0:
                word = (word ^ np.uint64(point)) * np.uint64(0x100000001B3)
                continue
            ready = int(inside > 0)
        elif what == SPACE or what == OTHER:  # noqa: SIM109
            gap |= what == SPACE
            inside = 0
            continue
        else:
            ready = 2 if gap and tokens > 0 else 1
            gap = False
            inside = 1
        for t in range(ready):
            token = mix(word if unit == WORDS else SEED ^ np.uint64(32 if t < ready - 1 else point))
            h1 = mix(h1 ^ token)
            h2 = (h2 + token) * BASE
            h2 ^= h2 >> np.uint64(29)
            rolling = rolling * BASE + token
            if tokens >= size:
                rolling -= window[slot] * last
            window[slot] = token
            slot = slot + 1 if slot + 1 < size else 0
            tokens += 1
            if tokens >= size:
                out[position] = mix(rolling)
                position += 1
        if unit == WORDS:
            word, inside = SEED, 0
            if what != OTHER and what != SPACE:
                word = (SEED ^ np.uint64(point)) * np.uint64(0x100000001B3)
                inside = 2 if what == IDEOGRAPH else 1
    if tokens < size:
        h1, h2, position = _short(data, tokens, h1, h2, rolling, out, position)
    content[0], content[1] = h1, mix(h2)
    return position, seen & CHECK != 0


@compiled
def _folded(data, i, end, table, own):  # what the character at i folds to with its kind, and where the next begins
    point, length = decoded(data, i, end)
    if point < len(table):
        return np.int64(table[point]), i + length
    return np.int64(beyond(point)) if own else point | LETTER << 24, i + length


@compiled
def _visible(data, h1, h2):  # without a token the visible bytes are all there is
    visible = False
    for byte in data:
        if byte > 32:
            h1 = mix(h1 ^ np.uint64(byte))
            h2 = (h2 + np.uint64(byte) + np.uint64(1)) * BASE
            visible = True
    return h1, h2, visible


@compiled
def _short(data, tokens, h1, h2, rolling, out, position):  # a document without a whole window has two hashes
    visible = True
    if tokens == 0:
        h1, h2, visible = _visible(data, h1, h2)
    if visible:
        out[position] = h1 if tokens == 0 else mix(rolling + np.uint64(tokens))
        out[position + 1] = mix(h2) if tokens == 0 else mix(h1 ^ BASE)
        position += 2
    return h1, h2, position


@compiled
def _digits(data, i, end, table):  # past the digits that stand at i
    while i < end:
        point, length = decoded(data, i, end)
        if point >= len(table) or table[point] >> 24 != DIGIT:
            break
        i += length
    return i


@compiled
def _number(data, i, end, table):  # past the number whose first digit ends at i: digits, and once a sign and digits
    i = _digits(data, i, end, table)
    if i < end:
        point, length = decoded(data, i, end)
        if (point == DECIMAL).any():
            after = _digits(data, i + length, end, table)
            if after > i + length:
                i = after
    return i


@compiled
def _sort_distinct(values):
    # (n,) uint64 -> how many distinct; sorted in place, in linear time as the hashes are uniform
    n = len(values)
    if n < 2:
        return n
    if n > (1 << 20):
        values.sort()
    else:
        buckets = 1
        bits = np.uint64(64)
        while buckets < n:
            buckets *= 2
            bits -= np.uint64(1)
        starts = np.zeros(buckets + 1, np.int32)
        for v in values:
            starts[np.int64(v >> bits) + 1] += 1
        for b in range(buckets):
            starts[b + 1] += starts[b]
        held = values.copy()
        for v in held:
            b = np.int64(v >> bits)
            values[starts[b]] = v
            starts[b] += 1
        for i in range(1, n):
            v = values[i]
            j = i - 1
            while j >= 0 and values[j] > v:
                values[j + 1] = values[j]
                j -= 1
            values[j + 1] = v
    distinct = 1
    for i in range(1, n):
        if values[i] != values[distinct - 1]:
            values[distinct] = values[i]
            distinct += 1
    return distinct
