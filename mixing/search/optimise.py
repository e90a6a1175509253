"""The best mixture under real constraints, how sure that is, and how much it matters.

`simulate` averages the best of many draws, as RegMix does, and works with any model. `descend` follows the gradient
from the best draws and `evolve` searches where there is none. `exact` (in `convex`) solves the exponential law to
optimality. Every search keeps to the limits. The prediction of a proposal, and of its gain over the natural mixture,
comes with an interval from the cross-validation residuals; a gain whose interval holds 0 is said to be unproven.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ...corpus.store.errors import unknown_name
from ..regression.ensemble import Fit
from ..tables import all_finite
from .simplex import Limits

Objective = Callable[[np.ndarray], np.ndarray]  # (N, D) -> (N,)
DRAWS = 20_000
TOP = 128


@dataclass(frozen=True)
class Terms:
    """What is minimised beside the predicted loss, and what must hold.

    prior, kl  adds kl * KL(w || prior): stay near a mixture that is trusted
    cost       price per token of each domain (D,), added as is: in units of loss per token share
    at_most    (target weights (T,), bound): predicted combinations that must stay below a bound
    """

    prior: np.ndarray | None = None
    kl: float = 0.0
    cost: np.ndarray | None = None
    at_most: tuple[tuple[np.ndarray, float], ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A mixture with its evidence."""

    weights: np.ndarray
    predicted: float
    low: float
    high: float
    gain: dict[str, Any] = field(default_factory=dict)  # over natural: value, low, high, proven
    sensitivity: dict[str, Any] = field(default_factory=dict)
    how: str = ""


def terms_of(
    domains: Sequence[str],
    targets: Sequence[str],
    prior: np.ndarray,
    *,
    kl: float = 0.0,
    cost: Mapping[str, float] | None = None,
    at_most: Mapping[str, float] | None = None,
) -> Terms:
    """Terms by name. cost: domain -> price; at_most: target -> bound. Refuses names that are not there, and numbers
    that are not finite or, as the price of leaving the prior, below 0."""
    all_finite({"kl": kl}, "the price of leaving the prior", least=0.0)
    all_finite(cost, "cost")
    all_finite(at_most, "at_most")
    price = np.zeros(len(domains))
    for name, value in (cost or {}).items():
        if name not in domains:
            raise unknown_name("domain", name, domains, where="cost")
        price[list(domains).index(name)] = value
    for name in at_most or {}:
        if name not in targets:
            raise unknown_name("target", name, targets, where="at_most")
    bounds = tuple((np.array([float(target == name) for target in targets]), bound)
                   for name, bound in (at_most or {}).items())  # fmt: skip
    return Terms(prior, kl, price if cost else None, bounds)


def bounds_kept(fit: Fit, weights: np.ndarray, terms: Terms) -> dict[str, dict[str, Any]]:
    """Bounded target -> its bound, what is predicted of the mixture, and whether it keeps to it (to 0.1 %)."""
    told = {}
    for target, bound in terms.at_most:
        value = float(fit.combined(weights[None], target)[0])
        name = fit.swarm.targets[int(np.argmax(target))]
        told[name] = {"at_most": bound, "predicted": value, "kept": value <= bound * 1.001}
    return told


def objective(fit: Fit, combination: np.ndarray, terms: Terms = Terms()) -> Objective:
    """Predicted combination of losses plus the terms; a broken bound costs a hundred times its excess."""

    def value(weights: np.ndarray) -> np.ndarray:
        total = fit.combined(weights, combination)
        if terms.kl and terms.prior is not None:
            inside = np.maximum(weights, 1e-12)
            total = total + terms.kl * (inside * np.log(inside / np.maximum(terms.prior, 1e-12))).sum(1)
        if terms.cost is not None:
            total = total + weights @ terms.cost
        for target, bound in terms.at_most:
            total = total + 100.0 * np.maximum(fit.combined(weights, target) - bound, 0.0)
        return total

    return value


def simulate(
    value: Objective, centre: np.ndarray, limits: Limits, seed: int, draws: int = DRAWS, top: int = TOP
) -> tuple[np.ndarray, np.ndarray]:
    """The average of the `top` best of `draws` mixtures around `centre`, and those best themselves, best first."""
    rows = _draws(centre, limits, seed, draws)
    order = np.argsort(value(rows), kind="stable")[:top]
    return limits.project(rows[order].mean(0)), rows[order]


def _draws(centre: np.ndarray, limits: Limits, seed: int, draws: int) -> np.ndarray:
    draw = np.random.default_rng([seed, 2])
    strengths = np.array([0.5, 1.0, 2.0, 5.0, 15.0, 50.0])[np.arange(draws) % 6, None]
    gammas = np.maximum(draw.gamma(np.maximum(strengths * centre, 1e-4)), 1e-300)
    return limits.project(gammas / gammas.sum(1, keepdims=True))


def descend(value: Objective, starts: np.ndarray, limits: Limits, iterations: int = 60) -> np.ndarray:
    """Gradient search (SLSQP, differences of one batch) from each start; the best mixture found."""
    bounds = list(zip(limits.low, limits.high, strict=True))
    sums = {"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like}
    D = len(limits.low)

    def with_gradient(w: np.ndarray) -> tuple[float, np.ndarray]:
        step = 1e-5
        ahead = np.where(w + step <= 1.0, step, -step)
        values = value(np.vstack([w, w + np.diag(ahead)]))
        return float(values[0]), (values[1:] - values[0]) / ahead

    best, lowest = starts[0], np.inf
    for start in starts:
        found = minimize(
            with_gradient,
            start,
            jac=True,
            bounds=bounds,
            constraints=[sums],
            method="SLSQP",
            options={"maxiter": iterations, "ftol": 1e-9},
        )
        made = limits.project(found.x if np.isfinite(found.x).all() else start)
        reached = float(value(made[None])[0])
        if reached < lowest:
            best, lowest = made, reached
    assert best.shape == (D,)
    return best


def evolve(value: Objective, start: np.ndarray, limits: Limits, seed: int, generations: int = 40) -> np.ndarray:
    """Evolution strategy in log-weights with a step size per domain: for models without a useful gradient.

    Returns the centre of the last generation, not its luckiest member: trees are flat between their steps.
    """
    draw = np.random.default_rng([seed, 3])
    D = len(start)
    size, parents = 24 + 4 * D, 6 + D
    rank = np.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
    rank /= rank.sum()
    centre, spread = np.log(np.maximum(start, 1e-4)), np.full(D, 0.7)
    for _ in range(generations):
        steps = draw.standard_normal((size, D))
        logs = centre + spread * steps
        rows = np.exp(logs - logs.max(1, keepdims=True))
        rows = limits.project(rows / rows.sum(1, keepdims=True))
        best = np.argsort(value(rows), kind="stable")[:parents]
        centre = rank @ logs[best]
        centre = np.maximum(centre - centre.max(), np.log(1e-6))
        spread = 0.7 * spread + 0.3 * np.sqrt(rank @ (spread * steps[best]) ** 2)
    made = np.exp(centre)
    return limits.project(made / made.sum())


def propose(
    fit: Fit,
    combination: np.ndarray,
    natural: np.ndarray,
    limits: Limits,
    *,
    terms: Terms = Terms(),
    seed: int = 0,
    level: float = 0.9,
    draws: int = DRAWS,
) -> Proposal:
    """The mixture with the lowest objective: simulate, then descend or evolve, and take what is predicted better."""
    value = objective(fit, combination, terms)
    averaged, best = simulate(value, natural, limits, seed, draws)
    smooth = all(target.smooth for target in fit.counting(combination)[0])
    if smooth:
        searched, how = descend(value, np.vstack([averaged, best[:2]]), limits), "gradient"
    else:
        searched, how = evolve(value, averaged, limits, seed), "evolution"
    options = [
        (averaged, f"average of the best {len(best)} of {draws} draws"),
        (searched, f"{how} from the best draws"),
    ]
    values = value(np.vstack([weights for weights, _ in options]))
    weights, how = options[int(np.argmin(values))]
    return judged(fit, combination, natural, limits, weights, how, terms, level)


def judged(
    fit: Fit,
    combination: np.ndarray,
    natural: np.ndarray,
    limits: Limits,
    weights: np.ndarray,
    how: str,
    terms: Terms = Terms(),
    level: float = 0.9,
) -> Proposal:
    """A mixture, however it was found, with the ensemble's prediction, gain over natural and sensitivity."""
    value = objective(fit, combination, terms)
    predicted, low, high = (float(part[0]) for part in fit.interval(weights[None], combination, level))
    return Proposal(
        weights,
        predicted,
        low,
        high,
        gain(fit, combination, weights, natural, level),
        sensitivity(value, weights, limits),
        how,
    )


def gain(
    fit: Fit, combination: np.ndarray, weights: np.ndarray, baseline: np.ndarray, level: float = 0.9
) -> dict[str, Any]:
    """Predicted loss of the baseline minus that of the mixture, with an interval from pairs of residuals."""
    fits, shares = fit.counting(combination)
    size = np.abs(shares)
    rows = np.vstack([baseline, weights])
    predicted = fit.combined(rows, combination)
    scale = np.column_stack([target.scale(rows) for target in fits]) @ size
    residual = np.column_stack([target.residuals for target in fits]) @ shares
    relative = residual / (np.column_stack([target.local for target in fits]) @ size)
    errors = np.abs(relative[:, None] * scale[0] - relative[None, :] * scale[1])
    half = float(np.quantile(errors[~np.eye(len(errors), dtype=bool)], level))
    difference = float(predicted[0] - predicted[1])
    return {
        "value": difference,
        "low": difference - half,
        "high": difference + half,
        "level": level,
        "proven": difference - half > 0,
    }


def sensitivity(value: Objective, weights: np.ndarray, limits: Limits, within: float = 1e-3) -> dict[str, Any]:
    """Per domain the range of its share over which the objective stays within a thousandth of the optimum.

    The other domains keep their proportions. A wide range says that the exact share does not matter.
    """
    optimum = float(value(weights[None])[0])
    ranges: dict[str, Any] = {}
    for place, name in enumerate(limits.domains):
        grid = np.unique(np.concatenate([np.linspace(limits.low[place], limits.high[place], 60), [weights[place]]]))
        others = np.delete(weights, place)
        others = others / others.sum() if others.sum() > 0 else np.full(len(others), 1 / max(1, len(others)))
        rows = np.insert(np.outer(1 - grid, others), place, grid, axis=1)
        near = (value(rows) <= optimum + within * abs(optimum)) & limits.contains(rows)
        here = int(np.searchsorted(grid, weights[place]))
        low = high = here
        while low > 0 and near[low - 1]:
            low -= 1
        while high < len(grid) - 1 and near[high + 1]:
            high += 1
        ranges[name] = {"share": float(weights[place]), "low": float(grid[low]), "high": float(grid[high])}
    return ranges


def compare(
    fit: Fit, combination: np.ndarray, mixtures: Mapping[str, np.ndarray], level: float = 0.9
) -> dict[str, dict[str, float]]:
    """Predicted objective of named mixtures with intervals: the comparison rows of a report."""
    value, low, high = fit.interval(np.vstack(list(mixtures.values())), combination, level)
    return {
        name: {"predicted": float(v), "low": float(a), "high": float(b)}
        for name, v, a, b in zip(mixtures, value, low, high, strict=True)
    }
