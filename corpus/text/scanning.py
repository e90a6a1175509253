"""Compiled steps over the bytes of markup, shared by `thinning.py` (source) and `blocks.py` (serialised).

Each takes a place in the bytes and returns the next one; places at or beyond the end mean that the bytes ended first.
"""

from typing import Any

import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from ..compiling import compiled
from .markup import number

SCRIPT = number("script")


def _bare(_: Any, array: Any) -> Any:
    """The same array without its owner, which the caller must hold until the kernel returns.

    Passing an array between compiled functions counts its references, with atomic instructions that cost more than
    the work on a short tag (segmenting took three times as long); an array without an owner has none to count.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = make_array(signature.return_type)(context, builder, arguments[0])
        made.meminfo = cgutils.get_null_value(made.meminfo.type)
        made.parent = cgutils.get_null_value(made.parent.type)
        return made._getvalue()

    return array(array), generate


bare: Any = intrinsic(_bare)


@compiled
def index(numbers, value):
    """The place of a value in sorted numbers, -1 where it is none of them."""
    low, high = 0, len(numbers)
    while low < high:
        middle = (low + high) >> 1
        if numbers[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low if low < len(numbers) and numbers[low] == value else -1


@compiled
def space(c):
    return c == 32 or (9 <= c <= 13 and c != 11)


@compiled
def spelt(value, c):
    """The number of a name that goes on with the byte `c`, see `markup.number`."""
    if 65 <= c <= 90:
        c += 32
    return value * 37 + (c - 96 if 97 <= c <= 122 else c - 21 if 48 <= c <= 57 else 0)


@compiled
def name(data, i):
    """The number of the element name at `i`, see `markup.number`, and the place after it."""
    value, letters = 0, 0
    while i < len(data) and data[i] > 32 and data[i] != 62 and data[i] != 47:
        c = data[i]
        if letters < 12:
            value = spelt(value, c)
            letters += 1
        i += 1
    return value, i


@compiled
def holds(data, start, end, needle):
    """Whether data[start:end], its letters taken as lower case, holds the needle."""
    size = len(needle)
    for i in range(start, end - size + 1):
        if data[i] | 32 == needle[0]:
            k = 1
            while k < size and (data[i + k] == needle[k] or data[i + k] | 32 == needle[k]):
                k += 1
            if k == size:
                return True
    return False


def by_eight(data: bytes) -> np.ndarray:
    """The bytes as numbers of eight bytes each, as far as they go: `find` skips over those that lack a byte."""
    return np.frombuffer(data, np.uint64, len(data) // 8)


_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


@compiled
def find(data, words, i, byte):
    """The place of the next such byte at or after `i`, the end of the bytes where there is none."""
    size = len(data)
    while i & 7 and i < size:
        if data[i] == byte:
            return i
        i += 1
    same, w = np.uint64(byte) * _ONES, i >> 3
    while w < len(words):
        x = words[w] ^ same
        if (x - _ONES) & ~x & _HIGHS:
            break
        w += 1
    i = max(i, w << 3)
    while i < size and data[i] != byte:
        i += 1
    return i


@compiled
def comment_end(data, words, i):
    """The place after a comment whose `<!--` ends at `i`."""
    if i < len(data) and data[i] == 62:
        return i + 1
    if i + 1 < len(data) and data[i] == 45 and data[i + 1] == 62:
        return i + 2
    while i < len(data):
        i = find(data, words, i, 62)
        if i < len(data) and data[i - 1] == 45 and data[i - 2] == 45:
            break
        if i < len(data) and data[i - 1] == 33 and data[i - 2] == 45 and data[i - 3] == 45:
            break
        i += 1
    return min(i + 1, len(data))


@compiled
def raw_end(data, words, i, value):
    """The place of the end tag of a raw text element whose content begins at `i`.

    Within `<!-- -->` a script may hold `<script>` and `</script>` that do not end it.
    """
    escaped, nested, size = False, False, len(data)
    while True:
        if not escaped:
            i = find(data, words, i, 60)
        if i + 1 >= size:
            return size
        if data[i] == 60:
            if data[i + 1] == 47 and name(data, i + 2)[0] == value:
                if not nested:
                    return i
                nested = False
            elif value == SCRIPT and escaped and name(data, i + 1)[0] == value:
                nested = True
            elif data[i + 1] == 33 and i + 3 < size and data[i + 2] == 45 and data[i + 3] == 45:
                escaped = True
                i += 2  # the dashes may be those of `-->` as well
        elif data[i] == 62 and i > 2 and data[i - 1] == 45 and data[i - 2] == 45:
            escaped, nested = False, False
        i += 1
