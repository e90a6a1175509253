"""What single lines look like: one row a line, for rules that cut lines out of a text and for signals made of them.

`line_signals` measures every line of every text of a batch as columns; `rule_sets` evaluates line rules over them,
and `c4.py` counts with them. Case is ignored where phrases are looked for, for ASCII letters only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..words.kernels import decode, in_phrase, jit, last, longest, slot, starts_with, table_size, trimmed
from ..words.layout import Layout, Spans

POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
PHRASES = ("javascript", "lorem ipsum", *POLICY)
# RefinedWeb's short navigation lines: at the start, at the end, anywhere
PREFIXES, SUFFIXES, ANYWHERE = ("sign-in",), ("read more...",), ("items in cart",)
COUNTED = "likes shares comments retweets reposts quotes bookmarks upvotes downvotes downloads views followers".split()


def _table(phrases: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The phrases one after the other, and where each ends."""
    data = np.frombuffer("".join(phrases).encode(), np.uint8)
    return data, np.cumsum([0] + [len(phrase.encode()) for phrase in phrases]).astype(np.int64)


_PHRASES, _PREFIXES, _SUFFIXES = _table(PHRASES), _table(PREFIXES), _table(SUFFIXES)
_ANYWHERE, _COUNTED = _table(ANYWHERE), _table(COUNTED)


@dataclass(frozen=True)
class Lines:
    """One value a line, (S,) each; `spans` tells which lines are whose."""

    spans: Spans
    words: np.ndarray  # int64 white-space words
    longest_word: np.ndarray  # int64 characters
    terminal: np.ndarray  # bool ends in . ? ! " ' and not in ..., white space around and citations aside
    ending: np.ndarray  # int64 the last code point, white space aside; 0 for a blank line
    dots: np.ndarray  # bool ends in ... or U+2026
    curly: np.ndarray  # bool holds {
    phrases: np.ndarray  # int64 bit p: holds PHRASES[p]
    cited: np.ndarray  # bool holds `[1]`, `[]`, `[edit]` or `[citation needed]`
    sentences: np.ndarray  # int64 sentences of a line by spaCy's sentencizer

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class Shapes:
    """What RefinedWeb asks of a line, (S,) each."""

    uppercase: np.ndarray  # int64 upper-case characters
    digits: np.ndarray  # int64 digits
    counter: np.ndarray  # bool is a counter, such as `3 likes`
    navigation: np.ndarray  # bool holds one of RefinedWeb's navigation phrases
    again: np.ndarray  # bool equals an earlier line once stripped and lower-cased


LINE_COLUMNS = {
    "words": pa.int64(),
    "chars": pa.int64(),
    "longest_word": pa.int64(),
    "terminal": pa.bool_(),
    "punctuated": pa.bool_(),
    "dots": pa.bool_(),
    "curly": pa.bool_(),
    "javascript": pa.bool_(),
    "lorem_ipsum": pa.bool_(),
    "policy": pa.bool_(),
    "uppercase": pa.float64(),
    "digits": pa.float64(),
    "counter": pa.bool_(),
    "navigation": pa.bool_(),
    "sentences": pa.int64(),
    "repeated": pa.bool_(),
    "blank": pa.bool_(),
}


def line_table(layout: Layout, kind: str) -> pa.Table:
    """The lines as a table of `LINE_COLUMNS`, in order; fractions are of the line's characters, 0 for an empty one."""
    lines, shapes = line_signals(layout, kind), line_shapes(layout, kind)
    chars = lines.spans.chars.astype(np.int64)
    below = np.maximum(chars, 1)
    ending = np.isin(lines.ending, [ord(char) for char in '.!?"…'])
    values = {
        "words": lines.words,
        "chars": chars,
        "longest_word": lines.longest_word,
        "terminal": lines.terminal,
        "punctuated": ending,
        "dots": lines.dots,
        "curly": lines.curly,
        "javascript": (lines.phrases & 1) > 0,
        "lorem_ipsum": (lines.phrases & 2) > 0,
        "policy": lines.phrases >> 2 > 0,
        "uppercase": shapes.uppercase / below,
        "digits": shapes.digits / below,
        "counter": shapes.counter,
        "navigation": shapes.navigation,
        "sentences": lines.sentences,
        "repeated": shapes.again,
        "blank": lines.ending == 0,
    }
    return pa.table({name: pa.array(values[name], kind) for name, kind in LINE_COLUMNS.items()})


def line_signals(layout: Layout, kind: str) -> Lines:
    """Signals of the lines of this kind, see `layout`."""

    def make(it: Layout) -> Lines:
        spans = it.lines(kind)
        words, tokens = it.words("space"), it.words("english")
        counts = _line_words(spans.bounds, spans.end, words.bounds, words.start, words.chars)
        marks = _line_marks(it.data, it.signs, spans.bounds, spans.start, spans.end, it.table, *_PHRASES)
        parts = (tokens.bounds, tokens.start, tokens.end, tokens.chars, tokens.flags)
        sentences = _line_sentences(it.data, spans.bounds, spans.end, *parts)
        return Lines(*(spans, *counts, *marks, sentences))

    return layout.part(f"lines {kind}", make)


def line_shapes(layout: Layout, kind: str) -> Shapes:
    """Shapes of the lines of this kind, see `layout`."""

    def make(it: Layout) -> Shapes:
        spans, words = it.lines(kind), line_signals(it, kind).words
        where = (it.data, spans.start, spans.end, it.table)
        marks = (*_PREFIXES, *_SUFFIXES, *_ANYWHERE, *_COUNTED)
        uppercase, digits, counter, navigation = _line_shapes(*where, words, *marks)
        again = _line_repeats(it.data, spans.bounds, spans.start, spans.end, it.table)
        return Shapes(uppercase, digits, counter, navigation, again)

    return layout.part(f"line shapes {kind}", make)


@jit
def _line_words(bounds, ends, word_bounds, starts, chars):
    """(S,) words of each line, (S,) characters of the longest."""
    words, most = np.zeros(len(ends), np.int64), np.zeros(len(ends), np.int64)
    for d in range(len(bounds) - 1):
        w = word_bounds[d]
        for line in range(bounds[d], bounds[d + 1]):
            while w < word_bounds[d + 1] and starts[w] < ends[line]:
                words[line] += 1
                most[line] = max(most[line], chars[w])
                w += 1
    return words, most


@jit
def _line_sentences(data, bounds, ends, word_bounds, starts, stops, chars, flags):
    """(S,) sentences: a new one begins at the first token that is no punctuation after a full stop or its like.

    White space of more than one space is such a token.
    """
    out = np.zeros(len(ends), np.int64)
    for d in range(len(bounds) - 1):
        w = word_bounds[d]
        for line in range(bounds[d], bounds[d + 1]):
            ended = False
            while w < word_bounds[d + 1] and starts[w] < ends[line]:
                out[line] = max(out[line], 1)
                stop = chars[w] == 1 and flags[w] & 1024 != 0  # TERMINAL
                only_marks = flags[w] & 16 != 0 and flags[w] & (1 | 2 | 8 | 32 | 256 | 4096) == 0
                if ended:
                    gap = starts[w] - stops[w - 1]
                    spaced = gap > 1 or (gap == 1 and data[stops[w - 1]] != 32)
                    if spaced or not (stop or only_marks):
                        out[line] += 1
                        ended = False
                ended |= stop
                w += 1
    return out


@jit
def holds(data, i, stop, phrases, ends, p):
    """Phrase p, in lower case, stands at byte i in whatever case of ASCII letters."""
    if i + ends[p + 1] - ends[p] > stop:
        return False
    for k in range(ends[p], ends[p + 1]):
        byte = data[i]
        if 65 <= byte <= 90:
            byte += 32
        if byte != phrases[k]:
            return False
        i += 1
    return True


EDIT = np.frombuffer(b"[edit]", np.uint8)
NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@jit
def citation(data, i, stop, table):
    """Bytes of the citation that begins at byte i, 0 for none."""
    if starts_with(data, i, stop, EDIT):
        return 6
    if starts_with(data, i, stop, NEEDED):
        return 17
    k = i + 1
    while k < stop:
        point, width = decode(data, k)
        if point == 93:
            return k + 1 - i
        if not table[point] & 4:  # DIGIT
            return 0
        k += width
    return 0


@jit
def _rare(data, i, stop):
    """Whether the span holds `{` or `[`, and whether it holds a piece of one of PHRASES; without branches."""
    opened, phrase, one = np.uint8(0), np.uint8(0), np.uint64(1)
    for j in range(stop - i):
        opened |= np.uint8(data[np.uint64(i + j)] | 32 == 123)
    for j in range(stop - i - 3):
        k = np.uint64(i + j)
        phrase |= in_phrase(data[k], data[k + one], data[k + one + one], data[k + one + one + one])
    return opened > 0, phrase > 0


@jit
def _line_marks(data, signs, bounds, start, end, table, phrases, phrase_ends):
    """terminal, ending, dots, curly, phrases, cited of each line."""
    n = len(start)
    terminal, dots, curly = np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    ending, found, cited = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)
    wanted = np.zeros(256, np.bool_)  # what a phrase begins with
    for p in range(len(phrase_ends) - 1):
        wanted[phrases[phrase_ends[p]]] = True
    for d in range(len(bounds) - 1):
        rare = signs[d] & (2 | 4 | 64)  # CURLY, BRACKET, PHRASE
        for line in range(bounds[d], bounds[d + 1]):
            i, stop = trimmed(data, table, start[line], end[line])
            if i == stop:
                continue
            point = last(data, i, stop)[0]
            ending[line] = point
            three = stop - i >= 3 and data[stop - 1] == 46 and data[stop - 2] == 46 and data[stop - 3] == 46
            dots[line] = three or point == 0x2026
            good = point == 46 or point == 63 or point == 33 or point == 34 or point == 39
            terminal[line] = good and not three
            if not rare:
                continue
            opened, phrase = _rare(data, i, stop)
            if opened:
                for k in range(i, stop):
                    if data[k] | 32 == 123:  # { or [
                        curly[line] |= data[k] == 123
                        cited[line] |= data[k] == 91 and citation(data, k, end[line], table) > 0
            if phrase:
                for k in range(i, stop):
                    if not wanted[data[k] | 32]:
                        continue
                    for p in range(len(phrase_ends) - 1):
                        if holds(data, k, stop, phrases, phrase_ends, p):
                            found[line] |= 1 << p
    return terminal, ending, dots, curly, found, cited


@jit
def _line_shapes(data, start, end, table, words, pre, pre_ends, suf, suf_ends, any_, any_ends, counted, counted_ends):
    """uppercase, digits, counter, navigation of each line."""
    n = len(start)
    upper, digits = np.zeros(n, np.int64), np.zeros(n, np.int64)
    counter, navigation = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for line in range(n):
        i = start[line]
        while i < end[line]:
            point, width = decode(data, i)
            upper[line] += (table[point] & 64) != 0
            digits[line] += (table[point] & 4) != 0
            i += width
        counter[line] = _is_counter(data, start[line], end[line], table, counted, counted_ends)
        if words[line] <= 10:
            for p in range(len(pre_ends) - 1):
                navigation[line] |= holds(data, start[line], end[line], pre, pre_ends, p)
            for p in range(len(suf_ends) - 1):
                at = end[line] - (suf_ends[p + 1] - suf_ends[p])
                navigation[line] |= at >= start[line] and holds(data, at, end[line], suf, suf_ends, p)
            for p in range(len(any_ends) - 1):
                for k in range(start[line], end[line]):
                    if data[k] | 32 == any_[any_ends[p]] and holds(data, k, end[line], any_, any_ends, p):
                        navigation[line] = True
    return upper, digits, counter, navigation


@jit
def _is_counter(data, i, stop, table, counted, counted_ends):
    """Marks, a number with , or . and perhaps k, m or b, white space, one of the counted things, marks."""
    while i < stop:
        point, width = decode(data, i)
        if table[point] & 8192 or point == 95:  # ALNUM or _
            break
        i += width
    if i >= stop or not 48 <= data[i] <= 57:
        return False
    while i < stop and (48 <= data[i] <= 57 or data[i] == 44 or data[i] == 46):
        i += 1
    if i < stop and (data[i] | 32 == 107 or data[i] | 32 == 109 or data[i] | 32 == 98):
        i += 1
    spaced = i
    while i < stop and table[decode(data, i)[0]] & 1:
        i += decode(data, i)[1]
    if i == spaced:
        return False
    for p in range(len(counted_ends) - 1):
        if holds(data, i, stop, counted, counted_ends, p):
            k = i + counted_ends[p + 1] - counted_ends[p]
            while k < stop:
                point, width = decode(data, k)
                if table[point] & 8192 or point == 95:
                    break
                k += width
            if k >= stop:
                return True
    return False


@jit
def _line_repeats(data, bounds, start, end, table):
    """(S,) the line, stripped and with ASCII letters lower-cased, stands earlier in the text; never a blank one."""
    out = np.zeros(len(start), np.bool_)
    size = table_size(longest(bounds))
    keys, stamps = np.empty(size, np.uint64), np.full(size, -1, np.int64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            i, stop = trimmed(data, table, start[line], end[line])
            if i == stop:
                continue
            h = np.uint64(0)
            for k in range(i, stop):
                byte = data[k]
                h = h * np.uint64(0x9E3779B97F4A7C15) + np.uint64(byte + 32 if 65 <= byte <= 90 else byte)
            s = slot(keys, stamps, d, h)
            out[line] = stamps[s] == d
            stamps[s], keys[s] = d, h
    return out


@jit
def without_citations(data, start, end, table):
    """The bytes of these lines without their citations, and the (S+1,) offsets of the lines in them.

    datatrove strips a line before it takes the citations out, so white space that a citation leaves at the end of a
    line hides the full stop, and two such characters make a sentence of their own. Marks in their place do the same.
    """
    size = np.int64(0)
    for line in range(len(start)):
        size += end[line] - start[line]
    out, bounds, n = np.empty(size, np.uint8), np.zeros(len(start) + 1, np.int64), 0
    for line in range(len(start)):
        i, stop, first = start[line], end[line], n
        while i < stop:
            found = citation(data, i, stop, table) if data[i] == 91 else 0
            if found:
                i += found
                k = i
                while k < stop and (data[k] == 32 or data[k] == 9 or data[k] == 13):
                    k += 1
                if k == stop and n > first and (out[n - 1] == 32 or out[n - 1] == 9):
                    two = out[n - 1] == 9 or (n > first + 1 and (out[n - 2] == 32 or out[n - 2] == 9))
                    out[n - 1] = 36 if two else 59  # $ begins a sentence, ; does not
                continue
            out[n] = data[i]
            n += 1
            i += 1
        bounds[line + 1] = n
    return out[:n], bounds
