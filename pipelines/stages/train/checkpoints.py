"""Measure checkpoints of runs: held-out bits per byte by domain and target tasks, along a run or of an ensemble; and
what the model of each writes.

A run's folder stands for all its checkpoints (its capability curve), a checkpoint's folder for itself. Refuses
checkpoints that read another tokenizer than the workspace's tokens.
"""

import os
from collections.abc import Sequence
from typing import Any

from torch import nn

from ....corpus.store.errors import RequestError
from ....corpus.store.workspace import Workspace
from ....training import checkpoint
from ....training.branches import Ensemble
from ....training.data.shards import TokenFacts, demand_fresh, domains, open_tokens
from ....training.data.tokenizer import load_tokenizer, token_facts
from ....training.devices import pick_device
from ....training.evaluation import bits_per_byte
from ....training.loggers.metrics import read_metrics
from ....training.loggers.samples import SAMPLES, put_samples, sampler_of
from ....training.loop_settings import SampleSettings
from ....training.run_folder import CHECKPOINTS, RUNS
from ....training.transformer import Transformer
from .model_places import read_file
from .stage import held_out, probe


def measure(
    workspace: Workspace,
    folders: Sequence[str],
    targets: Sequence[str] = (),
    ensemble: bool = False,
    tokens: int = 50_000,
    items: int = 200,
) -> list[dict[str, Any]]:
    """One row per checkpoint: folder, step, bits_per_byte by domain, targets by task.

    ensemble  one row of all the folders together, the newest checkpoint of each run
    tokens    held-out tokens of each domain
    items     of each target
    """
    names = domains(workspace)
    if not names:
        raise RequestError(f"{workspace.url} has no token shards; run: gristmill tokenize --workspace {workspace.url}")
    demand_fresh(workspace, "checkpoints measure")
    facts = open_tokens(workspace, names[0]).facts
    if ensemble:
        chosen = [[checkpoint.newest(folder) for folder in folders]]
    else:
        chosen = [[path] for folder in folders for path in along(folder)]
    rows = []
    for paths in chosen:
        loaded = [opened(path, facts) for path in paths]
        models, steps = [model for model, _ in loaded], [step for _, step in loaded]
        length = min(model.config.max_len for model in models)
        model: nn.Module = Ensemble(models) if ensemble else models[0]
        readings = {model.reading.metadata for model in models}
        if len(readings) > 1:
            raise RequestError("some of these models read documents behind their metadata and some do not: no ensemble")
        held = held_out(workspace, names, tokens, length, models[0].reading)
        scores = probe(workspace, targets, items, facts, length)
        rows.append(
            {
                "checkpoint": " + ".join(paths),
                "step": max(steps),
                "bits_per_byte": bits_per_byte(model, held),
                "targets": scores(model) if scores else {},
            }
        )
    return rows


def sample(
    folders: Sequence[str], settings: SampleSettings, tokenizer: str | None = None, keep: bool = False
) -> list[dict[str, Any]]:
    """A row per checkpoint and prompt: checkpoint, step, tokens, and what `samples.jsonl` says of a sample.

    keep  put them into the samples.jsonl of their runs, in place of those of the same steps
    """
    rows: list[dict[str, Any]] = []
    for folder in folders:
        text = tokenizer_text(folder, tokenizer)
        facts = token_facts(text)
        held: list[dict[str, Any]] = []
        for path in along(folder):
            model, state = checkpoint.load_model(path)
            if state.get("fingerprints", {}).get("tokenizer") not in (None, facts.tokenizer):
                raise RequestError(f"{path} reads another tokenizer; give that of its run by --tokenizer")
            bos, eos = state.get("ends", facts.ends)
            writes = sampler_of(settings, load_tokenizer(text), bos, eos, model.config.max_len)
            at = {"step": state["step"], "tokens": state["step"] * state.get("batch_tokens", 0)}
            found = [{**at, **row} for row in writes(model.to(pick_device()))]
            held += found
            rows += [{"checkpoint": path, **row} for row in found]
        if keep:
            if not checkpoint.steps(f"{folder}/{CHECKPOINTS}"):
                raise RequestError(f"--keep: {folder} is no run, so it has no samples.jsonl; leave --keep out")
            own = f"{folder}/{SAMPLES}"
            steps = {row["step"] for row in held}
            put_samples(own, [*(line for line in read_metrics(own) if line["step"] not in steps), *held])
    return rows


def along(folder: str) -> list[str]:
    """The checkpoints of a run in order, or the folder itself where it is a checkpoint."""
    inside = f"{folder}/{CHECKPOINTS}"
    found = [checkpoint.path(inside, step) for step in checkpoint.steps(inside)]
    if not found and not os.path.exists(f"{folder}/{checkpoint.STATE}"):
        raise RequestError(f"{folder} is neither a run nor a checkpoint")
    return found or [folder]


def opened(path: str, facts: TokenFacts) -> tuple[Transformer, int]:
    """The model of a checkpoint on the device, and its step."""
    model, state = checkpoint.load_model(path)
    tokenizer = state.get("fingerprints", {}).get("tokenizer", facts.tokenizer)
    if tokenizer != facts.tokenizer:
        raise RequestError(f"{path} reads another tokenizer than the tokens of the workspace")
    ends = state.get("ends", facts.ends)
    if ends != facts.ends:
        raise RequestError(
            f"{path} was trained on documents that start and end with the tokens {ends}, and those of the workspace "
            f"start and end with {facts.ends}; tokenize with the --bos and --eos of then"
        )
    return model.to(pick_device()), state["step"]


def tokenizer_text(folder: str, given: str | None) -> str:
    """The text of the tokenizer.json of a run or a checkpoint: the one given, else that of the workspace it lies in."""
    if given is not None:
        return read_file(given).decode()
    place = os.path.abspath(folder)
    if os.path.basename(os.path.dirname(place)) == CHECKPOINTS:
        place = os.path.dirname(os.path.dirname(place))
    workspace, runs = os.path.dirname(os.path.dirname(place)), os.path.basename(os.path.dirname(place))
    path = f"{workspace}/tokenizer/tokenizer.json"
    if runs != RUNS or not os.path.exists(path):
        raise RequestError(f"{folder} lies in no workspace that holds its tokenizer; give --tokenizer")
    return read_file(path).decode()
