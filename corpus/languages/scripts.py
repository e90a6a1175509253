"""What letters a text is written in, and which languages are written so: a label that never has them is none.

A text that says too little is `und` (undetermined, ISO 639-2): fewer than `SHORTEST` letters of a script that several
languages share, fewer than `FEWEST` different ones of an alphabet, or no likely language among those of its script.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

from functools import cache
from typing import NamedTuple

import numpy as np

from ..compiling import compiled

UNDETERMINED = "und"
SHORTEST = 6  # letters
FEWEST = 3  # different letters
LEAST = 0.15  # score of the best label of the script
SHARE = 0.2  # of the letters that a script must have to count
_RANGES = {  # script -> its letters in the basic plane, first and last
    "Latin": "41-5A 61-7A AA-AA BA-BA C0-24F 250-2AF 1E00-1EFF 2C60-2C7F A720-A7FF FF21-FF3A FF41-FF5A",
    "Cyrillic": "400-52F 1C80-1C8F 2DE0-2DFF A640-A69F",
    "Greek": "370-3FF 1F00-1FFF",
    "Arabic": "600-6FF 750-77F 8A0-8FF FB50-FDFF FE70-FEFE",
    "Hebrew": "590-5FF FB1D-FB4F",
    "Devanagari": "900-97F A8E0-A8FF",
    "Bengali": "980-9FF",
    "Gurmukhi": "A00-A7F",
    "Gujarati": "A80-AFF",
    "Oriya": "B00-B7F",
    "Tamil": "B80-BFF",
    "Telugu": "C00-C7F",
    "Kannada": "C80-CFF",
    "Malayalam": "D00-D7F",
    "Sinhala": "D80-DFF",
    "Thai": "E00-E7F",
    "Lao": "E80-EFF",
    "Tibetan": "F00-FFF",
    "Myanmar": "1000-109F A9E0-A9FF AA60-AA7F",
    "Georgian": "10A0-10FF 1C90-1CBF 2D00-2D2F",
    "Ethiopic": "1200-139F 2D80-2DDF AB00-AB2F",
    "Khmer": "1780-17FF",
    "Mongolian": "1800-18AF",
    "Hangul": "1100-11FF 3130-318F A960-A97F AC00-D7FF",
    "Kana": "3040-30FF 31F0-31FF FF66-FF9F",
    "Han": "3005-3007 3400-4DBF 4E00-9FFF F900-FAFF",
    "Armenian": "530-58F FB13-FB17",
    "Thaana": "780-7BF",
    "Ol Chiki": "1C50-1C7F",
    "other": "7C0-85F 13A0-167F 16A0-177F 1900-1C4F 2D30-2D7F A000-A4FF A500-A63F A840-A8DF A900-A95F AA80-AADF",
}
SCRIPTS = tuple(_RANGES)
_OF_LABELS = {
    "Arabic": "ar fa ur ug ckb ps ku pa az kk sd",
    "Cyrillic": "be bg mk mn ru uk kk tg ky cv os sah tt sr uz az tk bs",
    "Greek": "el",
    "Hebrew": "he yi",
    "Devanagari": "hi mr ne sa",
    "Bengali": "bn",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Oriya": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Tibetan": "bo",
    "Myanmar": "my",
    "Georgian": "ka",
    "Ethiopic": "am",
    "Khmer": "km",
    "Mongolian": "mn",
    "Hangul": "ko",
    "Kana": "ja",
    "Han": "zh ja ko",
    "Armenian": "hy",
    "Thaana": "dv",
    "Ol Chiki": "sat",
}
_ALSO_LATIN = "sr kk uz az tk ku bs tt ug".split()  # the rest of the labels above are never written in Latin letters
_SHARED = ("Latin", "Cyrillic", "Arabic", "Devanagari", "Hebrew", "other")


class Letters(NamedTuple):
    """The letters of a text."""

    number: int
    different: int
    scripts: tuple[str, ...]  # those of a share that counts, most letters first


@cache
def _table() -> np.ndarray:
    """(65536,) uint8: one more than the number of a letter's script, 0 for what is none."""
    table = np.zeros(0x10000, np.uint8)
    for n, ranges in enumerate(_RANGES.values(), 1):
        for span in ranges.split():
            first, last = (int(end, 16) for end in span.split("-"))
            table[first : last + 1] = n
    for c in (0xD7, 0xF7, 0x37E, 0x387, 0x60C, 0x61B, 0x61F, 0x640, 0x964, 0x965, *range(0x660, 0x66A)):
        table[c] = 0
    return table


def letters(codes: np.ndarray) -> Letters:
    """The letters among code points (n,) uint32."""
    counted = np.zeros(len(SCRIPTS) + 1, np.int64)
    different = _count(codes, _table(), counted)
    counts = counted[1:].tolist()
    number = sum(counts)
    wanted = [n for n, count in enumerate(counts) if count and count >= SHARE * number]
    wanted.sort(key=lambda n: -counts[n])
    return Letters(number, int(different), tuple(SCRIPTS[n] for n in wanted))


@compiled
def _count(codes, table, counts):
    """Count letters by script. Returns how many different ones there are, up to 64, whatever their case."""
    seen = np.zeros(256, np.uint32)  # a hash table, at most a quarter full
    different = 0
    for code in codes:
        if code > 0xFFFF or table[code] == 0:
            continue
        counts[table[code]] += 1
        if different < 64:
            small = code + 32 if 65 <= code <= 90 else code
            slot = small & 255
            while seen[slot] != 0 and seen[slot] != small:
                slot = (slot + 1) & 255
            if seen[slot] == 0:
                seen[slot] = small
                different += 1
    return different


@cache
def written_in(labels: tuple[str, ...], scripts: tuple[str, ...]) -> np.ndarray:
    """(labels,) bool: whether a label's language is written in one of the scripts."""
    others = {label for names in _OF_LABELS.values() for label in names.split()}
    latin = {label for label in labels if label not in others or label in _ALSO_LATIN}
    wanted = set().union(*(latin if name == "Latin" else _OF_LABELS.get(name, "").split() for name in scripts))
    return np.array([label in wanted for label in labels])


def says_too_little(found: Letters) -> bool:
    """Whether letters are too few to tell the language by."""
    alphabetic = bool(found.scripts) and found.scripts[0] not in ("Han", "Hangul", "Kana")
    if alphabetic and found.different < FEWEST:
        return True
    return found.number < (SHORTEST if not found.scripts or found.scripts[0] in _SHARED else 2)
