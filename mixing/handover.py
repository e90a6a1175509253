"""What is handed over: chosen by measurement at the validation size, judged by seeds that chose nothing.

Candidates are ranked by what validation measured on the target (with the price of leaving the prior, of tokens, and
bounds on other targets, where they were asked for). The first of them is trained again, beside the natural and the
uniform mixture and the next best, with fresh seeds. It is handed over if the paired difference to natural has a 95 %
interval above 0; else the natural mixture is, unless that is the last of all by every seed there is. So what is
handed over never comes last in its own validation, and one seed, which has no spread, proves nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

NATURAL = "natural"
LEVEL = 0.95


def same_mixtures(mixtures: Mapping[str, Sequence[float]], names: Sequence[str]) -> dict[str, str]:
    """Name -> the first of the names with the very same shares: equal mixtures are trained once."""
    first: dict[tuple[float, ...], str] = {}
    return {name: first.setdefault(tuple(mixtures[name]), name) for name in names}


def paired(ours: Mapping[int, float], theirs: Mapping[int, float], level: float = LEVEL) -> dict[str, Any]:
    """By how much ours lies below theirs, seed by seed, with a t-interval; low and high are None with one seed."""
    seeds = sorted(set(ours) & set(theirs))
    gains = np.array([theirs[seed] - ours[seed] for seed in seeds])
    told: dict[str, Any] = {"seeds": len(seeds), "gain": float(gains.mean()), "low": None, "high": None}
    if len(seeds) > 1:
        half = float(student.ppf((1 + level) / 2, len(seeds) - 1) * gains.std(ddof=1) / np.sqrt(len(seeds)))
        told |= {"low": told["gain"] - half, "high": told["gain"] + half}
    return told | {"proven": told["low"] is not None and told["low"] > 0}


def ranking(
    values: Mapping[str, float], penalties: Mapping[str, float], kept: Mapping[str, bool] | None = None
) -> list[str]:
    """Names by value plus penalty, the best first, those that break a bound behind all others; ties by name."""
    bounds = kept or {}
    return sorted(values, key=lambda name: (not bounds.get(name, True), values[name] + penalties.get(name, 0.0), name))


def settled(
    ranked: Sequence[str], fresh: Mapping[str, Mapping[int, float]], every: Mapping[str, Mapping[int, float]]
) -> dict[str, Any]:
    """What is handed over and why: {name, reason, against: name -> paired}.

    ranked  candidates by what validation measured, the best first
    fresh   mixture -> seed -> value of the target by seeds that chose nothing
    every   the same by all seeds, those of the validation too
    """
    best = ranked[0]
    against = {name: paired(fresh[best], fresh[name]) for name in fresh if name != best}
    if best == NATURAL:
        return {
            "name": NATURAL,
            "reason": "no mixture validates better than the natural one, so that is handed over",
            "against": against,
        }
    worth = against[NATURAL]
    if worth["proven"]:
        reason = (
            f"{best} beats natural by {worth['gain']:.4f} [{worth['low']:.4f}, {worth['high']:.4f}] bits per byte with "
            f"{worth['seeds']} fresh seeds"
        )
        return {"name": best, "reason": reason, "against": against}
    means = {name: float(np.mean(list(seeds.values()))) for name, seeds in every.items()}
    if len(means) > 1 and max(means, key=lambda name: means[name]) == NATURAL:
        unproven = "by less than the noise" if worth["low"] is not None else "in a way that one fresh seed cannot prove"
        reason = f"{best} is ahead of natural {unproven}, and natural is last by all seeds"
        return {"name": best, "reason": reason, "against": against}
    if worth["low"] is None:
        why = f"{best} validates best, and one fresh seed proves nothing"
    else:
        why = (
            f"{best} validates best, but with fresh seeds its gain over natural is {worth['gain']:.4f} "
            f"[{worth['low']:.4f}, {worth['high']:.4f}], not beyond noise"
        )
    back = {name: paired(fresh[NATURAL], fresh[name]) for name in fresh if name != NATURAL}
    return {"name": NATURAL, "reason": f"{why}; natural is handed over", "against": back}
