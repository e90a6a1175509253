"""Is the decision card right? The order that 1M-parameter models foretell, against that of 60M ones, on public tables.

The surrogate of the search is fitted to 128 of RegMix's 512 mixtures of 1M models, one target at a time, and foretells
for pairs of the 256 unseen mixtures which is better and how surely that holds at 60M. The width of the card's law is
fitted on twelve targets and judged on the thirteenth, thirteen times.

Claims (asserted): in every band of foretold probability with 500 pairs or more, the share that held is within 5 points;
the shipped width is within 10 % of the one fitted to all targets. Beside them the trivial rule, minus the own domain's
weight: how many pairs it orders rightly.

    python benchmarks/mixing_card.py     # needs GRISTMILL_DATA; about a minute on an idle core
"""

import itertools
import os
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from gristmill.mixing.card import WIDTH, order_holds
from gristmill.mixing.search.rounds import Surrogate
from gristmill.mixing.swarm import read_swarm

ROOT = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "mixtures"
FITTED, PAIRS = 128, 4000
BANDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def main() -> None:
    if not ROOT.exists():
        print(f"no data at {ROOT}; set GRISTMILL_DATA to the folder that holds mixtures/")
        sys.exit(77)
    train, unseen, large = (
        read_swarm(str(ROOT / f"{kind}_mixture_{size}.csv"), str(ROOT / f"{kind}_pile_loss_{size}.csv"))
        for kind, size in (("train", "1m"), ("test", "1m"), ("test", "60m"))
    )
    assert np.allclose(unseen.weights, large.weights)
    rows = np.random.default_rng(0).permutation(len(train))[:FITTED]
    first, second = np.random.default_rng(1).integers(0, len(unseen), (2, PAIRS))
    first, second = first[first != second], second[first != second]
    data, ours, own = [], [], []
    for t, place in enumerate(train.own()):
        surrogate = Surrogate.of(train.weights[rows], train.losses[rows, t])
        value, deviation = surrogate.predict(unseen.weights)
        difference = value[first] - value[second]
        true = np.sign(large.losses[first, t] - large.losses[second, t])
        held = np.sign(difference) == true
        data.append((difference, np.hypot(deviation[first], deviation[second]), held))
        ours.append(held.mean())
        own.append(np.mean(np.sign(unseen.weights[second, place] - unseen.weights[first, place]) == true))
    foretold, held = [], []
    for t in range(len(data)):
        width = fitted([data[k] for k in range(len(data)) if k != t])
        foretold.append(order_holds(data[t][0], data[t][1], width))
        held.append(data[t][2])
    p, h = np.concatenate(foretold), np.concatenate(held)
    everything = fitted(data)
    print(f"{len(data)} targets, {len(first)} pairs each; foretold by {FITTED} mixtures of 1M models, held at 60M:")
    worst = 0.0
    for low, high in itertools.pairwise(BANDS):
        inside = (p >= low) & ((p < high) | (high == 1.0))
        print(f"  {low:.2f} to {high:.2f}: {inside.sum():6d} pairs, foretold {p[inside].mean():.3f}, "
              f"held {h[inside].mean():.3f}")  # fmt: skip
        if inside.sum() >= 500:
            worst = max(worst, abs(p[inside].mean() - h[inside].mean()))
    print(f"all pairs: held {np.mean(ours):.3f}; by minus the own domain's weight {np.mean(own):.3f}")
    print(f"width fitted to all targets {everything:.3f}, shipped {WIDTH}")
    claims = {
        "every band within 5 points": worst <= 0.05,
        "shipped width within 10 % of the fitted one": abs(WIDTH / everything - 1) <= 0.1,
    }
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    if not all(claims.values()):
        sys.exit(1)


def fitted(data: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """The width under which what held is likeliest; targets count alike."""

    def unlikely(log_width: float) -> float:
        total = 0.0
        for difference, deviation, held in data:
            p = order_holds(difference, deviation, float(np.exp(log_width)))
            total -= float(np.log(np.clip(np.where(held, p, 1 - p), 1e-6, 1)).mean())
        return total

    return float(np.exp(minimize_scalar(unlikely, bounds=(-4, 3), method="bounded").x))


if __name__ == "__main__":
    main()
