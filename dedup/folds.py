"""Folds: what each character counts as when texts are compared, by dialect.

    lower       gristmill's own folding, see `corpus/folding.py`: Unicode's words in one case, an ideograph, kana or
                Thai letter is a word; the rest is left out
    digits      the same, with every digit as 0: what repeated lines are compared by
    plain       as digits, with the diacritics of Latin, Greek and Cyrillic letters taken away (CCNet's lines)
    fineweb     datatrove's text normalisation: lower-cased, a number is one 0, its list of punctuation separates,
                diacritics are taken away, everything else (symbols, emoji) is part of a word
    slimpajama  NFC, lower-cased, ASCII punctuation taken out without a gap, white space as one space
    redpajama   the same in NFD
    raw         every character as it is

Lower-casing of the peers' folds is character by character (the first code point of `str.lower`), so it differs from
`str.lower` on `İ` and on final sigma.
"""

import string
import unicodedata
from functools import lru_cache
from typing import Literal

import numpy as np
import pyarrow as pa

from ..corpus.folding import DIGIT, LETTER, MARK, OTHER, SPACE, TABLE, letters

OWN = ("lower", "digits", "plain")
FOLDS = (*OWN, "fineweb", "slimpajama", "redpajama", "raw")
Form = Literal["NFC", "NFD"]
FORMS: dict[str, Form] = {"slimpajama": "NFC", "redpajama": "NFD"}  # how a text is composed before it is read
DECIMAL = np.array(
    [ord(c) for c in ".,\u060c\u066b\u2396\u2397\u2398"]
)  # may stand once between the digits of a number
# what datatrove takes for punctuation: all of ASCII's, these, and the control characters
FINEWEB = (
    "\u00ab\u00b4\u00bb\u2013\u2014\u2019\u201c\u201d\u201e\u2026\u2236\u2501\u25ba\u3001\u3002\u3008\u3009\u300a\u300b"
    "\u300c\u300d\u3010\u3011\uff01\uff05\uff08\uff09\uff0c\uff0e\uff11\uff1a\uff1b\uff1f\uff5e"
)


@lru_cache(maxsize=len(FOLDS))
def characters(fold: str) -> tuple[np.ndarray, np.ndarray]:
    """(T,) uint32, of each code point: kind << 24 | what it folds to; and spellings, see `corpus/folding.py`."""
    if fold in OWN:
        return letters(digits=fold == "lower", diacritics=fold != "plain")
    return _peers(fold), np.zeros(1, np.uint32)


def _peers(fold: str) -> np.ndarray:
    points = np.arange(TABLE, dtype=np.uint32)
    points[0xD800:0xE000] = 0x20  # surrogates do not occur in text
    letters = points.view("<U1")
    space = np.strings.isspace(letters)
    if fold == "raw":
        return points | np.uint32(LETTER << 24)
    folded = points.copy()
    cased = np.flatnonzero(np.strings.lower(letters) != letters)
    folded[cased] = [ord(chr(point).lower()[0]) for point in cased.tolist()]
    kind = np.full(TABLE, LETTER, np.uint32)
    if fold == "fineweb":
        kind[[ord(c) for c in string.punctuation + FINEWEB]] = OTHER
        kind[[*range(9), *range(11, 32), *range(127, 160)]] = OTHER
        _take_diacritics(folded, np.flatnonzero(kind == LETTER))
        kind[[point for point in range(TABLE) if unicodedata.category(chr(point)) == "Mn"]] = MARK
        digits = np.strings.isdecimal(letters)
        kind[digits], folded[digits] = DIGIT, ord("0")
    elif fold in FORMS:
        kind[[ord(c) for c in string.punctuation]] = MARK
    else:
        raise ValueError(f"no folding {fold!r}; there are: {', '.join(FOLDS)}")
    kind[space] = SPACE
    return folded | kind << 24


def composed(text: pa.Array, form: Form) -> pa.Array:
    """The texts in a Unicode form, (D,) large_string. By Python: Arrow 25's utf8_normalize makes NFD of NFC too."""
    values = text.to_pylist()
    done = [v if v is None or v.isascii() else unicodedata.normalize(form, v) for v in values]
    return pa.array(done, pa.large_string())


def _take_diacritics(folded: np.ndarray, where: np.ndarray) -> None:
    for point in where.tolist():
        folded[point] = ord(unicodedata.normalize("NFD", chr(folded[point]))[0])
