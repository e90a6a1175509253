"""What a search moves: every domain by itself, or the unchanged ones together as one unit (Olmix' mixture reuse).

A unit is one domain, or several with fixed proportions. Swarm, fit and search happen in shares of units, which are
fewer than domains; what is trained and written is always shares of domains. Refuses an old mixture that gives the
unchanged domains nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...corpus.store.errors import RequestError, unknown_name
from ..swarm import Swarm
from .simplex import Limits

UNCHANGED = "unchanged domains"


@dataclass(frozen=True)
class Units:
    """names (U,); within (U, D): a unit's proportions among the domains, each row sums to 1; place (D,): its unit."""

    names: tuple[str, ...]
    within: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, domains: Sequence[str]) -> "Units":
        """Each domain by itself."""
        return cls(tuple(domains), np.eye(len(domains)), np.arange(len(domains)))

    @classmethod
    def reused(cls, domains: Sequence[str], old: Mapping[str, float], changed: Sequence[str]) -> "Units":
        """Those not in `changed` keep their proportions of `old` and act as one; the changed ones are free.

        old  the mixture in use; domains that it has and `domains` has not are ignored
        """
        for name in changed:
            if name not in domains:
                raise unknown_name("domain", name, domains, where="changed")
        kept = [name for name in domains if name not in changed]
        shares = np.array([old.get(name, 0.0) if name in kept else 0.0 for name in domains])
        if shares.sum() <= 0:
            raise RequestError("no unchanged domain has a share in the old mixture; design a swarm from the start")
        if not changed:
            raise RequestError("no domain was added or changed, so the old mixture stands; there is nothing to search")
        free = [name for name in domains if name in changed]
        within = np.vstack([shares / shares.sum(), *(np.eye(len(domains))[list(domains).index(name)] for name in free)])
        place = np.array([1 + free.index(name) if name in free else 0 for name in domains])
        return cls((UNCHANGED, *free), within, place)

    def expand(self, rows: np.ndarray) -> np.ndarray:
        """Shares of units to shares of domains."""
        return rows @ self.within

    def collapse(self, rows: np.ndarray) -> np.ndarray:
        """Shares of domains to shares of units: what a unit's members have together."""
        return rows @ np.eye(len(self.names))[self.place]

    def reach(self, row: np.ndarray) -> bool:
        """Whether some shares of units make this mixture of domains (to the millionths they are written in)."""
        return bool(np.abs(self.expand(self.collapse(row)) - row).max() < 5e-6)

    def limits(self, limits: Limits) -> Limits:
        """The limits of units that keep every domain within its own."""
        low, high = np.zeros(len(self.names)), np.ones(len(self.names))
        for unit, row in enumerate(self.within):
            inside = row > 0
            low[unit] = (limits.low[inside] / row[inside]).max()
            high[unit] = min(1.0, (limits.high[inside] / row[inside]).min())
        made = Limits(self.names, low, high)
        made.check()
        return made

    def swarm(self, swarm: Swarm) -> Swarm:
        """The same runs in shares of units."""
        return replace(swarm, domains=self.names, weights=self.collapse(swarm.weights))
