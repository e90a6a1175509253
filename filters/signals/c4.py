"""The C4 signals (Raffel et al. 2020): what is left of a text once its lines have been judged.

Measures and never decides. C4 edits: it drops lines, and then judges the text by the sentences of the lines it kept.
Here the lines are only counted; `rules/c4.yaml` has the line rules that cut them out and record what they cut.

c4@datatrove  datatrove 0.10 with its defaults: the first reason a line is dropped for counts, in its order
c4@fineweb    the same without the rule on terminal punctuation, as the FineWeb recipe runs it
c4@dolma      Dolma 1.2 `c4_v2`: lines counted, phrases looked for in the whole text
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from ..words.kernels import jit, last, longest, slot, table_size, trimmed
from ..words.layout import Layout
from .gopher import Columns
from .lines import Lines, line_signals, without_citations

KEPT = ("lines", "long_word_lines", "unpunctuated_lines", "few_word_lines", "javascript_lines", "policy_lines")
COLUMNS = (*KEPT, "lorem_ipsum", "curly_bracket", "kept_lines", "kept_chars", "sentences")


def datatrove(layout: Layout) -> Columns:
    """Line counts by reason, `lorem_ipsum` and `curly_bracket` lines, and the sentences of the kept lines."""
    return _counted(layout, True)


def fineweb(layout: Layout) -> Columns:
    return _counted(layout, False)


def _counted(layout: Layout, punctuation: bool) -> Columns:
    own, clean = line_signals(layout, "broken"), layout.part("lines without citations", _uncited)
    judged = (clean.terminal, clean.phrases, clean.curly, clean.spans.chars, clean.sentences)
    counts = _line_counts(own.spans.bounds, own.words, own.longest_word, *judged, punctuation)
    return {name: layout.column(counts[k]) for k, name in enumerate(COLUMNS)}


def _uncited(layout: Layout) -> Lines:
    """The lines as they are judged: citations go once the words are counted, before all else."""
    own = line_signals(layout, "broken")
    which = np.flatnonzero(own.cited)
    if not len(which):
        return own
    data, ends = without_citations(layout.data, own.spans.start[which], own.spans.end[which], layout.table)
    text = pa.LargeStringArray.from_buffers(len(which), pa.py_buffer(ends), pa.py_buffer(data))
    changed = line_signals(Layout(text), "lf")  # every line a text of its own, without a break in it

    def put(column: str, values: np.ndarray) -> np.ndarray:
        out = values.copy()
        out[which] = getattr(changed if column != "chars" else changed.spans, column)
        return out

    columns = {name: put(name, getattr(own, name)) for name in ("terminal", "phrases", "curly", "sentences")}
    return replace(own, spans=replace(own.spans, chars=put("chars", own.spans.chars)), **columns)


@jit
def _line_counts(bounds, words, most, terminal, phrases, curly, chars, sentences, punctuation):
    """(11, D) in the order of COLUMNS."""
    out = np.zeros((11, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            out[0, d] += 1
            if most[line] > 1000:
                out[1, d] += 1
            elif punctuation and not terminal[line]:
                out[2, d] += 1
            elif words[line] < 3:
                out[3, d] += 1
            elif phrases[line] & 2:
                out[6, d] += 1
            elif phrases[line] & 1:
                out[4, d] += 1
            elif curly[line]:
                out[7, d] += 1
            elif phrases[line] >> 2:
                out[5, d] += 1
            else:
                out[8, d] += 1
                out[9, d] += chars[line]
                out[10, d] += sentences[line]
    return out


DOLMA = ("lines", "unpunctuated_lines", "few_word_lines", "javascript", "lorem_ipsum", "curly_bracket")


def dolma(layout: Layout) -> Columns:
    """Counts of lines; the last three columns are 1 where the text holds the phrase."""
    lines = line_signals(layout, "lf")
    counts = _dolma(layout.data, lines.spans.bounds, lines.words, lines.ending, lines.phrases, lines.curly)
    return {name: layout.column(counts[k]) for k, name in enumerate(DOLMA)}


@jit
def _dolma(data, bounds, words, ending, phrases, curly):
    out = np.zeros((6, len(bounds) - 1), np.int64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            out[0, d] += 1
            e = ending[line]
            out[1, d] += not (e == 46 or e == 63 or e == 33 or e == 34)
            out[2, d] += words[line] < 3
            out[3, d] |= phrases[line] & 1
            out[4, d] |= (phrases[line] >> 1) & 1
            out[5, d] |= curly[line]
    return out


def quality(layout: Layout) -> Columns:
    """FineWeb's own four signals (Penedo et al. 2024), as datatrove 0.10 computes them; blank lines do not count."""
    lines = layout.lines("lf")
    counts = _fineweb(layout.data, lines.bounds, lines.start, lines.end, lines.chars, lines.hash, layout.table)
    words = np.diff(layout.words("english").bounds)
    return {
        "line_punct_ratio": layout.ratio(counts[1], counts[0]),
        "short_line_ratio": layout.ratio(counts[2], counts[0]),
        "char_dup_ratio": layout.ratio(counts[3], counts[4]),
        "list_ratio": layout.ratio(counts[5], words),
    }


@jit
def _fineweb(data, bounds, start, end, chars, hashes, table):
    """(6, D): lines, with a terminal mark at the very end, of at most 30 characters, characters of repeated lines,
    characters without line feeds, line feeds."""
    out = np.zeros((6, len(bounds) - 1), np.int64)
    size = table_size(longest(bounds))
    keys, stamps = np.empty(size, np.uint64), np.full(size, -1, np.int64)
    for d in range(len(bounds) - 1):
        for line in range(bounds[d], bounds[d + 1]):
            out[4, d] += chars[line]
            i, stop = trimmed(data, table, start[line], end[line])
            if i == stop:
                continue
            out[0, d] += 1
            out[1, d] += (table[last(data, start[line], end[line])[0]] & 1024) != 0  # TERMINAL
            out[2, d] += chars[line] <= 30
            s = slot(keys, stamps, d, hashes[line])
            if stamps[s] == d:
                out[3, d] += chars[line]
            stamps[s], keys[s] = d, hashes[line]
        out[5, d] = bounds[d + 1] - bounds[d] - 1
    return out
