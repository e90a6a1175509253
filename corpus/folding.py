"""One folding and one cutting of texts into words, for deduplication, decontamination and whatever else compares texts.

Words follow Unicode's word boundaries (UAX 29), and what does not carry meaning is folded away:

    the same        case; width and presentation forms (full-width, ligatures, Arabic and Roman forms, letters of
                    mathematics); composed and decomposed letters; characters that cannot be seen (soft hyphen, zero
                    width space, joiner and non-joiner, word joiner, variation selectors, tatweel); the three
                    apostrophes within a word; punctuation, symbols and layout
    not the same    letters, digits, and every mark that is written on one: vowel signs, tones, viramas, dots

A letter of a script without spaces between words (ideographs, kana, Thai, Lao, Khmer, Burmese and their like) is a
word by itself, with the marks that stand on it, so texts of these scripts are cut by characters, the same way
everywhere and without a dictionary. Two things differ from UAX 29: katakana is cut by letters like hiragana, and
points, commas and colons separate. Case is folded one character at a time, without regard to a language, so the
Turkish dotless i is not an i.

`WEIGHT` says how many letters of such a script make a word, so that "13 words" is as much evidence in Thai as in
English. Cost: about 5 nanoseconds a byte. Measures and decides nothing.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

import unicodedata
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa

from .compiling import compiled

TABLE = 0x20000  # code points below have table entries
# OTHER separates words; LETTER is part of one; IDEOGRAPH is one, with the EXTENDs after it; SPACE separates;
# EXTEND belongs to what stands before it. The rest is rare: MARK is nothing at all, DIGIT begins a number that counts
# as one character, SPELT stands for several characters, JOINER holds letters on both sides together
OTHER, LETTER, IDEOGRAPH, SPACE, EXTEND, MARK, DIGIT, SPELT, JOINER = range(9)
CHECK = 1 << 23  # set where a character may belong to a text that is not in NFC
BASE = np.uint64(0x9E3779B97F4A7C15)
SEED = np.uint64(0x51ED270B9F2C6A35)
WORD = 12  # the weight of a word between spaces; see `weight_of`

# Letters that are words by themselves: scripts that UAX 29 leaves to dictionaries or cuts letter by letter, with
# katakana, Javanese and Balinese, which have no spaces either
_SINGLE = (
    "0e01-0eff 1000-109f 1780-17ff 1950-19df 1a20-1aad 1b05-1b4b a984-a9b2 a9e0-a9ff aa60-aadf 3005-3007 3021-3029 "
    "3031-3035 3038-303c 3041-3096 309d-309f 30a1-30ff 31f0-31ff 3400-4dbf 4e00-9fff f900-faff ff66-ff9d 11700-1174f "
    "16fe0-18d08 1b000-1b2fb"
)
# What cannot be seen, or stretches a line: format characters are added to these
_NOTHING = "34f 640 7fa 115f-1160 17b4-17b5 180b-180f 3164 fe00-fe0f ffa0"
# Marks that are diacritics of Latin, Greek and Cyrillic letters, and of no other script
DIACRITICS = "300-36f 1ab0-1aff 1dc0-1dff 20d0-20ff fe20-fe2f"
_APOSTROPHES = "'\u2019\uff07"
_FORMS = ("wide", "narrow", "initial", "medial", "final", "isolated", "font", "compat")


def points(ranges: str) -> list[int]:
    """The code points of ranges in hexadecimal: `41-5a 61`."""
    pairs = (part.partition("-") for part in ranges.split())
    return [point for low, _, high in pairs for point in range(int(low, 16), int(high or low, 16) + 1)]


_DIACRITICS = frozenset(map(chr, points(DIACRITICS)))


@lru_cache(maxsize=1)
def _letters() -> tuple[np.ndarray, tuple[int, ...]]:
    """(T,) uint32 of each code point: kind << 24 | CHECK | what it folds to; and the spellings of SPELT ones.

    A spelling is its length and, for each character, an entry like those of the table.
    """
    table = np.zeros(TABLE, np.uint32)
    single = np.zeros(TABLE, np.bool_)
    single[points(_SINGLE)] = True
    nothing = {*points(_NOTHING), 0x307}  # a dot above is left over where a dotted capital I was lower-cased
    kinds = np.zeros(TABLE, np.uint32)
    spelt: dict[int, str] = {}
    for point in range(TABLE):
        char = chr(point)
        category = unicodedata.category(char)
        if point in nothing or category in ("Cf", "Me"):
            kinds[point] = MARK
        elif char.isspace():
            kinds[point] = SPACE
        elif category in ("Mn", "Mc"):
            kinds[point], table[point] = EXTEND, point
        elif char.isalnum():
            kinds[point] = IDEOGRAPH if single[point] and category != "Nd" else LETTER
            folded = _folded(char)
            table[point] = ord(folded[0])
            if len(folded) > 1:
                spelt[point] = folded
            elif unicodedata.category(folded) == "Mn":
                kinds[point] = EXTEND
    for point in map(ord, "_" + _APOSTROPHES):
        kinds[point], table[point] = JOINER, point if point == 0x5F else 0
    # what is spelt out: its characters are read as if they stood there
    spellings: list[int] = []
    for point, folded in spelt.items():
        table[point], kinds[point] = len(spellings), SPELT
        spellings.append(len(folded))
        spellings += [int(kinds[ord(c)]) << 24 | ord(c) for c in folded]
    wide = [point for point in range(TABLE) if kinds[point] == LETTER and single[table[point]]]
    kinds[wide] = IDEOGRAPH
    return table | kinds << np.uint32(24) | _unsettled(), tuple(spellings)


def _folded(char: str) -> str:
    """What an alphanumeric character folds to: one or more characters, none of them a separator."""
    if not unicodedata.decomposition(char) and char.casefold() == char:
        return char
    tag = unicodedata.decomposition(char).partition(">")[0].lstrip("<")
    plain = unicodedata.normalize("NFKC", char) if tag in _FORMS else char
    if not all(c.isalnum() or unicodedata.category(c) in ("Mn", "Mc") for c in plain):
        plain = char
    lower = unicodedata.normalize("NFC", plain.casefold())
    lower = "".join(c for c in lower if c != "\u0307") or lower
    if 0x3041 <= ord(lower[0]) <= 0x30FF:  # the marks of half-width kana stand apart, so those of all kana do
        return unicodedata.normalize("NFD", lower)
    if len(lower) == 1 and ord(lower) >= TABLE:
        return char
    return lower


def _unsettled() -> np.ndarray:
    """(T,) uint32: CHECK for each code point that a text in NFC cannot hold, or not everywhere."""
    out = np.zeros(TABLE, np.uint32)
    out[[*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]] = CHECK
    for point in range(0x80, TABLE):
        char = chr(point)
        parts = unicodedata.decomposition(char).split()
        normal = not parts or unicodedata.is_normalized("NFC", char)
        if not normal or unicodedata.combining(char):
            out[point] = CHECK
        if normal and len(parts) == 2 and parts[0][0] != "<":
            out[int(parts[1], 16)] |= CHECK  # may be composed with what stands before it
    return out


def letters(digits: bool = True, diacritics: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The table of this folding, (T,) uint32: kind << 24 | CHECK | what it folds to; and the spellings, (S,) uint32.

    digits      False: every digit folds to 0
    diacritics  False: those of Latin, Greek and Cyrillic letters are taken away; marks of other scripts never are
    """
    table, spellings = _letters()
    table, spelt = table.copy(), np.array(spellings or (0,), np.uint32)
    if digits and diacritics:
        return table, spelt
    read = np.flatnonzero(np.isin(table >> np.uint32(24), (LETTER, EXTEND)))
    for point in read.tolist():
        folded = _simplified(int(table[point]) & 0x1FFFFF, digits, diacritics)
        table[point] = table[point] & np.uint32(0xFF800000) | np.uint32(folded)
    if not diacritics:
        table[points(DIACRITICS)] = MARK << 24
    return table, spelt


def _simplified(point: int, digits: bool, diacritics: bool) -> int:
    char = chr(point)
    if not digits and char.isdecimal():
        return ord("0")
    if not diacritics:
        left = "".join(c for c in unicodedata.normalize("NFD", char) if c not in _DIACRITICS)
        left = unicodedata.normalize("NFC", left)
        if len(left) == 1:
            return ord(left)
    return point


@partial(compiled, inline="always")
def decoded(data, i, end):  # one code point at i -> (code point, its length in bytes); broken bytes come out as 0xFFFD
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


@partial(compiled, inline="always")
def mix(h):  # uint64 -> uint64, a bijection (the finaliser of splitmix64)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@partial(compiled, inline="always")
def beyond(point):  # the entry of a code point above the table: ideographs, what cannot be seen, and the rest
    if point < 0x33480:
        return point | IDEOGRAPH << 24
    return np.int64(MARK << 24 if 0xE0000 <= point < 0xE1000 else OTHER << 24)


@compiled
def joins(data, i, end, table, before):
    """Whether letters stand on both sides of a joiner that ends at i; `before` is the byte in front of it."""
    what, point = np.int64(MARK), np.int64(0)
    while what == MARK and i < end:  # past what cannot be seen
        point, length = decoded(data, i, end)
        what = np.int64(table[point]) >> 24 if point < TABLE else np.int64(beyond(point)) >> 24
        i += length
    if 48 <= before < 58:
        return False
    return (what == LETTER or what == SPELT) and not 48 <= point < 58  # noqa: SIM109 (numba)


@partial(compiled, inline="always")
def weight_of(point):
    """How much of a word, in parts of `WORD`, a letter is that is cut off by itself."""
    if point >= 0x3400 or point < 0x0E00:
        return 6  # ideographs: two a word
    if point >= 0x3000:
        return 4  # kana: three a word
    return 3  # Thai, Lao, Khmer, Burmese and their like: four letters, with their signs, a word


@dataclass(frozen=True)
class Words:
    """Words of D documents.

    hash        (W,) uint64
    start, end  (W,) int64 bytes from the start of the document's text
    weight      (W,) uint8, in parts of `WORD`
    offsets     (D+1,) int64
    """

    hash: np.ndarray
    start: np.ndarray
    end: np.ndarray
    weight: np.ndarray
    offsets: np.ndarray


def words(text: pa.Array) -> Words:
    """The folded words of each text with their places in it. text (D,) string; a null text has none.

    Places are those of the text as it is given, also where it is not in NFC.
    """
    data, ends = buffers(text)
    *columns, suspects = _words(data, ends, *_table())
    found = Words(*columns)
    unsettled = [d for d in np.flatnonzero(suspects).tolist() if not settled(text[d].as_py())]
    return _with_places(found, text, unsettled) if unsettled else found


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    table, spelt = letters()
    table.setflags(write=False)
    return table, spelt


def buffers(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a column of texts, (B,) uint8, and where each ends in them, (D+1,) int64."""
    text = text.cast(pa.large_string())
    if text.null_count:
        text = text.fill_null("")
    if not len(text):
        return np.zeros(1, np.uint8), np.zeros(1, np.int64)
    _, ends, data = text.buffers()
    ends = np.frombuffer(ends, np.int64)[text.offset : text.offset + len(text) + 1]
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8), ends


def settled(text: str | None) -> bool:
    """Whether a text is in NFC, as every document is that was extracted."""
    return text is None or unicodedata.is_normalized("NFC", text)


def _with_places(found: Words, text: pa.Array, which: list[int]) -> Words:
    """The words with those of some documents, which are not in NFC, replaced by the words of their normal forms."""
    again = {}
    for d in which:
        given = text[d].as_py()
        normal, place = _normal(given)
        again[d] = (words(pa.array([normal], pa.large_string())), place)
    parts = []
    for d in range(len(found.offsets) - 1):
        low, high = found.offsets[d], found.offsets[d + 1]
        if d in again:
            one, place = again[d]
            parts.append((one.hash, place[one.start], place[one.end], one.weight))
        else:
            parts.append(tuple(column[low:high] for column in (found.hash, found.start, found.end, found.weight)))
    hashes, starts, ends, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Words(hashes, starts, ends, weights, np.r_[0, np.cumsum([len(part[0]) for part in parts])])


def _normal(text: str) -> tuple[str, np.ndarray]:
    """The text in NFC, and (bytes + 1,) int64: where a byte of it comes from in the text that was given."""
    table, _ = _table()
    pieces, place, at, begin = [], [], 0, 0
    for end in range(1, len(text) + 1):
        if end < len(text) and (ord(text[end]) < TABLE and table[ord(text[end])] & CHECK):
            continue  # belongs to what stands before it
        piece = text[begin:end]
        normal = unicodedata.normalize("NFC", piece)
        pieces.append(normal)
        place += [at] * len(normal.encode())
        at, begin = at + len(piece.encode()), end
    return "".join(pieces), np.array([*place, at], np.int64)


@compiled
def _words(data, ends, table, spelt):
    room = ends[-1] - ends[0] + len(ends)
    hashes, weights = np.empty(room, np.uint64), np.empty(room, np.uint8)
    starts, stops = np.empty(room, np.int64), np.empty(room, np.int64)
    offsets, suspects = np.zeros(len(ends), np.int64), np.zeros(len(ends) - 1, np.bool_)
    n = 0
    for d in range(len(ends) - 1):
        begin, end, seen = ends[d], ends[d + 1], np.int64(0)
        word, inside, weight, began, stopped = SEED, 0, 0, begin, begin
        i, left, at, first = begin, 0, 0, begin
        while i <= end:
            entry = np.int64(SPACE << 24)  # past the end a separator flushes the last word
            if left:
                entry = np.int64(spelt[at])
                left -= 1
                at += 1
            elif i < end:
                first = i
                if data[i] < 0x80:  # without a call, which costs more than all else
                    entry, i = np.int64(table[data[i]]), i + 1
                else:
                    point, length = decoded(data, i, end)
                    i += length
                    entry = np.int64(table[point]) if point < TABLE else np.int64(beyond(point))
            else:
                i += 1
            what, point = entry >> 24, entry & 0x1FFFFF
            seen |= entry
            if what >= MARK:
                if what == SPELT:
                    at, left = point + 1, np.int64(spelt[point])
                    continue
                if what == MARK:
                    continue
                if inside == 1 and joins(data, i, end, table, data[max(first - 1, begin)]):
                    if point:
                        word = (word ^ np.uint64(point)) * np.uint64(0x100000001B3)
                    continue
                what = OTHER
            if (what == LETTER and inside == 1) or (what == EXTEND and inside > 0):
                word = (word ^ np.uint64(point)) * np.uint64(0x100000001B3)
                while left == 0 and inside == 1 and i < end and data[i] < 0x80:
                    entry = np.int64(table[data[i]])
                    if entry >> 24 != LETTER:
                        break
                    word = (word ^ np.uint64(entry & 0x1FFFFF)) * np.uint64(0x100000001B3)
                    i += 1
                stopped = min(i, end)
                continue
            if inside:
                hashes[n], starts[n], stops[n], weights[n] = mix(word), began - begin, stopped - begin, weight
                n += 1
                inside = 0
            if what != OTHER and what != SPACE:
                word = (SEED ^ np.uint64(point)) * np.uint64(0x100000001B3)
                inside = 2 if what == IDEOGRAPH else 1
                weight = weight_of(point) if what == IDEOGRAPH else WORD
                began, stopped = first, min(i, end)
        offsets[d + 1], suspects[d] = n, seen & CHECK != 0
    return hashes[:n].copy(), starts[:n].copy(), stops[:n].copy(), weights[:n].copy(), offsets, suspects
