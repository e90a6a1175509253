"""RegMix's public tables: how well do we order 256 unseen mixtures, and how many of the 512 runs does that take?

Claims (asserted): mean Spearman over the 13 targets >= 0.993 and Pile-CC >= 0.994 with the default; Pile-CC >= 0.988
and the average of the 13 losses >= 0.985 with 128 of the 512 runs (mean of 5 draws); 90 % intervals cover 85-95 % of
the unseen mixtures; fit and optimise under 60 s on two cores. Beside them, in the same run: LightGBM with RegMix's
settings (all its trees: its early stop looked at the test set), linear regression, and the rule that needs no model,
minus the own domain's weight.

The default ensemble is chosen by cross-validation on the 512 training mixtures alone; the first table shows those
numbers, and nothing that is printed there has seen a test mixture.

    python benchmarks/mixing_regmix.py [--quick]     # needs GRISTMILL_DATA (default ../shared/data)
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
from joblib.externals.loky import get_reusable_executor

from gristmill.mixing.regression.ensemble import default_candidates, evaluate, fit_swarm, target_weights
from gristmill.mixing.regression.measures import spearman
from gristmill.mixing.regression.regressors import REGRESSORS, make_regressor
from gristmill.mixing.search.optimise import propose
from gristmill.mixing.search.simplex import Limits
from gristmill.mixing.swarm import read_swarm

ROOT = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "mixtures"
JOBS = 2


def main() -> None:
    if not ROOT.exists():
        sys.exit(f"no data at {ROOT}; set GRISTMILL_DATA to the folder that holds mixtures/")
    train = read_swarm(str(ROOT / "train_mixture_1m.csv"), str(ROOT / "train_pile_loss_1m.csv"))
    test = read_swarm(str(ROOT / "test_mixture_1m.csv"), str(ROOT / "test_pile_loss_1m.csv"))
    assert (len(train), len(test), len(train.targets)) == (512, 256, 13)
    pile = next(t for t, name in enumerate(train.targets) if "pile_cc" in name)
    began, cpu = time.perf_counter(), times()
    fit = fit_swarm(train, jobs=JOBS)
    fitted = time.perf_counter() - began
    proposal = propose(fit, np.eye(13)[pile], train.weights.mean(0), Limits.free(train.domains))
    wall, used = time.perf_counter() - began, times() - cpu
    chosen_by_cross_validation(fit, pile)
    against_peers(fit, train, test, pile)
    told = evaluate(fit, test)
    print(
        f"\n90 % intervals cover {told['coverage']:.3f} of the unseen mixtures (mean of 13 targets), "
        f"{told['average']['coverage']:.3f} for their average"
    )
    print(f"fit 13 targets {fitted:.1f} s, with the optimum {wall:.1f} s wall, {used:.1f} CPU s, {JOBS} processes")
    top = sorted(zip(proposal.weights, train.domains, strict=True), reverse=True)[:3]
    print("best for Pile-CC: " + ", ".join(f"{name.removeprefix('train_the_pile_')} {w:.3f}" for w, name in top))
    pile_rho = told["targets"][train.targets[pile]]["spearman"]
    fewer = [few(train, test, pile, seed) for seed in range(1 if "--quick" in sys.argv else 5)]
    pile_128, average_128, light_128 = np.mean(fewer, 0)
    print(
        f"128 of 512 runs, mean of {len(fewer)} draws: Pile-CC {pile_128:.4f} (LightGBM {light_128:.4f}), "
        f"average of 13 losses {average_128:.4f}"
    )
    claims = {
        "mean Spearman of 13 targets >= 0.993": told["mean_spearman"] >= 0.993,
        "Pile-CC >= 0.994": pile_rho >= 0.994,
        "Pile-CC with 128 runs >= 0.988": pile_128 >= 0.988,
        "average of 13 losses with 128 runs >= 0.985": average_128 >= 0.985,
        "intervals cover 85-95 %": 0.85 <= told["coverage"] <= 0.95,
        "fit and optimise under 60 s on two cores": wall < 60,
    }
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    if not all(claims.values()):
        sys.exit(1)


def times() -> float:
    """CPU seconds of this process and of its workers, which are ended so that they count."""
    get_reusable_executor().shutdown(wait=True)
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


def chosen_by_cross_validation(fit, pile: int) -> None:
    """Spearman on the training mixtures, out of fold: what the default was chosen by."""
    print("cross-validated on the 512 training mixtures (Spearman, mean of 13 targets; Pile-CC):")
    names = [*default_candidates(512), "ensemble"]
    rows = {name: [target.cv[name]["spearman"] for target in fit.targets] for name in names}
    errors = {name: [target.cv[name]["rmse"] for target in fit.targets] for name in names}
    for name in sorted(names, key=lambda name: -np.mean(rows[name])):
        print(f"  {name:<14} {np.mean(rows[name]):.4f}  {rows[name][pile]:.4f}  rmse {np.mean(errors[name]):.4f}")
    assert np.mean(errors["ensemble"]) <= min(np.mean(errors[name]) for name in names) + 1e-9


def against_peers(fit, train, test, pile: int) -> None:
    """Spearman on the 256 unseen mixtures, the default beside its peers and the trivial rule."""
    print("\non the 256 unseen mixtures (Spearman, mean of 13 targets; Pile-CC; average of the 13 losses):")
    ours = fit.predict(test.weights)
    predictions = {"default": ours}
    for name in ("lightgbm", "linear"):
        assert name in REGRESSORS
        columns = [make_regressor(name).fit(train.weights, train.losses[:, t]) for t in range(13)]
        predictions[name] = np.column_stack([column.predict(test.weights) for column in columns])
    own = train.own()
    predictions["own weight"] = np.column_stack([-test.weights[:, place] for place in own])
    for name, predicted in predictions.items():
        each = [spearman(predicted[:, t], test.losses[:, t]) for t in range(13)]
        average = spearman(predicted.mean(1), test.losses.mean(1))
        print(f"  {name:<14} {np.mean(each):.4f}  {each[pile]:.4f}  {average:.4f}")


def few(train, test, pile: int, seed: int) -> tuple[float, float, float]:
    """Pile-CC, the average of the 13 losses, and LightGBM's Pile-CC with 128 runs drawn at random."""
    rows = np.random.default_rng(seed).permutation(len(train))[:128]
    part = train.take(rows)
    predicted = fit_swarm(part, jobs=JOBS).predict(test.weights)
    light = make_regressor("lightgbm").fit(part.weights, part.losses[:, pile]).predict(test.weights)
    equal = target_weights(test.targets, None)
    return (
        spearman(predicted[:, pile], test.losses[:, pile]),
        spearman(predicted @ equal, test.losses @ equal),
        spearman(light, test.losses[:, pile]),
    )


if __name__ == "__main__":
    main()
