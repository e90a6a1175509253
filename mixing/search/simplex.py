"""Mixtures under limits: points of the simplex between a floor and a ceiling per domain.

Every search and design in this room goes through here, so that no proposal ever breaks a cap. Refuses limits that no
mixture satisfies, naming them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...corpus.store.errors import RequestError, unknown_name
from ..tables import all_finite


@dataclass(frozen=True)
class Limits:
    """Floor and ceiling of each domain's share, (D,) each."""

    domains: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(
        cls,
        domains: Sequence[str],
        *,
        available: np.ndarray | None = None,
        total_tokens: float | None = None,
        max_epochs: float | np.ndarray | None = None,
        floors: dict[str, float] | None = None,
        ceilings: dict[str, float] | None = None,
    ) -> "Limits":
        """Limits from floors and ceilings (shares, at most 1) by name, and from a cap on epochs: share <= epochs *
        available / total."""
        all_finite(floors, "floors", least=0.0)
        all_finite(ceilings, "ceilings", least=0.0)
        low, high = np.zeros(len(domains)), np.ones(len(domains))
        for name, value in (floors or {}).items():
            low[_place(name, domains)] = value
        for what, given in (("floor", floors), ("ceiling", ceilings)):
            for name, value in (given or {}).items():
                if value > 1:
                    raise RequestError(
                        f"the {what} of {name} is {value:g}; a share lies between 0 and 1, not in percent"
                    )
        for name, value in (ceilings or {}).items():
            high[_place(name, domains)] = value
        if max_epochs is not None:
            if available is None or total_tokens is None:
                raise RequestError("a cap on epochs needs the tokens available and the tokens of the run")
            high = np.minimum(high, np.asarray(max_epochs) * np.asarray(available, float) / total_tokens)
        made = cls(tuple(domains), low, high)
        made.check()
        return made

    @classmethod
    def free(cls, domains: Sequence[str]) -> "Limits":
        return cls.of(domains)

    def check(self) -> None:
        """Raise where no mixture can satisfy the limits."""
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            raise RequestError("floors, ceilings and epoch caps must be finite numbers")
        crossed = [name for name, a, b in zip(self.domains, self.low, self.high, strict=True) if a > b + 1e-12]
        if crossed:
            raise RequestError(f"the floor of {', '.join(crossed)} lies above what its ceiling or epoch cap allows")
        if self.low.sum() > 1 + 1e-9:
            raise RequestError(f"the floors sum to {self.low.sum():.4g}; they must leave at most 1")
        if self.high.sum() < 1 - 1e-9:
            tight = ", ".join(f"{name} {b:.4g}" for name, b in zip(self.domains, self.high, strict=True))
            raise RequestError(
                f"ceilings and epoch caps allow only {self.high.sum():.4g} of the run ({tight}); "
                f"raise the epochs, lower the total tokens, or add data"
            )

    def contains(self, weights: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
        """(N, D) -> (N,) whether each mixture keeps to the limits."""
        weights = np.atleast_2d(weights)
        within = (weights >= self.low - tolerance) & (weights <= self.high + tolerance)
        return within.all(1) & (np.abs(weights.sum(1) - 1) < 1e-6)

    def project(self, weights: np.ndarray) -> np.ndarray:
        """The nearest mixture within the limits (Euclidean), for one mixture or rows of them."""
        rows = np.atleast_2d(np.asarray(weights, float))
        below, above = (rows - self.high).min(1) - 1, (rows - self.low).max(1) + 1
        for _ in range(80):  # bisection on the common shift
            middle = (below + above) / 2
            over = np.clip(rows - middle[:, None], self.low, self.high).sum(1) > 1
            below, above = np.where(over, middle, below), np.where(over, above, middle)
        made = np.clip(rows - above[:, None], self.low, self.high)
        return made if np.ndim(weights) == 2 else made[0]

    def rescale(self, weights: np.ndarray) -> np.ndarray:
        """Within the limits by keeping proportions: what exceeds a ceiling goes to the others by their weights.

        The natural way to cap a mixture (UniMax and the like); differs from `project`, which adds equal amounts.
        """
        weights = np.maximum(np.asarray(weights, float), 1e-12)
        factor_low, factor_high = 1e-15, 1e15
        for _ in range(200):  # bisection on the common factor, in its logarithm
            factor = np.sqrt(factor_low * factor_high)
            if np.clip(weights * factor, self.low, self.high).sum() > 1:
                factor_high = factor
            else:
                factor_low = factor
        return self.project(np.clip(weights * factor_low, self.low, self.high))


def _place(name: str, domains: Sequence[str]) -> int:
    if name not in domains:
        raise unknown_name("domain", name, domains, where="limits")
    return list(domains).index(name)


def without_crumbs(weights: np.ndarray, smallest: float, limits: Limits) -> np.ndarray:
    """(D,) weights in which a share below `smallest` is zero, unless its floor asks for it; the largest shares with
    room take it up, and nothing changes where they have none.

    What is left of a domain after a search is often a share that no run can draw: less than one sequence.
    """
    crumbs = (weights > 0) & (weights < smallest) & (limits.low <= 0)
    kept = np.where(crumbs, 0.0, weights)
    freed = 1.0 - kept.sum() if crumbs.any() else 0.0
    for place in np.argsort(-kept, kind="stable"):
        given = min(freed, max(limits.high[place] - kept[place], 0.0)) if kept[place] > 0 else 0.0
        kept[place] += given
        freed -= given
    return weights if freed > 1e-9 else kept
