"""Made dolma.json: run with Dolma 1.2.1 and this folder as the current one.

pip install dolma==1.2.1 && python make_dolma.py
"""

import json

from dolma.core.data_types import Document
from dolma.taggers.c4 import FasterC4Tagger
from dolma.taggers.gopher import GopherTagger

with open("texts.json", encoding="utf-8") as file:
    TEXTS = json.load(file)
NAMES = {
    "word_count": "word_count",
    "median_word_length": "median_word_length",
    "symbol_ratio": "symbol_to_word_ratio",
    "alpha_words": "fraction_of_words_with_alpha_character",
    "stop_words": "required_word_count",
    "bullet_lines": "fraction_of_lines_starting_with_bullet_point",
    "ellipsis_lines": "fraction_of_lines_ending_with_ellipsis",
    "duplicate_lines": "fraction_of_duplicate_lines",
    "duplicate_line_chars": "fraction_of_characters_in_duplicate_lines",
}
NAMES |= {f"top_{n}gram": f"fraction_of_characters_in_most_common_{n}grams" for n in (2, 3, 4)}
NAMES |= {f"duplicate_{n}gram": f"fraction_of_characters_in_duplicate_{n}grams" for n in range(5, 11)}

made = {}
for name, text in TEXTS.items():
    document = Document(source="", id="0", text=text)
    spans = {span.type: span.score for span in GopherTagger().predict(document).spans}
    gopher = {ours: spans.get(theirs, 0.0) for ours, theirs in NAMES.items()}
    found = FasterC4Tagger().predict(document).spans
    kinds = [span.type for span in found]
    made[name] = {
        "gopher@dolma": gopher,
        "c4@dolma": {
            "lines": next(int(span.score) for span in found if span.type == "line_count"),
            "unpunctuated_lines": kinds.count("lines_with_no_ending_punctuation"),
            "few_word_lines": kinds.count("lines_with_too_few_words"),
            "javascript": kinds.count("has_javascript"),
            "lorem_ipsum": kinds.count("has_lorem_ipsum"),
            "curly_bracket": kinds.count("has_curly_brace"),
        },
    }
with open("dolma.json", "w", encoding="utf-8") as file:
    json.dump(made, file, indent=1, sort_keys=True)
