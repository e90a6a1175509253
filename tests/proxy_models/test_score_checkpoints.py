"""Models that `gristmill train` trained score documents as well as proxies do."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.recipe import RecipePhase, make_recipe, save_recipe
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.score.stage import score
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.pipelines.stages.train.stage import TrainSettings, train
from gristmill.proxy_models.model_files import ProxyModel, find_model, read_model
from gristmill.proxy_models.scoring.scorers import ScoreSettings
from gristmill.training.checkpoint import load_model
from gristmill.training.loop_settings import LoopSettings

torch.set_num_threads(1)
TEXT = "The council shall approve section ten of the act before the mayor signs it into law. " * 3


@pytest.fixture
def trained(make_documents, tmp_path):
    """A workspace and the folder of a run of six steps in it."""
    documents = [(hashlib.blake2b(f"{i}".encode(), digest_size=16).hexdigest(), f"{i} {TEXT}") for i in range(40)]
    workspace = make_documents({"0.parquet": sorted(documents)})
    tokenize(workspace, TokenizeSettings(vocab_size=300, heldout=0.2), RunnerOptions(), quiet=True)
    facts = {"tokens_available": 10_000, "mean_tokens_per_document": 50, "bytes_per_token": 3}
    phases = [RecipePhase(until=1.0, seq_len=32, shares={"web": 1.0})]
    path = str(tmp_path / "recipe.yaml")
    save_recipe(make_recipe(name="small", total_tokens=6 * 128, domains={"web": facts}, phases=phases), path)
    loop = LoopSettings(device="cpu", compile=False, checkpoint_every=3)
    train(workspace, TrainSettings(recipe=path, model="1x16x2", batch_tokens=128, loop=loop), quiet=True)
    return workspace, workspace.path("runs", "small")


def test_a_run_and_its_checkpoints_are_models_of_a_pair(trained):
    workspace, run = trained
    models = {"early": f"{run}/checkpoints/step-00000003", "late": run}
    assert find_model(run, "late") == f"{run}/checkpoints/step-00000006/model.safetensors"
    score(workspace, ScoreSettings(method="pair", models=models), RunnerOptions(), quiet=True)
    counts = workspace.table("scores/pair").finished("test").counts
    assert (counts["documents"], counts["unscored"]) == (40, 0)
    own = ProxyModel.from_bytes(read_model(run, "late")).transformer.state_dict()
    theirs = load_model(f"{run}/checkpoints/step-00000006")[0].state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)
    assert score(workspace, ScoreSettings(method="pair", models=models), RunnerOptions(), quiet=True)["skipped"]


def test_a_model_that_reads_documents_behind_their_metadata_is_refused(trained):
    _, run = trained
    path = Path(run, "checkpoints", "step-00000006", "state.json")
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"reading": {"document_mask": True, "metadata": False}}))
    assert read_model(run, "late")
    path.write_text(json.dumps(told | {"reading": {"document_mask": False, "metadata": True}}))
    with pytest.raises(RequestError, match="ended on documents behind their metadata"):
        read_model(run, "late")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(RequestError, match="neither a checkpoint nor a run"):
        find_model(str(tmp_path), "late")
    with pytest.raises(RequestError, match="there is no such file"):
        find_model(str(tmp_path / "missing.safetensors"), "late")
