"""YAML's words are words."""

import pytest
import yaml

from gristmill.corpus.plain_yaml import load_yaml
from gristmill.corpus.store.errors import RequestError
from gristmill.filters.rule_sets import load_rules


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "off", "Yes", "NO", "y", "12:30", "017", "1_000", "0x1F", "2024-01-02"]
)
def test_what_yaml_1_1_takes_for_something_else_is_a_word(word):
    assert load_yaml(f"{word}: {word}") == {word: word}


def test_numbers_truth_and_nothing_are_what_they_are():
    told = load_yaml("a: 1\nb: -2.5\nc: 1e3\nd: true\ne:\nf: ~\ng: .inf\nh: 0\ni: +7\nj: .5")
    assert told == {
        "a": 1,
        "b": -2.5,
        "c": 1000.0,
        "d": True,
        "e": None,
        "f": None,
        "g": float("inf"),
        "h": 0,
        "i": 7,
        "j": 0.5,
    }


def test_a_name_that_stands_twice_is_refused():
    with pytest.raises(yaml.YAMLError, match="twice"):
        load_yaml("a: 1\na: 2")


@pytest.mark.parametrize(
    "text", ["[" * 10**5, "a: " + "9" * 5000, "!!int x", '!!int ""', "!!timestamp 2024-13-45", "!!float x"]
)
def test_what_cannot_be_held_is_no_yaml(text):
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


@pytest.mark.parametrize(
    "threshold", ["yes", "no", "on", "true", "12:30", "0x1F", ".nan", ".inf", "{default: off}", "many"]
)
def test_a_threshold_that_is_no_number_is_refused_by_what_was_written(tmp_path, threshold):
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: m\nrules:\n  - {{rule: w, value: text.words, threshold: {threshold}, keep: value >= threshold}}\n"
    )
    with pytest.raises(RequestError, match="number"):
        load_rules(str(path))


def test_norwegian_is_a_language(tmp_path):
    path = tmp_path / "r.yaml"
    rule = "{rule: w, value: text.words, threshold: 3, keep: value >= threshold}"
    path.write_text(f"name: 2024\nlanguages: {{no: {{w: 40}}}}\nrules:\n  - {rule}\n")
    assert load_rules(str(path)).rules[0].threshold == {"default": 3.0, "no": 40.0}
    path.write_text(f"name: m\nlanguages: {{no: {{w: yes}}}}\nrules:\n  - {rule}\n")
    with pytest.raises(RequestError, match="'yes' is a word"):
        load_rules(str(path))
