"""A checkpoint that is not what was written is refused by whoever loads it, and told of by the audit."""

import json
from pathlib import Path

import pytest
import torch

from gristmill.corpus.store.errors import WorkspaceError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit_runs import damaged_checkpoints
from gristmill.training import checkpoint

STATE = {"step": 4, "counts": [3, 4], "window": [0.1, 2.5], "shares": {"a": 0.25}, "online": {1: [2, 3]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "w" / "runs" / "small" / "checkpoints" / "step-00000004"
    place.parent.mkdir(parents=True)
    tensors = {"weight": torch.arange(64, dtype=torch.float32)}
    checkpoint.save(str(place), tensors, {"step": torch.tensor(4)}, STATE)
    return place


def flip(place: Path) -> None:
    data = bytearray(place.read_bytes())
    data[-3] ^= 0x10
    place.write_bytes(data)


def said(folder: Path) -> list[tuple[str, str]]:
    told = damaged_checkpoints(Workspace(str(folder.parents[3])))
    return [(check, where) for check, where, _ in told]


def test_what_was_written_is_read_again_and_nothing_is_found(folder):
    model, optimiser, state = checkpoint.load(str(folder))
    assert torch.equal(model["weight"], torch.arange(64, dtype=torch.float32))
    assert optimiser["step"].item() == 4
    assert {name: state[name] for name in STATE} == json.loads(json.dumps(STATE))
    assert said(folder) == []


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_a_flipped_bit_of_a_tensor_is_refused_and_found(folder, name):
    flip(folder / name)
    with pytest.raises(WorkspaceError, match=f"not a whole checkpoint: {name} is not what was written"):
        checkpoint.load(str(folder))
    assert said(folder) == [("checkpoint", "runs/small/checkpoints/step-00000004")]


def test_tensors_of_another_checkpoint_are_refused(folder):
    other = folder.with_name("step-00000008")
    checkpoint.save(str(other), {"weight": torch.ones(64)}, {"step": torch.tensor(8)}, {**STATE, "step": 8})
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(WorkspaceError, match="is not what was written"):
        checkpoint.load(str(folder))
    assert len(said(folder)) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_lost_file_is_refused_and_found(folder, name):
    (folder / name).unlink()
    with pytest.raises(WorkspaceError, match="not a whole checkpoint"):
        checkpoint.load(str(folder))
    assert len(said(folder)) == 1


def test_another_number_in_the_state_is_refused_and_found(folder):
    place = folder / "state.json"
    place.write_text(place.read_text().replace('"step": 4', '"step": 3'))
    with pytest.raises(WorkspaceError, match=r"state\.json was changed"):
        checkpoint.load(str(folder))
    assert said(folder) == [("checkpoint", "runs/small/checkpoints/step-00000004")]


def test_a_checkpoint_without_checksums_is_read(folder):
    (folder / "state.json").write_text(json.dumps(STATE))
    assert checkpoint.load_state(str(folder))["step"] == 4
    assert said(folder) == []
