"""The mix stage on a real, tiny workspace: what it writes, that it resumes to the same bytes, what it refuses."""

import glob
import json
import os
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.mixing.recipe import load_recipe
from gristmill.mixing.two_phase import LastPhase
from gristmill.mixing.verdict import SWARM_BEST
from gristmill.pipelines.cli import main
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.mix import choice as mix_choice
from gristmill.pipelines.stages.mix import stage as mix_stage
from gristmill.pipelines.stages.mix.stage import MixSettings, mix

PROXY = {"n_layers": 1, "d_model": 16, "n_heads": 1, "d_ff": 32, "seq_len": 16, "sequences": 2, "steps": 4}
SETTINGS = {
    "mixtures": 8,
    "rounds": 1,
    "replicates": 1,
    "proxy": {**PROXY, "evaluations": 2, "warmup": 1},
    "seeds": 2,
    "wave": 5,
    "heldout_tokens": 256,
    "regressors": ("linear", "gp_sqrt"),
    "draws": 500,
    "seq_len": 16,
}


def contents(workspace):
    """Every file of the search that its content names, with its bytes."""
    return {name: data for name, data in files(workspace).items() if not name.endswith("_manifest.json")}


def wave_file(workspace, name):
    """Where the shard of a wave lies, which its content names."""
    (found,) = glob.glob(workspace.path("mixture", "waves", f"{name}.*.parquet"))
    return found


def made_anew(workspace, asked):
    """The same call after its commit is gone."""
    os.remove(workspace.path("commits", "mix.json"))
    run_stage(mix, workspace, asked, RunnerOptions(), quiet=True)
    return contents(workspace)


def settings(**changes):
    return MixSettings.model_validate({**SETTINGS, **changes})


def files(workspace):
    found = {}
    for folder, _, names in os.walk(workspace.path("mixture")):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.relpath(os.path.join(folder, name), workspace.url)] = file.read()
    return found


@pytest.fixture(scope="module")
def mixed(workspace, tmp_path_factory):
    copy = Workspace(str(tmp_path_factory.mktemp("mix") / "W"))
    shutil.copytree(workspace.url, copy.url)
    summary = run_stage(mix, copy, settings(), RunnerOptions(), quiet=True)
    return copy, summary


def test_the_recipe_states_what_was_fitted_and_what_validation_measured(mixed):
    workspace, summary = mixed
    recipe = load_recipe(workspace.path("mixture", "recipe.yaml"))
    assert set(recipe.domains) == {"long", "middle", "short"}
    assert set(recipe.evidence.validation) == {"natural", "uniform", *SWARM_BEST, "fitted"}
    assert recipe.evidence.validation["fitted"]["seeds"] == 2
    assert recipe.evidence.verdict == summary["details"]["verdict"]
    assert max(recipe.epochs().values()) <= 4.0
    assert recipe.evidence.predicted["low"] < recipe.evidence.predicted["high"]


def test_the_swarm_holds_every_run_at_every_evaluation(mixed):
    workspace, _ = mixed
    rows = pq.read_table(workspace.path("mixture", "swarm.parquet")).to_pylist()
    assert len(rows) == 9 * 2  # eight mixtures and one replicate, two evaluations
    assert {row["step"] for row in rows} == {2, 4}
    assert all(abs(sum(row["weights"].values()) - 1) < 1e-6 for row in rows)
    replicates = [row for row in rows if row["mixture"] == "natural" and row["step"] == 4]
    assert len({row["losses"]["long"] for row in replicates}) == 2


def test_what_was_killed_is_completed_to_the_same_bytes(mixed, workspace, tmp_path, monkeypatch):
    whole, _ = mixed
    copy = copied(workspace, tmp_path)
    real, trained = mix_stage.train_models, []

    def killed(plan, work):
        if work.name.startswith("swarm-0001"):
            raise MemoryError("killed")
        yield from real(plan, work)

    def counted(plan, work):
        trained.append(work.name)
        yield from real(plan, work)

    monkeypatch.setattr(mix_stage, "train_models", killed)
    with pytest.raises(Exception, match="killed"):
        run_stage(mix, copy, settings(), RunnerOptions(), quiet=True)
    monkeypatch.setattr(mix_stage, "train_models", counted)
    run_stage(mix, copy, settings(), RunnerOptions(), quiet=True)
    assert contents(copy) == contents(whole)
    assert "swarm-0001.parquet" in trained
    assert "swarm-0000.parquet" not in trained


@pytest.mark.slow
def test_a_price_a_bound_and_a_prior_decide_without_training_anything_again(mixed, tmp_path):
    workspace, summary = mixed
    copy = copied(workspace, tmp_path)
    fitted = dict(zip(("long", "middle", "short"), summary["details"]["shares"]["fitted"], strict=True))
    dear = max(fitted, key=lambda name: fitted[name])
    changed = settings(cost={dear: 50.0}, at_most={"long": 0.01})
    told = run_stage(mix, copy, changed, RunnerOptions(), force=True, quiet=True)["details"]
    assert dict(zip(fitted, told["shares"]["fitted"], strict=True))[dear] < fitted[dear]
    assert told["bounds"]["long"]["kept"] is False
    near = run_stage(mix, copy, settings(kl=1e4), RunnerOptions(), force=True, quiet=True)["details"]["shares"]
    assert near["fitted"] == pytest.approx(near["natural"], abs=0.05)


def test_another_target_reuses_the_trained_swarm(mixed, tmp_path):
    workspace, _ = mixed
    copy = Workspace(str(tmp_path / "W"))
    shutil.copytree(workspace.url, copy.url)
    time = os.stat(wave_file(copy, "swarm-0000")).st_mtime_ns
    with pytest.raises(RequestError, match="--force"):
        run_stage(mix, copy, settings(target={"long": 1.0}), RunnerOptions(), quiet=True)
    run_stage(mix, copy, settings(target={"long": 1.0}), RunnerOptions(), force=True, quiet=True)
    assert os.stat(wave_file(copy, "swarm-0000")).st_mtime_ns == time
    assert json.loads(files(copy)["mixture/fit.json"])["target"] == {"long": 1.0, "middle": 0.0, "short": 0.0}


def test_the_mixture_table_holds_tokens_and_epochs_of_each_mixture(mixed):
    workspace, _ = mixed
    rows = pq.read_table(workspace.path("mixture", "table.parquet")).to_pylist()
    recipe = load_recipe(workspace.path("mixture", "recipe.yaml"))
    for mixture in ("natural", "uniform", "fitted"):
        own = [row for row in rows if row["mixture"] == mixture]
        assert sum(row["share"] for row in own) == pytest.approx(1)
        assert sum(row["tokens"] for row in own) == pytest.approx(recipe.total_tokens, abs=3)
        for row in own:
            epochs = row["share"] * recipe.total_tokens / row["tokens_available"]
            assert row["epochs"] == pytest.approx(epochs)
    natural = {row["domain"]: row["epochs"] for row in rows if row["mixture"] == "natural"}
    assert np.allclose(list(natural.values()), 1.0, atol=1e-3)  # every token once


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": {"lnog": 1.0}}, "did you mean long"),
        ({"max_epochs": 0.5}, "allow only 0.5"),
        ({"floors": {"long": 0.7, "short": 0.7}}, "floors sum to 1.4"),
        ({"ceilings": {"lnog": 0.5}}, "did you mean long"),
        ({"cost": {"lnog": 0.5}}, "did you mean long"),
        ({"at_most": {"lnog": 0.5}}, "did you mean long"),
    ],
)
def test_what_no_mixture_can_satisfy_is_refused_before_anything_is_trained(workspace, changes, message):
    with pytest.raises(RequestError, match=message):
        run_stage(mix, workspace, settings(**changes), RunnerOptions(), quiet=True)
    assert not glob.glob(workspace.path("mixture", "waves", "swarm-0000.*"))


def copied(workspace, folder):
    copy = Workspace(str(folder / "W"))
    shutil.copytree(workspace.url, copy.url)
    return copy


def swarm_rows(workspace):
    rows = pq.read_table(workspace.path("mixture", "swarm.parquet")).to_pylist()
    return [row for row in rows if row["step"] == 4]


@pytest.mark.slow
def test_later_rounds_add_mixtures_that_the_first_chose_and_resume_to_the_same_bytes(workspace, tmp_path):
    copy = copied(workspace, tmp_path)
    asked = settings(mixtures=14, rounds=2, target={"long": 1.0})
    run_stage(mix, copy, asked, RunnerOptions(), quiet=True)
    rows = swarm_rows(copy)
    names = [row["mixture"] for row in rows]
    assert names == ["natural", "natural", *(f"m{number:04d}" for number in range(1, 14))]
    assert len({row["run"] for row in rows}) == len(rows)
    shares = [row["weights"]["long"] for row in rows]
    assert np.mean(shares[10:]) > np.mean(shares[:10])  # nine of the first round and its replicate, then five
    assert contents(copy) == made_anew(copy, asked)


def test_a_nested_design_trains_every_group(workspace, tmp_path):
    copy = copied(workspace, tmp_path)
    groups = {"lengthy": ("long", "middle"), "brief": ("short",)}
    run_stage(mix, copy, settings(design="nested", groups=groups), RunnerOptions(), quiet=True)
    brief = [row["weights"]["short"] for row in swarm_rows(copy)]
    assert min(brief) < 0.2 < 0.6 < max(brief)


def test_unchanged_domains_of_an_old_recipe_move_as_one(mixed, tmp_path):
    workspace, _ = mixed
    copy = copied(workspace, tmp_path)
    old = tmp_path / "old.yaml"
    shutil.copy(copy.path("mixture", "recipe.yaml"), old)
    shares = load_recipe(str(old)).run_shares()
    asked = settings(
        reuse={"recipe": str(old), "changed": ("short",)}, validate_mixtures=("previous", "uniform"), max_epochs=40.0
    )
    run_stage(mix, copy, asked, RunnerOptions(), force=True, quiet=True)
    for row in swarm_rows(copy):
        weights = row["weights"]
        assert weights["long"] * shares["middle"] == pytest.approx(weights["middle"] * shares["long"], abs=1e-5)
    recipe = load_recipe(copy.path("mixture", "recipe.yaml"))
    assert recipe.evidence.swarm["units"] == ["unchanged domains", "short"]
    assert set(recipe.evidence.validation) == {"natural", "previous", "uniform", "fitted"}
    assert "previous" in recipe.evidence.baselines
    assert "uniform" not in recipe.evidence.baselines  # no share of the units makes it, so the fit cannot say


def test_the_changed_domains_are_those_whose_tokens_the_recipe_has_not(mixed, tmp_path):
    workspace, _ = mixed
    copy = copied(workspace, tmp_path)
    old = tmp_path / "old.yaml"
    shutil.copy(copy.path("mixture", "recipe.yaml"), old)
    with pytest.raises(RequestError, match="nothing to search"):
        run_stage(mix, copy, settings(reuse=str(old)), RunnerOptions(), force=True, quiet=True)
    text = old.read_text()
    old.write_text(text.replace(load_recipe(str(old)).shards["short"], "f" * 32))
    run_stage(mix, copy, settings(reuse=str(old), max_epochs=40.0), RunnerOptions(), force=True, quiet=True)
    assert load_recipe(copy.path("mixture", "recipe.yaml")).evidence.swarm["units"] == ["unchanged domains", "short"]
    with pytest.raises(RequestError, match="would replace"):
        run_stage(
            mix, copy, settings(reuse=copy.path("mixture", "recipe.yaml")), RunnerOptions(), force=True, quiet=True
        )


def test_every_kind_of_mixture_is_a_row_predicted_and_those_asked_for_are_trained(workspace, tmp_path):
    copy = copied(workspace, tmp_path)
    asked = settings(
        compare={"human": {"long": 0.5, "short": 0.5}}, validate_mixtures=("unimax", "human"), repeat_as_run=True
    )
    summary = run_stage(mix, copy, asked, RunnerOptions(), quiet=True)
    rows = pq.read_table(copy.path("mixture", "table.parquet")).to_pylist()
    names = {"natural", "uniform", "unimax", "temperature", "doremi_style", "human", *SWARM_BEST, "fitted"}
    assert {row["mixture"] for row in rows} == names
    assert all(row["predicted_low"] <= row["predicted"] <= row["predicted_high"] for row in rows)
    trained = {row["mixture"] for row in rows if row["target_bits_per_byte"] is not None}
    assert trained == {"natural", "unimax", "human", "fitted"}
    human = {row["domain"]: row["share"] for row in rows if row["mixture"] == "human"}
    assert human == {"long": 0.5, "middle": 0.0, "short": 0.5}
    held, pairs = summary["details"]["pairs_held"]
    assert pairs == 3  # where every token is read once, UniMax is the natural mixture, and counts once
    assert 0 <= held <= 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validate_mixtures": ("unimx",)}, "did you mean unimax"),
        ({"compare": {"natural": {"long": 1.0}}}, "is there anyway"),
        ({"groups": {"a": ("long",)}}, "nested"),
        ({"floors": {"long": float("nan")}}, "finite number"),
        ({"cost": {"long": float("inf")}}, "finite number"),
        ({"kl": float("nan")}, "finite number"),
        ({"target": {"long": float("nan")}}, "finite number"),
        ({"target": {"long": 0.0}}, "all zero"),
        ({"target": {"long": -1.0}}, "0 at least"),
        ({"ceilings": {"long": -0.1}}, "0 at least"),
        ({"choose": "measured", "last_phases": (0.5,)}, "branch off"),
        ({"compare": {"doremi": {"long": 1.0}}}, "is there anyway"),
        ({"reuse": "absent.yaml"}, "no recipe at absent.yaml"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_the_command_takes_a_settings_file_and_options_before_it(workspace, tmp_path, capsys):
    copy = copied(workspace, tmp_path)
    file = tmp_path / "mix.yaml"
    file.write_text(json.dumps({**SETTINGS, "seeds": 5}))
    with pytest.raises(SystemExit) as ended:
        main(["mix", "-w", copy.url, "--settings", str(file), "--seeds", "2", "--group", "x=long,short",
              "--group", "y=middle", "--compare", "human:long=1,short=3", "--validate", "human",
              "--choose", "measured"])  # fmt: skip
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "human" in told
    assert "not trained" in told
    assert re.search(r"held for \d+ of \d+ pairs", told)
    assert "trained again with fresh seeds: " in told
    found = json.loads(files(copy)["mixture/_manifest.json"])["settings"]
    assert found["seeds"] == 2
    assert found["design"] == "nested"
    assert found["compare"] == {"human": {"long": 1.0, "short": 3.0}}


def proven(lengths, first, *given, **options):
    """Stands for branches that prove a gain: the last tenth on the shortest domain."""
    shares = np.array([0.3, 0.2, 0.5])
    return [LastPhase(0.5, shares, {"value": 0.25, "low": 0.2, "high": 0.3, "level": 0.9, "proven": True}, 8)]


def test_a_recipe_of_two_phases_is_trained_whole_beside_the_others(workspace, tmp_path, monkeypatch):
    copy = copied(workspace, tmp_path)
    monkeypatch.setattr(mix_choice, "best_last_phase", proven)
    asked = settings(last_phases=(0.5,), last_mixtures=8)
    summary = run_stage(mix, copy, asked, RunnerOptions(), quiet=True)
    recipe = load_recipe(copy.path("mixture", "recipe.yaml"))
    assert [phase.until for phase in recipe.phases] == [0.5, 1.0]
    assert recipe.phases[1].shares == {"long": 0.3, "middle": 0.2, "short": 0.5}
    assert set(recipe.evidence.validation) == {"natural", "uniform", *SWARM_BEST, "fitted", "two_phase"}
    assert recipe.evidence.chosen == "two_phase, as predicted"
    fitted, whole = (summary["details"]["predicted"][name] for name in ("fitted", "two_phase"))
    assert whole["predicted"] == pytest.approx(fitted["predicted"] - 0.25)
    assert whole["high"] - whole["low"] >= fitted["high"] - fitted["low"]
    rows = summary["details"]["mixtures"].values()
    different = len({row["bits_per_byte"] for row in rows})  # equal mixtures are trained and counted once
    assert summary["details"]["pairs_held"][1] == different * (different - 1) // 2
    assert summary["details"]["verdict"].startswith("The recipe of two phases ")
    rows = pq.read_table(copy.path("mixture", "validation.parquet")).to_pylist()
    last = [row for row in rows if row["step"] == 8 and row["mixture"] in ("fitted", "two_phase")]
    assert {(row["mixture"], row["seed"]) for row in last} == {
        (n, s) for n in ("fitted", "two_phase") for s in (1000, 1001)
    }
    by_name = {row["mixture"]: row["weights"]["short"] for row in last}
    assert by_name["fitted"] == recipe.phases[0].shares["short"]
    assert by_name["two_phase"] == pytest.approx((by_name["fitted"] + 0.5) / 2)
    early, late = ([r["losses"] for r in rows if r["seed"] == 1000 and r["mixture"] in ("fitted", "two_phase")
                    and r["step"] == step] for step in (4, 8))  # fmt: skip
    assert early[0] == pytest.approx(early[1], rel=1e-6)  # the same model until the mixture changes
    assert late[0] != pytest.approx(late[1], rel=1e-4)
    assert contents(copy) == made_anew(copy, asked)


def test_the_recipe_may_take_what_validates_best_and_is_judged_with_fresh_seeds(workspace, tmp_path):
    copy = copied(workspace, tmp_path)
    summary = run_stage(mix, copy, settings(choose="measured"), RunnerOptions(), quiet=True)
    told = summary["details"]
    recipe, over = load_recipe(copy.path("mixture", "recipe.yaml")), told["handed_over"]
    assert told["chosen"] == over["name"]
    assert list(recipe.phases[0].shares.values()) == pytest.approx(told["shares"][over["name"]])
    assert recipe.evidence.chosen == f"{over['name']}, as measured"
    assert {"natural", "uniform"} < set(recipe.evidence.fresh)
    assert over["name"] == "natural" or over["against"]["natural"]["proven"] or "last by all seeds" in over["reason"]
    rows = pq.read_table(wave_file(copy, "final-0000")).to_pylist()
    others = pq.read_table(copy.path("mixture", "validation.parquet")).to_pylist() + swarm_rows(copy)
    assert not {row["seed"] for row in rows} & {row["seed"] for row in others}
    assert told["verdict"].startswith(f"Handed over: {over['name']}")


def test_policies_find_mixtures_on_proxies_of_their_own(workspace, tmp_path):
    copy = copied(workspace, tmp_path)
    proxy = {**SETTINGS["proxy"], "steps": 12}
    asked = settings(validate_mixtures=("doremi", "ado"), proxy=proxy, mixtures=14, rounds=2)
    summary = run_stage(mix, copy, asked, RunnerOptions(), quiet=True)
    assert set(summary["details"]["mixtures"]) == {"natural", "doremi", "ado", "fitted"}
    for name in ("doremi", "ado"):
        path = pq.read_table(wave_file(copy, f"{name}-0000")).to_pylist()
        assert [row["step"] for row in path] == [2, 4, 6, 8, 10, 12]
        assert len({row["weights"]["long"] for row in path}) > 1  # shares moved
        mean = np.mean([list(row["weights"].values()) for row in path], axis=0)
        assert summary["details"]["shares"][name] == pytest.approx(mean, abs=2e-6)
        assert all(row["losses"][domain] > 0 for row in path for domain in ("long", "middle", "short"))
    assert len(swarm_rows(copy)) == 0  # their rows are not the swarm's, whose last step is 12
    assert len([r for r in pq.read_table(copy.path("mixture", "swarm.parquet")).to_pylist() if r["step"] == 12]) == 15


def test_branches_off_the_fitted_mixture_say_whether_the_run_should_end_on_another(workspace, tmp_path):
    copy = copied(workspace, tmp_path)
    asked = settings(last_phases=(0.25, 0.5), last_mixtures=8, target={"long": 1.0}, max_epochs=1.5)
    summary = run_stage(mix, copy, asked, RunnerOptions(), quiet=True)
    found = summary["details"]["last_phases"]
    assert {end["length"] for end in found} == {0.25, 0.5}
    assert [end["gain"]["value"] for end in found] == sorted((end["gain"]["value"] for end in found), reverse=True)
    recipe = load_recipe(copy.path("mixture", "recipe.yaml"))
    assert len(recipe.phases) == 1 + bool(found[0]["gain"]["proven"])
    assert max(recipe.epochs().values()) <= 1.5 + 1e-4
    assert contents(copy) == made_anew(copy, asked)
