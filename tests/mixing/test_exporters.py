"""Every exporter converts shares into its trainer's unit; what the trainer would draw is checked against the recipe.

The samplers here are short re-statements of the trainers' own rules; `benchmarks/mixing_exporters.py` runs the
originals. Documents of the domains differ tenfold in length, which is what a wrong unit would show by.
"""

import json

import numpy as np
import pytest
import yaml

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.exporters.registry import export_recipe
from gristmill.mixing.recipe import RecipePhase, make_recipe

from .export_case import DRAWS, LENGTHS, SHARES, close, job, largest_deficit, recipe, token_share


def test_megatron_reads_its_own_arguments_as_token_shares(tmp_path):
    made = export_recipe("megatron", job(tmp_path))
    parts = (tmp_path / "out" / "phase-1.args").read_text().split()
    weights, paths = [float(part) for part in parts[::2]], parts[1::2]
    assert all(weight > 0 for weight in weights)  # Megatron asserts on zero
    names = [path.rsplit("/", 1)[1].removesuffix("_train_text_document") for path in paths]
    drawn = largest_deficit(np.array(weights) / sum(weights), DRAWS)
    assert close(token_share(names, drawn, dict.fromkeys(names, 64)))
    assert made.dropped == ["none"]
    assert json.loads((tmp_path / "out" / "phase-1.json").read_text())["train"] == parts


def test_megatron_takes_no_path_for_a_weight_however_small_the_share(tmp_path):
    shares = {"books": 1e-5, "web": 1 - 1e-5}
    export_recipe("megatron", job(tmp_path, recipe([RecipePhase(until=1.0, seq_len=64, shares=shares)]), batch=256))
    parts = (tmp_path / "out" / "phase-1.args").read_text().split()
    assert parts[0] == "0.00001"


def test_megatron_phases_become_one_file_each_and_their_iterations(tmp_path):
    phases = [
        RecipePhase(until=0.75, seq_len=64, shares={"web": 1.0}),
        RecipePhase(until=1.0, seq_len=64, shares={"books": 1.0}),
    ]
    export_recipe("megatron", job(tmp_path, recipe(phases)))
    assert "web_train" in (tmp_path / "out" / "phase-1.args").read_text()
    assert "books_train" in (tmp_path / "out" / "phase-2.args").read_text()
    assert "--phase-transition-iterations 1200" in (tmp_path / "out" / "run.sh").read_text()
    assert "--train-iters 1600" in (tmp_path / "out" / "run.sh").read_text()


def test_neox_reads_weights_of_samples_and_lets_nothing_override_them(tmp_path):
    export_recipe("neox", job(tmp_path))
    told = yaml.safe_load((tmp_path / "out" / "data.yml").read_text())
    names = [path.rsplit("/", 1)[1].removesuffix("_train_text_document") for path in told["train-data-paths"]]
    assert names == sorted(SHARES)
    assert told["weight_by_num_documents"] is False
    drawn = largest_deficit(told["train-data-weights"], DRAWS)
    assert close(token_share(names, drawn, dict.fromkeys(names, 64)))
    phases = [RecipePhase(until=0.5, seq_len=64, shares=SHARES), RecipePhase(until=1.0, seq_len=64, shares=SHARES)]
    with pytest.raises(RequestError, match="one mixture a run"):
        export_recipe("neox", job(tmp_path, recipe(phases)))


def test_hf_probabilities_give_the_token_shares_though_they_count_documents(tmp_path):
    export_recipe("hf", job(tmp_path))
    probabilities = json.loads((tmp_path / "out" / "mixture.json").read_text())["phases"][0]["probabilities"]
    names = sorted(probabilities)
    drawn = np.random.default_rng(0).choice(len(names), 2_000_000, p=[probabilities[name] for name in names])
    assert close(token_share(names, drawn, LENGTHS))
    assert probabilities["web"] > 0.99
    compile((tmp_path / "out" / "mixture.py").read_text(), "mixture.py", "exec")


@pytest.mark.parametrize("to", ["megatron", "hf"])
@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: recipe(web={"loss_weight": 2.0}), "no loss weights"),
        (lambda: recipe([RecipePhase(until=1.0, seq_len=64, shares=SHARES, metadata="host")]), "metadata"),
    ],
)
def test_what_a_trainer_cannot_do_is_refused(tmp_path, to, made, message):
    with pytest.raises(RequestError, match=message):
        export_recipe(to, job(tmp_path, made()))


@pytest.mark.parametrize("name", ["0.5", "a b", "x/y", "-"])
def test_a_domain_name_that_would_break_a_trainers_syntax_is_refused(tmp_path, name):
    domains = {name: {"tokens_available": 10**6, "mean_tokens_per_document": 10, "bytes_per_token": 4}}
    made = make_recipe(
        total_tokens=10**6, domains=domains, phases=[RecipePhase(until=1.0, seq_len=64, shares={name: 1.0})]
    )
    with pytest.raises(RequestError, match="cannot be a path"):
        export_recipe("megatron", job(tmp_path, made))


def test_a_share_of_less_than_one_sample_is_refused(tmp_path):
    shares = {"books": 1e-6, "web": 1 - 1e-6}
    with pytest.raises(RequestError, match="less than one"):
        export_recipe("megatron", job(tmp_path, recipe([RecipePhase(until=1.0, seq_len=64, shares=shares)])))


def test_an_unknown_trainer_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(RequestError, match="did you mean megatron"):
        export_recipe("megatorn", job(tmp_path))
