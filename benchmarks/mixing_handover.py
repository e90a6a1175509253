"""What is handed over after N proxies, by regret: RegMix's public tables as a simulator.

The 768 mixtures of 1M-parameter models (512 and 256) stand for all mixtures there are: a search sees the losses of N of
them and hands one over. Regret is the loss of that one above the best of the table, in standard deviations of the
loss. Searches, with the same draws: best of N at random; the row that a stacked fit on N random rows predicts best
(--fit, slow); rounds: half at random, the rest in four rounds chosen by the surrogate (`mixing.search.rounds`), then
the best measured. 10 draws, 13 targets.

Claims (asserted): with 64 a mean regret <= 0.025 and below best of 256; with 32 below best of 64.

    python benchmarks/mixing_handover.py [--quick] [--fit] [--boldness B]   # needs GRISTMILL_DATA

About 10 minutes on one idle core; --quick makes two draws and asserts nothing of their number.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

from gristmill.mixing.regression.ensemble import default_candidates, fit_target, fold_of
from gristmill.mixing.search.rounds import BOLDNESS, chosen_from, round_sizes
from gristmill.mixing.swarm import read_swarm

ROOT = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "mixtures"
ROUNDS = 5  # the first is random


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--boldness", type=float, default=BOLDNESS)
    asked = parser.parse_args()
    if not ROOT.exists():
        print(f"no data at {ROOT}; set GRISTMILL_DATA to the folder that holds mixtures/")
        sys.exit(77)
    train = read_swarm(str(ROOT / "train_mixture_1m.csv"), str(ROOT / "train_pile_loss_1m.csv"))
    test = read_swarm(str(ROOT / "test_mixture_1m.csv"), str(ROOT / "test_pile_loss_1m.csv"))
    weights, losses = np.vstack([train.weights, test.weights]), np.vstack([train.losses, test.losses])
    draws, began = 2 if asked.quick else 10, time.perf_counter()
    rows: dict[str, np.ndarray] = {}
    for count in (32, 64, 128, 256):
        rows[f"best of {count}"] = each(losses, draws, lambda y, order, count=count: y[order[:count]].min())
    for count in (32, 64):
        rows[f"rounds, {count}"] = each(
            losses, draws, lambda y, order, count=count: by_rounds(weights, y, order, count, asked.boldness)
        )
    if asked.fit:
        rows["fit on 64"] = each(losses, draws, lambda y, order: by_fit(weights, y, order[:64]))
    names = [name.removeprefix("metric/the_pile_").removesuffix("_val_loss") for name in train.targets]
    print(f"mean regret in standard deviations of the loss, {draws} draws; by target")
    print(f"  {'':<14} {'mean':>6}  " + "  ".join(f"{name[:8]:>8}" for name in names))
    for name, found in rows.items():
        print(f"  {name:<14} {found.mean():6.4f}  " + "  ".join(f"{value:8.4f}" for value in found.mean(0)))
    print(f"boldness {asked.boldness:g}; {time.perf_counter() - began:.0f} s")
    mean = {name: float(found.mean()) for name, found in rows.items()}
    claims = {
        "64 in rounds: mean regret <= 0.025": mean["rounds, 64"] <= 0.025,
        "64 in rounds: below best of 256": mean["rounds, 64"] < mean["best of 256"],
        "32 in rounds: below best of 64": mean["rounds, 32"] < mean["best of 64"],
    }
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    if not asked.quick and not all(claims.values()):
        sys.exit(1)


def each(losses: np.ndarray, draws: int, search) -> np.ndarray:
    """(draws, targets) regrets; a draw is an order of all mixtures, the same for every search."""
    found = np.empty((draws, losses.shape[1]))
    for draw in range(draws):
        order = np.random.default_rng([draw]).permutation(len(losses))
        for t, y in enumerate(losses.T):
            found[draw, t] = (search(y, order) - y.min()) / y.std()
    return found


def by_rounds(weights: np.ndarray, y: np.ndarray, order: np.ndarray, count: int, boldness: float) -> float:
    """The best loss measured; a search of `count` proxies in rounds."""
    first, *later = round_sizes(count, ROUNDS)
    seen = order[:first].tolist()
    for size in later:
        seen += chosen_from(weights, seen, y[seen], size, boldness)
    assert len(set(seen)) == count
    return float(y[seen].min())


def by_fit(weights: np.ndarray, y: np.ndarray, seen: np.ndarray) -> float:
    """The loss of the mixture of the whole table that a stacked fit predicts best."""
    fit = fit_target("", weights[seen], y[seen], default_candidates(len(seen)), fold_of(weights[seen], 5, 0))
    return float(y[int(np.argmin(fit.predict(weights)))])


if __name__ == "__main__":
    main()
