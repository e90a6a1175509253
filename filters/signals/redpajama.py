"""The signals of RedPajama-V2 that need no list and no model, by its published definitions. Measures, never decides.

Its ~46 signals are had as follows. Here: the two lengths of CCNet that need no model, its document signals on natural
language, content and repetition, and its line signals as their mean over the lines. From elsewhere: the blocklist of
domains (family `url`), the quality classifiers and the importance weights (`classifier_NAME`, or the scores of the
select stage), the language score (`language`); its list of words is not bundled, a word list is a URL rule or a rule
of one's own. CCNet's perplexity and bucket need its models, its original lengths the page before deduplication.
"""

import functools
import sys
import unicodedata

import numpy as np

from ..words import unicode
from ..words.kernels import NEXT, decode, hashed, jit, last, trimmed
from ..words.layout import Layout, Spans
from .content import class_counts, word_entropy
from .gopher import STOP_HASHES, Columns, symbols
from .repetition import SIZES, ngram_statistics

BULLETS = np.array([ord(char) for char in "•‣▶◀◦■□▪▫–"], np.int64)
REDPAJAMA = ("length:int64", "lines:int64", "sentences:int64", "word_count:int64", "mean_word_length",
             "symbol_to_word_ratio", "lines_end_with_ellipsis", "no_alpha_words", "unique_words", "unigram_entropy",
             "all_caps_words", "curly_bracket", "lorem_ipsum", "stop_word_fraction", "bullet_lines", "terminal_lines",
             "line_words", "javascript_line_words", "numerical_line_chars", "uppercase_line_chars",
             *(f"top_{n}gram" for n in (2, 3, 4)), *(f"duplicate_{n}gram" for n in range(5, 11)))  # fmt: skip


def _packed(word: str) -> np.uint64:
    return np.uint64(int.from_bytes(word.encode(), "big"))


def _joined(word: str) -> np.uint64:
    """The hash of a normalised word of ASCII letters."""
    h = 0
    for char in word:
        h = (h * int(NEXT) + ord(char)) % (1 << 64)
    return np.uint64(h)


LOREM, IPSUM, FIVE = _packed("lorem"), _packed("ipsum"), np.uint64((1 << 40) - 1)
JAVASCRIPT = _joined("javascript")


@functools.cache
def _shapes() -> np.ndarray:
    """(0x110000,) uint8: characters of a code point in lower case after canonical decomposition (NFD), and in the
    highest bit whether it is numeric."""
    out = np.ones(sys.maxunicode + 1, np.uint8)
    for point in range(0x30000):
        char = chr(point).lower()
        if len(char) > 1 or not unicodedata.is_normalized("NFD", char):
            out[point] = len(unicodedata.normalize("NFD", char))
        if chr(point).isnumeric():
            out[point] |= 128
    out.setflags(write=False)
    return out


def redpajama(layout: Layout) -> Columns:
    """Its normalised words: ASCII punctuation out, lower case, cut at white space, characters counted after NFD.

    Symbols, capitals, words without a letter and stop words are of its raw words, runs of word characters or of
    marks; the stop words are Gopher's, its own list is not bundled. The entropy is in nats. The signals of lines are
    given as their mean over lines: `line_words` and `javascript_line_words` count normalised words.
    """
    counts, signs, lines = class_counts(layout), symbols(layout), layout.lines("lf")
    words, lorem = layout.part("normal words", normal_words)
    raw = _raw_words(layout.data, layout.ends, layout.table, STOP_HASHES)
    where = (layout.data, lines.bounds, lines.start, lines.end, lines.chars, layout.table)
    marked, shares = _marked_lines(*where, unicode.lowered(), _shapes())
    number, many = np.diff(words.bounds), np.maximum(marked[0], 1)
    distinct, entropy = word_entropy(words.bounds, words.hash)
    grams = layout.part("ngrams normal", lambda it: ngram_statistics(words))
    chars = grams.chars
    top = np.where(grams.top_count > 1, grams.top_chars * grams.top_count, 0)
    columns = {
        "length": layout.column(counts["chars"]),
        "lines": layout.column(marked[0]),
        "sentences": layout.column(_sentences(layout.data, layout.ends, layout.table)),
        "word_count": layout.column(number),
        "mean_word_length": layout.ratio(chars, number),
        "symbol_to_word_ratio": layout.ratio(signs[1] + signs[2] + signs[3], raw[0]),
        "lines_end_with_ellipsis": layout.ratio(marked[1], marked[0]),
        "no_alpha_words": layout.ratio(raw[0] - raw[1], raw[0]),
        "unique_words": layout.ratio(distinct, number),
        "unigram_entropy": layout.column(entropy * np.log(2), number == 0),
        "all_caps_words": layout.ratio(raw[2], raw[0]),
        "curly_bracket": layout.ratio(counts["brackets"], counts["chars"]),
        "lorem_ipsum": layout.column(lorem / np.maximum(chars + number - 1, 1)),
        "stop_word_fraction": layout.ratio(raw[3], raw[0]),
        "bullet_lines": layout.ratio(marked[2], marked[0]),
        "terminal_lines": layout.ratio(marked[3], marked[0]),
        "line_words": layout.ratio(number, marked[0]),
        "javascript_line_words": layout.ratio(marked[4], marked[0]),
        "numerical_line_chars": layout.column(shares[0] / many, marked[0] == 0),
        "uppercase_line_chars": layout.column(shares[1] / many, marked[0] == 0),
    }
    columns |= {f"top_{n}gram": layout.ratio(top[:, k], chars) for k, n in enumerate((2, 3, 4))}
    repeated = grams.repeated_covered
    return columns | {f"duplicate_{n}gram": layout.ratio(repeated[:, SIZES.index(n)], chars) for n in range(5, 11)}


@jit
def _normal_words(data, ends, table, lower, shapes, fill, bounds):
    """White-space words in lower case without ASCII punctuation, and how often `lorem ipsum` stands among them."""
    made, lorem = np.zeros(len(ends), np.int64), np.zeros(len(ends) - 1, np.int64)
    n = bounds[-1] if fill else 0
    start, end, hashes = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    chars, flags = np.empty(n, np.int32), np.empty(n, np.uint16)
    w = 0
    for d in range(len(ends) - 1):
        i, begin, points, size, h, union = ends[d], ends[d], 0, 0, np.uint64(0), np.uint16(0)
        head, tail, before = np.uint64(0), np.uint64(0), np.uint64(0)  # five characters of this and the last word
        while True:
            over = i >= ends[d + 1]
            point, width = (np.int64(32), 1) if over else decode(data, i)
            kind = table[point]
            if kind & 1:
                if points:
                    if fill:
                        start[w], end[w], hashes[w], chars[w], flags[w] = begin, i, h, size, union
                        lorem[d] += before == LOREM and head == IPSUM
                    w += 1
                    before = tail
                points, size, h, union, head, tail = 0, 0, np.uint64(0), np.uint16(0), np.uint64(0), np.uint64(0)
                begin = i + width
            elif point >= 128 or not kind & 48:  # PUNCTUATION and SYMBOL of ASCII go
                h = h * NEXT + np.uint64(lower[point])
                tail = ((tail << np.uint64(8)) | np.uint64(lower[point] if point < 128 else 0)) & FIVE
                points += 1
                size += shapes[point] & 31
                union |= kind
                if points == 5:
                    head = tail
            if over:
                break
            i += width
        made[d + 1] = w
    return made, lorem, (start, end, hashes, chars, flags)


def normal_words(layout: Layout) -> tuple[Spans, np.ndarray]:
    """RedPajama's normalised words of every text, and (D,) how often `lorem ipsum` stands among them."""
    where = (layout.data, layout.ends, layout.table, unicode.lowered(), _shapes())
    bounds = _normal_words(*where, False, np.zeros(1, np.int64))[0]
    _, lorem, parts = _normal_words(*where, True, bounds)
    return Spans(bounds, *parts), lorem


@jit
def _sentences(data, ends, table):
    """(D,) pieces that begin at a word boundary, none of them before the last one's full stops, ! and ? are over."""
    out = np.zeros(len(ends) - 1, np.int64)
    for d in range(len(ends) - 1):
        before, inside, ending = False, False, False  # after a word's character, in a piece, in its marks
        i = ends[d]
        while i < ends[d + 1]:
            point, width = decode(data, i)
            mark = point == 46 or point == 33 or point == 63
            word = table[point] & 8192 != 0 or point == 95  # ALNUM or _
            if inside and mark:
                ending = True
            elif inside and ending:
                inside, ending = False, False
            if not inside and not mark and word != before:
                inside = True
                out[d] += 1
            before = word
            i += width
    return out


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
def _marked_lines(data, bounds, start, end, chars, table, lower, shapes):
    """(5, D): lines; with an ellipsis last; with a bullet first; with a terminal mark last; words `javascript`.
    (2, D): sums over lines of the share of numerals in the normalised line, and of capitals in the line."""
    out, shares = np.zeros((5, len(bounds) - 1), np.int64), np.zeros((2, len(bounds) - 1), np.float64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            final = line == bounds[d + 1] - 1
            if final and start[line] == end[line]:
                continue  # what follows the last line feed is no line
            out[0, d] += 1
            i, stop = trimmed(data, table, start[line], end[line])
            if i == stop:
                continue
            point = last(data, i, stop)[0]
            three = stop - i >= 3 and data[stop - 1] == 46 and data[stop - 2] == 46 and data[stop - 3] == 46
            out[1, d] += three or point == 0x2026
            out[3, d] += point == 46 or point == 33 or point == 63 or point == 0x201D
            first = decode(data, i)[0]
            for bullet in BULLETS:
                out[2, d] += first == bullet
            upper, numerals, size, words, points, h = 0, 0, 0, 0, 0, np.uint64(0)
            while i <= stop:
                point, width = (np.int64(32), 1) if i == stop else decode(data, i)
                kind = table[point]
                upper += (kind & 64) != 0
                if kind & 1:
                    words += points > 0
                    out[4, d] += points > 0 and h == JAVASCRIPT
                    points, h = 0, np.uint64(0)
                elif point >= 128 or not kind & 48:
                    h = h * NEXT + np.uint64(lower[point])
                    points += 1
                    size += shapes[point] & 31
                    numerals += shapes[point] >> 7
                i += width
            if words:
                shares[0, d] += numerals / (size + words - 1)
            shares[1, d] += upper / (chars[line] + (0 if final else 1))  # its line feed is of the line
    return out, shares
