"""Repeated tokens and filtered pools: what a token is worth the k-th time, and where to cut by quality.

The data-constrained law counts repeated tokens at a falling rate, D' = U + U R* (1 - exp(-R / R*)) with R repetitions
of U unique tokens, and parameters beyond what U can use likewise. The filtering law gives each quality bucket a
utility b < 0 and a half-life tau in epochs, so that the best cut-off depends on the compute budget: little compute
wants only the best bucket, much compute wants more of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...corpus.store.errors import RequestError
from .robust import LawFit, fit_law


@dataclass(frozen=True)
class DataConstrained:
    """Constants of the data-constrained law; `published()` has those of its paper."""

    a: float  # log A
    b: float  # log B
    e: float  # log E
    alpha: float
    beta: float
    repeated_tokens: float  # R_D*
    repeated_parameters: float  # R_N*

    @classmethod
    def published(cls) -> "DataConstrained":
        return cls(6.255414, 7.3049974, 0.6254804, 0.3526596, 0.3526596, 15.387756, 5.309743)

    def parameters_for(self, tokens: float) -> float:
        """The model size that is compute-optimal for so many tokens."""
        a, b = math.exp(self.a), math.exp(self.b)
        g = (self.alpha * a / (self.beta * b)) ** (1 / (self.alpha + self.beta))
        return (tokens * g) ** (self.beta / self.alpha) * g

    def effective_tokens(self, unique: float, tokens: float) -> float:
        """Fresh tokens that `tokens` tokens drawn from `unique` are worth."""
        return _saturated(unique, max(tokens / unique - 1, 0.0), self.repeated_tokens, min(unique, tokens))

    def loss(self, parameters: float, tokens: float, unique: float) -> float:
        """Loss of a model of `parameters` trained on `tokens` tokens, of which `unique` are different."""
        unique = min(unique, tokens)
        enough = min(parameters, self.parameters_for(unique))
        n = _saturated(enough, max(parameters / enough - 1, 0.0), self.repeated_parameters, enough)
        d = self.effective_tokens(unique, tokens)
        return math.exp(self.e) + math.exp(self.a) / n**self.alpha + math.exp(self.b) / d**self.beta


def _saturated(unit: float, repeats: float, half: float, base: float) -> float:
    return base + unit * half * (1 - math.exp(-repeats / half))


def fit_repetition(
    unique: np.ndarray, tokens: np.ndarray, losses: np.ndarray, bootstrap: int = 0, seed: int = 0
) -> LawFit:
    """Fit E, B, beta and R_D* at one model size from runs with different repetition."""

    def law(p: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        u, d = inputs[:, 0], inputs[:, 1]
        fresh, half = np.minimum(u, d), np.exp(p[3])
        effective = fresh + u * half * (1 - np.exp(-np.maximum(d / u - 1, 0) / half))
        return np.exp(p[0]) + np.exp(p[1] - p[2] * np.log(effective))

    low = math.log(float(np.min(losses)))
    starts = [[low - g, b, beta, r] for g in (0.2, 1.0) for b in (1.0, 4.0) for beta in (0.2, 0.4) for r in (1.0, 2.7)]
    inputs = np.column_stack([unique, tokens])
    return fit_law(
        law, ("log_E", "log_B", "beta", "log_R"), np.array(starts), inputs, losses, bootstrap=bootstrap, seed=seed
    )


@dataclass(frozen=True)
class Bucket:
    """A quality bucket: tokens it has, utility b (< 0: how fast it lowers the loss), half-life tau in epochs."""

    name: str
    tokens: float
    utility: float
    half_life: float


def filtered_loss(
    buckets: Sequence[Bucket], budget: float, *, a: float = 1.0, floor: float = 0.0, unit: float = 1.0
) -> float:
    """Loss after `budget` tokens drawn uniformly from the union of buckets, epoch by epoch.

    a, floor, unit  y = floor + (a n / unit)^b in the first epoch. The floor is added once and is not shrunk with the
    epochs, unlike the public implementation, where it is multiplied along.
    """
    if not buckets or budget <= 0:
        raise RequestError("filtering needs at least one bucket and a budget above 0")
    pool = sum(bucket.tokens for bucket in buckets)
    share = [bucket.tokens / pool for bucket in buckets]
    value, seen, epoch = 0.0, 0.0, 0
    while seen < budget:
        upto = min(budget, (epoch + 1) * pool)
        # in a union of p pools each is repeated p times slower, in proportion to their sizes
        exponent = sum(
            part * bucket.utility * 0.5 ** (epoch * part / bucket.half_life)
            for part, bucket in zip(share, buckets, strict=True)
        )
        if epoch == 0:
            value = (a * upto / unit) ** exponent
        else:
            value *= (upto / seen) ** exponent
        seen, epoch = upto, epoch + 1
        if epoch > 10_000:
            raise RequestError(f"{budget:.3g} tokens are more than 10,000 epochs of these buckets")
    return floor + value


def best_cutoff(
    buckets: Sequence[Bucket],
    budget: float,
    *,
    a: float = 1.0,
    floor: float = 0.0,
    unit: float = 1.0,
    fewest: int = 1,
) -> tuple[list[str], float]:
    """The buckets to keep for a budget, `fewest` at least, best utility first, and the loss that they give."""
    ordered = sorted(buckets, key=lambda bucket: (bucket.utility, bucket.name))
    losses = [
        filtered_loss(ordered[:count], budget, a=a, floor=floor, unit=unit) if count >= fewest else np.inf
        for count in range(1, len(ordered) + 1)
    ]
    best = int(np.argmin(losses))
    return [bucket.name for bucket in ordered[: best + 1]], losses[best]


def fit_bucket(
    samples: np.ndarray, pool: float, losses: np.ndarray, floor: float = 0.0, unit: float = 1.0, a: float = 1.0
) -> tuple[float, float]:
    """Utility and half-life of one bucket from losses along repeated passes, by grid: gradients are unstable."""
    bucket = [
        (b, tau)
        for b in -np.linspace(0.005, 0.5, 100)
        for tau in np.concatenate([np.linspace(0.25, 10, 60), [15, 20, 40]])
    ]
    errors = []
    for b, tau in bucket:
        made = Bucket("", pool, float(b), float(tau))
        predicted = [filtered_loss([made], float(n), a=a, floor=floor, unit=unit) for n in samples]
        errors.append(float(((np.array(predicted) - losses) ** 2).sum()))
    utility, half_life = bucket[int(np.argmin(errors))]
    return float(utility), float(half_life)
