"""The compiled building blocks that every kernel of this folder uses: decoding, hashing, a counting table.

A change here makes every kernel of the folder compile anew, see `corpus/compiling.py`.

Shapes: D documents of a batch; `data` (bytes,) uint8; `ends` (D+1,) int64 offsets of the documents in `data`.
Eight bytes are looked at together where it pays (`load`): a byte of such a word that is marked has its top bit set.
"""

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...corpus.compiling import compiled

BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, to spread bits by multiplying
NEXT = np.uint64(0xD1342543DE82EF95)  # combines the hashes of the words of an n-gram
LOW, HIGH, ONES = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)

jit = compiled
inline = partial(compiled, inline="never")


def _load(typing, data, i):
    """The eight bytes from byte i on as a uint64, the first one lowest; i + 8 must not exceed len(data)."""

    def generate(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.gep(array.data, [args[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.intp), generate


def _store(typing, data, i, word):
    """Write a uint64 as the eight bytes from byte i on; i + 8 must not exceed len(data)."""

    def generate(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.gep(array.data, [args[1]])
        builder.store(args[2], builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint64), generate


def _lowest(typing, marks):
    """The place of the first marked byte of a word in which some byte is marked."""

    def generate(context, builder, signature, args):
        return builder.lshr(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), ir.Constant(ir.IntType(64), 3))

    return types.int64(types.uint64), generate


def _bits(typing, word):
    """How many bits of a word are set."""

    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
lowest: Any = intrinsic(_lowest)
bits: Any = intrinsic(_bits)


@inline
def equal_bytes(word, byte):
    """Marks the bytes of a word that equal `byte`."""
    other = word ^ (ONES * np.uint64(byte))
    return ~(((other & LOW) + LOW) | other | LOW)


@inline
def continued(word):
    """Marks the bytes of a word of UTF-8 that do not begin a character."""
    return word & ~(word << np.uint64(1)) & HIGH


@inline
def decode(data, i):  # -> code point, bytes
    """The character that starts at byte i of valid UTF-8."""
    b = np.int64(data[i])
    if b < 0x80:
        return b, 1
    if b < 0xE0:
        return ((b & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F), 2
    if b < 0xF0:
        return ((b & 0x0F) << 12) | ((np.int64(data[i + 1]) & 0x3F) << 6) | (np.int64(data[i + 2]) & 0x3F), 3
    high = ((b & 0x07) << 18) | ((np.int64(data[i + 1]) & 0x3F) << 12)
    return high | ((np.int64(data[i + 2]) & 0x3F) << 6) | (np.int64(data[i + 3]) & 0x3F), 4


@inline
def last(data, start, end):  # -> code point, first byte
    """The last character of a span that is not empty."""
    i = end - 1
    while i > start and (data[i] & 0xC0) == 0x80:
        i -= 1
    return decode(data, i)[0], i


@inline
def starts_with(data, i, end, text):  # text (n,) uint8
    if i + len(text) > end:
        return False
    for k in range(len(text)):  # noqa: SIM110 (numba compiles no generators)
        if data[i + k] != text[k]:
            return False
    return True


@inline
def ends_with(data, start, end, text):
    return end - len(text) >= start and starts_with(data, end - len(text), end, text)


@inline
def hashed(data, start, end):
    """The hash of a span's bytes; spans of equal bytes have equal hashes."""
    left = end - start
    h = np.uint64(left) * NEXT
    while left >= 8:
        h = (h ^ load(data, end - left)) * BASE
        h ^= h >> np.uint64(32)
        left -= 8
    if left > 0:
        if end - left + 8 <= len(data):
            rest = load(data, end - left) & ((np.uint64(1) << np.uint64(8 * left)) - np.uint64(1))
        else:
            rest = np.uint64(0)
            for k in range(left):
                rest |= np.uint64(data[end - left + k]) << np.uint64(8 * k)
        h = (h ^ rest) * BASE
        h ^= h >> np.uint64(32)
    return h


@inline
def characters(data, start, end):
    """Code points of a span."""
    n, i = end - start, start
    while i + 8 <= end:
        n -= bits(continued(load(data, i)))
        i += 8
    while i < end:
        n -= (data[i] & 0xC0) == 0x80
        i += 1
    return n


@inline
def in_phrase(a, b, c, d):
    """Whether four bytes are `java`, `orem`, `erms`, `vacy` or `cook` in whatever case; without branches."""
    p, q, r, s = a | 32, b | 32, c | 32, d | 32
    java, orem = (p == 106) & (q == 97) & (r == 118) & (s == 97), (p == 111) & (q == 114) & (r == 101) & (s == 109)
    erms, vacy = (p == 101) & (q == 114) & (r == 109) & (s == 115), (p == 118) & (q == 97) & (r == 99) & (s == 121)
    return np.uint8(java | orem | erms | vacy | ((p == 99) & (q == 111) & (r == 111) & (s == 107)))


@inline
def trimmed(data, table, i, stop):
    """The span without white space around it."""
    while i < stop:
        point, width = decode(data, i)
        if not table[point] & 1:
            break
        i += width
    while stop > i:
        point, first = last(data, i, stop)
        if not table[point] & 1:
            break
        stop = first
    return i, stop


@inline
def slot(keys, stamps, stamp, key):  # keys, stamps (2**k,): -> index
    """Where `key` is, or may be put, in a table whose live entries carry `stamp`."""
    mask = len(keys) - 1
    i = _first(key, mask)
    while stamps[i] == stamp and keys[i] != key:
        i = (i + 1) & mask
    return i


@inline
def number(table, stamp, key, free):  # table (2**k, 2) uint64 -> number
    """The number that `key` has, `free` where it is new. A row of the table is a key and, in one, the stamp of the live
    entries (above bit 32) and the number: what is asked lies together, since the table of a long text fits no cache."""
    mask, high = len(table) - 1, np.uint64(32)
    i = _first(key, mask)
    while table[i, 1] >> high == stamp:
        if table[i, 0] == key:
            return np.int64(table[i, 1] & np.uint64(0xFFFFFFFF))
        i = (i + 1) & mask
    table[i, 0], table[i, 1] = key, (stamp << high) | np.uint64(free)
    return np.int64(free)


@inline
def _first(key, mask):
    """The slot at which the search for a key begins."""
    return np.int64((((key ^ (key >> np.uint64(32))) * BASE) >> np.uint64(32)) & np.uint64(mask))


@inline
def table_size(n):
    """The power of two that holds n keys at half load."""
    size = 16
    while size < 2 * n:
        size *= 2
    return size


@inline
def longest(bounds):
    """The most spans that one document has."""
    most = 0
    for d in range(len(bounds) - 1):
        most = max(most, bounds[d + 1] - bounds[d])
    return most
