"""RedPajama-V2's signals against its published definitions, stated again in plain Python.

Its package needs its own models and lists to run, so the values of the peer are not computed by it: every definition
below was written from its documentation and source (`app/src/core/quality_signals`), with NLTK's WordPunctTokenizer as
the pattern that it is. It rounds to eight digits; the definitions here do not.
"""

import math
import re
import string
import unicodedata
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.filters.signals.families import FAMILIES, measure

BULLETS = tuple("\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u2013")
STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}  # Gopher's; RedPajama has a list of its own
NO_MARKS = str.maketrans("", "", string.punctuation)


def normal(text: str) -> str:
    return unicodedata.normalize("NFD", re.sub(r"\s+", " ", text.translate(NO_MARKS).lower().strip()))


def share(above: float, below: float) -> float | None:
    return above / below if below else None


def grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[k:] for k in range(n)), strict=False))


def covered(words: list[str], n: int) -> int:
    """Characters of words that stand in an n-gram that occurs more than once."""
    counts, inside = Counter(grams(words, n)), set()
    for at, gram in enumerate(grams(words, n)):
        if counts[gram] > 1:
            inside.update(range(at, at + n))
    return sum(len(words[at]) for at in inside)


def defined(text: str) -> dict[str, float | None]:
    words, raw = normal(text).split(), re.findall(r"\w+|[^\w\s]+", text)
    lines = re.findall(r"[^\n]*\n|[^\n]+$", text)
    plain = [normal(line) for line in lines]
    chars, counts = sum(map(len, words)), Counter(words)
    out = {
        "length": len(text),
        "lines": len(lines),
        "sentences": len(re.findall(r"\b[^.!?]+[.!?]*", text)),
        "word_count": len(words),
        "mean_word_length": share(chars, len(words)),
        "symbol_to_word_ratio": share(sum(map(text.count, ("#", "...", "\u2026"))), len(raw)),
        "lines_end_with_ellipsis": share(sum(line.rstrip().endswith(("...", "\u2026")) for line in lines), len(lines)),
        "no_alpha_words": share(sum(re.search("[a-zA-Z]", word) is None for word in raw), len(raw)),
        "unique_words": share(len(counts), len(words)),
        "unigram_entropy": -sum(n / len(words) * math.log(n / len(words)) for n in counts.values()) if words else None,
        "all_caps_words": share(sum(map(str.isupper, raw)), len(raw)),
        "curly_bracket": share(text.count("{") + text.count("}"), len(text)),
        "lorem_ipsum": len(re.findall("lorem ipsum", normal(text))) / max(len(normal(text)), 1),
        "stop_word_fraction": share(sum(word in STOPS for word in raw), len(raw)),
        "bullet_lines": share(sum(line.lstrip().startswith(BULLETS) for line in lines), len(lines)),
        "terminal_lines": share(sum(line.rstrip().endswith((".", "!", "?", "\u201d")) for line in lines), len(lines)),
        "line_words": share(sum(len(line.split()) for line in plain), len(lines)),
        "javascript_line_words": share(sum(line.split().count("javascript") for line in plain), len(lines)),
        "numerical_line_chars": share(
            sum(sum(map(str.isnumeric, line)) / max(len(line), 1) for line in plain), len(lines)
        ),
        "uppercase_line_chars": share(sum(sum(map(str.isupper, line)) / len(line) for line in lines), len(lines)),
    }
    for n in (2, 3, 4):
        top = Counter(grams(words, n)).most_common(1)
        repeats = bool(top) and top[0][1] > 1
        out[f"top_{n}gram"] = share(sum(map(len, top[0][0])) * top[0][1] if repeats else 0, chars)
    return out | {f"duplicate_{n}gram": share(covered(words, n), chars) for n in range(5, 11)}


def measured(texts: list[str]) -> list[dict]:
    return measure(pa.array(texts, pa.string()), [FAMILIES["redpajama"]])["redpajama"].to_pylist()


WORDS = "lorem ipsum Lorem, Ipsum! x-lorem ipsumy JavaScript javascript the THE Of A1b _x_ don't 12 ... # {} ?! ."
pieces = st.sampled_from(
    [*WORDS.split(), *"\u00e9t\u00e9 \uac00\ub098 \u00bd \u4e00 \u2026 \u2022 \u2013 \u201d".split()]
)
gaps = st.sampled_from([" ", " ", " ", "\n", "\n\n", "\t", "  ", "\u3000", ""])
texts = st.lists(st.tuples(gaps, pieces), max_size=40).map(lambda parts: "".join(gap + piece for gap, piece in parts))


@given(st.lists(texts | st.just(""), max_size=4))
def test_every_signal_is_the_one_defined(batch):
    for ours, text in zip(measured(batch), batch, strict=True):
        theirs = defined(text)
        assert set(ours) == set(theirs)
        for name, value in theirs.items():
            assert ours[name] == (value if value is None else pytest.approx(value, rel=1e-12)), name
