"""The best mixture at a scale that was not trained, from two that were (projektor's way).

The same mixtures are measured at two token counts; each scale gets its own regressor, and a mixture's loss at a third
is projected along the logarithm of tokens. What is best moves with scale: domains that saturate give way. Refuses
other than two scales, and a projection further beyond the larger one than that is beyond the smaller, unless allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...corpus.store.errors import RequestError
from ..regression.ensemble import TargetFit, fit_target, fold_of
from ..search.optimise import descend, simulate
from ..search.simplex import Limits
from .mixture import projected

CANDIDATES = ("gp_sqrt", "gp_log", "exponential", "bimix")  # smooth ones: the projection is searched by gradient


@dataclass(frozen=True)
class Projection:
    """The fits of both scales: (tokens, fit) each, the smaller first."""

    small: tuple[float, TargetFit]
    large: tuple[float, TargetFit]

    def predict(self, weights: np.ndarray, tokens: float, allow: bool = False) -> np.ndarray:
        """(N, D) -> (N,) losses at `tokens`."""
        (n0, first), (n1, second) = self.small, self.large
        if tokens * n0 > n1 * n1 * (1 + 1e-9) and not allow:
            raise RequestError(
                f"{tokens:.3g} tokens are {tokens / n1:.3g} times the larger scale, which is {n1 / n0:.3g} times the "
                f"smaller: measure a larger one, or allow it outright"
            )
        before, after = first.predict(weights), second.predict(weights)
        return np.array([projected(tokens, (n0, a), (n1, b)) for a, b in zip(before, after, strict=True)])

    def best(self, tokens: float, centre: np.ndarray, limits: Limits, seed: int = 0, allow: bool = False) -> np.ndarray:
        """The mixture with the lowest projected loss at `tokens`."""

        def value(rows: np.ndarray) -> np.ndarray:
            return self.predict(rows, tokens, allow)

        averaged, top = simulate(value, centre, limits, seed, draws=5000, top=32)
        return descend(value, np.vstack([averaged, top[:2]]), limits)


def fit_projection(
    mixtures: np.ndarray,
    tokens: tuple[float, float],
    losses: np.ndarray,
    candidates: Sequence[str] = CANDIDATES,
    seed: int = 0,
) -> Projection:
    """mixtures (R, D); tokens of the two scales; losses (R, 2) of one target."""
    if len(tokens) != 2 or losses.shape != (len(mixtures), 2) or not 0 < tokens[0] < tokens[1]:
        raise RequestError("a projection needs two scales in rising order and a loss of every mixture at each")
    fold = fold_of(mixtures, min(5, len(mixtures)), seed)
    small, large = (fit_target(f"{n:g}", mixtures, losses[:, i], candidates, fold) for i, n in enumerate(tokens))
    return Projection((tokens[0], small), (tokens[1], large))
