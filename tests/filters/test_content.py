"""What a text is made of, against the same definitions in plain Python.

`code` after StarCoder (Li et al. 2023, appendix on data): line lengths, shares of letters and of letters and digits, an
XML header among the first hundred characters. `formulas` and `questions` are RedStone's in our own words.
"""

import math
import re
import unicodedata
import zlib
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.filters.signals.families import FAMILIES, measure


def share(above: float, below: float) -> float | None:
    return above / below if below else None


def entropy(items) -> float | None:
    counts = Counter(items)
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values()) if total else None


def in_category(text: str, letter: str) -> int:
    return sum(unicodedata.category(char)[0] == letter for char in text)


def text_defined(text: str) -> dict[str, float | None]:
    words, lines, data = text.split(), text.split("\n"), text.encode()
    out = {
        "chars": len(text),
        "bytes": len(data),
        "words": len(words),
        "lines": len(lines),
        "mean_line_length": sum(map(len, lines)) / len(lines),
        "max_line_length": max(map(len, lines)),
        "unique_words": share(len(set(words)), len(words)),
        "word_entropy": entropy(words),
        "byte_entropy": entropy(data),
        "compression_ratio": share(len(data), len(zlib.compress(data, 6))) if data else None,
    }
    counted = {
        "alpha": sum(map(str.isalpha, text)),
        "digits": sum(map(str.isdecimal, text)),
        "upper": sum(map(str.isupper, text)),
        "space": sum(map(str.isspace, text)),
        "punctuation": in_category(text, "P"),
        "symbols": in_category(text, "S"),
        "ascii": sum(map(str.isascii, text)),
    }
    return out | {name: share(count, len(text)) for name, count in counted.items()}


def code_defined(text: str) -> dict[str, float | None]:
    lines, words = text.split("\n"), text.split()
    comment = re.compile(r"[ \t]*(#|%|\*|//|/\*|--)")
    return {
        "lines": len(lines),
        "mean_line_length": sum(map(len, lines)) / len(lines),
        "max_line_length": max(map(len, lines)),
        "alpha": share(sum(map(str.isalpha, text)), len(text)),
        "alnum": share(sum(map(str.isalnum, text)), len(text)),
        "xml_header": int("<?xml version=" in text[:100]),
        "comment_lines": share(sum(comment.match(line) is not None for line in lines), len(lines)),
        "digit_tokens": share(sum(any(map(str.isdecimal, word)) for word in words), len(words)),
    }


def formulas_defined(text: str) -> dict[str, float | None]:
    commands = re.findall(r"\\([a-zA-Z]{2,})", text)
    operators = sum(char in "=<>+^×÷±≤≥≠≈∑∏∫√∂∞∈∀∃→" for char in text)
    return {
        "latex_commands": len(commands),
        "distinct_latex_commands": len(set(commands)),
        "operators": operators,
        "dollars": text.count("$"),
        "math_symbols": share(operators, len(text)),
        "digits": share(sum(map(str.isdecimal, text)), len(text)),
    }


def questions_defined(text: str) -> dict[str, float | None]:
    lines = [line.lstrip(" \t").rstrip(" \r") for line in text.split("\n")]
    choice = re.compile(r"[a-eA-E][.)]|\([a-eA-E]\)")
    return {
        "question_marks": text.count("?"),
        "question_lines": sum(line.endswith("?") for line in lines),
        "choice_lines": sum(choice.match(line) is not None for line in lines),
        "answer_lines": sum(line[:6].lower() == "answer" for line in lines),
    }


DEFINED = {"text": text_defined, "code": code_defined, "formulas": formulas_defined, "questions": questions_defined}
PIECES = (
    "alpha Beta x1 42 été 文字 ½ ٣ <?xml version= # // -- /* * % \\frac \\alpha \\a \\\\ $x$ a=b ≤ ∑ ? (a) b) C. "
    "answer: Answers {} « » €"
).split()
gaps = st.sampled_from([" ", " ", "\n", "\n  ", "\t", "\r\n", "\u3000", ""])
texts = st.lists(st.tuples(gaps, st.sampled_from(PIECES)), max_size=30).map(
    lambda parts: "".join(gap + piece for gap, piece in parts)
)


@pytest.mark.parametrize("family", DEFINED)
@given(batch=st.lists(texts, max_size=4))
def test_every_column_is_the_one_defined(family, batch):
    rows = measure(pa.array(batch, pa.string()), [FAMILIES[family]])[family].to_pylist()
    for row, text in zip(rows, batch, strict=True):
        for name, value in DEFINED[family](text).items():
            assert row[name] == (value if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), (name, text)
        assert set(row) == set(DEFINED[family](text))
