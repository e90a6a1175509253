"""The compiled building blocks that every kernel of this folder uses: decoding, hashing, a counting table.

All of them live in one file on purpose: numba caches a compiled function by the file that holds it and does not see
a change in a callee that lives elsewhere.

Shapes: D documents of a batch; `data` (bytes,) uint8; `ends` (D+1,) int64 offsets of the documents in `data`.
"""

import numba
import numpy as np

BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: the hash of a span is the sum of byte * BASE**(bytes after it), mod 2**64
NEXT = np.uint64(0xD1342543DE82EF95)  # combines the hashes of the words of an n-gram

jit = numba.njit(nogil=True, cache=True)
inline = numba.njit(nogil=True, cache=True, inline="never")


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
    h = np.uint64(0)
    for i in range(start, end):
        h = h * BASE + np.uint64(data[i])
    return h


@inline
def power(n):
    """BASE**n mod 2**64: what the hash of a prefix is multiplied by when n bytes follow."""
    p, square = np.uint64(1), BASE
    while n > 0:
        if n & 1:
            p *= square
        square *= square
        n >>= 1
    return p


@inline
def characters(data, start, end):
    """Code points of a span."""
    n = 0
    for i in range(start, end):
        n += (data[i] & 0xC0) != 0x80
    return n


@inline
def mixed(h):
    """Spread a hash over all bits, so that its low bits can index a table."""
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@inline
def slot(keys, stamps, stamp, key):  # keys, stamps (2**k,): -> index
    """Where `key` is, or may be put, in a table whose live entries carry `stamp`."""
    mask = len(keys) - 1
    i = np.int64(mixed(key) & np.uint64(mask))
    while stamps[i] == stamp and keys[i] != key:
        i = (i + 1) & mask
    return i


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
