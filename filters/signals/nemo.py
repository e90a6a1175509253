"""The heuristics of NeMo Curator 1.4, words and letters by Unicode. Measures and never decides.

Read off its source: its "sentences" are lines, so its sentence rules are line rules here as well.
"""

import numpy as np

from ..words.kernels import NEXT, decode, jit, longest, slot, starts_with, table_size, trimmed
from ..words.layout import Layout
from .content import class_counts
from .gopher import STOP_HASHES, Columns
from .lines import holds

NEMO = ("non_alpha_numeric", "numbers", "urls", "white_space", "parentheses", "symbol_words", "long_word:int64",
        "word_count:int64", "mean_word_length", "alpha_words", "stop_words:int64", "bullet_lines", "ellipsis_lines",
        "unpunctuated_lines", "boilerplate_paragraphs", "unique_lines", "unique_line_chars", "unique_paragraphs",
        "unique_paragraph_chars", *(f"top_{n}gram" for n in (2, 3, 4)),
        *(f"duplicate_{n}gram" for n in range(5, 11)))  # fmt: skip


def _bytes(*marks: str) -> tuple[np.ndarray, np.ndarray]:
    data = np.frombuffer("".join(marks).encode(), np.uint8)
    return data, np.cumsum([0] + [len(mark.encode()) for mark in marks]).astype(np.int64)


_ENDINGS = _bytes("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")
_POLICY = _bytes("terms of use", "privacy policy", "cookie policy", "uses cookies", "privacy overview",
                 "use of cookies", "use cookies", "privacy & cookies policy", "privacy and cookies policy",
                 "lorem ipsum")  # fmt: skip
_BULLETS = np.array([ord(char) for char in "•‣⁃⁌⁍∙○●◘◦⦾⦿"], np.int64)


def nemo(layout: Layout) -> Columns:
    """Ratios of NeMo Curator's filters, whose sentences are lines that are not blank and whose paragraphs are pieces
    between pairs of line feeds. Where it can choose among n-grams, here the first one is taken; a text of fewer than
    n words repeats all of itself, as there. Of the long cookie notices of its boilerplate list only those that hold
    one of its short phrases are found."""
    counts, words = class_counts(layout), layout.words("space")
    lines, chars = layout.lines("lf"), counts["chars"]
    marks = _nemo_lines(layout.data, lines.bounds, lines.start, lines.end, layout.table, _BULLETS, *_ENDINGS)
    blocks = layout.lines("pairs")
    boilerplate = _nemo_boilerplate(layout.data, blocks.bounds, blocks.start, blocks.end, layout.table, *_POLICY)
    word = _nemo_words(layout.data, words.bounds, words.start, words.end, words.hash, words.chars, words.flags,
                       STOP_HASHES, *_ENDINGS)  # fmt: skip
    number = np.diff(words.bounds)
    line = _distinct(lines.bounds, lines.hash, lines.chars, _blank(layout.data, lines.start, lines.end, layout.table))
    block = _distinct(blocks.bounds, blocks.hash, blocks.chars, np.zeros(len(blocks), np.bool_))
    columns = {
        "non_alpha_numeric": layout.ratio(chars - counts["nemo_plain"], chars),
        "numbers": layout.ratio(counts["digits"], chars),
        "urls": layout.ratio(_url_chars(layout.data, layout.ends), chars),
        "white_space": layout.ratio(counts["nemo_space"], chars),
        "parentheses": layout.ratio(counts["parentheses"], chars),
        "symbol_words": layout.ratio(word[0], number),
        "long_word": layout.column(word[1]),
        "word_count": layout.column(number),
        "mean_word_length": layout.ratio(word[2], number),
        "alpha_words": layout.ratio(word[3], number),
        "stop_words": layout.column(word[4]),
        "bullet_lines": layout.ratio(marks[1], marks[0]),
        "ellipsis_lines": layout.ratio(marks[2], marks[0]),
        "unpunctuated_lines": layout.ratio(marks[0] - marks[3], marks[0]),
        "boilerplate_paragraphs": layout.ratio(boilerplate, np.diff(blocks.bounds)),
        "unique_lines": layout.ratio(line[0], line[1]),
        "unique_line_chars": layout.ratio(line[2], line[3]),
        "unique_paragraphs": layout.ratio(block[0], block[1]),
        "unique_paragraph_chars": layout.ratio(block[2], block[3]),
    }
    repeats = _nemo_ngrams(words.bounds, words.hash, words.chars)
    top = _top_ngrams(layout.data, layout.ends, words.bounds, words.start, words.end, words.hash, words.chars)
    for k, n in enumerate((2, 3, 4)):
        columns[f"top_{n}gram"] = layout.ratio(np.where(number < n, chars, top[k]), chars)
    for k, n in enumerate(range(5, 11)):
        columns[f"duplicate_{n}gram"] = layout.ratio(np.where(number < n, chars, repeats[k]), chars)
    return columns


@jit
def _blank(data, start, end, table):
    out = np.zeros(len(start), np.bool_)
    for line in range(len(start)):
        i, stop = trimmed(data, table, start[line], end[line])
        out[line] = i == stop
    return out


@jit
def _nemo_ngrams(bounds, hashes, chars):
    """(6, D): characters of later occurrences of n-grams, n = 5..10, words that overlap counted once, with spaces."""
    out = np.zeros((6, len(bounds) - 1), np.int64)
    most = longest(bounds)
    keys, stamps = np.empty(table_size(most), np.uint64), np.full(table_size(most), -1, np.int64)
    stamp = np.int64(0)
    for d in range(len(bounds) - 1):
        w = bounds[d + 1] - bounds[d]
        for n in range(5, 11):
            stamp += 1
            overlap = 0
            for i in range(w - n + 1):
                g = np.uint64(0)
                for k in range(n):
                    g = g * np.uint64(0xD1342543DE82EF95) + hashes[bounds[d] + i + k]
                s = slot(keys, stamps, stamp, g)
                if stamps[s] == stamp:
                    for k in range(overlap, n):
                        out[n - 5, d] += chars[bounds[d] + i + k]
                    out[n - 5, d] += min(n - overlap, n - 1)
                    overlap = n
                stamps[s], keys[s] = stamp, g
                overlap = max(overlap - 1, 0)
    return out


@jit
def _distinct(bounds, hashes, chars, skip):
    """(4, D): distinct pieces, pieces, characters of the distinct ones, of all."""
    out = np.zeros((4, len(bounds) - 1), np.int64)
    size = table_size(longest(bounds))
    keys, stamps = np.empty(size, np.uint64), np.full(size, -1, np.int64)
    for d in range(len(bounds) - 1):
        for i in range(bounds[d], bounds[d + 1]):
            if skip[i]:
                continue
            s = slot(keys, stamps, d, hashes[i])
            if stamps[s] != d:
                out[0, d] += 1
                out[2, d] += chars[i]
            stamps[s], keys[s] = d, hashes[i]
            out[1, d] += 1
            out[3, d] += chars[i]
    return out


@jit
def _nemo_words(data, bounds, start, end, hashes, chars, flags, stops, marks, mark_ends):
    """(5, D): words that are an ellipsis or mostly `#`; longest; characters; with a letter; stop words."""
    out = np.zeros((5, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        for w in range(bounds[d], bounds[d + 1]):
            runs, inside = 0, False
            for i in range(start[w], end[w]):
                runs += data[i] == 35 and not inside
                inside = data[i] == 35
            symbol = 2 * runs > chars[w]
            for p in range(len(mark_ends) - 1):
                if mark_ends[p + 1] - mark_ends[p] == end[w] - start[w]:
                    symbol |= starts_with(data, start[w], end[w], marks[mark_ends[p] : mark_ends[p + 1]])
            out[0, d] += symbol
            out[1, d] = max(out[1, d], chars[w])
            out[2, d] += chars[w]
            out[3, d] += (flags[w] & 2) != 0
            at = np.searchsorted(stops, hashes[w])
            out[4, d] += at < len(stops) and stops[at] == hashes[w]
    return out


@jit
def _nemo_lines(data, bounds, start, end, table, bullets, marks, mark_ends):
    """(4, D): lines that are not blank; with a bullet first; with an ellipsis last; with an end mark last."""
    out = np.zeros((4, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            i, stop = trimmed(data, table, start[line], end[line])
            if i == stop:
                continue
            out[0, d] += 1
            first = decode(data, i)[0]
            for bullet in bullets:
                out[1, d] += first == bullet
            for p in range(len(mark_ends) - 1):
                at = stop - (mark_ends[p + 1] - mark_ends[p])
                if at >= i and holds(data, at, stop, marks, mark_ends, p):
                    out[2, d] += 1
                    break
            last = data[stop - 1]
            out[3, d] += last == 46 or last == 63 or last == 33 or last == 34 or last == 39
    return out


@jit
def _nemo_boilerplate(data, bounds, start, end, table, phrases, phrase_ends):
    """(D,): paragraphs with a policy phrase; all of them where one holds the last phrase, lorem ipsum."""
    out = np.zeros(len(bounds) - 1, np.int64)
    for d in range(len(bounds) - 1):
        lorem = False
        for block in range(bounds[d], bounds[d + 1]):
            found = False
            for i in range(start[block], end[block]):
                byte = data[i] | 32
                if byte != 116 and byte != 112 and byte != 99 and byte != 117 and byte != 108:  # t p c u l
                    continue
                for p in range(len(phrase_ends) - 1):
                    if holds(data, i, end[block], phrases, phrase_ends, p):
                        found = True
                        lorem |= p == len(phrase_ends) - 2
            out[d] += found
        if lorem:
            out[d] = bounds[d + 1] - bounds[d]
    return out


URL_MARKS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$-_@.&+/:=?#~!*(),", np.uint8)
HTTP, HTTPS = np.frombuffer(b"http://", np.uint8), np.frombuffer(b"https://", np.uint8)


@jit
def _url_chars(data, ends):
    """(D,): characters of URLs up to the first character that NeMo's pattern does not know."""
    out = np.zeros(len(ends) - 1, np.int64)
    known = np.zeros(256, np.bool_)
    for byte in URL_MARKS:
        known[byte] = True
    for d in range(len(ends) - 1):
        i, stop = ends[d], ends[d + 1]
        while i < stop:
            size = 0
            if data[i] == 104:
                size = 7 if starts_with(data, i, stop, HTTP) else 8 if starts_with(data, i, stop, HTTPS) else 0
            if not size:
                i += 1
                continue
            k = i + size
            while k < stop:
                if data[k] == 37 and k + 2 < stop and _hex(data[k + 1]) and _hex(data[k + 2]):
                    k += 3
                elif known[data[k]]:
                    k += 1
                else:
                    break
            if k > i + size:
                out[d] += k - i
            i = k
    return out


@jit
def _hex(byte):
    return 48 <= byte <= 57 or 97 <= (byte | 32) <= 102


@jit
def _top_ngrams(data, ends, bounds, start, end, hashes, chars):
    """(3, D): characters of the most frequent n-gram, n = 2..4, the first of equals, wherever its words stand in the
    text with one space between them; all characters of a text of fewer words."""
    out = np.zeros((3, len(bounds) - 1), np.int64)
    most = longest(bounds)
    all_keys, all_stamps = np.empty(table_size(most), np.uint64), np.zeros(table_size(most), np.int64)
    counts, place = np.empty(len(all_keys), np.int64), np.empty(most, np.int64)
    stamp = np.int64(0)
    for d in range(len(bounds) - 1):
        base, w = bounds[d], bounds[d + 1] - bounds[d]
        keys, stamps = all_keys[: table_size(w)], all_stamps[: table_size(w)]
        for n in range(2, 5):
            if w < n:
                continue
            stamp += 1
            for i in range(w - n + 1):
                g = np.uint64(0)
                for k in range(n):
                    g = g * NEXT + (hashes[base + i + k] ^ (hashes[base + i + k] >> np.uint64(29)))
                s = slot(keys, stamps, stamp, g)
                if stamps[s] != stamp:
                    keys[s], stamps[s], counts[s] = g, stamp, 0
                counts[s] += 1
                place[i] = s
            best = 0
            for i in range(1, w - n + 1):
                if counts[place[i]] > counts[place[best]]:
                    best = i
            size = n - 1
            for k in range(n):
                size += chars[base + best + k]
            i = ends[d]
            while i < ends[d + 1]:
                after = _stands(data, i, ends[d + 1], start, end, base + best, n)
                out[n - 2, d] += size if after else 0
                i = after if after else i + 1
    return out


@jit
def _stands(data, i, stop, start, end, word, n):
    """Where n words with one space between them end if they stand at byte i, 0 if they do not."""
    for k in range(word, word + n):
        if k > word:
            if i >= stop or data[i] != 32:
                return np.int64(0)
            i += 1
        if not starts_with(data, i, stop, data[start[k] : end[k]]):
            return np.int64(0)
        i += end[k] - start[k]
    return i
