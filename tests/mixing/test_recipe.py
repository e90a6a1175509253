"""The recipe states tokens, keeps its promises about sums and epochs, and refuses what contradicts itself."""

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.recipe import RecipePhase, dump_recipe, load_recipe, make_recipe, rounded, save_recipe
from gristmill.pipelines.cli import main

BOOKS = {"tokens_available": 1000, "mean_tokens_per_document": 100.0, "bytes_per_token": 4.0}
WEB = {"tokens_available": 4000, "mean_tokens_per_document": 10.0, "bytes_per_token": 3.5}


def recipe(**changes):
    given = {
        "total_tokens": 2000,
        "domains": {"web": WEB, "books": BOOKS},
        "phases": [
            RecipePhase(until=0.9, seq_len=64, shares={"web": 0.5, "books": 0.5}),
            RecipePhase(until=1.0, seq_len=128, shares={"books": 1.0}),
        ],
    }
    return make_recipe(**{**given, **changes})


def test_share_and_epochs_follow_from_the_phases():
    made = recipe()
    assert made.domains["books"].share == pytest.approx(0.55)
    assert made.domains["books"].epochs == pytest.approx(1.1)
    assert made.domains["web"].epochs == pytest.approx(0.225)


def test_what_is_saved_is_what_is_read(tmp_path):
    save_recipe(recipe(), str(tmp_path / "recipe.yaml"))
    again = load_recipe(str(tmp_path / "recipe.yaml"))
    assert again == recipe()
    assert dump_recipe(again) == dump_recipe(recipe())


def test_derived_numbers_may_be_left_out(tmp_path):
    content = yaml.safe_load(dump_recipe(recipe()))
    for domain in content["domains"].values():
        del domain["share"], domain["epochs"]
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    assert load_recipe(str(tmp_path / "r.yaml")).epochs() == recipe().epochs()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["domains"]["books"].update(epochs=3.0), "epochs is written as 3 but its phases give 1.1"),
        (lambda c: c["phases"][0]["shares"].update(web=0.4), "phase 1: shares sum to 0.9"),
        (lambda c: c["phases"][0]["shares"].update(wbe=0.0), "phase 1: no domain wbe"),
        (lambda c: c["phases"][1].update(until=0.95), "the last phase must have `until: 1.0`"),
        (lambda c: c["phases"][0].update(until=1.0), "phases must end in order"),
        (lambda c: c["domains"]["books"].update(max_epochs=1.0), "1.1 epochs exceed its cap of 1"),
        (lambda c: c.update(totl=1), "totl"),
        (lambda c: c.update(version=2), "version"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(tmp_path, change, message):
    content = yaml.safe_load(dump_recipe(recipe()))
    change(content)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(RequestError) as refusal:
        load_recipe(str(tmp_path / "r.yaml"))
    assert message in str(refusal.value)
    assert "r.yaml" in str(refusal.value)


@pytest.mark.parametrize("content", ["- 1\n", "a: [", "\x80"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, content):
    (tmp_path / "r.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(RequestError):
        load_recipe(str(tmp_path / "r.yaml"))


def test_the_fingerprint_ignores_the_name_and_sees_the_shares():
    assert recipe(name="a").fingerprint() == recipe(name="b").fingerprint()
    assert recipe(total_tokens=2001).fingerprint() != recipe().fingerprint()


def test_two_recipes_are_compared_place_by_place(tmp_path, capsys):
    phases = [RecipePhase(until=0.9, seq_len=64, shares={"web": 0.4, "books": 0.6}),
              RecipePhase(until=1.0, seq_len=128, shares={"books": 1.0})]  # fmt: skip
    save_recipe(recipe(name="a"), str(tmp_path / "a.yaml"))
    save_recipe(recipe(name="b", phases=phases, shards={"web": "f" * 32}), str(tmp_path / "b.yaml"))

    def told(*given):
        with pytest.raises(SystemExit) as ended:
            main(["recipe", *given])
        assert ended.value.code == 0
        return capsys.readouterr().out

    found = json.loads(told("compare", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), "--json"))
    assert found["phases.1.shares.web"] == [0.5, 0.4]
    assert found["domains.books.epochs"] == pytest.approx([1.1, 1.28])
    assert found["shards.web"] == [None, "f" * 32]
    assert not [place for place in found if place.startswith(("phases.2", "name", "total_tokens"))]
    said = told("compare", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))
    assert "phases.1.shares.web: 0.5 -> 0.4 (-0.1)" in said
    assert told("compare", str(tmp_path / "a.yaml"), str(tmp_path / "a.yaml")).startswith("the same mixture")


def test_the_schema_that_is_printed_is_the_one_that_is_checked(capsys):
    with pytest.raises(SystemExit):
        main(["recipe", "schema"])
    told = json.loads(capsys.readouterr().out)
    assert told["properties"]["version"]["const"] == 1
    assert set(told["required"]) == {"total_tokens", "domains", "phases"}
    assert told["additionalProperties"] is False


def test_tiny_shares_survive_every_yaml_reader():
    shares = {"web": 1 - 1e-6, "books": 1e-6}
    made = recipe(phases=[RecipePhase(until=1.0, seq_len=64, shares=shares)])
    assert yaml.safe_load(dump_recipe(made))["phases"][0]["shares"]["books"] == 1e-6


@given(st.dictionaries(st.text("abcdef", min_size=1), st.floats(0, 1e6), min_size=1, max_size=30))
def test_rounded_shares_sum_to_one_and_stay_within_a_millionth(shares):
    if sum(shares.values()) <= 0:
        return
    made = rounded(shares)
    assert sum(round(share * 10**6) for share in made.values()) == 10**6
    total = math.fsum(shares.values())
    assert all(abs(made[name] - shares[name] / total) <= 1.0000001e-6 for name in shares)
