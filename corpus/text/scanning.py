"""Compiled steps over the bytes of markup, shared by `thinning.py` (source) and `blocks.py` (serialised).

Each takes a place in the bytes and returns the next one; places at or beyond the end mean that the bytes ended first.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

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


@compiled
def value_of(data, i):
    """(end of the attribute, start and end of its value, place after it) where its name ends at `i`.

    The place is beyond the end of the bytes where a quoted value does not end.
    """
    size, end = len(data), i
    while i < size and space(data[i]):
        i += 1
    if i >= size or data[i] != 61:
        return end, end, end, end
    i += 1
    while i < size and space(data[i]):
        i += 1
    if i >= size or data[i] == 62:
        return end, i, i, i
    quote = data[i]
    if quote == 34 or quote == 39:
        i += 1
        first = i
        while i < size and data[i] != quote:
            i += 1
        return i + 1, first, i, i + 1
    first = i
    while i < size and not space(data[i]) and data[i] != 62:
        i += 1
    return i, first, i, i


@compiled
def _named(names, at, one, look, first):
    """(hash of the classes, end of `names`) after a name whose hash is `one`, of a class or (105: `i`) of an id."""
    if one and at < len(names):
        names[at, 1] = one
        at += 1
    return (look * 131 + one) & 0xFFFFFFFFFFF if first == 99 else look, at


@compiled
def cues_of(data, start, end, table, found, names, at):
    """(cues in the values of class, id, role and itemprop within a tag's attributes, and whether it is hidden;
    hash of its classes; the new end of `names`, where each of its classes and its id is put from `at`)."""
    mask, look, i = 0, 0, start
    while i < end:
        while i < end and (data[i] <= 32 or data[i] == 47):
            i += 1
        name = i
        while i < end and data[i] != 61 and data[i] > 32:
            i += 1
        size = i - name
        if i >= end or data[i] != 61:
            if size == 6 and data[name] == 104 and data[name + 1] == 105:  # hidden
                mask |= 1 << 62
            continue
        i += 1
        if i >= end or data[i] != 34:
            continue
        i += 1
        value = i
        while i < end and data[i] != 34:
            i += 1
        first = data[name]
        wanted = (
            (size == 5 and first == 99 and data[name + 1] == 108)  # class
            or (size == 2 and first == 105 and data[name + 1] == 100)  # id
            or (size == 4 and first == 114 and data[name + 1] == 111)  # role
            or (size == 8 and first == 105 and data[name + 4] == 112)  # itemprop
        )
        if wanted:
            named = first == 99 or (first == 105 and size == 2)
            one, state, lower = 0, table[0, 0], False
            mask |= found[state]
            for j in range(value, i):
                c = data[j]
                if 97 <= c <= 122:
                    state = table[state, c - 96]
                    lower = True
                elif 65 <= c <= 90:
                    if lower:
                        state = table[state, 0]
                        mask |= found[state]
                    state = table[state, c - 64]
                    lower = False
                else:
                    if c < 48 or c > 57:
                        state = table[state, 0]
                    lower = False
                mask |= found[state]
                if c <= 32:
                    if named:
                        look, at = _named(names, at, one, look, first)
                    one = 0
                elif c < 48 or c > 57:
                    one = (one * 131 + c + 7 * (first == 105)) & 0xFFFFFFFFFFF
            if named:
                look, at = _named(names, at, one, look, first)
            mask |= found[table[state, 0]]
        elif size == 5 and first == 115 and data[name + 1] == 116:  # style: display:none
            for j in range(value, i - 6):
                if data[j] == 110 and data[j + 1] == 111 and data[j + 2] == 110 and data[j + 3] == 101:
                    back = j - 1
                    while back > value and data[back] == 32:
                        back -= 1
                    if data[back] == 58 and data[back - 1] == 121 and data[back - 2] == 97:
                        mask |= 1 << 62
            if says_none(data, value, i) or says_hidden(data, value, i):
                mask |= 1 << 59
        elif size == 11 and first == 97 and data[name + 5] == 104 and i > value and data[value] | 32 == 116:
            mask |= 1 << 59  # aria-hidden="true"
        elif size == 6 and first == 104 and data[name + 1] == 105 and data[name + 3] == 100:
            mask |= 1 << 59  # hidden=""
        i += 1
    return mask, look, at


@compiled
def behind_colon(data, k, end):
    """Where the value begins of a property of a style whose name ends at k; `end` where no colon follows."""
    while k < end and data[k] <= 32:
        k += 1
    if k >= end or data[k] != 58:
        return end
    k += 1
    while k < end and data[k] <= 32:
        k += 1
    return k


@compiled
def says_hidden(data, value, end):
    """Whether a style of these bytes has `visibility: hidden` or `collapse`, in whatever case."""
    for j in range(value, end - 15):
        if data[j] | 32 == 118 and data[j + 1] | 32 == 105 and data[j + 2] | 32 == 115 and data[j + 9] | 32 == 121:
            k = behind_colon(data, j + 10, end)
            if k + 5 < end and data[k] | 32 == 104 and data[k + 1] | 32 == 105 and data[k + 2] | 32 == 100:
                return True
            if k + 5 < end and data[k] | 32 == 99 and data[k + 1] | 32 == 111 and data[k + 2] | 32 == 108:
                return True
    return False


@compiled
def says_none(data, value, end):
    """Whether a style of these bytes has `display: none`, wherever it stands and in whatever case."""
    for j in range(value, end - 11):
        if data[j] | 32 == 100 and data[j + 1] | 32 == 105 and data[j + 2] | 32 == 115 and data[j + 6] | 32 == 121:
            k = behind_colon(data, j + 7, end)
            if k + 3 < end and data[k] | 32 == 110 and data[k + 1] | 32 == 111 and data[k + 3] | 32 == 101:
                return True
    return False


@compiled
def tag_end(data, i):
    """The place of the `>` of a tag. Only `="` opens a value: an attribute's name may itself hold a quotation mark."""
    while i < len(data) and data[i] != 62:
        if data[i] == 61 and i + 1 < len(data) and data[i + 1] == 34:
            i += 2
            while i < len(data) and data[i] != 34:
                i += 1
        i += 1
    return i


def is_utf8(data: bytes) -> bool:
    """Whether bytes are valid UTF-8, without decoding them."""
    return data.isascii() or bool(_valid(by_eight(data), np.frombuffer(data, np.uint8)))


@compiled
def _valid(words, data):
    """Whether bytes are UTF-8; `words` holds the same bytes by eight, as far as they go."""
    i, size = 0, len(data)
    while i < size:
        w = i >> 3
        if i & 7 == 0 and w < len(words) and words[w] & 0x8080808080808080 == 0:
            i += 8
            continue
        c = data[i]
        if c < 128:
            i += 1
            continue
        more = 1 if 0xC2 <= c < 0xE0 else 2 if 0xE0 <= c < 0xF0 else 3 if 0xF0 <= c < 0xF5 else 0
        if more == 0 or i + more >= size:
            return False
        low, high = 128, 191
        if c == 0xE0:
            low = 0xA0
        elif c == 0xED:
            high = 0x9F
        elif c == 0xF0:
            low = 0x90
        elif c == 0xF4:
            high = 0x8F
        if not low <= data[i + 1] <= high:
            return False
        for k in range(2, more + 1):
            if data[i + k] & 0xC0 != 128:
                return False
        i += more + 1
    return True
