"""The Gopher signals (Rae et al. 2021, appendix A), quality and repetition, in the dialects that peers compute.

Measures and never decides: thresholds are in `rules/*.yaml`. Every dialect has the same columns where it has the
notion at all; they differ in what a word, a line, a symbol and a repetition is, see `DIALECTS`. A ratio whose
denominator is zero is null; a text with fewer than n words repeats no n-gram and has 0.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from ..words import unicode
from ..words.kernels import bits, characters, decode, ends_with, hashed, jit, starts_with, trimmed
from ..words.layout import Layout, Spans
from .repetition import NgramStatistics, ngram_statistics, piece_statistics, skipping_duplicates

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
TOP, DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)


def bytes_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


DOTS, ELLIPSIS, SPACED = bytes_of("..."), bytes_of("…"), bytes_of(". . .")
STOP_HASHES = np.sort(np.array([hashed(bytes_of(word), 0, len(word)) for word in STOP_WORDS], np.uint64))


def ngrams(layout: Layout, kind: str, largest: int = 10) -> NgramStatistics:
    return layout.part(f"ngrams {kind} {largest}", lambda it: ngram_statistics(it.words(kind), largest))


def symbols(layout: Layout) -> np.ndarray:
    """(5, D) int64: characters, `#`, `...`, `…` and `. . .`, each counted without overlap."""
    return layout.part("symbols", lambda it: _symbols(it.data, it.ends, it.signs))


@jit
def _symbols(data, ends, signs):
    out = np.zeros((5, len(ends) - 1), np.int64)
    for d in range(len(ends) - 1):
        out[0, d] = characters(data, ends[d], ends[d + 1])
        if not signs[d] & (8 | 16 | 32):  # HASH, DOTS, ELLIPSIS
            continue
        dots, spaced = ends[d], ends[d]  # where the next match may begin
        for i in range(ends[d], ends[d + 1]):
            byte = data[i]
            if byte == 35:
                out[1, d] += 1
            elif byte == 46:
                if i >= dots and starts_with(data, i, ends[d + 1], DOTS):
                    out[2, d] += 1
                    dots = i + 3
                if i >= spaced and starts_with(data, i, ends[d + 1], SPACED):
                    out[4, d] += 1
                    spaced = i + 5
            elif byte == 0xE2 and starts_with(data, i, ends[d + 1], ELLIPSIS):
                out[3, d] += 1
    return out


@jit
def _word_counts(data, bounds, start, end, hashes, chars, flags, stops, kept):
    """(8, D): words; their characters; kept words, characters of kept words; with a letter; stop words, distinct
    stop words; words with a symbol (`#` or `…`). `kept` is the class of which a kept word has a character."""
    out = np.zeros((8, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        seen, total, plain, size, letters, stopped = 0, 0, 0, 0, 0, 0
        for w in range(bounds[d], bounds[d + 1]):
            total += chars[w]
            if flags[w] & kept:
                plain += 1
                size += chars[w]
            letters += (flags[w] & 2) != 0  # ALPHA
            if chars[w] <= 4 and chars[w] >= 2:
                for at in range(len(stops)):
                    if stops[at] == hashes[w]:
                        stopped += 1
                        seen |= 1 << at
            if flags[w] & 16:  # PUNCTUATION
                for i in range(start[w], end[w]):
                    if data[i] == 35 or (data[i] == 0xE2 and starts_with(data, i, end[w], ELLIPSIS)):
                        out[7, d] += 1
                        break
        out[0, d], out[1, d], out[2, d], out[3, d] = bounds[d + 1] - bounds[d], total, plain, size
        out[4, d], out[5, d], out[6, d] = letters, stopped, bits(np.uint64(seen))
    return out


@jit
def _marked_lines(data, bounds, start, end, table, bullets, strip, dots, spaced, skip):
    """(4, D): lines, those that start with one of `bullets`, those that end with an ellipsis, those that are blank.

    strip 0: as they are; 1: white space around is stripped. dots, spaced: `...` and `. . .` are an ellipsis as well.
    skip: blank lines do not count.
    """
    out = np.zeros((4, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            i, stop = start[line], end[line]
            j, k = trimmed(data, table, i, stop)
            out[3, d] += j == k
            if j == k and skip:
                continue
            out[0, d] += 1
            if strip:
                i, stop = j, k
            if i == stop:
                continue
            point = decode(data, i)[0]
            for bullet in bullets:
                if point == bullet:
                    out[1, d] += 1
                    break
            if (
                ends_with(data, i, stop, ELLIPSIS)
                or (dots and ends_with(data, i, stop, DOTS))
                or (spaced and ends_with(data, i, stop, SPACED))
            ):
                out[2, d] += 1
    return out


@jit
def _median_chars(bounds, chars):
    out = np.zeros(len(bounds) - 1, np.float64)
    for d in range(len(bounds) - 1):
        if bounds[d + 1] > bounds[d]:
            out[d] = np.median(chars[bounds[d] : bounds[d + 1]])
    return out


def _counts(layout: Layout, words: Spans, kept: int) -> np.ndarray:
    parts = (words.start, words.end, words.hash, words.chars, words.flags)
    return _word_counts(layout.data, words.bounds, *parts, STOP_HASHES, np.uint16(kept))


def _marks(layout: Layout, kind: str, bullets: str, *, strip: bool, dots: bool, spaced: bool, skip: bool) -> np.ndarray:
    lines = layout.lines(kind)
    points = np.array([ord(bullet) for bullet in bullets], np.int64)
    parts = (lines.bounds, lines.start, lines.end, layout.table, points)
    return _marked_lines(layout.data, *parts, strip, dots, spaced, skip)


Columns = dict[str, pa.Array]


def _ngram_columns(layout: Layout, top: np.ndarray, repeated: np.ndarray, below: np.ndarray) -> Columns:
    """top (D, 3) and repeated (D, 6) over `below` (D,), or (D, 6) for the repeated ones."""
    columns = {f"top_{n}gram": layout.ratio(top[:, k], below) for k, n in enumerate(TOP)}
    return columns | {f"duplicate_{n}gram": layout.ratio(repeated[:, k], below) for k, n in enumerate(DUPLICATE)}


def paper(layout: Layout) -> Columns:
    """The paper's own words: white-space words, each character of a repeated n-gram counted once.

    Where the paper leaves it open: a duplicate line is one that equals an earlier line, blank lines do not count,
    characters are those of words (n-grams) or of the lines (lines), and `-` and U+2022 are bullets.
    """
    words = layout.words("space")
    counts = _counts(layout, words, unicode.ALPHA)
    marks = _marks(layout, "broken", "•-", strip=True, dots=True, spaced=False, skip=True)
    signs, grams = symbols(layout), ngrams(layout, "space")
    lines = _pieces_without_blank(layout, "lf")
    paragraphs = _pieces_without_blank(layout, "blocks")
    columns = {
        "word_count": layout.column(counts[0]),
        "mean_word_length": layout.ratio(counts[1], counts[0]),
        "hash_ratio": layout.ratio(signs[1], counts[0]),
        "ellipsis_ratio": layout.ratio(signs[2] + signs[3], counts[0]),
        "bullet_lines": layout.ratio(marks[1], marks[0]),
        "ellipsis_lines": layout.ratio(marks[2], marks[0]),
        "alpha_words": layout.ratio(counts[4], counts[0]),
        "stop_words": layout.column(counts[6]),
        "duplicate_lines": layout.ratio(lines.later, lines.pieces),
        "duplicate_line_chars": layout.ratio(lines.later_chars, lines.chars),
        "duplicate_paragraphs": layout.ratio(paragraphs.later, paragraphs.pieces),
        "duplicate_paragraph_chars": layout.ratio(paragraphs.later_chars, paragraphs.chars),
    }
    top = np.where(grams.top_count > 1, grams.top_covered, 0)
    return columns | _ngram_columns(layout, top[:, :3], grams.repeated_covered[:, 3:], grams.chars)


def datatrove(layout: Layout) -> Columns:
    """datatrove 0.10: spaCy's tokens, punctuation among them; later occurrences over the characters of the text."""
    words = layout.words("english")
    counts = _counts(layout, words, unicode.PLAIN)
    marks = _marks(layout, "broken", "•-", strip=True, dots=True, spaced=False, skip=False)
    signs, grams = symbols(layout), ngrams(layout, "english", TOP[-1])
    lines, paragraphs = piece_statistics(layout.lines("runs")), piece_statistics(layout.lines("blocks"))
    spaces = np.array([n - 1 for n in TOP])
    top = np.where(grams.top_count > 0, (grams.top_chars[:, :9]), 0)[:, :3]
    top = np.where(grams.top_count[:, :3] > 0, (top + spaces) * grams.top_count[:, :3], 0)
    parts = (layout.data, words.bounds, words.start, words.end, words.chars)
    columns = {
        "word_count": layout.column(counts[2]),
        "mean_word_length": layout.ratio(counts[3], counts[2]),
        "hash_ratio": layout.ratio(signs[1], counts[0]),
        "ellipsis_ratio": layout.ratio(signs[2] + signs[3], counts[0]),
        "bullet_lines": layout.ratio(marks[1], marks[0]),
        "ellipsis_lines": layout.ratio(marks[2], marks[0]),
        "alpha_words": layout.ratio(counts[4], counts[0]),
        "stop_words": layout.column(counts[6]),
        "duplicate_lines": layout.ratio(lines.later, lines.pieces),
        "duplicate_line_chars": layout.ratio(lines.later_chars, signs[0]),
        "duplicate_paragraphs": layout.ratio(paragraphs.later, paragraphs.pieces),
        "duplicate_paragraph_chars": layout.ratio(paragraphs.later_chars, signs[0]),
    }
    return columns | _ngram_columns(layout, top, skipping_duplicates(*parts, 5), signs[0])


def dolma(layout: Layout) -> Columns:
    """Dolma 1.2 `gopher_v1`: white-space words, the median length, all occurrences, over the characters of words."""
    words = layout.words("space")
    counts = _counts(layout, words, unicode.ALPHA)
    marks = _marks(layout, "lf", "*-", strip=False, dots=False, spaced=False, skip=False)
    grams, lines = ngrams(layout, "space"), piece_statistics(layout.lines("lf"))
    top = grams.top_count[:, :3] * grams.top_chars[:, :3]
    columns = {
        "word_count": layout.column(counts[0]),
        "median_word_length": layout.column(_median_chars(words.bounds, words.chars), counts[0] == 0),
        "symbol_ratio": layout.ratio(counts[7], counts[0]),
        "bullet_lines": layout.ratio(marks[1], marks[0]),
        "ellipsis_lines": layout.ratio(marks[2], marks[0]),
        "alpha_words": layout.ratio(counts[4], counts[0]),
        "stop_words": layout.column(counts[5]),
        "duplicate_lines": layout.ratio(lines.repeated, lines.pieces),
        "duplicate_line_chars": layout.ratio(lines.repeated_chars, counts[1]),
    }
    for k, n in enumerate(TOP):
        columns[f"top_{n}gram"] = layout.ratio(top[:, k], counts[1])
    for k, n in enumerate(DUPLICATE, 3):
        some = np.where(grams.all_chars[:, k] > 0, grams.all_chars[:, k], counts[1])  # none: 0 over the text
        columns[f"duplicate_{n}gram"] = layout.ratio(grams.repeated_chars[:, k], some)
    return columns


def dclm(layout: Layout) -> Columns:
    """DCLM baselines: Unicode words without punctuation, all occurrences, lines and paragraphs stripped.

    Lengths, symbols and stop words (lower-cased, every occurrence) are over white-space words, as there.
    """
    words, plain = layout.words("unicode"), layout.words("space")
    counts = _counts(layout, plain, unicode.ALPHA)
    marks = _marks(layout, "lf", "●•*-", strip=True, dots=True, spaced=True, skip=True)
    signs, grams = symbols(layout), ngrams(layout, "unicode")
    lines, paragraphs = _pieces_without_blank(layout, "lf"), _pieces_without_blank(layout, "pairs")
    top = np.where(grams.top_count > 1, grams.top_longest * grams.top_count, 0)
    stops = _lower_stops(layout.data, plain.bounds, plain.start, plain.end, STOP_HASHES)
    columns = {
        "word_count": layout.column(np.diff(words.bounds)),
        "mean_word_length": layout.ratio(counts[1], counts[0]),
        "symbol_ratio": layout.ratio(signs[1] + signs[2] + signs[3] + signs[4], counts[0]),
        "bullet_lines": layout.ratio(marks[1], marks[0]),
        "ellipsis_lines": layout.ratio(marks[2], marks[0]),
        "alpha_words": layout.ratio(counts[4], counts[0]),
        "stop_words": layout.column(stops),
    }
    for name, pieces in (("line", lines), ("paragraph", paragraphs)):
        several = pieces.pieces > 1  # one piece cannot repeat
        columns[f"duplicate_{name}s"] = layout.ratio(np.where(several, pieces.repeated, 0), pieces.pieces)
        columns[f"duplicate_{name}_chars"] = layout.ratio(np.where(several, pieces.repeated_chars, 0), pieces.chars)
    return columns | _ngram_columns(layout, top[:, :3], grams.repeated_covered[:, 3:], grams.chars)


@jit
def _lower_stops(data, bounds, start, end, stops):
    """Words that are stop words once ASCII letters are lower-cased."""
    out = np.zeros(len(bounds) - 1, np.int64)
    word = np.empty(8, np.uint8)
    for d in range(len(bounds) - 1):
        for w in range(bounds[d], bounds[d + 1]):
            size = end[w] - start[w]
            if size > 8:
                continue
            for i in range(size):
                byte = data[start[w] + i]
                word[i] = byte + 32 if 65 <= byte <= 90 else byte
            h = hashed(word, 0, size)
            at = np.searchsorted(stops, h)
            out[d] += at < len(stops) and stops[at] == h
    return out


def _pieces_without_blank(layout: Layout, kind: str):
    """Statistics of the pieces that are not blank, compared and measured without the white space around."""

    def make(it: Layout):
        lines = it.lines(kind)
        hashes, chars = _strip(it.data, lines.start, lines.end, it.table)
        return piece_statistics(Spans(lines.bounds, lines.start, lines.end, hashes, chars, lines.flags), chars == 0)

    return layout.part(f"pieces without blank {kind}", make)


@jit
def _strip(data, start, end, table):
    hashes, chars = np.zeros(len(start), np.uint64), np.zeros(len(start), np.int32)
    for line in range(len(start)):
        i, stop = trimmed(data, table, start[line], end[line])
        hashes[line], chars[line] = hashed(data, i, stop), characters(data, i, stop)
    return hashes, chars


DIALECTS: dict[str, Callable[[Layout], Columns]] = {
    "paper": paper,
    "datatrove": datatrove,
    "dolma": dolma,
    "dclm": dclm,
}
