"""Repetition and layout kernels against the same scans in plain Python."""

import re

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gristmill.filters.signals.repetition import skipping_duplicates
from gristmill.filters.words.layout import Layout

words = st.sampled_from(["a", "ab", "b", "ba", "é", "international", "internationa", "l", "文字文字", "bicentennial"])
texts = st.lists(words, max_size=60).map(" ".join)


def duplicated(tokens: list[str], n: int) -> int:
    """datatrove's scan: an n-gram seen at an earlier stop counts and is jumped over."""
    seen, chars, at = set(), 0, 0
    while at < len(tokens) - n + 1:
        gram = "".join(tokens[at : at + n])
        if gram in seen:
            chars += len(gram)
            at += n
        else:
            seen.add(gram)
            at += 1
    return chars


@given(st.lists(texts, max_size=4))
def test_the_skipping_scan_counts_what_the_plain_one_counts(batch):
    layout = Layout(pa.array(batch, pa.string()))
    spans = layout.words("space")
    counted = skipping_duplicates(layout.data, spans.bounds, spans.start, spans.end, spans.chars, 5)
    assert counted.tolist() == [[duplicated(text.split(), n) for n in range(5, 11)] for text in batch]


SPLITS = {
    "lf": lambda text: text.split("\n"),
    "broken": str.splitlines,
    "runs": lambda text: re.split("\n+", text),
    "blocks": lambda text: re.split("\n{2,}", text.strip()),
    "pairs": lambda text: text.split("\n\n"),
}
lined = st.lists(
    st.sampled_from(["\n", "\n", "\n\n", "\n\n\n", "\r\n", "\r", "\x85", "\u2028", " ", "\t", "some words", "é", "x"])
).map("".join)


@given(st.lists(lined, max_size=4))
def test_lines_are_cut_as_python_cuts_them(batch):
    layout = Layout(pa.array(batch, pa.string()))
    for kind, split in SPLITS.items():
        spans = layout.lines(kind)
        pieces = [layout.data[a:b].tobytes().decode() for a, b in zip(spans.start, spans.end, strict=True)]
        expected = [split(text) for text in batch]
        assert np.diff(spans.bounds).tolist() == [len(lines) for lines in expected], kind
        assert pieces == [line for lines in expected for line in lines], kind
        assert spans.chars.tolist() == [len(piece) for piece in pieces]
        pairs = {(piece, key) for piece, key in zip(pieces, spans.hash.tolist(), strict=True)}
        assert len(pairs) == len({piece for piece, _ in pairs}) == len({key for _, key in pairs})
