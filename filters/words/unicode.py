"""What each code point is: one table of bit flags, built once a process from the Unicode data of Python.

Kernels look a character up here instead of testing for ASCII, so a Thai letter is a letter and an ideographic space
is white space. The flags follow Python's own predicates (`str.isspace`, `str.isalpha`, ...), because that is what the
peers run on; their Unicode version is therefore Python's.
"""

import functools
import sys
import unicodedata

import numpy as np

SPACE = 1 << 0  # str.isspace
ALPHA = 1 << 1  # str.isalpha: categories L*
DIGIT = 1 << 2  # category Nd
NUMBER = 1 << 3  # categories N*
PUNCTUATION = 1 << 4  # categories P*
SYMBOL = 1 << 5  # categories S*
UPPER = 1 << 6  # str.isupper
LOWER = 1 << 7  # str.islower
MARK = 1 << 8  # categories M*
BREAK = 1 << 9  # where str.splitlines breaks
TERMINAL = 1 << 10  # ends a sentence, in any script
PLAIN = 1 << 11  # not in datatrove's list of punctuation and controls
OTHER = 1 << 12  # category Cc, Cf, Co, Cs, Cn
ALNUM = 1 << 13  # str.isalnum
CJK = 1 << 14  # ideographs, kana, hangul and the scripts of South-East Asia: no white space between words

BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"

# Sentence_Terminal of the Unicode Character Database, as ranges;
# the ellipsis U+2026 and the semicolon are not in it
_TERMINALS = (
    "21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d5 "
    "1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c "
    "2e53-2e54 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 "
    "fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6 "
    "111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 1173c-1173e 11944 "
    "11946 11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 1bc9f "
    "1da88"
)
# single punctuation marks that datatrove lists beside ASCII ones; not every ASCII mark is among them
_MARKS_DATATROVE = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"


def _ranges(text: str) -> list[int]:
    points: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        points.extend(range(int(first, 16), int(last or first, 16) + 1))
    return points


def terminals() -> list[int]:
    """Code points that end a sentence in some script, the full stop among them."""
    return sorted({*_ranges(_TERMINALS), *_ranges("17d6 17d9-17da")})


@functools.cache
def classes() -> np.ndarray:
    """(0x110000,) uint16: the flags of every code point."""
    groups = {"P": PUNCTUATION, "S": SYMBOL, "N": NUMBER, "M": MARK, "C": OTHER, "L": ALPHA | ALNUM}
    categories = list(map(unicodedata.category, map(chr, range(sys.maxunicode + 1))))
    flags = {name: groups.get(name[0], 0) | DIGIT * (name == "Nd") for name in set(categories)}
    table = np.fromiter(map(flags.__getitem__, categories), np.uint16, len(categories))
    for point in np.flatnonzero(table & (ALPHA | NUMBER | SYMBOL | MARK)).tolist():
        char, category = chr(point), categories[point]
        if category[0] == "L" or category in ("So", "Nl", "Mn"):  # circled letters and Roman numerals have case
            table[point] |= UPPER * char.isupper() | LOWER * char.islower()
        if category[0] == "N" and char.isalnum():
            table[point] |= ALNUM
    table[[point for point in range(0x3001) if chr(point).isspace()]] |= SPACE
    for char in BREAKS:
        table[ord(char)] |= BREAK
    table[terminals()] |= TERMINAL
    controls = [*range(0, 9), *range(11, 13), *range(13, 32), *range(127, 160)]
    unplain = {*map(ord, _MARKS_DATATROVE), *controls, *terminals()}
    table |= np.uint16(PLAIN)
    table[sorted(unplain)] &= np.uint16(~PLAIN & 0xFFFF)
    for first, last in ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x4DBF)):
        table[first : last + 1] |= CJK
    for first, last in ((0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)):
        table[first : last + 1] |= CJK
    table.setflags(write=False)
    return table


@functools.cache
def lowered() -> np.ndarray:
    """(0x110000,) uint32: the lower case of every code point that has one of a single code point, else itself."""
    table = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    for point in range(0x1E944):
        low = chr(point).lower()
        if len(low) == 1:
            table[point] = ord(low)
    table.setflags(write=False)
    return table
