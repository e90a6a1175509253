"""AdamW for K independent models whose weights lie stacked along the first axis.

The update is elementwise, so one update of a stacked tensor is exactly K updates, as long as each model's part of it is
cut alike: torch's fused kernel rounds the vectors it takes differently from the few elements that are left after the
last of them. What is not elementwise is kept per model: the gradient's norm and clipping, the learning rate, and
whether the model is still alive.

Two forms that must agree: `fused` (one pass over memory, torch's own kernel; a CPU's form) and `elementwise` (tensors
of learning rates, no branch on data: what a CUDA graph can hold).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

VECTOR = 16  # elements of the widest vector of a CPU, and the unit in which the kernel shares a tensor out to threads


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
        """Update the living models in place; the others are not touched. rates, alive: one a model.

        Models are updated together where that changes no bit: one rate, all alive, and a model's part of a weight is a
        whole number of vectors. Which neighbours a model has, and what becomes of them, is not seen in its weights.
        """
        state.updates += 1
        count = torch.tensor(float(state.updates))
        together = all(alive) and len(set(rates)) == 1
        for decays in (True, False):
            own = [i for i, decayed in enumerate(self.decays) if decayed == decays]
            whole = [i for i in own if together and weights[i][0].numel() % VECTOR == 0]
            apart = [i for i in own if i not in whole]
            jobs = [(slice(None), rates[0], whole)]
            jobs += [(slice(k, k + 1), rates[k], apart) for k, lives in enumerate(alive) if lives]
            for models, rate, chosen in jobs:
                if chosen:
                    parts = [
                        [tensors[i][models] for i in chosen]
                        for tensors in (weights, gradients, state.first, state.second)
                    ]
                    self._fused(parts, count, rate, self.weight_decay if decays else 0.0)

    def _fused(self, parts: list[list[torch.Tensor]], count: torch.Tensor, rate: float, decay: float) -> None:
        """torch's kernel over weights, gradients, first and second moments."""
        weights, gradients, first, second = parts
        torch._fused_adamw_(
            weights,
            gradients,
            first,
            second,
            [],
            [count.clone() for _ in parts[0]],
            lr=rate,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=decay,
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
        scales: torch.Tensor,
    ) -> None:
        """The same update from tensors alone: rates (K,) float32, alive (K,) bool, updates () float32 so far; scales
        (K,) float32 is what each model's gradient is multiplied by first, see `scales`."""
        updates.add_(1)
        correction1, correction2 = 1 - self.beta1**updates, 1 - self.beta2**updates
        for i, weight in enumerate(weights):
            shape = (-1,) + (1,) * (weight.dim() - 1)
            lives, rate = alive.view(shape), rates.view(shape)
            gradient = torch.where(lives, gradients[i] * scales.view(shape), 0)
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


def scales(norm: torch.Tensor, limit: float | None) -> torch.Tensor:
    """(K,) float32: what brings each model's gradient of this norm down to `limit`; one within it, or without one."""
    return torch.ones_like(norm) if limit is None else torch.clamp(limit / (norm + 1e-6), max=1.0)


def clip(gradients: Sequence[torch.Tensor], norm: torch.Tensor, limit: float) -> None:
    """Scale each model's gradients down to norm `limit`, in place; a model within it is multiplied by one."""
    scale = scales(norm, limit)
    if bool((scale < 1).any()):
        for gradient in gradients:
            gradient.mul_(scale.to(gradient.dtype).view((-1,) + (1,) * (gradient.dim() - 1)))
