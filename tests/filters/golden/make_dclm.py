"""Made dclm.json: run with uniseg 0.10.1 and this folder as the current one.

    pip install uniseg==0.10.1 && python make_dclm.py

DCLM's own package cannot be installed without models that it fetches, so its filters are not run: what they measure
is stated again here from `baselines/mappers/filters/content_filters.py` and `core_utils.py`. Where words are cut by a
library there, that library cuts them here: uniseg, and words are what begins with a letter or a digit.
"""

import json
import re
from collections import Counter

from uniseg.wordbreak import words as boundaries

STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}


def grams_of(words, n):
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def length(words):
    return sum(len(word) for word in words)


def repeated(pieces):
    """Share of pieces, and of their characters, that stand more than once; a single piece cannot."""
    if len(pieces) <= 1:
        return 0.0, 0.0
    counts = Counter(pieces)
    twice = [piece for piece in pieces if counts[piece] > 1]
    return len(twice) / len(pieces), length(twice) / length(pieces)


def measured(text):
    plain = text.split()
    words = [word for word in boundaries(text) if word[0].isalnum()]
    lines, paragraphs = ([piece.strip() for piece in re.split(end, text) if piece.strip()] for end in ("\n", "\n\n"))
    out = {
        "word_count": len(words),
        "mean_word_length": length(plain) / len(plain),
        "symbol_ratio": sum(text.count(symbol) for symbol in ("#", "...", ". . .", "\u2026")) / len(plain),
        "bullet_lines": sum(line[0] in "\u25cf\u2022*-" for line in lines) / len(lines),
        "ellipsis_lines": sum(line.endswith(("...", ". . .", "\u2026")) for line in lines) / len(lines),
        "alpha_words": sum(any(char.isalpha() for char in word) for word in plain) / len(plain),
        "stop_words": sum(word.lower() in STOPS for word in plain),
    }
    out["duplicate_lines"], out["duplicate_line_chars"] = repeated(lines)
    out["duplicate_paragraphs"], out["duplicate_paragraph_chars"] = repeated(paragraphs)
    for n in (2, 3, 4):
        counts = Counter(grams_of(words, n))
        most = max(counts.values(), default=0)
        longest = max((length(gram) for gram, count in counts.items() if count == most), default=0)
        out[f"top_{n}gram"] = most * longest / length(words) if most > 1 else 0.0
    for n in range(5, 11):
        grams = grams_of(words, n)
        counts = Counter(grams)
        covered = {at + k for at, gram in enumerate(grams) if counts[gram] > 1 for k in range(n)}
        out[f"duplicate_{n}gram"] = length(words[at] for at in covered) / length(words)
    return out


with open("texts.json", encoding="utf-8") as file:
    TEXTS = json.load(file)
with open("dclm.json", "w", encoding="utf-8") as file:
    made = {name: {"gopher@dclm": measured(text)} for name, text in TEXTS.items()}
    json.dump(made, file, indent=1, sort_keys=True)
