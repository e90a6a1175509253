"""Weights of samples by their loss, recomputed at every step (Sow et al. 2025, arXiv 2502.06733).

Losses of the rows are scaled to h in [-1, 1] between the smallest and the largest. A strategy scores h, and the weights
are softmax(score / temperature), with mean 1. No code was published: the offset and cap of LinUpper are our choice.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..loop_settings import Reweighting as Reweighting


def sample_weights(losses: Tensor, settings: Reweighting, progress: float) -> Tensor:
    """losses (R,), progress of the run in [0, 1] -> (R,) weights with mean 1, without gradient.

    A row whose loss is not a number has no target: it gets no weight and sways those of the others in nothing.
    """
    losses = losses.detach()
    known = ~losses.isnan()
    if settings.strategy == "none" or progress < settings.warmup:
        return torch.ones_like(losses)
    low, high = torch.where(known, losses, torch.inf).min(), torch.where(known, losses, -torch.inf).max()
    h = 2.0 * (losses - low) / (high - low).clamp(min=1e-9) - 1.0
    if settings.strategy == "linupper":
        score = (h + settings.offset).clamp(max=1.0)
    elif settings.strategy == "quadratic":
        score = 1.0 - h.square()
    else:
        score = h.abs()
    annealed = min(1.0, (progress - settings.warmup) / max(settings.warmup, 1e-9))
    temperature = math.exp((1.0 - annealed) * math.log(100.0)) * settings.temperature  # from nearly uniform
    weights = torch.softmax(torch.where(known, score / temperature, -torch.inf), 0) * known.sum()
    return torch.where(known.any(), weights, 1.0)  # nothing known, nothing weighed; and no number is read back


RowWeights = Callable[[Tensor, Tensor], Tensor]  # losses and scales (R, T) of this rank's rows -> their weights (R,)


def row_weights(
    settings: Reweighting, progress: float, gather: Callable[[Tensor], Tensor], rank: int
) -> RowWeights | None:
    """Weights of a step's rows by their mean loss, over all ranks; None where rows are not reweighted."""
    if settings.strategy == "none":
        return None

    def weights(nll: Tensor, scale: Tensor) -> Tensor:
        counted = (scale > 0).float()
        mine = (nll * counted).sum(1) / counted.sum(1).clamp(min=1)
        mine = torch.where(counted.sum(1) > 0, mine, torch.nan)  # nothing is known of a row without a target
        found = sample_weights(gather(mine), settings, progress)
        return found[rank * len(mine) : (rank + 1) * len(mine)]

    return weights
