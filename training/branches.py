"""Branch-Train-Merge (Li et al. 2022): branches from one checkpoint, one per domain, averaged or used together.

A branch is an ordinary run that starts from a checkpoint (`TrainSettings.branch`); `merge` averages them into a
checkpoint of its own. `Ensemble` keeps them apart and mixes their predictions, weighted by how well each predicts what
came before (the posterior over branches under a uniform prior). Refuses branches of different shapes or vocabularies.
"""

import math
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..corpus.store.errors import RequestError
from .checkpoint import average, load, newest, save
from .transformer import Transformer


def merge(folders: Sequence[str], output: str, weights: Sequence[float] | None = None) -> dict[str, Any]:
    """Average checkpoints (or the newest ones of runs) into a checkpoint at `output`. Returns its state.

    weights  of each, scaled to sum to one; alike without them
    """
    if os.path.exists(output):
        raise RequestError(f"{output} is there already; choose another --output, or remove it")
    if len(weights or folders) != len(folders):
        raise RequestError(f"{len(folders)} checkpoints have {len(weights or ())} weights; give one each")
    given = [float(weight) for weight in weights or [1.0] * len(folders)]
    if not all(weight >= 0 for weight in given) or not 0 < sum(given) < math.inf:
        raise RequestError("weights must not be negative and must be finite numbers, and one must be positive")
    shares = [weight / sum(given) for weight in given]
    states = [load(folder)[2] for folder in folders]
    told = [{"config": state.get("config"), "tokenizer": state.get("fingerprints", {}).get("tokenizer"),
             "reading": state.get("reading")} for state in states]  # fmt: skip
    for folder, other in zip(folders, told, strict=True):
        differ = [key for key in other if other[key] != told[0][key]]
        if differ:
            raise RequestError(f"{folder} differs from {folders[0]} in its {' and '.join(differ)}; they do not average")
    state = {
        "step": max(state["step"] for state in states),
        "config": told[0]["config"],
        "fingerprints": {"tokenizer": told[0]["tokenizer"]},
        "reading": told[0]["reading"],
        **{key: states[0][key] for key in ("ends",) if key in states[0]},
        "merged": [{"from": newest(folder), "weight": share} for folder, share in zip(folders, shares, strict=True)],
    }
    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    save(os.path.abspath(output), average(list(folders), shares), {}, state)
    return state


class Ensemble(nn.Module):
    """Called with (ids, targets, documents=) as a measure of loss: what `bits_per_byte` takes in a model's place."""

    def __init__(self, models: Sequence[Transformer], temperature: float = 1.0) -> None:
        super().__init__()
        if len({model.config.vocab_size for model in models}) != 1:
            raise RequestError("an ensemble needs models of one vocabulary")
        self.models = nn.ModuleList(models)
        self.temperature = temperature  # above 1: the branches are trusted more alike

    def forward(self, ids: Tensor, targets: Tensor, documents: Tensor | None = None) -> Tensor:
        """(B, T) ids and targets -> (B, T) loss of the mixture, 0 where the target is negative. Each branch is read as
        it was trained.

        The weight of a branch at a position is its share of the likelihood of the row's tokens before it.
        """
        losses = torch.stack([model.read(ids, targets, documents) for model in self.models])  # type: ignore[operator]  (K, B, T)
        past = (losses.cumsum(-1) - losses) / self.temperature
        weights = torch.log_softmax(-past, dim=0)
        mixed = -torch.logsumexp(weights - losses, dim=0)
        return torch.where(targets < 0, torch.zeros_like(mixed), mixed)
