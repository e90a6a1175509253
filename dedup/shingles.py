"""Shingle sets of documents: which parts of a text are compared, hashed straight from Arrow's UTF-8 buffers.

A text is read code point by code point through two tables (what a character folds to, what kind it is: see
gristmill.dedup.folds), cut into tokens, and every window of `size` tokens becomes one 32-bit hash. A document is the
sorted set of these hashes.

    words        maximal runs of what the fold counts as part of a word; an ideograph is a word of its own
    characters   the same characters, runs of white space as one space, everything else left out

Short documents have a defined set as well: fewer tokens than `size` make one shingle of all of them; a text with no
token but with something visible in it makes one shingle of its visible bytes, so `!!!` and `???` differ; a blank
text has no shingle and is never a near-duplicate (but under the fold `raw`, where blanks count). Two different
shingles share a hash with probability 2^-32: about one in 35,000 documents of 500 shingles counts one less.

Cost: about 15 microseconds for 3 KB of English, sorting included. Measures and decides nothing.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from ..corpus.compiling import compiled
from .folds import DECIMAL, DIGIT, FORMS, IDEOGRAPH, LETTER, MARK, OTHER, SPACE, beyond, characters, composed

WORDS, CHARACTERS = 0, 1
UNITS = {"words": WORDS, "characters": CHARACTERS}
BASE = np.uint64(0x9E3779B97F4A7C15)
SEED = np.uint64(0x51ED270B9F2C6A35)


@dataclass(frozen=True)
class Shingles:
    """Shingle sets of D documents.

    hashes   (H,) uint32, each document's sorted and distinct
    offsets  (D+1,) int64 into hashes
    content  (D, 2) uint64, a 128-bit hash of the normalised text: all its tokens in order
    """

    hashes: np.ndarray
    offsets: np.ndarray
    content: np.ndarray


def shingle(text: pa.Array, unit: str = "words", size: int = 5, fold: str = "lower") -> Shingles:
    """Shingle sets of a column of texts; a null text counts as blank.

    text     (D,) string
    returns  Shingles of the D documents, in order
    """
    text = text.cast(pa.large_string())
    if fold in FORMS:
        text = composed(text, FORMS[fold])
    _, ends, data = text.buffers()
    ends = (
        np.frombuffer(ends, np.int64)[text.offset : text.offset + len(text) + 1] if len(text) else np.zeros(1, np.int64)
    )
    absent = text.is_null().to_numpy(zero_copy_only=False) if text.null_count else np.zeros(len(text), np.bool_)
    table = characters(fold)
    octets = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    room = np.empty((ends[-1] - ends[0]) // (1 if unit == "characters" else 2) + 2 * len(text) + 16, np.uint32)
    offsets, content = _shingle(octets, ends, absent, table, beyond(fold), UNITS[unit], size, room)
    return Shingles(room[: offsets[-1]].copy(), offsets, content)


@partial(compiled, inline="always")
def mix(h):  # uint64 -> uint64, a bijection (the finaliser of splitmix64)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@partial(compiled, inline="always")
def _decode(data, i, end):  # one code point at i -> (code point, its length in bytes); broken bytes come out as 0xFFFD
    b = np.int64(data[i])
    if b < 0x80:
        return b, 1
    if b < 0xE0:
        if b >= 0xC2 and i + 1 < end:
            return ((b & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F), 2
    elif b < 0xF0:
        if i + 2 < end:
            return ((b & 0xF) << 12) | ((np.int64(data[i + 1]) & 0x3F) << 6) | (np.int64(data[i + 2]) & 0x3F), 3
    elif i + 3 < end:
        return (
            ((b & 7) << 18)
            | ((np.int64(data[i + 1]) & 0x3F) << 12)
            | ((np.int64(data[i + 2]) & 0x3F) << 6)
            | (np.int64(data[i + 3]) & 0x3F)
        ), 4
    return np.int64(0xFFFD), 1


@compiled
def _shingle(data, ends, absent, table, above, unit, size, out):
    # data (bytes,) uint8, ends (D+1,), out (room,) uint32 -> offsets (D+1,) int64, content (D, 2) uint64
    documents = len(ends) - 1
    offsets = np.zeros(documents + 1, np.int64)
    content = np.zeros((documents, 2), np.uint64)
    window = np.zeros(size, np.uint64)
    last = np.uint64(1)  # BASE ** size: what the oldest token of a window has been multiplied by once it leaves
    for _ in range(size):
        last *= BASE
    position = 0
    for d in range(documents):
        first = position
        if not absent[d]:
            document = data[ends[d] : ends[d + 1]]
            position = _document(document, table, above, unit, window, last, out, position, content[d])
        offsets[d + 1] = first + _sort_distinct(out[first:position])
        position = offsets[d + 1]
    return offsets, content


@compiled
def _document(data, table, above, unit, window, last, out, position, content):
    # appends the hashes of one document to out, unsorted; the sum h2 and the chain h1 of its tokens are its content
    size = len(window)
    tokens, slot = 0, 0
    rolling = np.uint64(0)
    h1, h2 = SEED, BASE
    word, inside, gap = SEED, False, False
    i, end = 0, len(data)
    while i <= end:
        # one character: what it folds to and its kind; past the end a separator flushes the last word
        entry = SPACE << 24
        if i < end:
            b = np.int64(data[i])
            if b < 0x80:
                entry = np.int64(table[b])
                i += 1
            else:
                point, length = _decode(data, i, end)
                i += length
                if point < len(table):
                    entry = np.int64(table[point])
                else:
                    ideograph = above == OTHER and 0x20000 <= point < 0x32400
                    entry = point | (IDEOGRAPH if ideograph else above) << 24
        else:
            i += 1
        what, point = entry >> 24, entry & 0xFFFFFF
        if what == MARK:
            continue
        if what == DIGIT:
            what, i = LETTER, _number(data, i, end, table)
        if unit == 0:
            if what == LETTER:
                word = (word ^ np.uint64(point)) * np.uint64(0x100000001B3)
                inside = True
                continue
            ready = int(inside) + int(what == IDEOGRAPH)  # a word before an ideograph makes two tokens
        elif what == SPACE or what == OTHER:  # noqa: SIM109
            gap |= what == SPACE
            continue
        else:
            ready = 2 if gap and tokens > 0 else 1
            gap = False
        for t in range(ready):
            if unit == 1:
                token = mix(SEED ^ np.uint64(32 if t < ready - 1 else point))
            elif inside:
                token = mix(word)
                word, inside = SEED, False
            else:
                token = mix((SEED ^ np.uint64(point)) * np.uint64(0x100000001B3))
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
                out[position] = np.uint32(mix(rolling) >> np.uint64(32))
                position += 1
    if tokens == 0:  # no token: the visible bytes are all there is
        visible = 0
        for j in range(end):
            if data[j] > 32:
                h1 = mix(h1 ^ np.uint64(data[j]))
                h2 = (h2 + np.uint64(data[j]) + np.uint64(1)) * BASE
                visible += 1
        if visible:
            out[position] = np.uint32(h1 >> np.uint64(32))
            position += 1
    elif tokens < size:
        out[position] = np.uint32(mix(rolling + np.uint64(tokens)) >> np.uint64(32))
        position += 1
    content[0], content[1] = h1, mix(h2)
    return position


@compiled
def _digits(data, i, end, table):  # past the digits that stand at i
    while i < end:
        point, length = _decode(data, i, end)
        if point >= len(table) or table[point] >> 24 != DIGIT:
            break
        i += length
    return i


@compiled
def _number(data, i, end, table):  # past the number whose first digit ends at i: digits, and once a sign and digits
    i = _digits(data, i, end, table)
    if i < end:
        point, length = _decode(data, i, end)
        if (point == DECIMAL).any():
            after = _digits(data, i + length, end, table)
            if after > i + length:
                i = after
    return i


@compiled
def _sort_distinct(values):
    # (n,) uint32 -> how many distinct; sorted in place, in linear time as the hashes are uniform
    n = len(values)
    if n < 2:
        return n
    if n > (1 << 20):
        values.sort()
    else:
        buckets = 1
        bits = np.uint32(32)
        while buckets < n:
            buckets *= 2
            bits -= np.uint32(1)
        starts = np.zeros(buckets + 1, np.int32)
        for v in values:
            starts[(np.int64(v) >> bits) + 1] += 1
        for b in range(buckets):
            starts[b + 1] += starts[b]
        held = values.copy()
        for v in held:
            b = np.int64(v) >> bits
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
