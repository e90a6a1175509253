"""The document signals of RedPajama-V2 that need no list and no model. Measures and never decides.

Left out: the counts of listed words and domains (see `urls.py`), the classifiers and the importance weights.
"""

import numpy as np

from . import unicode
from .content import class_counts, word_entropy
from .gopher import STOP_HASHES, Columns, symbols
from .kernels import NEXT, decode, hashed, jit, last, trimmed
from .layout import Layout, Spans
from .lines import holds
from .repetition import SIZES, ngram_statistics

LOREM = np.frombuffer(b"lorem ipsum", np.uint8)
LOREM_ENDS = np.array([0, 11], np.int64)
BULLETS = np.array([ord(char) for char in "•‣▶◀◦■□▪▫–"], np.int64)
REDPAJAMA = ("word_count:int64", "mean_word_length", "symbol_to_word_ratio", "lines_end_with_ellipsis",
             "no_alpha_words", "unique_words", "unigram_entropy", "all_caps_words", "curly_bracket", "lorem_ipsum",
             "stop_word_fraction", "bullet_lines", "terminal_lines", "numerical_line_chars", "uppercase_line_chars",
             *(f"top_{n}gram" for n in (2, 3, 4)), *(f"duplicate_{n}gram" for n in range(5, 11)))  # fmt: skip


def redpajama(layout: Layout) -> Columns:
    """RedPajama-V2's document signals on its normalised words: ASCII punctuation out, lower case, cut at white space.

    Its symbol ratios are over word-and-punctuation tokens. Characters are counted before NFD. Unigram entropy is in
    nats, as there. The line signals are given as their mean over lines, the two of characters over all characters.
    """
    counts, signs, lines = class_counts(layout), symbols(layout), layout.lines("lf")
    words = layout.part("normal words", normal_words)
    raw = _raw_words(layout.data, layout.ends, layout.table, STOP_HASHES)
    marked = _marked_lines(layout.data, lines.bounds, lines.start, lines.end, layout.table)
    number = np.diff(words.bounds)
    distinct, entropy = word_entropy(words.bounds, words.hash)
    grams = layout.part("ngrams normal", lambda it: ngram_statistics(words))
    chars = grams.chars
    top = np.where(grams.top_count > 1, grams.top_chars * grams.top_count, 0)
    columns = {
        "word_count": layout.column(number),
        "mean_word_length": layout.ratio(chars, number),
        "symbol_to_word_ratio": layout.ratio(signs[1] + signs[2] + signs[3], raw[0]),
        "lines_end_with_ellipsis": layout.ratio(marked[1], marked[0]),
        "no_alpha_words": layout.ratio(raw[0] - raw[1], raw[0]),
        "unique_words": layout.ratio(distinct, number),
        "unigram_entropy": layout.column(entropy * np.log(2), number == 0),
        "all_caps_words": layout.ratio(raw[2], raw[0]),
        "curly_bracket": layout.ratio(counts["brackets"], counts["chars"]),
        "lorem_ipsum": layout.ratio(marked[4], counts["chars"]),
        "stop_word_fraction": layout.ratio(raw[3], raw[0]),
        "bullet_lines": layout.ratio(marked[2], marked[0]),
        "terminal_lines": layout.ratio(marked[3], marked[0]),
        "numerical_line_chars": layout.ratio(counts["digits"], counts["chars"]),
        "uppercase_line_chars": layout.ratio(counts["upper"], counts["chars"]),
    }
    columns |= {f"top_{n}gram": layout.ratio(top[:, k], chars) for k, n in enumerate((2, 3, 4))}
    repeated = grams.repeated_covered
    return columns | {f"duplicate_{n}gram": layout.ratio(repeated[:, SIZES.index(n)], chars) for n in range(5, 11)}


@jit
def _normal_words(data, ends, table, lower, fill, bounds):
    """White-space words in lower case without ASCII punctuation; those of nothing else are none."""
    made = np.zeros(len(ends), np.int64)
    n = bounds[-1] if fill else 0
    start, end, hashes = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    chars, flags = np.empty(n, np.int32), np.empty(n, np.uint16)
    w = 0
    for d in range(len(ends) - 1):
        i, begin, points, h, union = ends[d], ends[d], 0, np.uint64(0), np.uint16(0)
        while True:
            over = i >= ends[d + 1]
            point, width = (np.int64(32), 1) if over else decode(data, i)
            kind = table[point]
            if kind & 1:
                if points:
                    if fill:
                        start[w], end[w], hashes[w], chars[w], flags[w] = begin, i, h, points, union
                    w += 1
                points, h, union = 0, np.uint64(0), np.uint16(0)
                begin = i + width
            elif point >= 128 or not kind & 48:  # PUNCTUATION and SYMBOL of ASCII go
                h = h * NEXT + np.uint64(lower[point])
                points += 1
                union |= kind
            if over:
                break
            i += width
        made[d + 1] = w
    return made, (start, end, hashes, chars, flags)


def normal_words(layout: Layout) -> Spans:
    """RedPajama's normalised words of every text."""
    where = (layout.data, layout.ends, layout.table, unicode.lowered())
    bounds = _normal_words(*where, False, np.zeros(1, np.int64))[0]
    return Spans(bounds, *_normal_words(*where, True, bounds)[1])


@jit
def _raw_words(data, ends, table, stops):
    """(4, D): runs of word characters or of marks; those with an ASCII letter; all in capitals; stop words."""
    out = np.zeros((4, len(ends) - 1), np.int64)
    for d in range(len(ends) - 1):
        i, stop = ends[d], ends[d + 1]
        while i < stop:
            point, width = decode(data, i)
            if table[point] & 1:
                i += width
                continue
            word = table[point] & 8192 != 0 or point == 95
            begin, letter, upper, lower = i, False, False, False
            while i < stop:
                point, width = decode(data, i)
                kind = table[point]
                if kind & 1 or (kind & 8192 != 0 or point == 95) != word:
                    break
                letter |= 97 <= (point | 32) <= 122
                upper |= kind & 64 != 0
                lower |= kind & 128 != 0
                i += width
            h = hashed(data, begin, i)
            out[0, d] += 1
            out[1, d] += letter
            out[2, d] += upper and not lower
            at = np.searchsorted(stops, h)
            out[3, d] += at < len(stops) and stops[at] == h
    return out


@jit
def _marked_lines(data, bounds, start, end, table):
    """(5, D): lines; with an ellipsis last; with a bullet first; with a terminal mark last; `lorem ipsum` anywhere."""
    out = np.zeros((5, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            if line == bounds[d + 1] - 1 and start[line] == end[line]:
                continue  # what follows the last line feed is no line
            out[0, d] += 1
            for k in range(start[line], end[line]):
                if data[k] | 32 == 108:
                    out[4, d] += holds(data, k, end[line], LOREM, LOREM_ENDS, 0)
            i, stop = trimmed(data, table, start[line], end[line])
            if i == stop:
                continue
            final = last(data, i, stop)[0]
            three = stop - i >= 3 and data[stop - 1] == 46 and data[stop - 2] == 46 and data[stop - 3] == 46
            out[1, d] += three or final == 0x2026
            first = decode(data, i)[0]
            for bullet in BULLETS:
                out[2, d] += first == bullet
            out[3, d] += final == 46 or final == 33 or final == 63 or final == 0x201D
    return out
