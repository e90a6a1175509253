"""From a measured swarm to a recipe: fit, propose, compare with what validation measured, and say plainly who won."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from .card import card_of
from .recipe import rounded
from .regression.ensemble import fit_swarm, report, target_weights
from .regression.measures import pairwise_accuracy, spearman
from .search.baselines import within
from .search.optimise import bounds_kept, compare, objective, propose, terms_of
from .search.rounds import surrogate_of
from .search.simplex import Limits, without_crumbs
from .search.units import Units
from .settings import FITTED, SWARM_BEST, TWO_PHASE
from .swarm import Swarm
from .two_phase import LastPhase


@dataclass(frozen=True)
class Choice:
    """The fitted mixture, the mixtures to compare it with, and the report of the fit.

    penalties  mixture -> what leaving the prior and its tokens cost, where that is asked for; added to what is measured
    """

    mixtures: dict[str, tuple[float, ...]]  # natural, uniform, those asked for, SWARM_BEST, fitted
    report: dict[str, Any]
    penalties: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What the recipe holds.

    mixture  its name among those of the choice
    ends     the last phases that were tried, the largest gain first
    ranked   candidates by what validation measured, the best first, where measurement decides: it does with the seeds
             that `mixture` and others are trained with once more
    """

    mixture: str
    ends: tuple[LastPhase, ...] = ()
    ranked: tuple[str, ...] = ()

    @property
    def last(self) -> LastPhase | None:
        """The end of the recipe, where its gain is proven."""
        return self.ends[0] if self.ends and self.ends[0].gain["proven"] else None

    @property
    def name(self) -> str:
        """Of the row that stands for the recipe."""
        return TWO_PHASE if self.last else self.mixture


def choose(
    swarm: Swarm,
    natural: np.ndarray,
    limits: Limits,
    *,
    target: Mapping[str, float],
    regressors: Sequence[str] | None,
    seed: int,
    draws: int,
    others: Mapping[str, np.ndarray] | None = None,
    units: Units | None = None,
    smallest: float = 0.0,
    terms: Mapping[str, Any] | None = None,
) -> Choice:
    """Fit every target of the swarm, optimise the target, and name the mixtures to compare the result with.

    others  further mixtures to compare with, by name
    terms   kl, cost and at_most of `terms_of`, by names of domains and targets
    smallest  shares of the fitted mixture below it are zero: a run cannot draw them
    units   what the search moves; default: every domain by itself. Mixtures that units cannot make are not predicted.
    Baselines are moved within the limits where they break them: a mixture that the data cannot fill proves nothing.
    """
    units = units or Units.of(swarm.domains)
    with threadpool_limits(1):  # sums must not depend on how many cores there are
        fit = fit_swarm(units.swarm(swarm), regressors, seed=seed)
        combination = target_weights(swarm.targets, target)
        centre = units.collapse(natural)
        held = terms_of(swarm.domains, swarm.targets, centre, **(terms or {}))
        held = replace(held, cost=None if held.cost is None else units.within @ held.cost)
        proposal = propose(fit, combination, centre, units.limits(limits), terms=held, seed=seed, draws=draws)
        value, reached = objective(fit, combination, held), units.collapse(swarm.weights)
        given = {"natural": natural, "uniform": np.full(len(natural), 1 / len(natural)), **(others or {})}
        named = {
            **within(given, limits),
            **swarm_best(swarm, combination, units, value(reached) - fit.combined(reached, combination)),
            "fitted": units.expand(without_crumbs(proposal.weights, smallest, units.limits(limits))),
        }
        mixtures = {
            name: tuple(rounded(dict(zip(swarm.domains, weights, strict=True))).values())
            for name, weights in named.items()
        }
        made = {name: np.array(weights) for name, weights in mixtures.items() if units.reach(np.array(weights))}
        predicted = compare(fit, combination, {name: units.collapse(weights) for name, weights in made.items()})
        rows = np.array([units.collapse(np.array(weights)) for weights in mixtures.values()])
        priced = objective(fit, combination, replace(held, at_most=()))(rows) - fit.combined(rows, combination)
        card = card_of(swarm, combination, mixtures)
    own = [place for place in swarm.own() if place is not None]
    told = {
        **report(fit, centre),
        "target": dict(zip(swarm.targets, map(float, combination), strict=True)),
        "limits": {n: [float(a), float(b)] for n, a, b in zip(swarm.domains, limits.low, limits.high, strict=True)},
        "predicted": predicted,
        "gain_over_natural": proposal.gain,
        "bounds": bounds_kept(fit, proposal.weights, held),
        "sensitivity": proposal.sensitivity,
        "search": proposal.how,
        "target_domains": len(own),
        "card": card,
        "out_of_fold": {
            "runs": list(swarm.runs),
            "predicted": {
                one.target: (swarm.losses[:, place] - one.residuals).tolist() for place, one in enumerate(fit.targets)
            },
        },
    }
    return Choice(mixtures, told, dict(zip(mixtures, map(float, priced), strict=True)))


def swarm_best(swarm: Swarm, combination: np.ndarray, units: Units, terms: np.ndarray) -> dict[str, np.ndarray]:
    """The mixture with the lowest measured value, and the two with the lowest smoothed ones (`search.rounds`), under
    with `terms` (R,) added: one measurement is partly luck, which the mixtures around it tell."""
    grouped = units.swarm(swarm)
    smoothed, _ = surrogate_of(grouped, combination).predict(grouped.weights)
    order = np.argsort(smoothed + terms, kind="stable")
    first = int(order[0])
    second = next((int(row) for row in order if not np.allclose(swarm.weights[row], swarm.weights[first])), first)
    raw = int(np.argmin(swarm.losses @ combination + terms))
    return dict(zip(SWARM_BEST, swarm.weights[[raw, first, second]], strict=True))


def validate(
    measured: Mapping[str, Mapping[int, Mapping[str, float]]],
    predicted: Mapping[str, Mapping[str, float]],
    target: Mapping[str, float],
    chosen: str = FITTED,
) -> dict[str, Any]:
    """What the validation proxies say. measured: mixture -> seed -> target -> bits per byte; chosen: the recipe's.

    The gain over natural is taken seed by seed (equal seeds share initial weights and data streams), so its spread is
    that of the difference and not of the seeds.
    """
    combined = {
        name: {seed: sum(target[t] * losses[t] for t in target if target[t]) for seed, losses in seeds.items()}
        for name, seeds in measured.items()
    }
    rows = {}
    for name, seeds in combined.items():
        values = np.array(list(seeds.values()))
        gains = np.array([combined["natural"][seed] - value for seed, value in seeds.items()])
        rows[name] = {
            "bits_per_byte": float(values.mean()),
            "spread": float(values.std(ddof=1)) if len(values) > 1 else None,
            "seeds": len(values),
            "gain_over_natural": float(gains.mean()),
            "gain_spread": float(gains.std(ddof=1)) if len(gains) > 1 else None,
            "domains": {t: float(np.mean([losses[t] for losses in measured[name].values()])) for t in target},
        }
    known = {tuple(sorted(combined[name].items())): name for name in reversed(rows) if name in predicted}
    names = sorted(known.values(), key=list(rows).index)  # equal mixtures are one
    foretold = np.array([predicted[name]["predicted"] for name in names])
    found = np.array([rows[name]["bits_per_byte"] for name in names])
    pairs = len(names) * (len(names) - 1) // 2 - ties(found)
    held = round(pairwise_accuracy(foretold, found) * pairs) if pairs else 0
    return {
        "mixtures": rows,
        "order_held": spearman(foretold, found),
        "pairs_held": [held, pairs],
        "verdict": verdict(rows, chosen),
    }


def ties(values: np.ndarray) -> int:
    """Pairs of equal values: nobody can put them in order."""
    _, counts = np.unique(values, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def two_phase_predicted(fitted: Mapping[str, float], gain: Mapping[str, Any]) -> dict[str, float]:
    """What a recipe of two phases is predicted to reach: the fitted mixture's value minus the last phase's gain.

    The half widths of both intervals are added in quadrature: they come from residuals of different fits.
    """
    value = fitted["predicted"] - gain["value"]
    half = float(np.hypot(fitted["high"] - fitted["low"], gain["high"] - gain["low"])) / 2
    return {"predicted": value, "low": value - half, "high": value + half}


def best_measured(validation: Mapping[str, Any]) -> list[str]:
    """Mixtures by what validation measured on the target, the best first; ties by name."""
    rows = validation["mixtures"]
    return sorted(rows, key=lambda name: (rows[name]["bits_per_byte"], name))


def verdict(rows: Mapping[str, Mapping[str, Any]], chosen: str = FITTED) -> str:
    """One plain sentence: who has the lowest bits per byte on the target, and whether the gap exceeds the spread."""
    ranked = sorted(rows, key=lambda name: rows[name]["bits_per_byte"])
    ours, best_other = rows[chosen], next(name for name in ranked if name != chosen)
    said = {FITTED: "The fitted mixture", TWO_PHASE: "The recipe of two phases"}.get(chosen, f"The choice, {chosen},")
    gap = rows[best_other]["bits_per_byte"] - ours["bits_per_byte"]
    spreads = [row["spread"] for row in (ours, rows[best_other]) if row["spread"] is not None]
    noise = f"spread over seeds {max(spreads):.4f}" if len(spreads) == 2 else "one seed, so no spread was measured"
    where = (
        f"{ours['bits_per_byte']:.4f} bits per byte on the target against {rows[best_other]['bits_per_byte']:.4f} "
        f"for {best_other}, the best of the others ({noise})"
    )
    if gap <= 0:
        return f"{said} does not win: {where}."
    if len(spreads) < 2:
        return f"{said} is ahead, which one seed does not prove: {where}."
    if gap <= max(spreads):
        return f"{said} is ahead by less than the spread over seeds: {where}."
    return f"{said} wins: {where}."
