"""A swarm in several rounds: each later one looks where the fit so far promises most or knows least (CLIMB-style).

The first round holds half of the mixtures, drawn without a fit; the others share the rest. What a round looks for is
`value - boldness * deviation` by the mean of three Gaussian processes (`SURROGATES`), which is cheap and, on public
tables, finds better mixtures than the stacked ensemble of `regression.ensemble` does. A search stops before its budget
is spent where the expected gain of any mixture over the best so far is below `least_gain`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from ..regression.ensemble import fit_swarm
from ..regression.measures import replicate_noise
from ..regression.regressors import GPOnWeights
from ..settings import BOLDNESS as BOLDNESS
from ..settings import round_sizes as round_sizes
from ..swarm import Swarm
from .designs import next_round, promising
from .simplex import Limits

SURROGATES = ("sqrt", "log", "cbrt")


@dataclass(frozen=True)
class Surrogate:
    """Three Gaussian processes on one objective; their mean prediction and mean deviation."""

    members: tuple[GPOnWeights, ...]

    @classmethod
    def of(cls, weights: np.ndarray, values: np.ndarray, noise: float = 0.0) -> "Surrogate":
        """weights (N, D), values (N,); noise: variance of a value, known from replicates, 0 where it is not."""
        with threadpool_limits(1):  # sums must not depend on how many cores there are
            return cls(tuple(GPOnWeights(name, noise).fit(weights, values) for name in SURROGATES))

    def predict(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) -> value and its deviation without the noise of a measurement, (N,) each."""
        with threadpool_limits(1):
            value = np.mean([member.predict(rows) for member in self.members], axis=0)
            deviation = np.mean([member.deviation(rows, noisy=False) for member in self.members], axis=0)
        return value, deviation


def surrogate_of(swarm: Swarm, combination: np.ndarray) -> Surrogate:
    """Of the weighted sum of a swarm's targets, with the noise that replicates of a mixture show."""
    values = swarm.losses @ combination
    noise = replicate_noise(swarm.weights, values[:, None])
    return Surrogate.of(swarm.weights, values, 0.0 if noise is None else float(noise[0]))


def expected_gain(value: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """(N,) by how much each mixture is expected to lie below `best`, where it does (expected improvement)."""
    spread = np.maximum(deviation, 1e-12)
    z = (best - value) / spread
    return spread * (z * norm.cdf(z) + norm.pdf(z))


def acquire(
    swarm: Swarm,
    combination: np.ndarray,
    centre: np.ndarray,
    limits: Limits,
    count: int,
    *,
    regressors: Sequence[str] | None,
    seed: int,
    boldness: float = BOLDNESS,
    least_gain: float = 0.0,
) -> np.ndarray:
    """(count, D) mixtures to train next, for the weighted sum of targets; none where no gain is to be expected.

    regressors  those of the value, where they were asked for outright; how little is known is the surrogate's always
    """
    if count == 0:
        return np.zeros((0, len(limits.domains)))
    surrogate = surrogate_of(swarm, combination)
    counting = [target for target, weight in zip(swarm.targets, combination, strict=True) if weight]
    weights = combination[combination != 0]
    with threadpool_limits(1):
        fit = fit_swarm(swarm.only(counting), regressors, seed=seed) if regressors else None
    best = float(surrogate.predict(swarm.weights)[0].min())
    gains: list[float] = []

    def predict(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, deviation = surrogate.predict(rows)
        gains.append(float(expected_gain(value, deviation, best).max()))
        return value if fit is None else fit.combined(rows, weights), deviation

    rows = next_round(swarm.weights, predict, centre, count, seed, limits, boldness=boldness)
    return rows if max(gains) >= least_gain else rows[:0]


def chosen_from(
    table: np.ndarray, seen: Sequence[int], losses: np.ndarray, count: int, boldness: float = BOLDNESS
) -> list[int]:
    """Rows of a table (N, D) of mixtures to measure next, of those that were not seen; losses (len(seen),)."""
    left = np.setdiff1d(np.arange(len(table)), np.asarray(seen))
    value, deviation = Surrogate.of(table[list(seen)], losses).predict(table[left])
    return left[promising(table[left], table[list(seen)], value, deviation, count, boldness=boldness)].tolist()
