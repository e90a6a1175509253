"""Bundled rule sets and rules as data."""

import pyarrow as pa
import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.schema import DECISIONS
from gristmill.filters.cuts import cut_lines
from gristmill.filters.rule_sets import RuleSet, bundled, compiled, load_rules, quoted
from gristmill.filters.signals.families import families as family_list
from gristmill.filters.signals.families import measure


def verdicts(name: str, texts: list[str]) -> list[str | None]:
    """The rule that each text falls to."""
    rules = load_rules(name)
    documents, lines = compiled(rules)
    text = pa.array(texts)
    table = {"id": pa.array([f"{n:032x}" for n in range(len(texts))])}
    table |= {name: pa.nulls(len(texts), pa.string()) for name in documents.columns - {"id"}}
    if lines is not None:
        assert rules.lines is not None
        cut = cut_lines(text, rules.lines, lines)
        table |= {"kept": cut.kept, "removed": cut.removed}
    wanted = family_list(set(documents.signals) - {"kept", "removed"})
    table |= measure(text, wanted)
    return documents.decide(pa.table(table), "filter")["rule"].to_pylist()


@pytest.mark.parametrize("name", [name for name in bundled() if name != "silo-high-risk"])  # which asks for a licence
def test_a_bundled_rule_set_is_checked_and_drops_an_empty_text(name):
    assert verdicts(name, [""])[0] is not None


PROSE = (
    "The history of the valley is that of the river and of the people who have lived beside it with their animals. "
    "In the spring the water rises to the lower fields, and the families move to the upper houses until it falls. "
    "Nobody remembers when the first bridge was built, but the stones of its piers are to be seen at low water. "
    "It was never a rich country. What it had were meadows, a mill and a market on the second day of the month."
)


@pytest.mark.parametrize(
    "name", ["fineweb", "gopher", "gopher-dolma", "c4", "refinedweb", "dclm", "redpajama-v2", "nemo"]
)
def test_plain_prose_passes_every_rule_set_for_prose(name):
    assert verdicts(name, [PROSE]) == [None]


def test_rule_sets_disagree_where_their_peers_do():
    repeated = PROSE + "\n" + PROSE
    assert verdicts("fineweb", [repeated])[0] == "duplicate_lines"
    assert verdicts("c4", [repeated])[0] is None


def test_a_quoted_text_is_not_taken_for_a_dialect():
    assert (
        quoted("gopher@dolma.word_count > 1 and domain = 'a@b'") == "\"gopher@dolma\".word_count > 1 and domain = 'a@b'"
    )
    assert quoted('"gopher@dolma".word_count') == '"gopher@dolma".word_count'


def cut(text: str, name: str):
    rules = load_rules(name)
    _, lines = compiled(rules)
    assert lines is not None
    assert rules.lines is not None
    done = cut_lines(pa.array([text]), rules.lines, lines)
    return done.edits[0], done.kept[0].as_py(), done.removed[0].as_py()


LINES = [
    "A first line that is quite in order.",
    "no mark at its end",
    "Please switch JavaScript on to see it.",
    "Été: read our Privacy Policy here.",
    "A last line, as good as the first.",
    "bye",
]


def test_line_rules_cut_lines_and_record_which_and_why():
    edit, kept, removed = cut("\n".join(LINES), "c4")
    text, spans = edit
    assert text == "\n".join([LINES[0], LINES[4]])
    assert [span["rule"] for span in spans] == ["terminal_punctuation", "javascript", "policy", "terminal_punctuation"]
    assert kept["lines"] == 2
    assert removed["terminal_punctuation"] == 2


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_the_text_after_the_cut_is_the_text_before_without_the_recorded_spans(ending):
    before = "\r\n".join(LINES) + ending
    (after, spans), _, _ = cut(before, "c4")
    for span in reversed(spans):
        before = before[: span["start"]] + before[span["end"] :]
    assert before == after


def test_a_text_that_keeps_all_its_lines_is_not_edited():
    edit, kept, removed = cut(LINES[0], "c4")
    assert edit is None
    assert kept["lines"] == 1
    assert removed["words_ratio"] == 0


def test_refinedweb_cuts_counters_capitals_and_navigation():
    lines = ["THIS IS LOUD", "12345", "3 likes", "1.2K shares", "Sign-in to go on", "single", "A fine line stays here."]
    (text, _), _, removed = cut("\n".join(lines), "refinedweb")
    assert text == lines[-1]
    assert removed["counter"] == 2
    assert removed["words_ratio"] == pytest.approx(13 / 18)


def test_two_rules_of_one_name_are_refused():
    rule = {"rule": "same", "value": "text.words", "threshold": 1, "keep": "value > threshold"}
    with pytest.raises(ValueError, match="twice there: same"):
        RuleSet.model_validate({"name": "x", "rules": [rule, rule]})


@pytest.mark.parametrize("keep", ["value", "threshold", "'x'", "value + threshold"])
def test_a_rule_that_neither_keeps_nor_drops_is_refused(keep):
    rule = {"rule": "odd", "value": "text.words", "threshold": 1, "keep": keep}
    with pytest.raises(RequestError, match="rule odd: keep is to be true or false"):
        compiled(RuleSet.model_validate({"name": "x", "rules": [rule]}))


def test_decisions_have_the_declared_columns():
    documents, _ = compiled(load_rules("qa"))
    table = measure(pa.array([PROSE]), family_list(documents.signals))
    decided = documents.decide(pa.table({"id": ["0" * 32], **table}), "filter")
    assert set(DECISIONS.names) <= set(decided.column_names)
