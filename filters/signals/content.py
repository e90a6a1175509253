"""What a text is made of: families that count characters, words and marks. Measures and never decides.

text       length, classes of characters by Unicode category, entropy, compression ratio
code       line lengths and marks of source code, after StarCoder
formulas   LaTeX commands and mathematical marks, after RedStone
questions  marks of questions and of multiple choice, after RedStone
"""

import zlib

import numpy as np

from ..words.kernels import decode, jit, longest, slot, starts_with, table_size
from ..words.layout import Layout, Spans
from .gopher import Columns

CLASSES = ("chars", "alpha", "digits", "upper", "space", "punctuation", "symbols", "alnum", "ascii", "brackets",
           "parentheses", "nemo_space", "nemo_plain", "ascii_digits")  # fmt: skip


def class_counts(layout: Layout) -> dict[str, np.ndarray]:
    """(D,) int64 each: characters by class, see CLASSES."""

    def make(it: Layout) -> dict[str, np.ndarray]:
        return dict(zip(CLASSES, _classes(it.data, it.ends, it.table), strict=True))

    return layout.part("classes", make)


@jit
def _classes(data, ends, table):
    out = np.zeros((14, len(ends) - 1), np.int64)
    for d in range(len(ends) - 1):
        i = ends[d]
        while i < ends[d + 1]:
            p, width = decode(data, i)
            flags = table[p]
            out[0, d] += 1
            out[1, d] += (flags & 2) != 0
            out[2, d] += (flags & 4) != 0
            out[3, d] += (flags & 64) != 0
            out[4, d] += (flags & 1) != 0
            out[5, d] += (flags & 16) != 0
            out[6, d] += (flags & 32) != 0
            out[7, d] += (flags & 8192) != 0
            out[8, d] += p < 128
            out[9, d] += p == 123 or p == 125
            round_or_square = p == 40 or p == 41 or p == 91 or p == 93 or p == 123 or p == 125
            out[10, d] += round_or_square or p == 0x27E8 or p == 0x27E9
            out[11, d] += p == 32 or 8 <= p <= 10 or p == 13
            digit = 48 <= p <= 57
            plain = digit or (97 <= (p | 32) <= 122 and p < 128)
            out[12, d] += plain or p == 10 or p == 63 or p == 33 or p == 44 or p == 46
            out[13, d] += digit
            i += width
    return out


@jit
def _byte_entropy(data, ends):
    """Bits per byte of the bytes of a text, 0 for an empty one."""
    out = np.zeros(len(ends) - 1, np.float64)
    counts = np.empty(256, np.int64)
    for d in range(len(ends) - 1):
        counts[:] = 0
        for i in range(ends[d], ends[d + 1]):
            counts[data[i]] += 1
        n = ends[d + 1] - ends[d]
        for b in range(256):
            if counts[b]:
                out[d] -= counts[b] / n * np.log2(counts[b] / n)
    return out


TEXT = ("chars:int64", "bytes:int64", "words:int64", "lines:int64", "mean_line_length", "max_line_length:int64",
        "alpha", "digits", "upper", "space", "punctuation", "symbols", "ascii", "unique_words", "word_entropy",
        "byte_entropy", "compression_ratio")  # fmt: skip


def text(layout: Layout) -> Columns:
    """Shares of classes are of characters; entropies in bits; compression is bytes over zlib's bytes at level 6."""
    counts, words, lines = class_counts(layout), layout.words("space"), layout.lines("lf")
    sizes = np.diff(layout.ends)
    distinct, entropy = word_entropy(words.bounds, words.hash)
    number = np.diff(words.bounds)
    view = memoryview(layout.data)  # type: ignore[arg-type]
    spans = zip(layout.ends[:-1].tolist(), layout.ends[1:].tolist(), strict=True)
    packed = np.array([len(zlib.compress(view[low:high], 6)) for low, high in spans], np.int64)
    columns = {
        "chars": layout.column(counts["chars"]),
        "bytes": layout.column(sizes),
        "words": layout.column(number),
        "lines": layout.column(np.diff(lines.bounds)),
        "mean_line_length": layout.ratio(_per_text(np.add, lines), np.diff(lines.bounds)),
        "max_line_length": layout.column(_per_text(np.maximum, lines)),
        "unique_words": layout.ratio(distinct, number),
        "word_entropy": layout.column(entropy, number == 0),
        "byte_entropy": layout.column(_byte_entropy(layout.data, layout.ends), sizes == 0),
        "compression_ratio": layout.column(sizes / np.maximum(packed, 1), sizes == 0),
    }
    shares = ("alpha", "digits", "upper", "space", "punctuation", "symbols", "ascii")
    return columns | {name: layout.ratio(counts[name], counts["chars"]) for name in shares}


def _per_text(combine: np.ufunc, lines: Spans) -> np.ndarray:
    """Line lengths combined per text; every text has at least one line between line feeds."""
    return combine.reduceat(lines.chars.astype(np.int64), lines.bounds[:-1]) if len(lines) else np.zeros(0, np.int64)


@jit
def word_entropy(bounds, hashes):
    """Distinct words, and the entropy in bits of their distribution."""
    documents = len(bounds) - 1
    distinct, entropy = np.zeros(documents, np.int64), np.zeros(documents, np.float64)
    size = table_size(longest(bounds))
    keys, stamps, counts = np.empty(size, np.uint64), np.full(size, -1, np.int64), np.zeros(size, np.int64)
    first = np.empty(longest(bounds), np.int64)  # slots in the order of first occurrence
    for d in range(documents):
        n, total = 0, bounds[d + 1] - bounds[d]
        for w in range(bounds[d], bounds[d + 1]):
            s = slot(keys, stamps, d, hashes[w])
            if stamps[s] != d:
                stamps[s], keys[s], counts[s] = d, hashes[w], 0
                first[n] = s
                n += 1
            counts[s] += 1
        distinct[d] = n
        for k in range(n):
            share = counts[first[k]] / total
            entropy[d] -= share * np.log2(share)
    return distinct, entropy


CODE = ("lines:int64", "mean_line_length", "max_line_length:int64", "alpha", "alnum", "xml_header:int64",
        "comment_lines", "digit_tokens")  # fmt: skip


def code(layout: Layout) -> Columns:
    """StarCoder's: line lengths, shares of letters, an XML header in the first 100 bytes.

    comment_lines is the share of lines that begin with #, //, --, %, * or /*, whatever the language.
    """
    counts, lines, words = class_counts(layout), layout.lines("lf"), layout.words("space")
    marks = _code_marks(layout.data, layout.ends, lines.bounds, lines.start, lines.end)
    digits = _digit_words(words.bounds, words.flags)
    return {
        "lines": layout.column(np.diff(lines.bounds)),
        "mean_line_length": layout.ratio(_per_text(np.add, lines), np.diff(lines.bounds)),
        "max_line_length": layout.column(_per_text(np.maximum, lines)),
        "alpha": layout.ratio(counts["alpha"], counts["chars"]),
        "alnum": layout.ratio(counts["alnum"], counts["chars"]),
        "xml_header": layout.column(marks[0]),
        "comment_lines": layout.ratio(marks[1], np.diff(lines.bounds)),
        "digit_tokens": layout.ratio(digits, np.diff(words.bounds)),
    }


XML = np.frombuffer(b"<?xml version=", np.uint8)


@jit
def _code_marks(data, ends, bounds, start, end):
    out = np.zeros((2, len(ends) - 1), np.int64)
    for d in range(len(ends) - 1):
        for i in range(ends[d], min(ends[d] + 100 - len(XML) + 1, ends[d + 1])):
            if starts_with(data, i, ends[d + 1], XML):
                out[0, d] = 1
        for line in range(bounds[d], bounds[d + 1]):
            i = start[line]
            while i < end[line] and (data[i] == 32 or data[i] == 9):
                i += 1
            if i >= end[line]:
                continue
            first = data[i]
            second = data[i + 1] if i + 1 < end[line] else np.uint8(0)
            slashes = first == 47 and (second == 47 or second == 42)
            out[1, d] += first == 35 or first == 37 or first == 42 or slashes or (first == 45 and second == 45)
    return out


@jit
def _digit_words(bounds, flags):
    out = np.zeros(len(bounds) - 1, np.int64)
    for d in range(len(bounds) - 1):
        for w in range(bounds[d], bounds[d + 1]):
            out[d] += (flags[w] & 4) != 0
    return out


FORMULAS = ("latex_commands:int64", "distinct_latex_commands:int64", "operators:int64", "dollars:int64",
            "math_symbols", "digits")  # fmt: skip
QUESTIONS = ("question_marks:int64", "question_lines:int64", "choice_lines:int64", "answer_lines:int64")
OPERATORS = np.array([ord(char) for char in "=<>+^×÷±≤≥≠≈∑∏∫√∂∞∈∀∃→"], np.int64)
ANSWER = np.frombuffer(b"answer", np.uint8)


def formulas(layout: Layout) -> Columns:
    """LaTeX commands (a backslash and at least two letters), operators, dollar signs, and shares of characters."""
    counts = class_counts(layout)
    marks = _formula_marks(layout.data, layout.ends)
    return {
        "latex_commands": layout.column(marks[0]),
        "distinct_latex_commands": layout.column(marks[1]),
        "operators": layout.column(marks[2]),
        "dollars": layout.column(marks[3]),
        "math_symbols": layout.ratio(marks[2], counts["chars"]),
        "digits": layout.ratio(counts["digits"], counts["chars"]),
    }


@jit
def _formula_marks(data, ends):
    out = np.zeros((4, len(ends) - 1), np.int64)
    for d in range(len(ends) - 1):
        seen = np.empty(0, np.uint64)
        i = ends[d]
        while i < ends[d + 1]:
            point, width = decode(data, i)
            out[3, d] += point == 36
            for operator in OPERATORS:
                out[2, d] += point == operator
            i += width
            if point != 92:
                continue
            h, begin = np.uint64(0), i
            while i < ends[d + 1] and 97 <= (data[i] | 32) <= 122:
                h = h * np.uint64(0x9E3779B97F4A7C15) + np.uint64(data[i])
                i += 1
            if i - begin < 2:
                continue
            out[0, d] += 1
            new = True
            for k in range(len(seen)):
                new &= seen[k] != h
            if new:
                seen = np.append(seen, h)
        out[1, d] = len(seen)
    return out


def questions(layout: Layout) -> Columns:
    """Question marks, lines that end in one, lines that begin like `A.`, `(b)` or `c)`, lines that begin `answer`."""
    lines = layout.lines("lf")
    marks = _question_marks(layout.data, lines.bounds, lines.start, lines.end)
    return {name.partition(":")[0]: layout.column(marks[k]) for k, name in enumerate(QUESTIONS)}


@jit
def _question_marks(data, bounds, start, end):
    out = np.zeros((4, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            i, stop = start[line], end[line]
            for k in range(i, stop):
                out[0, d] += data[k] == 63
            while stop > i and (data[stop - 1] == 32 or data[stop - 1] == 13):
                stop -= 1
            while i < stop and (data[i] == 32 or data[i] == 9):
                i += 1
            if i == stop:
                continue
            out[1, d] += data[stop - 1] == 63
            opened = data[i] == 40
            k = i + opened
            if k + 1 < stop and 97 <= (data[k] | 32) <= 101:
                out[2, d] += data[k + 1] == 41 or (data[k + 1] == 46 and not opened)
            same = stop - i >= 6
            for j in range(6):
                same = same and data[i + j] | 32 == ANSWER[j]
            out[3, d] += same
    return out
