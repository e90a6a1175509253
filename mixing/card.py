"""The decision card: how sure it is that the order of two mixtures holds in a larger model, and on what that rests.

The probability that the order of two mixtures holds at another size is that of a Student t with two degrees of freedom
at their predicted difference over WIDTH times the deviation of that difference under the surrogate of the search. Both
constants are fitted on public tables (`benchmarks/mixing_card.py`: 1M models order what 60M models reach), where it
is right within 3 points in every band; a normal law, which has lighter tails, is off by 8. Sizes closer together than
those hold their order more surely. Signal over noise of a target is the spread between mixtures over the spread
between seeds and between the last evaluations (Signal & Noise, arXiv 2508.13144). Measures; decides nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from .regression.measures import pairwise_accuracy, replicate_noise
from .search.rounds import surrogate_of
from .swarm import Swarm

FREEDOM = 2
WIDTH = 0.48
COMPARED = ("natural", "uniform", "best_of_swarm")  # what the handed over mixture is compared with


def order_holds(difference: np.ndarray, deviation: np.ndarray, width: float = WIDTH) -> np.ndarray:
    """(N,) probability that a predicted difference keeps its sign in a larger model, in [0.5, 1].

    deviation  of the difference under the surrogate, in the unit of the difference
    """
    return np.asarray(student.cdf(np.abs(difference) / np.maximum(width * deviation, 1e-12), FREEDOM))


def signal_to_noise(swarm: Swarm) -> dict[str, dict[str, float | None]]:
    """Target -> signal (spread between mixtures), noise, and their ratio; None where the noise was not measured.

    Noise is that of seeds, from replicates, and of the last evaluations: how differently mixtures moved in the last
    interval, which as a mean counts for half.
    """
    noise = replicate_noise(swarm.weights, swarm.losses)
    _, first = np.unique(np.round(swarm.weights, 9), axis=0, return_index=True)
    found = {}
    for t, target in enumerate(swarm.targets):
        signal = float(swarm.losses[first, t].std(ddof=1)) if len(first) > 1 else 0.0
        parts = [] if noise is None else [float(noise[t])]
        if swarm.trajectories is not None and swarm.trajectories.shape[1] > 2:
            moved = swarm.trajectories[:, -1, t] - swarm.trajectories[:, -2, t]
            before = swarm.trajectories[:, -2, t]
            slope, level = np.polyfit(before, moved, 1) if before.std() > 0 else (0.0, moved.mean())
            parts.append(float((moved - level - slope * before).var()) / 2)
        total = float(np.sqrt(sum(parts))) if parts else None
        found[target] = {"signal": signal, "noise": total, "ratio": signal / total if total else None}
    return found


def card_of(swarm: Swarm, combination: np.ndarray, mixtures: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """What a card is made from: value and deviation of each mixture under the surrogate, and the targets' noise.

    own_weight  how many pairs of the swarm the rule without any model orders rightly: minus the weighted share of the
                targets' own domains; None where no target has one
    """
    rows = np.array([list(weights) for weights in mixtures.values()])
    value, deviation = surrogate_of(swarm, combination).predict(rows)
    noise, own = signal_to_noise(swarm), np.zeros(len(swarm.domains))
    for share, place in zip(combination, swarm.own(), strict=True):
        if place is not None:
            own[place] += share
    return {
        "mixtures": {
            name: {"value": float(v), "deviation": float(d)}
            for name, v, d in zip(mixtures, value, deviation, strict=True)
        },
        "targets": {name: row for (name, row), part in zip(noise.items(), combination, strict=True) if part},
        "own_weight": float(pairwise_accuracy(-swarm.weights @ own, swarm.losses @ combination)) if own.any() else None,
    }


def pairs_of(card: Mapping[str, Any], name: str, others: Sequence[str] = COMPARED) -> list[dict[str, Any]]:
    """One row per mixture that `name` is compared with: predicted gain, and the probability that its sign holds."""
    rows = []
    for other in others:
        if other != name and {name, other} <= card["mixtures"].keys():
            ours, theirs = card["mixtures"][name], card["mixtures"][other]
            gain = theirs["value"] - ours["value"]
            deviation = float(np.hypot(ours["deviation"], theirs["deviation"]))
            likely = float(order_holds(np.array([gain]), np.array([deviation]))[0])
            rows.append({"against": other, "gain": gain, "order_holds": likely})
    return rows


def card_lines(name: str, card: Mapping[str, Any]) -> list[str]:
    """The card for a reader."""
    lines = [
        f"{name} against {row['against']}: predicted gain {row['gain']:+.4f}; that its sign holds in a larger model: "
        f"{row['order_holds']:.0%}"
        for row in card["pairs"]
    ]
    for target, row in card["targets"].items():
        ratio = "not measured" if row["ratio"] is None else f"{row['ratio']:.1f}"
        lines.append(f"signal over noise of {target}: {ratio}")
    if card["own_weight"] is not None:
        lines.append(f"pairs of the swarm that the targets' own shares alone order rightly: {card['own_weight']:.0%}")
    return lines
