"""Fit, judge and optimise from CSV files alone: no workspace, no proxies of ours, no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..corpus.refusal import RequestError
from .ensemble import evaluate as judge
from .ensemble import fit_swarm, report, target_weights
from .optimise import Terms, compare, propose
from .recipe import rounded
from .simplex import Limits
from .swarm import Swarm, match_target, plain, read_swarm


def fit_tables(
    mixtures: str,
    losses: str,
    *,
    target: Mapping[str, float],
    evaluate: tuple[str, str] | None = None,
    regressors: Sequence[str] | None = None,
    prior: Mapping[str, float] | None = None,
    ceilings: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    kl: float = 0.0,
    seed: int = 0,
    jobs: int = 1,
) -> dict[str, Any]:
    """The report of `gristmill mix fit`: {fit, evaluation, proposal, comparison}.

    target  loss column -> weight in the objective; only these are fitted; empty: all, alike
    prior   domain -> share, the mixture to search around and to compare with; default: the mean of the mixtures
    """
    swarm = read_swarm(mixtures, losses)
    weights = np.full(len(swarm.targets), 1 / len(swarm.targets))
    if target:
        swarm = swarm.only(list(target))
        weights = target_weights(swarm.targets, dict(zip(swarm.targets, target.values(), strict=True)))
    unseen = _unseen(swarm, *evaluate) if evaluate else None
    centre = _prior(swarm, prior)
    names = dict(zip(map(plain, swarm.domains), swarm.domains, strict=True))
    limits = Limits.of(
        swarm.domains,
        ceilings={names.get(plain(name), name): value for name, value in (ceilings or {}).items()},
        floors={names.get(plain(name), name): value for name, value in (floors or {}).items()},
    )
    fit = fit_swarm(swarm, regressors, jobs=jobs, seed=seed)
    proposal = propose(fit, weights, centre, limits, terms=Terms(prior=centre, kl=kl), seed=seed)
    best = swarm.weights[int(np.argmin(swarm.losses @ weights))]
    told: dict[str, Any] = {
        "fit": report(fit, centre),
        "proposal": {
            "shares": rounded(dict(zip(swarm.domains, proposal.weights, strict=True))),
            "predicted": proposal.predicted,
            "low": proposal.low,
            "high": proposal.high,
            "gain": proposal.gain,
            "sensitivity": proposal.sensitivity,
            "how": proposal.how,
        },
        "comparison": compare(
            fit,
            weights,
            {
                "prior": centre,
                "uniform": np.full(len(centre), 1 / len(centre)),
                "best_of_swarm": best,
                "fitted": proposal.weights,
            },
        ),
    }
    if unseen is not None:
        told["evaluation"] = judge(fit, unseen)
    return told


def _unseen(swarm: Swarm, mixtures: str, losses: str) -> Swarm:
    """The swarm to judge on, with the columns of the fitted one in its order."""
    found = read_swarm(mixtures, losses)
    if set(found.domains) != set(swarm.domains):
        differ = sorted(set(found.domains) ^ set(swarm.domains))
        raise RequestError(f"{mixtures} has other domains than the mixtures fitted on: {', '.join(differ[:5])}")
    columns = [found.domains.index(name) for name in swarm.domains]
    chosen = [match_target(name, found.targets) for name in swarm.targets]
    return Swarm(swarm.domains, swarm.targets, found.weights[:, columns], found.losses[:, chosen], found.runs)


def _prior(swarm: Swarm, prior: Mapping[str, float] | None) -> np.ndarray:
    if not prior:
        return swarm.weights.mean(0)
    shares = np.zeros(len(swarm.domains))
    for name, value in prior.items():
        shares[match_target(name, swarm.domains)] = value
    if (shares < 0).any() or shares.sum() <= 0:
        raise RequestError("--prior needs shares >= 0 that are not all zero")
    return shares / shares.sum()
