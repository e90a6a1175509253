"""Made nemo.json: run with this folder as the current one and NeMo Curator 1.4.0 unpacked, not installed.

    pip download --no-deps nemo-curator==1.4.0 && unzip -q nemo_curator-*.whl -d nemo
    pip install regex loguru && PYTHONHASHSEED=0 python make_nemo.py nemo

Its packages are stood in for, so that only the files of its heuristic filters are run: what they import from elsewhere
needs a GPU. The values are those of its filters' `score_document`. Its most frequent n-gram is any of equals, by the
hash seed; here the texts are scored under that of the first of equals.
"""

import importlib
import json
import sys
import types
from pathlib import Path

FOLDER = Path(sys.argv[1]) / "nemo_curator"
for name in ("", ".stages", ".stages.text", ".stages.text.filters", ".stages.text.filters.heuristic",
             ".stages.text.filters.heuristic.repetition", ".stages.text.utils"):  # fmt: skip
    package = types.ModuleType(f"nemo_curator{name}")
    package.__path__ = [str(FOLDER / name.strip(".").replace(".", "/"))]
    sys.modules[package.__name__] = package
base = types.ModuleType("nemo_curator.stages.text.filters.doc_filter")


class DocumentFilter:
    _sentences = _paragraphs = _ngrams = None


base.DocumentFilter = DocumentFilter
sys.modules[base.__name__] = base
string = importlib.import_module("nemo_curator.stages.text.filters.heuristic.string")
repetition = importlib.import_module("nemo_curator.stages.text.filters.heuristic.repetition.repetition")

FILTERS = {
    "non_alpha_numeric": string.NonAlphaNumericFilter(),
    "numbers": string.NumbersFilter(),
    "urls": string.UrlsFilter(),
    "white_space": string.WhiteSpaceFilter(),
    "parentheses": string.ParenthesesFilter(),
    "symbol_words": string.SymbolsToWordsFilter(),
    "long_word": string.LongWordFilter(),
    "word_count": string.WordCountFilter(),
    "mean_word_length": string.MeanWordLengthFilter(),
    "alpha_words": string.WordsWithoutAlphabetsFilter(),
    "stop_words": string.CommonEnglishWordsFilter(stop_at_false=False),
    "bullet_lines": string.BulletsFilter(),
    "ellipsis_lines": string.EllipsisFilter(),
    "unpunctuated_lines": string.PunctuationFilter(),
    "boilerplate_paragraphs": string.BoilerPlateStringFilter(),
    "unique_lines": repetition.RepeatedLinesFilter(),
    "unique_line_chars": repetition.RepeatedLinesByCharFilter(),
    "unique_paragraphs": repetition.RepeatedParagraphsFilter(),
    "unique_paragraph_chars": repetition.RepeatedParagraphsByCharFilter(),
    **{f"duplicate_{n}gram": repetition.RepeatingDuplicateNGramsFilter(n) for n in range(5, 11)},
}


def top(text, n):
    """The score where the first of the most frequent n-grams is the only one that it can choose."""
    words = text.split()
    grams = list(zip(*[words[k:] for k in range(n)], strict=False))
    if not grams:
        return repetition.RepeatingTopNGramsFilter(n).score_document(text)
    first = max(dict.fromkeys(grams), key=grams.count)  # of equals, max takes the first
    step = repetition.RepeatingTopNGramsFilter(n)
    step._ngrams = [first]
    return step.score_document(text)


with open("texts.json", encoding="utf-8") as file:
    TEXTS = json.load(file)
made = {
    name: {"nemo": {column: step.score_document(text) for column, step in FILTERS.items()}
           | {f"top_{n}gram": top(text, n) for n in (2, 3, 4)}}
    for name, text in TEXTS.items()
}  # fmt: skip
with open("nemo.json", "w", encoding="utf-8") as file:
    json.dump(made, file, indent=1, sort_keys=True)
