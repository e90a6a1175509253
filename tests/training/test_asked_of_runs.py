"""What is asked of runs and checkpoints: names that are there, tokens that are of the corpus, measures as asked."""

import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.schema import DECISIONS, DOCUMENTS
from gristmill.corpus.store.workspace import Workspace
from gristmill.mixing.exporters.frame import ExportJob
from gristmill.mixing.exporters.registry import export_recipe
from gristmill.mixing.recipe import RecipePhase, Tokenizer, load_recipe, make_recipe, save_recipe
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.mix.bounds import domain_inputs
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.pipelines.stages.train.checkpoints import measure, opened
from gristmill.pipelines.stages.train.stage import TrainSettings, train
from gristmill.training import checkpoint
from gristmill.training.branches import merge
from gristmill.training.data.shards import domains, open_tokens

WORDS = {"zoo": "lion tiger bear otter seal", "kitchen": "salt pepper flour sugar butter"}
LOOP = {"optimiser": {"rate": 3e-3}, "device": "cpu", "compile": False, "checkpoint_every": 8}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workspace = Workspace(str(tmp_path_factory.mktemp("asked")))
    workspace.create()
    draw = np.random.default_rng(0)
    rows = sorted(
        (
            {"id": hashlib.blake2b(f"{name}{number}".encode(), digest_size=16).hexdigest(), "domain": name,
             "source": "s", "text": " ".join(draw.choice(words.split(), 20))}
            for name, words in WORDS.items() for number in range(40)
        ),
        key=lambda row: row["id"],
    )  # fmt: skip
    put_table(workspace, "documents", DOCUMENTS, {"a.parquet": rows}, stage="extract")
    tokenize(workspace, TokenizeSettings(vocab_size=300, heldout=0.2), RunnerOptions(workers=1), quiet=True)
    return workspace


@pytest.fixture(scope="module")
def ended(made, tmp_path_factory):
    """The folder of a run that ended."""
    train(made, asked(made, tmp_path_factory.mktemp("ended"), "ended"), quiet=True)
    return made.path("runs", "ended")


def recipe(workspace, path, **more):
    pool = {name: open_tokens(workspace, name) for name in domains(workspace)}
    facts = {name: {"tokens_available": one.tokens, "mean_tokens_per_document": one.tokens / one.documents,
                    "bytes_per_token": one.bytes / one.tokens} for name, one in pool.items()}  # fmt: skip
    phases = [RecipePhase(until=1.0, seq_len=16, shares={"zoo": 0.5, "kitchen": 0.5})]
    save_recipe(make_recipe(total_tokens=16 * 64, domains=facts, phases=phases, **more), str(path))
    return str(path)


def asked(workspace, folder, name="run", loop=(), **more):
    settings = {"recipe": recipe(workspace, folder / "recipe.yaml"), "name": name, "model": "1x16x2"}
    return TrainSettings.model_validate({**settings, "batch_tokens": 64, "loop": {**LOOP, **dict(loop)}, **more})


def target(folder, name, words):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"context": words, "continuation": "bear"}) + "\n")
    return str(folder / name)


@pytest.mark.parametrize(
    ("weights", "said"),
    [({"zo": 0.0}, "no domain 'zo'; did you mean zoo"), ({"zoo": 0, "kitchen": 0}, "would learn nothing")],
)
def test_loss_weights_name_domains_of_the_run_and_leave_something_to_learn(made, tmp_path, weights, said):
    with pytest.raises(RequestError, match=said):
        train(made, asked(made, tmp_path, loop={"loss_weights": weights}), quiet=True)


def test_two_targets_of_one_name_are_refused_by_whoever_scores_them(made, tmp_path):
    files = [target(tmp_path, "task.jsonl", "lion"), target(tmp_path / "more", "task.jsonl", "salt")]
    with pytest.raises(RequestError, match="two target files are named task"):
        train(made, asked(made, tmp_path, targets=files), quiet=True)


def test_a_finished_run_is_measured_by_what_is_asked_for_now_and_keeps_its_weights(made, tmp_path):
    first = train(made, asked(made, tmp_path, "measured"), quiet=True)
    file = target(tmp_path, "task.jsonl", "lion")
    again = train(made, asked(made, tmp_path, "measured", targets=[file]), quiet=True)
    assert not first["targets"]
    assert again["targets"].keys() == {"task"}
    assert again["bits_per_byte"] == pytest.approx(first["bits_per_byte"])
    rows = measure(made, [made.path("runs", "measured")], [file])
    assert again["targets"]["task"] == pytest.approx(rows[-1]["targets"]["task"])
    few = train(made, asked(made, tmp_path, "measured", targets=[file], evaluation_tokens=60), quiet=True)
    assert few["bits_per_byte"] != first["bits_per_byte"]
    assert few["loss"] == first["loss"]
    target(tmp_path, "task.jsonl", "salt salt salt salt")  # another file of that name
    other = train(made, asked(made, tmp_path, "measured", targets=[file], evaluation_tokens=60), quiet=True)
    assert other["targets"] != few["targets"]


@pytest.mark.parametrize("weights", [(math.nan, 1), (math.inf, 1), (1e308, 1e308), (-1, 2), (0, 0)])
def test_checkpoints_are_averaged_by_finite_weights_only(tmp_path, weights):
    with pytest.raises(RequestError, match="must be finite numbers"):
        merge(["a", "b"], str(tmp_path / "average"), weights)
    assert not (tmp_path / "average").exists()


def test_a_recipe_for_other_tokens_is_not_exported_with_these(made, tmp_path):
    for name, told in (("sizes", {"shards": {"zoo": "0" * 32}}),
                       ("ids", {"tokenizer": Tokenizer(sha256="1" * 64, vocab_size=300)})):  # fmt: skip
        path = recipe(made, tmp_path / f"{name}.yaml", **told)
        with pytest.raises(RequestError, match="made for other tokens"):
            export_recipe("megatron", ExportJob(load_recipe(path), str(tmp_path / name), made, batch=4))
    path = recipe(made, tmp_path / "own.yaml")
    assert export_recipe("megatron", ExportJob(load_recipe(path), str(tmp_path / "own"), made, batch=4)).files


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "settings.json").unlink(), "holds checkpoints and no settings.json"),
        (lambda run: (run / "settings.json").write_text('{"settings'), "settings.json is damaged"),
        (lambda run: (run / "run_card.json").write_text('{"steps'), "run_card.json is damaged"),
        (lambda run: [(run / n).unlink() for n in ("run_card.json", "metrics.jsonl")], "says nothing of step 16"),
        (lambda run: (run / "metrics.jsonl").write_text('{"step": 1\n{}\n') and (run / "run_card.json").unlink(),
         "metrics.jsonl line 1 is damaged"),
    ],
)  # fmt: skip
def test_a_run_whose_papers_are_lost_or_damaged_is_refused_in_words(made, ended, tmp_path, damage, said):
    run = Path(made.path("runs", "damaged"))
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(ended, run)
    damage(run)
    with pytest.raises((RequestError, WorkspaceError), match=said):
        train(made, asked(made, tmp_path, "damaged"), quiet=True)


def test_a_run_of_less_than_half_a_step_is_refused_and_caps_are_of_what_is_read(made, tmp_path):
    with pytest.raises(RequestError, match="less than half a step of 4,096"):
        train(made, asked(made, tmp_path, tokens=1024, batch_tokens=4096), quiet=True)
    whole = {name: open_tokens(made, name).tokens for name in WORDS}
    path = recipe(made, tmp_path / "capped.yaml")
    capped = yaml.safe_load(Path(path).read_text())
    for name, told in capped["domains"].items():
        told.update(max_epochs=1024 / 2 / whole[name] * 1.01, share=None, epochs=None)
    Path(path).write_text(yaml.safe_dump(capped))
    with pytest.raises(RequestError, match="a run of 1280 tokens reads it"):
        train(made, asked(made, tmp_path, recipe=path, batch_tokens=640), quiet=True)  # 1,024 tokens are two steps


def test_measures_on_the_way_are_refused_where_there_is_nothing_to_measure_by(made, tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.pipelines.stages.train.stage.held_out", lambda *asked: {})
    with pytest.raises(RequestError, match="no text is held out and no target given"):
        train(made, asked(made, tmp_path, "bare", loop={"evaluate_every": 4}), quiet=True)


def test_a_checkpoint_is_not_measured_on_documents_that_begin_otherwise(made, ended):
    facts = open_tokens(made, "zoo").facts
    newest = checkpoint.newest(ended)
    assert opened(newest, facts)[1] == 16
    with pytest.raises(RequestError, match="start and end with the tokens"):
        opened(newest, replace(facts, bos=facts.eos, eos=None))


def test_tokens_of_documents_that_a_later_decision_drops_are_neither_trained_on_nor_measured_nor_exported(
    made, tmp_path
):
    train(made, asked(made, tmp_path, "before"), quiet=True)
    documents = [row for batch in made.table("documents").read(["id"]) for row in batch.to_pylist()]
    decided = [{"id": row["id"], "kept": n % 2 == 0, "stage": "filter"} for n, row in enumerate(documents)]
    inputs = {"documents": made.table("documents").finished("test").fingerprint}
    put_table(made, "decisions/filter", DECISIONS, {"a.parquet": decided}, inputs=inputs)
    said = "made before decisions/filter changed; run: gristmill tokenize"
    with pytest.raises(WorkspaceError, match=said):
        train(made, asked(made, tmp_path, "after"), quiet=True)
    with pytest.raises(WorkspaceError, match=said):
        measure(made, [made.path("runs", "before")])
    with pytest.raises(WorkspaceError, match=said):
        domain_inputs(made, "mix")
    job = ExportJob(load_recipe(recipe(made, tmp_path / "late.yaml")), str(tmp_path / "out"), made, batch=4)
    with pytest.raises(WorkspaceError, match=said):
        export_recipe("megatron", job)
    assert train(made, asked(made, tmp_path, "after"), force=True, quiet=True)["steps"] == 16
    tokenize(made, TokenizeSettings(vocab_size=300, heldout=0.2), RunnerOptions(workers=1), quiet=True)
    assert train(made, asked(made, tmp_path, "anew"), quiet=True)["steps"] == 16
