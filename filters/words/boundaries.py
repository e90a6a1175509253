"""Words by the Unicode rules for word boundaries (UAX 29), those that begin with a letter or a digit.

The classes of code points are derived from general categories, with the exceptions of WordBreakProperty.txt listed
here. No dictionary: an ideograph, a kana of hiragana or a Thai letter is a word of its own, as in UAX 29 itself.
"""

import functools
import sys
import unicodedata

import numpy as np

from .kernels import decode, hashed, jit
from .spans import Spans

OTHER, LETTER, NUMERIC, KATAKANA, JOINER, MID_LETTER, MID_NUMBER, MID_BOTH, EXTEND, SPACE, QUOTE, FLAG, HEBREW = range(
    13
)

_EXCEPTIONS = {
    MID_LETTER: ":··՟״‧︓﹕：",
    MID_NUMBER: ",;;։،؍٬߸⁄︐︔﹐﹔，；",
    MID_BOTH: ".‘’․﹒＇．",
    QUOTE: "'",
    NUMERIC: "٫",
    JOINER: "_\u202f‿⁀⁔︳︴﹍﹎﹏＿",
    LETTER: "˂˃˄˅˒˓˔˕˖˗˞˟˥˦˧˨˩˪˫˭˯˰˱˲˳˴˵˶˷˸˹˺˻˼˽˾˿՚՛՜՞֊׳꜈꜉꜊꜋꜌꜍꜎꜏꜐꜑꜒꜓꜔꜕꜖꜠꜡꞉꞊꭛",
}
_KATAKANA = "3031-3035 309b-309c 30a0-30fa 30fc-30ff 31f0-31ff 32d0-32fe 3300-3357 ff66-ff9d 1b000 1b164-1b167"
_NO_LETTERS = (  # scripts that are cut by dictionaries or letter by letter: Thai to Khmer, hiragana, ideographs
    "0e01-0eff 1000-109f 1780-17ff 1950-19df 1a20-1aad a9e0-a9ff aa60-aadf 3005-3007 3021-3029 3038-303a 3041-309f "
    "3400-4dbf 4e00-9fff f900-faff 11700-1174f 16fe0-18d08 1b001-1b163 1b170-1b2fb 20000-323af"
)


def _points(ranges: str) -> list[int]:
    pairs = (part.partition("-") for part in ranges.split())
    return [point for low, _, high in pairs for point in range(int(low, 16), int(high or low, 16) + 1)]


@functools.cache
def boundary_classes() -> np.ndarray:
    """(0x110000,) uint8: the word-break class of every code point."""
    table = np.zeros(sys.maxunicode + 1, np.uint8)
    for point in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(point))
        if category[0] == "L" or category == "Nl" or 0x24B6 <= point <= 0x24E9:
            table[point] = LETTER
        elif category == "Nd":
            table[point] = NUMERIC
        elif category[0] == "M" or category == "Cf":
            table[point] = EXTEND
        elif category == "Zs" and point not in (0xA0, 0x202F, 0x2007):
            table[point] = SPACE
    letters = [point for point in _points(_NO_LETTERS) if table[point] == LETTER]
    table[letters] = OTHER
    table[[point for point in range(0x5D0, 0x5F3) if table[point] == LETTER]] = HEBREW
    table[[point for point in range(0xFB1D, 0xFB50) if table[point] == LETTER]] = HEBREW
    table[_points(_KATAKANA)] = KATAKANA
    table[0x1F1E6:0x1F200] = FLAG
    table[[0x200C, 0x200D, *range(0x1F3FB, 0x1F400), 0xFF9E, 0xFF9F]] = EXTEND
    table[0x200B] = OTHER
    for kind, chars in _EXCEPTIONS.items():
        table[[ord(char) for char in chars]] = kind
    table.setflags(write=False)
    return table


def unicode_words(data: np.ndarray, ends: np.ndarray, table: np.ndarray) -> Spans:
    """Every word of every text that begins with a character for which `str.isalnum` holds.

    data   uint8 UTF-8 of a batch             table  classes of code points, as `unicode.classes` gives them
    ends   (D+1,) int64: text d is data[ends[d]:ends[d + 1]]
    """
    kinds = boundary_classes()
    bounds, _ = _walk(data, ends, kinds, table, np.zeros(1, np.int64), False)
    return Spans(bounds, *_walk(data, ends, kinds, table, bounds, True)[1])


@jit
def _joins(left, right):
    """No boundary between these classes, neither of them a middle mark."""
    letters = right == 1 or right == 12
    if left == 1 or left == 2 or left == 12:
        return letters or right == 2 or right == 4
    if left == 3:
        return right == 3 or right == 4
    return left == 4 and (letters or right == 2 or right == 3 or right == 4)


@jit
def _bridges(left, mark, right):
    """No boundary on either side of a middle mark between these classes."""
    if left == 2:
        return right == 2 and (mark == 6 or mark == 7 or mark == 10)
    letters = (left == 1 or left == 12) and (right == 1 or right == 12)
    return letters and (mark == 5 or mark == 7 or mark == 10)


@jit
def _class_from(data, i, stop, kinds):
    """Class of the next character at or after i that is not an extender, and where it stands; 255 at the end."""
    while i < stop:
        point, width = decode(data, i)
        if kinds[point] != 8:
            return kinds[point], i
        i += width
    return np.uint8(255), stop


@jit
def _walk(data, ends, kinds, table, bounds, fill):
    made = np.zeros(len(ends), np.int64)
    n = bounds[-1] if fill else 0
    start, end, hashes = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    chars, flags = np.empty(n, np.int32), np.empty(n, np.uint16)
    w = 0
    for d in range(len(ends) - 1):
        i, stop = ends[d], ends[d + 1]
        while i < stop:
            begin = i
            point, width = decode(data, i)
            kind, first = kinds[point], table[point]
            i += width
            single = point == 10 or point == 13 or table[point] & 512  # a line end takes no extender
            while i < stop and not single:
                following, at = _class_from(data, i, stop, kinds)
                if at > i:  # extenders belong to what stands before them
                    i = at
                    continue
                past = i + decode(data, i)[1]
                if following == 5 or following == 6 or following == 7 or following == 10:
                    after, at = _class_from(data, past, stop, kinds)
                    if _bridges(kind, following, after):
                        i, kind = at + decode(data, at)[1], after
                        continue
                    if kind == 12 and following == 10:
                        i, kind = past, following
                        continue
                    break
                if not _joins(kind, following):
                    break
                i, kind = past, following
            if first & 8192:  # ALNUM
                if fill:
                    points, union, k = 0, np.uint16(0), begin
                    while k < i:
                        p, size = decode(data, k)
                        union |= table[p]
                        points += 1
                        k += size
                    start[w], end[w], hashes[w], chars[w], flags[w] = begin, i, hashed(data, begin, i), points, union
                w += 1
        made[d + 1] = w
    return made, (start, end, hashes, chars, flags)
