"""Rule sets that edit: lines cut out of texts, personal data replaced, and what was cut put on record.

The text after the cut is the text before it without the recorded spans: a line goes with the line break after it, and
the last line with the break before it. Nothing else changes, white space included.
"""

import bisect
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .pii import find, token
from .rule_sets import KEPT, Compiled, LineRules
from .signals.families import pieces
from .signals.lines import line_signals, line_table
from .words.layout import Layout


@dataclass(frozen=True)
class CutBatch:
    """What line rules did to a batch of D texts."""

    kept: pa.StructArray  # (D,) of KEPT
    removed: pa.StructArray  # (D,) lines by rule, and the share of words
    edits: list[tuple[str, list[dict]] | None]  # the new text and what was cut; None where nothing was


def cut_lines(text: pa.Array, rules: LineRules, compiled: Compiled) -> CutBatch:
    """Judge every line of every text by the rules, the first that is not true decides."""
    parts = [_cut(Layout(piece), rules, compiled) for piece in pieces(text)]
    if not parts:
        return CutBatch(pa.array([], KEPT), pa.array([], _removed_type(rules)), [])
    kept, removed = zip(*((part.kept, part.removed) for part in parts), strict=True)
    return CutBatch(pa.concat_arrays(kept), pa.concat_arrays(removed), [edit for part in parts for edit in part.edits])


def _removed_type(rules: LineRules) -> pa.StructType:
    counts = [(rule.rule, pa.int64()) for rule in rules.rules]
    return pa.struct([*counts, ("words_ratio", pa.float64())])


def _cut(layout: Layout, rules: LineRules, compiled: Compiled) -> CutBatch:
    lines = line_signals(layout, rules.split)
    first = compiled.first_failing(line_table(layout, rules.split))
    bounds = lines.spans.bounds
    whose = np.repeat(np.arange(len(layout)), np.diff(bounds))
    stays = first < 0

    def per_text(values: np.ndarray, which: np.ndarray) -> np.ndarray:
        return np.bincount(whose[which], values[which], minlength=len(layout)).astype(np.int64)

    values = (np.ones(len(lines), np.int64), lines.words, lines.spans.chars, lines.sentences)
    counts = [pa.array(per_text(value, stays)) for value in values]
    kept = pa.StructArray.from_arrays(counts, fields=list(KEPT))
    fallen = [pa.array(per_text(values[0], first == place)) for place in range(len(rules.rules))]
    words = per_text(lines.words, np.ones(len(lines), np.bool_))
    gone = words - per_text(lines.words, stays)
    ratio = pa.array(gone / np.maximum(words, 1), mask=words == 0)
    removed = pa.StructArray.from_arrays([*fallen, ratio], fields=list(_removed_type(rules)))
    edits: list[tuple[str, list[dict]] | None] = [None] * len(layout)
    for d in np.unique(whose[~stays]).tolist():
        which = np.arange(int(bounds[d]), int(bounds[d + 1]))
        edits[d] = _edit(layout, d, lines.spans.start[which], lines.spans.end[which], first[which], rules)
    return CutBatch(kept, removed, edits)


def _edit(layout: Layout, d: int, start: np.ndarray, end: np.ndarray, first: np.ndarray, rules: LineRules):
    """New text and removed spans of one text; start and end are bytes of the batch."""
    begin, stop = int(layout.ends[d]), int(layout.ends[d + 1])
    data = layout.data[begin:stop].tobytes()
    reach = [*(int(at) - begin for at in start[1:]), stop - begin]  # where the next line begins
    spans: list[tuple[int, int, str]] = []
    for line in np.flatnonzero(first >= 0).tolist():
        low, high = int(start[line]) - begin, reach[line]
        if line == len(start) - 1 and line > 0 and (not spans or spans[-1][1] < low):
            low = int(end[line - 1]) - begin  # the last line takes the break before it
        spans.append((low, high, rules.rules[int(first[line])].rule))
    left: list[bytes] = []
    removed: list[dict] = []
    at = chars = 0
    for low, high, rule in spans:
        left.append(data[at:low])
        chars += len(data[at:low].decode())
        size = len(data[low:high].decode())
        removed.append({"start": chars, "end": chars + size, "rule": rule})
        chars, at = chars + size, high
    left.append(data[at:])
    return b"".join(left).decode(), removed


def masked(text: str, removed: list[dict], kinds: tuple[str, ...], key: bytes | None = None) -> tuple[str, list[dict]]:
    """The text without what line rules cut, a token such as `<EMAIL>` in the place of personal data in the rest.

    `removed` are the cuts in characters of the text; the answer has those of personal data as well, as `pii_email`.
    """
    spans = [(cut["start"], cut["end"], cut["rule"], "") for cut in removed]
    gone = sorted((cut["start"], cut["end"]) for cut in removed)  # they do not overlap
    for span in find(text, kinds):
        place = bisect.bisect_left(gone, (span.end,))  # the cuts before it begin in front of the find's end
        if place == 0 or gone[place - 1][1] <= span.start:
            spans.append((span.start, span.end, f"pii_{span.kind}", token(span.kind, text[span.start : span.end], key)))
    parts: list[str] = []
    at = 0
    for start, end, _, instead in sorted(spans):
        parts += [text[at:start], instead]
        at = end
    return "".join((*parts, text[at:])), [{"start": s, "end": e, "rule": rule} for s, e, rule, _ in sorted(spans)]
