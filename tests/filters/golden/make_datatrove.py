"""Made datatrove.json: run with datatrove 0.10.1, spaCy 3.8 and this folder as the current one.

    pip install 'datatrove[io,processing]==0.10.1' spacy lxml_html_clean && python make_datatrove.py

Repetition comes from datatrove's own helpers, quality from its word list; every value is then proven against the
filter itself, which must keep the text at a threshold equal to the value and drop it just beyond.
"""

import json
import re

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters import gopher_repetition_filter as repetition
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION, split_into_sentences, split_into_words

with open("texts.json", encoding="utf-8") as file:
    TEXTS = json.load(file)
QUALITY_OFF = dict.fromkeys(
    "min_doc_words max_doc_words min_avg_word_length max_avg_word_length max_symbol_word_ratio max_bullet_lines_ratio "
    "max_ellipsis_lines_ratio max_non_alpha_words_ratio min_stop_words".split()
)
REPETITION_OFF = dict.fromkeys("dup_line_frac dup_para_frac dup_line_char_frac dup_para_char_frac".split())
REPETITION_OFF |= {"top_n_grams": (), "dup_n_grams": ()}
STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}


def kept(step, text):
    return step.filter(Document(text=text, id="0")) is True


def proven(kind, off, text, value, **options):
    """The filter keeps the text at the value and drops it just below."""
    for name, make in options.items():
        assert kept(kind(**off | {name: make(value)}), text), (name, value, text)
        if value > 0:
            assert not kept(kind(**off | {name: make(value * (1 - 1e-9))}), text), (name, value, text)
    return value


def gopher(text):
    same = lambda value: value  # noqa: E731
    words, lines = split_into_words(text), text.splitlines()
    plain = [word for word in words if any(char not in PUNCTUATION_SET for char in word)]
    out = {
        "word_count": len(plain),
        "mean_word_length": sum(map(len, plain)) / len(plain),
        "hash_ratio": text.count("#") / len(words),
        "ellipsis_ratio": (text.count("...") + text.count("…")) / len(words),
        "bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines),
        "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines),
        "alpha_words": sum(any(char.isalpha() for char in word) for word in words) / len(words),
        "stop_words": len(STOPS & set(words)),
    }
    quality = lambda **options: kept(GopherQualityFilter(**QUALITY_OFF | options), text)  # noqa: E731
    assert quality(min_doc_words=out["word_count"])
    assert not quality(min_doc_words=out["word_count"] + 1)
    if out["alpha_words"]:
        assert quality(max_non_alpha_words_ratio=out["alpha_words"])
    assert not quality(max_non_alpha_words_ratio=out["alpha_words"] + 1e-9)
    if out["stop_words"]:
        assert quality(min_stop_words=out["stop_words"])
    assert not quality(min_stop_words=out["stop_words"] + 1)
    for name, option in (("bullet_lines", "max_bullet_lines_ratio"), ("ellipsis_lines", "max_ellipsis_lines_ratio")):
        if out[name]:
            proven(GopherQualityFilter, QUALITY_OFF, text, out[name], **{option: same})
    larger = max(out["hash_ratio"], out["ellipsis_ratio"])
    if larger:
        proven(GopherQualityFilter, QUALITY_OFF, text, larger, max_symbol_word_ratio=same)
    for name, pieces in (("paragraph", re.split(r"\n{2,}", text.strip())), ("line", re.split("\n+", text))):
        elements, chars = repetition.find_duplicates(pieces)
        out[f"duplicate_{name}s"] = elements / len(pieces)
        out[f"duplicate_{name}_chars"] = chars / len(text)
        short = name[:4]
        for column, option in (
            (f"duplicate_{name}s", f"dup_{short}_frac"),
            (f"duplicate_{name}_chars", f"dup_{short}_char_frac"),
        ):
            if out[column]:
                proven(GopherRepetitionFilter, REPETITION_OFF, text, out[column], **{option: same})
    for n in (2, 3, 4):
        grams = repetition.get_n_grams(words, n)
        out[f"top_{n}gram"] = repetition.find_top_duplicate(grams) / len(text) if grams else 0.0
        option = lambda value, n=n: ((n, value),)  # noqa: E731
        proven(GopherRepetitionFilter, REPETITION_OFF, text, out[f"top_{n}gram"], top_n_grams=option)
    for n in range(5, 11):
        out[f"duplicate_{n}gram"] = repetition.find_all_duplicate(words, n) / len(text)
        option = lambda value, n=n: ((n, value),)  # noqa: E731
        proven(GopherRepetitionFilter, REPETITION_OFF, text, out[f"duplicate_{n}gram"], dup_n_grams=option)
    return out


def c4(text, punctuation):
    """What the filter counted, and the sentences it needs at least."""
    step = C4QualityFilter(filter_no_terminal_punct=punctuation, min_num_sentences=0)
    result = step.filter(Document(text=text, id="0"))
    stats = {name: stat.total for name, stat in step.stats.stats.items()}
    names = {
        "lines": "line-total",
        "long_word_lines": "line-filter-too_long_word",
        "unpunctuated_lines": "line-filter-no_terminal_punc",
        "few_word_lines": "line-filter-too_few_words",
        "javascript_lines": "line-filter-javascript",
        "policy_lines": "line-filter-policy",
        "kept_lines": "line-kept",
    }
    if result is not True:
        return {"dropped": result[1]}
    counts = {name: stats.get(stat, 0) for name, stat in names.items()}
    enough = [
        n for n in range(200) if kept(C4QualityFilter(filter_no_terminal_punct=punctuation, min_num_sentences=n), text)
    ]
    return counts | {"sentences": max(enough)}


def fineweb(text):
    lines = [line for line in text.split("\n") if line.strip()]
    out = {
        "line_punct_ratio": sum(line.endswith(tuple(TERMINAL_PUNCTUATION)) for line in lines) / len(lines),
        "short_line_ratio": sum(len(line) <= 30 for line in lines) / len(lines),
        "char_dup_ratio": repetition.find_duplicates(lines)[1] / len(text.replace("\n", "")),
        "list_ratio": text.count("\n") / len(split_into_words(text)),
    }
    off = {"line_punct_thr": 0, "short_line_thr": 2, "char_duplicates_ratio": 2, "new_line_ratio": 99}
    same = lambda value: value  # noqa: E731
    proven(FineWebQualityFilter, off, text, out["short_line_ratio"], short_line_thr=same)
    proven(FineWebQualityFilter, off, text, out["char_dup_ratio"], char_duplicates_ratio=same)
    proven(FineWebQualityFilter, off, text, out["list_ratio"], new_line_ratio=same)
    assert kept(FineWebQualityFilter(**off | {"line_punct_thr": out["line_punct_ratio"]}), text)
    assert not kept(FineWebQualityFilter(**off | {"line_punct_thr": out["line_punct_ratio"] + 1e-9}), text)
    return out


made = {
    name: {
        "gopher@datatrove": gopher(text),
        "c4@datatrove": c4(text, True),
        "c4@fineweb": c4(text, False),
        "fineweb": fineweb(text),
        "sentences": len(split_into_sentences(text)),
    }
    for name, text in TEXTS.items()
}
with open("datatrove.json", "w", encoding="utf-8") as file:
    json.dump(made, file, indent=1, sort_keys=True)
