"""Recipes of two phases: a trunk on one mixture, then its end on another (upsampling at the end).

For each length of the last phase one trunk is trained at a constant rate and many branches finish it with a falling
one, each on its own mixture; the first of them goes on with the trunk's. A branch costs only the tokens of its phase.
The last phase's mixture is fitted and optimised like any other, and judged by its gain over going on, at equal length:
absolute losses of different lengths differ by how long the rate falls, whatever the data. Refuses a length that leaves
either phase without a step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..corpus.store.errors import RequestError
from ..proxy_models.fleets.fleet import FleetResult, FleetSettings, train_fleet
from ..proxy_models.fleets.pool import TokenPool
from .regression.ensemble import fit_swarm
from .search.designs import dirichlet_swarm
from .search.optimise import Terms, gain, propose, terms_of
from .search.simplex import Limits, without_crumbs
from .swarm import Swarm

AFTER = 104_729  # added to a seed: a branch reads other rows than its trunk did


@dataclass(frozen=True)
class LastPhase:
    """The best last phase of one length; `gain` is over going on with the first mixture."""

    length: float
    shares: np.ndarray
    gain: Mapping[str, Any]
    runs: int

    def told(self, domains: Sequence[str]) -> dict[str, Any]:
        shares = dict(zip(domains, map(float, self.shares), strict=True))
        return {"length": self.length, "shares": shares, "gain": dict(self.gain), "runs": self.runs}


def phase_steps(settings: FleetSettings, length: float) -> tuple[int, int]:
    """Steps of the trunk and of the branches."""
    last = round(length * settings.steps)
    if not 0 < last < settings.steps:
        raise RequestError(f"a last phase of {length:g} of {settings.steps} steps leaves one of the phases empty")
    return settings.steps - last, last


def last_limits(limits: Limits, first: np.ndarray, length: float) -> Limits:
    """Limits of the last phase that keep the whole run within `limits`."""
    spent = (1 - length) * np.asarray(first)
    low = np.clip((limits.low - spent) / length, 0.0, 1.0)
    high = np.clip((limits.high - spent) / length, 0.0, 1.0)
    made = Limits(limits.domains, low, high)
    made.check()
    return made


def last_mixtures(
    first: np.ndarray, natural: np.ndarray, length: float, count: int, seed: int, limits: Limits
) -> np.ndarray:
    """(count, D) mixtures to branch on; the first of them goes on as before."""
    within = last_limits(limits, first, length)
    return np.vstack([first, dirichlet_swarm((first + natural) / 2, count - 1, seed, within)])


def branches(
    pool: TokenPool,
    first: np.ndarray,
    rows: np.ndarray,
    length: float,
    settings: FleetSettings,
    seed: int,
    checkpoint: str | None = None,
) -> FleetResult:
    """One trunk on `first`, then one branch for each of `rows`; the result is that of the branches at their end."""
    begun, last = phase_steps(settings, length)
    common = {"evaluations": 1, "lr": settings.lr[0] if isinstance(settings.lr, tuple) else settings.lr}
    trunk_settings = settings.model_copy(update={**common, "steps": begun, "schedule": "constant", "group": 1})
    trunk = train_fleet(pool, np.asarray(first)[None], trunk_settings, [seed], keep_weights=True)
    if not trunk.alive[0]:
        raise RequestError("the trunk of a two-phase search diverged; lower the learning rate (proxy.lr)")
    falling = {**common, "steps": last, "schedule": "cosine", "warmup": min(settings.warmup, last // 10)}
    ends = settings.model_copy(update=falling)
    made = train_fleet(pool, rows, ends, [seed + AFTER], start_from=trunk.weights, checkpoint=checkpoint)
    return replace(made, steps=made.steps + begun)


def best_last_phase(
    swarms: Mapping[float, Swarm],
    first: np.ndarray,
    combination: np.ndarray,
    limits: Limits,
    *,
    regressors: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = 20_000,
    smallest: float = 0.0,
    terms: Mapping[str, Any] | None = None,
    prior: np.ndarray | None = None,
) -> list[LastPhase]:
    """The best last phase of each length, the one with the largest gain first.

    terms, prior  kl, cost and at_most of `terms_of`, and the mixture that kl is counted from. Prices count by the
              length of the phase; bounds hold at the end of the run
    smallest  share of the whole run below which a domain of the last phase gets none: a run cannot draw it
    """
    found = []
    with threadpool_limits(1):
        for length, swarm in sorted(swarms.items()):
            fit = fit_swarm(swarm, regressors, seed=seed)
            within = last_limits(limits, first, length)
            held = _terms(swarm, length, swarm.weights.mean(0) if prior is None else prior, terms or {})
            made = propose(fit, combination, swarm.weights.mean(0), within, terms=held, seed=seed, draws=draws)
            shares = without_crumbs(made.weights, smallest / length, within)
            found.append(LastPhase(length, shares, gain(fit, combination, shares, first), len(swarm)))
    return sorted(found, key=lambda one: (-one.gain["value"], one.length))


def _terms(swarm: Swarm, length: float, prior: np.ndarray, given: Mapping[str, Any]) -> Terms:
    held = terms_of(swarm.domains, swarm.targets, prior, **given)
    return replace(held, kl=length * held.kl, cost=None if held.cost is None else length * held.cost)
