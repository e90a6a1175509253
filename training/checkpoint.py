"""Checkpoints: a folder of `model.safetensors`, `optimizer.safetensors` and `state.json`, there whole or not at all.

Written under a temporary name, synced and renamed; the last few are kept. `Writer` copies the tensors and writes in a
thread of its own, so training goes on. The state bears checksums of the tensors' files and a seal of its own: a folder
whose files are incomplete, or are not what was written, is refused.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..corpus.store.errors import WorkspaceError
from ..corpus.store.shards import checksum, fingerprint, sync
from .run_folder import CHECKPOINTS
from .transformer import ReadingMode, Transformer, TransformerConfig

MODEL, OPTIMISER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
FILES, SEAL = "files", "seal"  # in the state: checksums of the other files, and the fingerprint of the rest of it


def save(folder: str, model: dict[str, Tensor], optimiser: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint at `folder`, atomically; one that is already there is replaced. Refuses a place
    that has no room for it."""
    scratch = f"{os.path.dirname(folder)}/.{os.path.basename(folder)}.tmp"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        os.makedirs(scratch)
        save_file(model, f"{scratch}/{MODEL}")
        save_file(optimiser, f"{scratch}/{OPTIMISER}")
        files = {name: checksum(f"{scratch}/{name}") for name in (MODEL, OPTIMISER)}
        sealed = json.loads(json.dumps({**state, FILES: files}))  # as it will be read
        with open(f"{scratch}/{STATE}", "w", encoding="utf-8") as file:
            json.dump({**sealed, SEAL: fingerprint(sealed)}, file, sort_keys=True)
        for name in (MODEL, OPTIMISER, STATE):
            sync(f"{scratch}/{name}")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(scratch, folder)
        sync(os.path.dirname(folder))
    except (OSError, SafetensorError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise WorkspaceError(
            f"checkpoint {folder} cannot be written: {error}; make room there and run the same command again, which "
            f"goes on from the checkpoint before"
        ) from error


def newest(folder: str) -> str:
    """The folder itself, or the newest checkpoint where it is that of a run."""
    found = steps(f"{folder}/{CHECKPOINTS}")
    return path(f"{folder}/{CHECKPOINTS}", found[-1]) if found else folder


def load(folder: str) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Model, optimiser and state of a checkpoint, of the newest one where `folder` is that of a run."""
    folder = newest(folder)
    state = load_state(folder)
    why = next(damage(folder, state), None)
    if why is not None:
        raise WorkspaceError(f"{folder} is not a whole checkpoint: {why}; remove it and run again")
    try:
        return load_file(f"{folder}/{MODEL}"), load_file(f"{folder}/{OPTIMISER}"), state
    except (OSError, ValueError, SafetensorError) as error:
        raise WorkspaceError(f"{folder} is not a whole checkpoint: {error}; remove it and run again") from error


def load_state(folder: str) -> dict[str, Any]:
    """The state of the checkpoint in this very folder, without its tensors."""
    try:
        with open(f"{folder}/{STATE}", encoding="utf-8") as file:
            state = json.load(file)
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{folder} is not a whole checkpoint: {error}; remove it and run again") from error
    seal = state.pop(SEAL, None)
    if seal is not None and seal != fingerprint(state):
        raise WorkspaceError(f"{folder} is not a whole checkpoint: {STATE} was changed; remove it and run again")
    return state


def damage(folder: str, state: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the files of tensors; those of a checkpoint without checksums are not looked at."""
    for name, stated in state.get(FILES, {}).items():
        try:
            if checksum(f"{folder}/{name}") != stated:
                yield f"{name} is not what was written"
        except OSError as error:
            yield str(error)


def load_model(folder: str) -> tuple[Transformer, dict[str, Any]]:
    """The model of a checkpoint that the training loop wrote, with its weights, and the state beside it."""
    weights, _, state = load(folder)
    if "config" not in state:
        raise WorkspaceError(f"{folder}/{STATE} does not say the shape of its model; it was not written by a run")
    model = Transformer(TransformerConfig(**state["config"]))
    model.load_state_dict(weights)
    model.reading = ReadingMode(**(state.get("reading") or {}))
    return model, state


def steps(folder: str) -> list[int]:
    """Steps of the checkpoints under a run's `checkpoints/`, in order."""
    if not os.path.isdir(folder):
        return []
    found = [name.removeprefix("step-") for name in os.listdir(folder) if name.startswith("step-")]
    return sorted(int(step) for step in found if step.isdigit())


def path(folder: str, step: int) -> str:
    return f"{folder}/step-{step:08d}"


class Writer:
    """Writes checkpoints of a run in the background and keeps the newest `keep`."""

    def __init__(self, folder: str, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def write(self, step: int, model: dict[str, Tensor], optimiser: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Copy the tensors and start writing; waits for the write before."""
        self.wait()
        copies = [
            {k: v.detach().to("cpu", copy=True).contiguous() for k, v in part.items()} for part in (model, optimiser)
        ]

        def work() -> None:
            try:
                save(path(self.folder, step), copies[0], copies[1], state)
                for old in steps(self.folder)[: -self.keep]:
                    shutil.rmtree(path(self.folder, old))
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=work, name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Until the last write is on disk; raises what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error


def average(folders: list[str], weights: list[float] | None = None) -> dict[str, Tensor]:
    """The weighted mean of the models of several checkpoints (Branch-Train-Merge, or averaging along a run)."""
    weights = weights or [1.0 / len(folders)] * len(folders)
    total: dict[str, Tensor] = {}
    for folder, weight in zip(folders, weights, strict=True):
        model = load(folder)[0]
        if total and model.keys() != total.keys():
            raise WorkspaceError(f"{folder} holds another model than {folders[0]}; only like models can be averaged")
        for name, tensor in model.items():
            part = tensor.to(torch.float64) * weight
            total[name] = total[name] + part if name in total else part
    return {name: tensor.float() for name, tensor in total.items()}
