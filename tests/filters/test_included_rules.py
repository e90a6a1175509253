"""A rule set may stand inside another, at a place of its own."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.filters.rule_files import bundled
from gristmill.filters.rule_sets import RuleSet, compiled, load_rules

ENGLISH = {
    "rule": "english",
    "value": "language_score",
    "threshold": 0.65,
    "keep": "value >= threshold and language = 'en'",
}
LAST = {"rule": "long_enough", "value": "text.words", "threshold": 60, "keep": "value >= threshold"}


@settings(max_examples=25)
@given(st.sampled_from([name for name in bundled() if name != "fineweb-2"]), st.booleans(), st.booleans())
def test_the_rules_of_an_included_set_stand_where_it_was_named(name, before, after):
    rules = [*([ENGLISH] if before else []), {"include": name}, *([LAST] if after else [])]
    made, theirs = RuleSet.model_validate({"name": "mine", "rules": rules}), load_rules(name)
    names = [
        *(["english"] if before else []),
        *(rule.rule for rule in theirs.rules),
        *(["long_enough"] if after else []),
    ]
    assert [rule.rule for rule in made.rules] == names
    assert (made.lines, made.mask) == (theirs.lines, theirs.mask)
    compiled(made)


def test_thresholds_by_language_come_along_and_one_s_own_go_before_them():
    theirs = {rule.rule: rule for rule in load_rules("fineweb-2").rules}
    own = {"de": {"top_2gram": 0.5}}
    made = RuleSet.model_validate({"name": "mine", "rules": [{"include": "fineweb-2"}], "languages": own})
    (rule,) = [rule for rule in made.rules if rule.rule == "top_2gram"]
    assert rule.threshold["de"] == 0.5
    assert {k: v for k, v in rule.threshold.items() if k != "de"} == {
        k: v for k, v in theirs["top_2gram"].threshold.items() if k != "de"
    }


def test_a_file_includes_a_file_and_none_includes_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(json.dumps({"name": "base", "rules": [LAST]}))
    (tmp_path / "top.yaml").write_text(json.dumps({"name": "top", "rules": [ENGLISH, {"include": "base.yaml"}]}))
    assert [rule.rule for rule in load_rules("top.yaml").rules] == ["english", "long_enough"]
    (tmp_path / "base.yaml").write_text(json.dumps({"name": "base", "rules": [{"include": "top.yaml"}]}))
    with pytest.raises(ValidationError, match="includes itself"):
        RuleSet.model_validate({"name": "x", "rules": [{"include": "top.yaml"}]})


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"include": "finweb"}], "did you mean fineweb"),
        ([{"include": "gopher"}, {"include": "gopher"}], "rule names must differ"),
        ([{"include": "c4"}, {"include": "refinedweb"}], "lines"),
    ],
)
def test_what_cannot_be_included_is_refused(rules, message):
    with pytest.raises(ValidationError, match=message):
        RuleSet.model_validate({"name": "mine", "rules": rules})
