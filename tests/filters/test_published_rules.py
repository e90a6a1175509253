"""The numbers of the bundled rule sets against those published, and each rule on both sides of its threshold.

The numbers are written down here a second time, from the papers and the peers' own settings: Rae et al. 2021 (table
A1), Raffel et al. 2020, Penedo et al. 2023 and 2024, Li et al. 2024; datatrove 0.10, Dolma 1.6 (`cc-head.yaml`), DCLM
(`dclm_baseline_refinedweb.yaml`), NeMo Curator 1.4, StarCoder. `+` stands for a least value, `-` for a greatest.
"""

import numpy as np
import pyarrow as pa
import pytest

from gristmill.filters.rule_sets import Compiled, compiled, load_rules
from gristmill.filters.signals.families import FAMILIES, measure

LENGTHS = "min_words +50, max_words -100000, short_words +3, long_words -10, "
MARKS = "bullet_lines -0.9, ellipsis_lines -0.3, alpha_words +0.8, stop_words +2, "
SEPARATE, JOINT = "hash_ratio -0.1, ellipsis_ratio -0.1, ", "symbol_ratio -0.1, "
LINES = "duplicate_lines -0.3, duplicate_line_chars -0.2, "
PARAGRAPHS = "duplicate_paragraphs -0.3, duplicate_paragraph_chars -0.2, "
TOP = "top_2gram -0.2, top_3gram -0.18, top_4gram -0.16, "
NGRAMS = (
    "duplicate_5gram -0.15, duplicate_6gram -0.14, duplicate_7gram -0.13, duplicate_8gram -0.12, "
    "duplicate_9gram -0.11, duplicate_10gram -0.1, "
)
DCLM = LENGTHS + JOINT + MARKS + PARAGRAPHS + LINES + TOP + NGRAMS
PUBLISHED = {
    "gopher": LENGTHS + SEPARATE + MARKS + LINES + PARAGRAPHS + TOP + NGRAMS,
    "gopher-dolma": LENGTHS + JOINT + MARKS + "duplicate_lines -0.3, duplicate_line_chars -0.3, " + TOP + NGRAMS,
    "dclm": DCLM,
    "refinedweb": DCLM + "removed_words -0.05",
    "c4": "lorem_ipsum -0, curly_bracket -0, sentences +5",
    "fineweb": PARAGRAPHS + LINES + TOP + NGRAMS + LENGTHS + SEPARATE + MARKS + "lorem_ipsum -0, curly_bracket -0, "
    "sentences +5, line_punct_ratio +0.12, short_line_ratio -0.67, char_dup_ratio -0.01, list_ratio -0.3",
    "nemo": "non_alpha_numeric -0.25, symbols -0.1, numbers -0.15, urls -0.2, white_space -0.25, parentheses -0.1, "
    "bullets -0.9, ellipses -0.3, long_word -1000, min_words +50, max_words -100000, boilerplate -0.4, short_words +3, "
    "long_words -10, alpha_words +0.8, stop_words +2, punctuation -0.85, unique_lines +0.7, unique_line_chars +0.8, "
    "unique_paragraphs +0.7, unique_paragraph_chars +0.8, " + TOP + NGRAMS,
    "redpajama-v2": LENGTHS + "symbols -0.1, ellipsis_lines -0.3, bullet_lines -0.9, no_alpha_words -0.2, "
    "lorem_ipsum -0, curly_bracket -0.025, " + TOP + NGRAMS,
    "code": "max_line -1000, mean_line -100, alpha +0.25, alnum +0.25, xml -0, min_lines +10, max_lines -20000, "
    "few_comments +0.01, all_comments -0.85",
}
LINE_RULES = {
    "c4": "long_word -1000, terminal_punctuation +1, few_words +3, lorem_ipsum -0, javascript -0, curly_bracket -0, "
    "policy -0",
    "refinedweb": "uppercase -0.5, numeric -0.999999, counter -0, navigation -0, few_words +2",
}


def published(text: str) -> dict[str, tuple[str, float]]:
    pairs = [part.split() for part in text.split(",") if part.strip()]
    return {rule: (limit[0], float(limit[1:])) for rule, limit in pairs}


def directions(documents: Compiled) -> dict[str, tuple[str, float]]:
    """By asking DuckDB: which of a value just below and one just above the threshold each rule keeps."""
    out = {}
    for rule in documents.rules:
        assert isinstance(rule.threshold, float)
        limit = rule.threshold
        passes = [_keeps(documents, rule.keep, value, limit) for value in (limit - 1e-9, limit, limit + 1e-9)]
        assert passes in ([True, True, False], [False, True, True]), rule.rule
        out[rule.rule] = ("-" if passes[0] else "+", limit)
    return out


def _keeps(documents: Compiled, keep: str, value: float, limit: float) -> bool:
    asked = f"select {keep} from (select {value!r}::double as value, {limit!r}::double as threshold, false as blank)"
    return documents._connection.sql(asked).fetchall()[0][0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_rule_set_has_the_published_numbers(name):
    documents, _ = compiled(load_rules(name))
    assert directions(documents) == published(PUBLISHED[name])


@pytest.mark.parametrize("name", LINE_RULES)
def test_line_rules_have_the_published_numbers(name):
    _, lines = compiled(load_rules(name))
    assert lines is not None
    assert directions(lines) == published(LINE_RULES[name])


def fallen(name: str, *texts: str) -> list[str | None]:
    """The rule of this set that each text falls to first."""
    documents, _ = compiled(load_rules(name))
    array = pa.array(texts)
    table = {"id": pa.array([f"{n:032x}" for n in range(len(texts))])}
    table |= measure(array, [FAMILIES[family] for family in documents.signals])
    return documents.decide(pa.table(table), "filter")["rule"].to_pylist()


def words(count: int, seed: int = 0) -> list[str]:
    """Different words of five letters, the stop words `the` and `of` among the first."""
    letters = np.random.default_rng(seed).integers(97, 123, (count, 5)).astype(np.uint8)
    return ["the", "of", *(row.tobytes().decode() for row in letters[2:])]


@pytest.mark.parametrize("name", ["gopher", "gopher-dolma", "dclm", "nemo", "redpajama-v2"])
def test_fifty_words_pass_and_forty_nine_do_not(name):
    text = words(50)
    assert fallen(name, " ".join(text) + ".", " ".join(text[1:]) + ".") == [None, "min_words"]


@pytest.mark.parametrize(("name", "rule"), [("gopher", "hash_ratio"), ("dclm", "symbol_ratio"), ("nemo", "symbols")])
def test_a_tenth_of_symbols_passes_and_more_does_not(name, rule):
    text = words(100)
    few, many = [*text[:90], *["#"] * 10], [*text[:88], *["#"] * 12]
    # the same order throughout: symbols stand apart, so that no n-gram repeats
    few, many = (" ".join(t[k] for k in np.random.default_rng(1).permutation(len(t))) + "." for t in (few, many))
    assert fallen(name, few)[0] != rule
    assert fallen(name, many)[0] == rule


@pytest.mark.parametrize(
    ("name", "rule"), [("gopher", "alpha_words"), ("gopher-dolma", "alpha_words"), ("dclm", "alpha_words")]
)
def test_four_fifths_of_words_with_a_letter_pass_and_less_do_not(name, rule):
    text = words(100)
    digits = [str(number) for number in range(10007, 10107)]
    assert fallen(name, " ".join([*text[:80], *digits[:20]]), " ".join([*text[:79], *digits[:21]])) == [None, rule]


def test_gopher_drops_a_text_of_bullets_and_keeps_one_of_nine_in_ten():
    lines = [f"- {' '.join(words(8, n))}" for n in range(30)]
    assert fallen("gopher", "\n".join([*lines[:27], *(line[2:] for line in lines[27:])]), "\n".join(lines)) == [
        None,
        "bullet_lines",
    ]


def test_fineweb_keeps_two_thirds_of_short_lines_and_drops_more():
    long = [" ".join(words(14, n)[2:]) + "." for n in range(100, 132)] + ["the end of " + " ".join(words(9)[2:]) + "."]
    short = [" ".join(words(6, n)[2:]) + "." for n in range(67)]
    assert fallen("fineweb", "\n".join(long + short), "\n".join(long[1:] + short)) == [None, "short_line_ratio"]
