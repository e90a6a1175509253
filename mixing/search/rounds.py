"""A swarm in several rounds: each later one looks where the fit so far promises most or knows least (CLIMB-style)."""

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from ..regression.ensemble import fit_swarm
from ..regression.regressors import GPOnWeights
from ..swarm import Swarm
from .designs import next_round
from .simplex import Limits


def round_sizes(mixtures: int, rounds: int) -> list[int]:
    """Mixtures of each round, every one about half of that before: 56 in 3 rounds are 32, 16 and 8."""
    exact = [mixtures * 2.0 ** (rounds - 1 - number) / (2.0**rounds - 1) for number in range(rounds)]
    ends = [round(sum(exact[: number + 1])) for number in range(rounds)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def acquire(
    swarm: Swarm,
    combination: np.ndarray,
    centre: np.ndarray,
    limits: Limits,
    count: int,
    *,
    regressors: Sequence[str] | None,
    seed: int,
    boldness: float,
) -> np.ndarray:
    """(count, D) mixtures to train next, for the weighted sum of targets.

    The value is the stacked ensemble's; how little is known comes from one Gaussian process on the weighted sum, so
    that it is there whatever the ensemble chose.
    """
    counting = [target for target, weight in zip(swarm.targets, combination, strict=True) if weight]
    weights = combination[combination != 0]
    with threadpool_limits(1):
        fit = fit_swarm(swarm.only(counting), regressors, seed=seed)
        process = GPOnWeights("sqrt").fit(swarm.weights, swarm.losses @ combination)

        def predict(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return fit.combined(rows, weights), process.deviation(rows, noisy=False)

        return next_round(swarm.weights, predict, centre, count, seed, limits, boldness=boldness)
