"""`gristmill mix fit` on CSV files: both forms in use, exit codes, and refusals that name the file and the place."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.exporters.frame import ExportJob
from gristmill.mixing.exporters.registry import export_recipe
from gristmill.mixing.recipe import load_recipe
from gristmill.mixing.swarm import match_target, plain, read_swarm
from gristmill.pipelines.cli import main
from gristmill.pipelines.commands.mix_fit import gain_line
from gristmill.pipelines.commands.parsing import shares

DOMAINS = ("a", "b", "c")


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


@pytest.fixture
def tables(tmp_path):
    draw = np.random.default_rng(0)
    weights = draw.dirichlet(np.ones(3), 40)
    losses = 2 + (weights[:, :2] + 0.05) ** -0.3
    regmix = [f"train_the_pile_{name}" for name in DOMAINS]
    targets = [f"metric/the_pile_{name}_val_loss" for name in DOMAINS[:2]]
    order = draw.permutation(40)
    return (
        write(tmp_path / "m.csv", ["index", *regmix], [[i + 1, *np.round(weights[i], 3)] for i in range(40)]),
        write(tmp_path / "l.csv", ["index", *targets], [[i + 1, *losses[i]] for i in order]),
    )


def test_rows_are_joined_by_id_whatever_their_order(tables):
    swarm = read_swarm(*tables)
    assert swarm.own() == [0, 1]
    assert np.corrcoef(swarm.weights[:, 0], swarm.losses[:, 0])[0, 1] < -0.8
    assert swarm.weights.sum(1) == pytest.approx(np.ones(40))


def test_the_form_of_olmix_is_read_too(tmp_path):
    mixtures = write(tmp_path / "r.csv", ["run", "name", "index", "x", "y"], [["r1", "n", 0, 0.5, 0.5]])
    losses = write(tmp_path / "m.csv", ["run", "name", "index", "task/bpb"], [["r1", "n", 0, 1.25]])
    swarm = read_swarm(mixtures, losses)
    assert swarm.domains == ("x", "y")
    assert swarm.losses.tolist() == [[1.25]]


def test_the_command_prints_one_json_object(tables, capsys):
    arguments = ["mix", "fit", "--mixtures", tables[0], "--losses", tables[1], "--target", "the_pile_a"]
    arguments += ["--evaluate-mixtures", tables[0], "--evaluate-losses", tables[1], "--regressor", "gp_sqrt"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--jobs", "1", "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["fit"]["targets"]) == ["metric/the_pile_a_val_loss"]
    assert told["evaluation"]["mean_spearman"] > 0.95
    assert told["proposal"]["shares"]["train_the_pile_a"] > 0.8
    assert sum(told["proposal"]["shares"].values()) == pytest.approx(1)


def test_ceilings_and_the_prior_are_given_by_plain_names(tables, capsys):
    arguments = ["mix", "fit", "--mixtures", tables[0], "--losses", tables[1], "--regressor", "linear", "--jobs", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--ceiling", "the_pile_a=0.1", "--prior", "the_pile_b=3,the_pile_c=1", "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["proposal"]["shares"]["train_the_pile_a"] <= 0.1


@pytest.mark.parametrize("search", ["ensemble", "exact"])
def test_a_bound_on_another_target_and_a_price_per_token_move_the_proposal(tables, capsys, search):
    if search == "exact":
        pytest.importorskip("cvxpy")

    def proposed(*options):
        given = ["mix", "fit", "--mixtures", tables[0], "--losses", tables[1], "--regressor", "gp_sqrt", "--jobs", "1",
                 "--target", "the_pile_a", "--search", search, "--json", *options]  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(given)
        assert ended.value.code == 0
        return json.loads(capsys.readouterr().out)["proposal"]

    free = proposed()
    assert free["bounds"] == {}
    bound = proposed("--at-most", "the_pile_b=3.45")  # about a seventh of b
    row = bound["bounds"]["metric/the_pile_b_val_loss"]
    assert row["at_most"] == 3.45
    assert row["kept"] == (row["predicted"] <= 3.45 * 1.001)
    assert bound["shares"]["train_the_pile_b"] > free["shares"]["train_the_pile_b"] + 0.05
    priced = proposed("--cost", "the_pile_a=3")
    assert priced["shares"]["train_the_pile_a"] < free["shares"]["train_the_pile_a"] - 0.05


def test_a_bound_that_no_mixture_keeps_is_told_or_refused(tables, capsys):
    given = ["mix", "fit", "--mixtures", tables[0], "--losses", tables[1], "--regressor", "gp_sqrt", "--jobs", "1",
             "--target", "the_pile_a", "--at-most", "the_pile_b=2.1"]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 0
    assert "no mixture was found that keeps to it" in capsys.readouterr().out
    pytest.importorskip("cvxpy")
    with pytest.raises(SystemExit) as ended:
        main([*given, "--search", "exact"])
    assert ended.value.code == 2
    assert "no mixture satisfies the limits and bounds together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--cost", "the_pile_z=1"], "cost: no domain"),
        (["--at-most", "the_pile_z=1"], "no target"),
        (["--search", "exat"], "did you mean exact"),
        (["--target", "the_pile_z"], "no target"),
        (["--regressor", "gp_sqr"], "did you mean gp_sqrt"),
        (["--evaluate-mixtures", "x.csv"], "go together"),
        (["--mixtures", "absent.csv"], "absent.csv cannot be read: No such file"),
        (["--ceiling", "the_pile_a"], "expected NAME=NUMBER"),
    ],
)
def test_a_wrong_request_ends_with_two_and_says_what_is_wrong(tables, capsys, change, message):
    arguments = ["mix", "fit", "--mixtures", tables[0], "--losses", tables[1], "--jobs", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *change])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["1", "0.5", "0.6"]], "run 1: weights must"),
        ([["1", "0.5"]], "line 2: 2 cells under 3"),
        ([["1", "0.5", "x"]], "line 2"),
        ([["1", "0.5", "0.5"], ["1", "0.5", "0.5"]], "is there twice"),
        ([["1", "-0.5", "1.5"]], "run 1: weights must"),
        ([], "no rows"),
    ],
)
def test_damaged_mixtures_are_refused_with_file_and_line(tmp_path, rows, message):
    mixtures = write(tmp_path / "m.csv", ["index", "a", "b"], rows)
    losses = write(tmp_path / "l.csv", ["index", "a"], [["1", "2.0"]])
    with pytest.raises(RequestError, match=message) as refusal:
        read_swarm(mixtures, losses)
    assert "m.csv" in str(refusal.value)


def test_losses_that_are_not_finite_and_ids_that_do_not_join_are_refused(tmp_path):
    mixtures = write(tmp_path / "m.csv", ["index", "a", "b"], [["1", "0.5", "0.5"]])
    with pytest.raises(RequestError, match="a is 'nan', not a finite number"):
        read_swarm(mixtures, write(tmp_path / "l.csv", ["index", "a"], [["1", "nan"]]))
    with pytest.raises(RequestError, match="do not join"):
        read_swarm(mixtures, write(tmp_path / "l.csv", ["index", "a"], [["2", "1"]]))
    with pytest.raises(RequestError, match="no id column"):
        read_swarm(mixtures, write(tmp_path / "l.csv", ["number", "a"], [["2", "1"]]))


def test_names_are_matched_without_their_decorations():
    assert plain("metric/the_pile_arxiv_val_loss") == plain("train_the_pile_arxiv") == "the_pile_arxiv"
    assert match_target("arxiv", ["metric/the_pile_arxiv_val_loss", "metric/the_pile_github_val_loss"]) == 0


def test_shares_are_parsed_from_the_right():
    assert shares("--x", ["a=b=0.5"]) == {"a=b": 0.5}


def test_help_shows_an_example():
    from gristmill.pipelines.cli import load_command

    assert "Example: gristmill mix fit" in CliRunner().invoke(load_command("mix"), ["fit", "--help"]).output


def test_a_fit_writes_its_plots_its_card_and_a_recipe_that_exporters_take(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.dirichlet([1, 1, 1], 32)
    y = 2 + np.exp(-1 - 3 * x[:, 0]) + draw.normal(0, 0.003, 32)
    mixtures = write(tmp_path / "m.csv", ["index", "a", "b", "c"], [[i, *row] for i, row in enumerate(x)])
    losses = write(tmp_path / "l.csv", ["index", "t"], [[i, value] for i, value in enumerate(y)])
    facts = [[name, 10**9, 500.0, 4.0] for name in "abc"]
    domains = write(tmp_path / "d.csv", ["domain", "tokens", "mean_tokens_per_document", "bytes_per_token"], facts)
    out = tmp_path / "out"
    ask = ["mix", "fit", "--mixtures", mixtures, "--losses", losses, "--regressor", "gp_sqrt", "--jobs", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*ask, "--output", str(out), "--domains", domains, "--total-tokens", "1000000000"])
    assert ended.value.code == 0
    told = json.loads((out / "fit.json").read_text())
    assert len(told["details"]["measured"]["t"]) == 32
    assert told["details"]["responses"]["t"]["a"][0][1] > told["details"]["responses"]["t"]["a"][-1][1]
    assert {row["against"] for row in told["card"]["pairs"]} == {"natural", "uniform", "best_of_swarm"}
    assert all(0.5 <= row["order_holds"] <= 1 for row in told["card"]["pairs"])
    assert "<svg" in (out / "fit.html").read_text()
    recipe = load_recipe(str(out / "recipe.yaml"))
    assert recipe.run_shares() == pytest.approx(told["proposal"]["shares"], abs=1e-6)
    assert recipe.evidence is not None
    assert min(share for share in recipe.run_shares().values() if share) >= 2e-4
    for trainer in ("levanter", "olmo", "nanotron"):  # the trainers that count shares most coarsely
        export_recipe(trainer, ExportJob(recipe, str(tmp_path / trainer), None, batch=64))
    with pytest.raises(SystemExit) as ended:
        main([*ask, "--output", str(out), "--domains", domains])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.3, "]"), (-0.1, 0.3, "the interval holds 0"), (0.0, 0.1, "the interval holds 0"),
     (-0.1, 0.0, "the interval holds 0"), (-0.3, -0.1, "worse than the prior")],
)  # fmt: skip
def test_the_gain_is_said_to_be_proven_open_or_a_loss(low, high, said):
    line = gain_line({"value": (low + high) / 2, "low": low, "high": high, "proven": low > 0})
    assert said in line
    assert ("holds 0" in line) == (low <= 0 <= high)
