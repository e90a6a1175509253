"""Branch-Train-Merge (Li et al. 2022): branches from one checkpoint, one per domain, averaged or used together.

A branch is an ordinary run that starts from a checkpoint (`TrainSettings.branch`); `checkpoint.average` merges them
into one model. `Ensemble` keeps them apart and mixes their predictions, weighted by how well each predicts what came
before (the posterior over branches under a uniform prior). Refuses branches of different vocabularies.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..corpus.refusal import RequestError
from .transformer import Transformer


class Ensemble(nn.Module):
    """Called with (ids, targets) as a measure of loss: what `bits_per_byte` takes in a model's place."""

    def __init__(self, models: Sequence[Transformer], temperature: float = 1.0) -> None:
        super().__init__()
        if len({model.config.vocab_size for model in models}) != 1:
            raise RequestError("an ensemble needs models of one vocabulary")
        self.models = nn.ModuleList(models)
        self.temperature = temperature  # above 1: the branches are trusted more alike

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """(B, T) ids and targets -> (B, T) loss of the mixture, 0 where the target is negative.

        The weight of a branch at a position is its share of the likelihood of the row's tokens before it.
        """
        losses = torch.stack([model.nll(ids, targets) for model in self.models])  # type: ignore[operator]  (K, B, T)
        past = (losses.cumsum(-1) - losses) / self.temperature
        weights = torch.log_softmax(-past, dim=0)
        mixed = -torch.logsumexp(weights - losses, dim=0)
        return torch.where(targets < 0, torch.zeros_like(mixed), mixed)
