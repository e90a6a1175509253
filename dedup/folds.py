"""Folds: what each character counts as when texts are compared, by dialect.

    lower       words are what Python's `\\w` matches, lower-cased, an ideograph is a word; the rest is left out
    plain       as lower, with digits as 0 and diacritics taken away (what CCNet compares lines by)
    fineweb     datatrove's text normalisation: lower-cased, a number is one 0, its list of punctuation separates,
                diacritics are taken away, everything else (symbols, emoji) is part of a word
    slimpajama  NFC, lower-cased, ASCII punctuation taken out without a gap, white space as one space
    redpajama   the same in NFD
    raw         every character as it is

Lower-casing is character by character (the first code point of `str.lower`), so it differs from `str.lower` on `İ` and
on final sigma.
"""

import string
import unicodedata
from functools import lru_cache
from typing import Literal

import numpy as np
import pyarrow as pa

FOLDS = ("lower", "plain", "fineweb", "slimpajama", "redpajama", "raw")
Form = Literal["NFC", "NFD"]
FORMS: dict[str, Form] = {"slimpajama": "NFC", "redpajama": "NFD"}  # how a text is composed before it is read
TABLE = 0x20000  # code points below have table entries
# OTHER separates words, IDEOGRAPH is a word, MARK is nothing at all, DIGIT begins a number that counts as one character
OTHER, LETTER, IDEOGRAPH, SPACE, MARK, DIGIT = range(6)
DECIMAL = np.array(
    [ord(c) for c in ".,\u060c\u066b\u2396\u2397\u2398"]
)  # may stand once between the digits of a number
IDEOGRAPHS = (
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
)
# what datatrove takes for punctuation: all of ASCII's, these, and the control characters
FINEWEB = (
    "\u00ab\u00b4\u00bb\u2013\u2014\u2019\u201c\u201d\u201e\u2026\u2236\u2501\u25ba\u3001\u3002\u3008\u3009\u300a\u300b"
    "\u300c\u300d\u3010\u3011\uff01\uff05\uff08\uff09\uff0c\uff0e\uff11\uff1a\uff1b\uff1f\uff5e"
)


@lru_cache(maxsize=len(FOLDS))
def characters(fold: str) -> np.ndarray:
    """(T,) uint32, of each code point: kind << 24 | what it folds to."""
    points = np.arange(TABLE, dtype=np.uint32)
    points[0xD800:0xE000] = 0x20  # surrogates do not occur in text
    letters = points.view("<U1")
    space = np.strings.isspace(letters)
    if fold == "raw":
        return points | np.uint32(LETTER << 24)
    folded = points.copy()
    cased = np.flatnonzero(np.strings.lower(letters) != letters)
    folded[cased] = [ord(chr(point).lower()[0]) for point in cased.tolist()]
    kind = np.zeros(TABLE, np.uint32)
    if fold in ("lower", "plain"):
        kind[np.strings.isalnum(letters)] = LETTER
        kind[ord("_")] = LETTER
        for first, last in IDEOGRAPHS:
            part = kind[first : last + 1]
            part[part == LETTER] = IDEOGRAPH
        if fold == "plain":
            _take_diacritics(folded, np.flatnonzero(kind == LETTER))
            folded[np.strings.isdecimal(folded.view("<U1"))] = ord("0")
    elif fold == "fineweb":
        kind[:] = LETTER
        kind[[ord(c) for c in string.punctuation + FINEWEB]] = OTHER
        kind[[*range(9), *range(11, 32), *range(127, 160)]] = OTHER
        _take_diacritics(folded, np.flatnonzero(kind == LETTER))
        kind[[point for point in range(TABLE) if unicodedata.category(chr(point)) == "Mn"]] = MARK
        digits = np.strings.isdecimal(letters)
        kind[digits], folded[digits] = DIGIT, ord("0")
    elif fold in FORMS:
        kind[:] = LETTER
        kind[[ord(c) for c in string.punctuation]] = MARK
    else:
        raise ValueError(f"no folding {fold!r}; there are: {', '.join(FOLDS)}")
    kind[space] = SPACE
    return folded | kind << 24


def beyond(fold: str) -> int:
    """The kind of code points above the table: ideographs are told apart where the fold has them, the rest are this."""
    return OTHER if fold in ("lower", "plain") else LETTER


def composed(text: pa.Array, form: Form) -> pa.Array:
    """The texts in a Unicode form, (D,) large_string. By Python: Arrow 25's utf8_normalize makes NFD of NFC too."""
    values = text.to_pylist()
    done = [v if v is None or v.isascii() else unicodedata.normalize(form, v) for v in values]
    return pa.array(done, pa.large_string())


def _take_diacritics(folded: np.ndarray, where: np.ndarray) -> None:
    for point in where.tolist():
        folded[point] = ord(unicodedata.normalize("NFD", chr(folded[point]))[0])
