"""AdamW for K independent models whose weights lie stacked along the first axis.

The update is elementwise, so one update of a stacked tensor is exactly K updates. What is not elementwise is kept
per model: the gradient's norm and clipping, the learning rate, and whether the model is still alive.

Two forms that must agree: `fused` (one pass over memory, torch's own kernel; a CPU's form) and `elementwise` (tensors
of learning rates, no branch on data: what a CUDA graph can hold).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass
class AdamState:
    """First and second moments of each stacked weight, and the number of updates made."""

    first: list[torch.Tensor]
    second: list[torch.Tensor]
    updates: int = 0

    @classmethod
    def zeros(cls, weights: Sequence[torch.Tensor]) -> "AdamState":
        return cls([torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights])


@dataclass(frozen=True)
class AdamW:
    """Constants of the update. `decays` says for each weight whether it decays (matrices do)."""

    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    decays: tuple[bool, ...]

    def fused(
        self,
        weights: Sequence[torch.Tensor],
        gradients: Sequence[torch.Tensor],
        state: AdamState,
        rates: Sequence[float],
        alive: Sequence[bool],
    ) -> None:
        """Update the living models in place; the others are not touched. rates, alive: one a model."""
        state.updates += 1
        count = torch.tensor(float(state.updates))
        whole = all(alive) and len(set(rates)) == 1
        groups = [slice(0, len(rates))] if whole else [slice(k, k + 1) for k, lives in enumerate(alive) if lives]
        for models in groups:
            for decays in (True, False):
                chosen = [i for i, own in enumerate(self.decays) if own == decays]
                if chosen:
                    torch._fused_adamw_(
                        [weights[i][models] for i in chosen],
                        [gradients[i][models] for i in chosen],
                        [state.first[i][models] for i in chosen],
                        [state.second[i][models] for i in chosen],
                        [],
                        [count.clone() for _ in chosen],
                        lr=rates[models.start],
                        beta1=self.beta1,
                        beta2=self.beta2,
                        weight_decay=self.weight_decay if decays else 0.0,
                        eps=self.epsilon,
                        amsgrad=False,
                        maximize=False,
                    )

    def elementwise(
        self,
        weights: Sequence[torch.Tensor],
        gradients: Sequence[torch.Tensor],
        state: AdamState,
        rates: torch.Tensor,
        alive: torch.Tensor,
        updates: torch.Tensor,
    ) -> None:
        """The same update from tensors alone: rates (K,) float32, alive (K,) bool, updates () float32 so far."""
        updates.add_(1)
        correction1, correction2 = 1 - self.beta1**updates, 1 - self.beta2**updates
        for i, weight in enumerate(weights):
            shape = (-1,) + (1,) * (weight.dim() - 1)
            lives, rate = alive.view(shape), rates.view(shape)
            gradient = torch.where(lives, gradients[i], 0)
            state.first[i].lerp_(gradient, 1 - self.beta1)
            state.second[i].mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
            change = (state.first[i] / correction1) / ((state.second[i] / correction2).sqrt_().add_(self.epsilon))
            if self.decays[i]:
                change.add_(weight, alpha=self.weight_decay)
            weight.sub_(torch.where(lives, change * rate, 0))


def norms(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """(K,) float32: each model's gradient norm over all its weights."""
    squares = [torch.linalg.vector_norm(g.flatten(1), dim=1, dtype=torch.float32).square() for g in gradients]
    return torch.stack(squares).sum(0).sqrt()


def clip(gradients: Sequence[torch.Tensor], norm: torch.Tensor, limit: float, graphed: bool = False) -> None:
    """Scale each model's gradients down to norm `limit`, in place; a model within it is multiplied by one.

    graphed  without looking whether there is anything to do: what a CUDA graph can hold
    """
    scale = torch.clamp(limit / (norm + 1e-6), max=1.0)
    if graphed or bool((scale < 1).any()):
        for gradient in gradients:
            gradient.mul_(scale.to(gradient.dtype).view((-1,) + (1,) * (gradient.dim() - 1)))
