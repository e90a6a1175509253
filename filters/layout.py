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
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from . import unicode
from .kernels import BASE, decode, jit

LINE_MODES = {"lf": 0, "broken": 1, "runs": 2, "blocks": 3, "pairs": 4}


@dataclass(frozen=True)
class Spans:
    """Pieces of the texts of a batch, in order. S pieces in D documents."""

    bounds: np.ndarray  # (D+1,) int64, document d has the pieces bounds[d] to bounds[d+1]
    start: np.ndarray  # (S,) int64 first byte
    end: np.ndarray  # (S,) int64 byte after the last
    hash: np.ndarray  # (S,) uint64 of the bytes
    chars: np.ndarray  # (S,) int32 code points
    flags: np.ndarray  # (S,) uint16, classes of the characters, or-ed

    def __len__(self) -> int:
        return len(self.start)


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
        self._parts: dict[tuple[str, str], Any] = {}

    def __len__(self) -> int:
        return len(self.ends) - 1

    def part(self, name: str, make: Callable[["Layout"], Any]) -> Any:
        """What `make` makes of this layout, made once under `name`."""
        key = ("part", name)
        if key not in self._parts:
            self._parts[key] = make(self)
        return self._parts[key]

    def words(self, kind: str) -> Spans:
        key = ("words", kind)
        if key not in self._parts:
            self._parts[key] = self._words(kind)
        return self._parts[key]

    def lines(self, kind: str) -> Spans:
        key = ("lines", kind)
        if key not in self._parts:
            mode = LINE_MODES[kind]
            bounds = _count_lines(self.data, self.ends, self.table, mode)
            self._parts[key] = Spans(bounds, *_lines(self.data, self.ends, self.table, mode, bounds))
        return self._parts[key]

    def column(self, values: np.ndarray, absent: np.ndarray | None = None) -> pa.Array:
        """An Arrow column of one value a document, null where the text is null or `absent` says so."""
        mask = self.absent if absent is None else self.absent | absent
        return pa.array(values, mask=mask)

    def ratio(self, above: np.ndarray, below: np.ndarray) -> pa.Array:
        """above / below as float64; a fraction of nothing is null."""
        return self.column(above / np.maximum(below, 1), below == 0)

    def _words(self, kind: str) -> Spans:
        if kind == "space":
            bounds = _count_words(self.data, self.ends, self.table)
            return Spans(bounds, *_words(self.data, self.ends, self.table, bounds))
        if kind == "unicode":
            from .word_boundaries import unicode_words

            return unicode_words(self)
        if kind == "english":
            from .english_words import english_words

            return english_words(self)
        raise ValueError(f"no words of kind {kind!r}")


@jit
def _count_words(data, ends, table):  # -> bounds (D+1,)
    bounds = np.zeros(len(ends), np.int64)
    for d in range(len(ends) - 1):
        n, inside, i = 0, False, ends[d]
        while i < ends[d + 1]:
            point, width = decode(data, i)
            space = table[point] & 1
            n += inside == False and not space  # noqa: E712 (numba: a plain comparison compiles to one instruction)
            inside = not space
            i += width
        bounds[d + 1] = bounds[d] + n
    return bounds


@jit
def _words(data, ends, table, bounds):
    n = bounds[-1]
    start, end, hashes = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    chars, flags = np.empty(n, np.int32), np.empty(n, np.uint16)
    for d in range(len(ends) - 1):
        w, i = bounds[d], ends[d]
        stop = ends[d + 1]
        while i < stop:
            point, width = decode(data, i)
            seen = table[point]
            if seen & 1:
                i += width
                continue
            start[w] = i
            h, count, union = np.uint64(0), 0, np.uint16(0)
            while True:
                union |= seen
                count += 1
                for k in range(i, i + width):
                    h = h * BASE + np.uint64(data[k])
                i += width
                if i >= stop:
                    break
                point, width = decode(data, i)
                seen = table[point]
                if seen & 1:
                    break
            end[w], hashes[w], chars[w], flags[w] = i, h, count, union
            w += 1
    return start, end, hashes, chars, flags


@jit
def _next_line(data, table, i, stop, mode):  # -> end of the line that starts at i, start of the next or -1
    """One step of a split. The next start may equal `stop`: an empty last piece, where the mode has such."""
    while i < stop:
        byte = data[i]
        if byte == 10:
            if mode == 1:
                return i, i + 1 if i + 1 < stop else np.int64(-1)
            if mode == 0:
                return i, i + 1
            run = i + 1
            while run < stop and data[run] == 10:
                run += 1
            if mode == 2 or (mode == 3 and run - i >= 2):
                return i, run
            if mode == 4 and run - i >= 2:
                return i, i + 2
            i = run
        elif mode == 1 and (byte < 32 or byte >= 0x80):
            point, width = decode(data, i)
            if table[point] & 512:  # BREAK
                after = i + width
                if byte == 13 and after < stop and data[after] == 10:
                    after += 1
                return i, after if after < stop else np.int64(-1)
            i += width
        else:
            i += 1
    return stop, np.int64(-1)


@jit
def _stripped(data, table, start, end):  # -> start, end without white space around
    while start < end:
        point, width = decode(data, start)
        if not table[point] & 1:
            break
        start += width
    while end > start:
        i = end - 1
        while i > start and (data[i] & 0xC0) == 0x80:
            i -= 1
        if not table[decode(data, i)[0]] & 1:
            break
        end = i
    return start, end


@jit
def _count_lines(data, ends, table, mode):  # -> bounds (D+1,)
    bounds = np.zeros(len(ends), np.int64)
    for d in range(len(ends) - 1):
        n, i, stop = 0, ends[d], ends[d + 1]
        if mode == 3:
            i, stop = _stripped(data, table, i, stop)
        if mode == 1 and i == stop:
            i = np.int64(-1)
        while i >= 0:
            _, i = _next_line(data, table, i, stop, mode)
            n += 1
        bounds[d + 1] = bounds[d] + n
    return bounds


@jit
def _lines(data, ends, table, mode, bounds):
    n = bounds[-1]
    start, end, hashes = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    chars, flags = np.empty(n, np.int32), np.empty(n, np.uint16)
    for d in range(len(ends) - 1):
        s, i, stop = bounds[d], ends[d], ends[d + 1]
        if mode == 3:
            i, stop = _stripped(data, table, i, stop)
        if mode == 1 and i == stop:
            i = np.int64(-1)
        while i >= 0:
            begin = i
            finish, i = _next_line(data, table, i, stop, mode)
            h, count, union, k = np.uint64(0), 0, np.uint16(0), begin
            while k < finish:
                point, width = decode(data, k)
                union |= table[point]
                count += 1
                for b in range(k, k + width):
                    h = h * BASE + np.uint64(data[b])
                k += width
            start[s], end[s], hashes[s], chars[s], flags[s] = begin, finish, h, count, union
            s += 1
    return start, end, hashes, chars, flags
