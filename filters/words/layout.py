"""A batch of texts cut into words, lines and paragraphs: the parts that signals share, each computed once.

A `Layout` holds the UTF-8 bytes of a batch and hands out `Spans`; the first family that asks for a part pays for it,
the others find it there. It keeps offsets into the bytes and hashes, never strings. Measures nothing by itself.

Peers disagree on what a word and a line is, so each has a kind:

words   `space`    between white space, as `str.split`
        `unicode`  Unicode word boundaries (UAX 29) that begin with a letter or a digit, as DCLM counts
        `english`  tokens by the rules of spaCy's blank English tokenizer, as datatrove counts
lines   `lf`         between line feeds, as `text.split("\\n")`
        `broken`     as `str.splitlines`
        `runs`       between runs of line feeds, as `re.split("\\n+", text)`
        `blocks`     between runs of two or more line feeds of the stripped text
        `pairs`      between pairs of line feeds, as `text.split("\\n\\n")`
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from . import unicode
from .boundaries import unicode_words
from .english_words import english_words
from .kernels import bits, characters, decode, equal_bytes, hashed, in_phrase, jit, load, lowest, trimmed
from .spans import Spans as Spans

LINE_MODES = {"broken": 1, "runs": 2, "blocks": 3, "pairs": 4}
# what `Layout.signs` tells of a text
BREAKS, CURLY, BRACKET, HASH, DOTS, ELLIPSIS, PHRASE = (np.uint8(1 << bit) for bit in range(7))


class Layout:
    """The texts of a batch and what has been cut from them so far."""

    def __init__(self, text: pa.Array | pa.ChunkedArray) -> None:
        if isinstance(text, pa.ChunkedArray):
            text = text.combine_chunks()
        text = text.cast(pa.large_string())
        _, offsets, data = text.buffers()
        ends = np.frombuffer(offsets, np.int64)[text.offset : text.offset + len(text) + 1] if len(text) else [0]
        self.text = text
        self.ends = np.ascontiguousarray(ends, np.int64)  # a slice keeps its parent's buffers, hence the offset
        self.data = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
        self.absent = text.is_null().to_numpy(zero_copy_only=False)
        self.table = unicode.classes()
        self._parts: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.ends) - 1

    def part(self, name: str, make: Callable[["Layout"], Any]) -> Any:
        """What `make` makes of this layout, made once under `name`."""
        if name not in self._parts:
            self._parts[name] = make(self)
        return self._parts[name]

    def words(self, kind: str) -> Spans:
        return self.part(f"words {kind}", lambda it: it._words(kind))

    def lines(self, kind: str) -> Spans:
        return self.part(f"pieces {kind}", lambda it: it._lines(kind))

    @property
    def signs(self) -> np.ndarray:
        """(D,) uint8: which rare characters a text may hold, so that what looks for one can pass most texts by.

        BREAKS    a line break other than a line feed       HASH      `#`
        CURLY     `{`                                       DOTS      `..` or `. .`
        BRACKET   `[`                                       ELLIPSIS  U+2026
        PHRASE    `java`, `orem`, `erms`, `vacy` or `cook` in whatever case
        """
        return self.part("signs", lambda it: _signs(it.data, it.ends))

    def column(self, values: np.ndarray, absent: np.ndarray | None = None) -> pa.Array:
        """An Arrow column of one value a document, null where the text is null or `absent` says so."""
        mask = self.absent if absent is None else self.absent | absent
        return pa.array(values, mask=mask)

    def ratio(self, above: np.ndarray, below: np.ndarray) -> pa.Array:
        """above / below as float64; a fraction of nothing is null."""
        return self.column(above / np.maximum(below, 1), below == 0)

    def _lines(self, kind: str) -> Spans:
        if kind == "lf":
            bounds, start, end = _line_feeds(self.data, self.ends)
            same, hashes, chars = np.full(len(start), -1), np.zeros(0, np.uint64), np.zeros(0, np.int32)
        else:
            lines = self.lines("lf")
            where = (self.data, self.ends, self.table, self.signs, LINE_MODES[kind])
            made = (lines.bounds, lines.start, lines.end)
            bounds = _pieces(*where, *made, np.zeros(1, np.int64), False)[0]
            start, end, same = _pieces(*where, *made, bounds, True)[1]
            hashes, chars = lines.hash, lines.chars
        hashes, chars = _sizes(self.data, start, end, same, hashes, chars)
        return Spans(bounds, start, end, hashes, chars, np.zeros(0, np.uint16))

    def _words(self, kind: str) -> Spans:
        if kind == "space":
            return Spans(*_words(self.data, self.ends, self.table))
        if kind == "unicode":
            return unicode_words(self.data, self.ends, self.table)
        if kind == "english":
            return english_words(self.data, self.table, self.words("space"))
        raise ValueError(f"no words of kind {kind!r}")


@jit
def _signs(data, ends):
    """Without branches, so that many bytes are looked at together."""
    out = np.zeros(len(ends) - 1, np.uint8)
    one = np.uint64(1)
    for d in range(len(ends) - 1):
        first, size, seen = ends[d], ends[d + 1] - ends[d], np.uint8(0)
        for j in range(min(size, len(data) - 3 - first)):
            k = np.uint64(first + j)
            a, b, c = data[k], data[k + one], data[k + one + one]
            phrase = in_phrase(a, b, c, data[k + one + one + one])
            wide = (a == 0xE2) & (b == 0x80)
            breaks = (a < 32) & (a != 10) & (a != 9) | (a == 0xC2) & (b == 0x85) | wide & ((c == 0xA8) | (c == 0xA9))
            seen |= np.uint8(breaks) | np.uint8(a == 123) << np.uint8(1) | np.uint8(a == 91) << np.uint8(2)
            seen |= np.uint8(a == 35) << np.uint8(3) | np.uint8((a == 46) & ((b == 46) | (b == 32))) << np.uint8(4)
            seen |= np.uint8(wide & (c == 0xA6)) << np.uint8(5) | phrase << np.uint8(6)
        if ends[d + 1] > len(data) - 3 and size:  # the last bytes of the batch may be any
            seen = np.uint8(0x7F)
        out[d] = seen
    return out


@jit
def _words(data, ends, table):
    """What stands between white space: bounds, start, end, hash, chars, flags."""
    most = (ends[-1] - ends[0] + len(ends)) // 2
    bounds = np.zeros(len(ends), np.int64)
    start, end, hashes = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.uint64)
    chars, flags = np.empty(most, np.int32), np.empty(most, np.uint16)
    w = 0
    for d in range(len(ends) - 1):
        i, stop = ends[d], ends[d + 1]
        while i < stop:
            begin, beyond, union = i, 0, np.uint16(0)
            while i < stop:
                byte = data[np.uint64(i)]
                if byte < 0x80:
                    seen = table[np.uint64(byte)]
                    if seen & 1:
                        break
                    i += 1
                else:
                    point, width = decode(data, i)
                    seen = table[point]
                    if seen & 1:
                        break
                    i += width
                    beyond += width - 1
                union |= seen
            if i > begin:
                start[w], end[w], hashes[w] = begin, i, hashed(data, begin, i)
                chars[w], flags[w] = i - begin - beyond, union
                w += 1
            if i < stop:
                i += 1 if data[i] < 0x80 else decode(data, i)[1]
        bounds[d + 1] = w
    return bounds, start[:w], end[:w], hashes[:w], chars[:w], flags[:w]


@jit
def _line_feeds(data, ends):  # -> bounds (D+1,) of the lines between line feeds, start, end
    bounds = np.zeros(len(ends), np.int64)
    for d in range(len(ends) - 1):
        n, i = 1, ends[d]
        while i + 8 <= ends[d + 1]:
            n += bits(equal_bytes(load(data, i), 10))
            i += 8
        while i < ends[d + 1]:
            n += data[i] == 10
            i += 1
        bounds[d + 1] = bounds[d] + n
    start, end = np.empty(bounds[-1], np.int64), np.empty(bounds[-1], np.int64)
    s = 0
    for d in range(len(ends) - 1):
        i, stop = ends[d], ends[d + 1]
        start[s] = i
        while i + 8 <= stop:
            marks = equal_bytes(load(data, i), 10)
            while marks:
                at = i + lowest(marks)
                end[s], start[s + 1] = at, at + 1
                s += 1
                marks &= marks - np.uint64(1)
            i += 8
        while i < stop:
            if data[i] == 10:
                end[s], start[s + 1] = i, i + 1
                s += 1
            i += 1
        end[s] = stop
        s += 1
    return bounds, start, end


@jit
def _next_line(data, table, i, stop, pairs):  # -> end of the line that starts at i, start of the next or -1
    """One step of a split at breaks, or at pairs of line feeds, after which an empty last piece may follow."""
    while i < stop:
        byte = data[i]
        if pairs:
            if byte == 10 and i + 1 < stop and data[i + 1] == 10:
                return i, i + 2
        elif byte < 32 or byte >= 0x80:
            point, width = decode(data, i)
            if table[point] & 512:  # BREAK
                after = i + width
                if byte == 13 and after < stop and data[after] == 10:
                    after += 1
                return i, after if after < stop else np.int64(-1)
            i += width - 1
        i += 1
    return stop, np.int64(-1)


@jit
def _pieces(data, ends, table, signs, mode, lines, start, end, bounds, fill):
    """Bounds, and if asked to fill, starts, ends, and which line between line feeds a piece is (-1 for none).

    lines, start, end: the lines between line feeds, of which most pieces are made.
    """
    n = bounds[-1] if fill else 0
    starts, stops, same = np.empty(n, np.int64), np.empty(n, np.int64), np.full(n, -1, np.int64)
    made = np.zeros(len(ends), np.int64)
    s = 0
    for d in range(len(ends) - 1):
        i, stop = ends[d], ends[d + 1]
        first, final = lines[d], lines[d + 1] - 1
        if mode == 4 or (mode == 1 and signs[d] & 1 and i < stop):
            while i >= 0:
                begin = i
                finish, i = _next_line(data, table, i, stop, mode == 4)
                if fill:
                    starts[s], stops[s] = begin, finish
                s += 1
        elif mode == 3:
            i, stop = trimmed(data, table, i, stop)
            if i == stop:
                if fill:
                    starts[s], stops[s] = i, i
                s += 1
            line = first
            while i < stop and line <= final and start[line] < stop:
                if end[line] <= i or start[line] == end[line]:
                    line += 1
                    continue
                begin = max(start[line], i)
                while line < final and end[line + 1] > start[line + 1]:
                    line += 1
                if fill:
                    starts[s], stops[s] = begin, min(end[line], stop)
                s += 1
                line += 1
        else:
            for line in range(first, final + 1):
                full = end[line] > start[line]
                if full or (mode == 2 and (line in (first, final))) or (mode == 1 and line < final):
                    if fill:
                        starts[s], stops[s], same[s] = start[line], end[line], line
                    s += 1
        made[d + 1] = s
    return made, (starts, stops, same)


@jit
def _sizes(data, start, end, same, line_hashes, line_chars):  # -> hash, chars
    hashes, chars = np.empty(len(start), np.uint64), np.empty(len(start), np.int32)
    for s in range(len(start)):
        if same[s] >= 0:
            hashes[s], chars[s] = line_hashes[same[s]], line_chars[same[s]]
        else:
            hashes[s], chars[s] = hashed(data, start[s], end[s]), characters(data, start[s], end[s])
    return hashes, chars
