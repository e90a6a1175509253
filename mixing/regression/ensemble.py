"""One stacked ensemble per target, chosen by cross-validation on the swarm itself, then targets combined.

Decomposing beats fitting the average: each target gets its own fit and a combination is the weighted sum of
predictions. The folds that weigh the members also calibrate the intervals: their residuals, scaled by the Gaussian
process' local deviation where there is one, give the quantile (split-conformal in spirit, K-fold in use).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits

from ...corpus.store.errors import RequestError
from ..settings import FEWEST as FEWEST
from ..swarm import Swarm, match_names
from ..tables import all_finite
from .measures import measure, replicate_noise, trivial
from .regressors import GPAlong, GPOnWeights, Regressor, make_regressor

DEFAULT = ("gp_log", "gp_sqrt", "gp_cbrt", "lightgbm", "exponential", "bimix")
SMALL = 256  # rows below which LightGBM's leaves must be smaller
Path = tuple[np.ndarray, np.ndarray]  # steps (C,), losses (R, C)
NEGLIGIBLE = 0.02  # members that the stack gives less are left out


@dataclass
class TargetFit:
    """The fitted ensemble of one target.

    residuals   (R,) loss - out-of-fold prediction, in the order of the swarm
    local       (R,) the out-of-fold scale of each of them
    cv          member -> measures on the out-of-fold predictions; `ensemble` among them
    """

    target: str
    members: list[tuple[float, Regressor]]
    names: list[str]
    residuals: np.ndarray
    local: np.ndarray
    cv: dict[str, dict[str, float]]

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return np.sum([share * member.predict(weights) for share, member in self.members], axis=0)

    def scale(self, weights: np.ndarray) -> np.ndarray:
        """The local scale of errors: the Gaussian process' deviation, or 1 where the ensemble has none."""
        return _local_scale([member for _, member in self.members], weights)

    @property
    def smooth(self) -> bool:
        return all(member.smooth for _, member in self.members)


@dataclass
class Fit:
    """Every target's fit, and their weighted sums."""

    swarm: Swarm
    targets: list[TargetFit]
    noise: np.ndarray | None  # variance among replicates, per target

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, T)."""
        return np.column_stack([fit.predict(weights) for fit in self.targets])

    def combined(self, weights: np.ndarray, combination: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,): Σ_t combination_t · loss_t; targets that do not count are not predicted."""
        parts = [share * fit.predict(weights) for share, fit in zip(combination, self.targets, strict=True) if share]
        return np.sum(parts, axis=0)

    def counting(self, combination: np.ndarray) -> tuple[list[TargetFit], np.ndarray]:
        """The targets with a weight, and their weights."""
        return [fit for share, fit in zip(combination, self.targets, strict=True) if share], combination[
            combination != 0
        ]

    def interval(
        self, weights: np.ndarray, combination: np.ndarray, level: float = 0.9
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Prediction, lower and upper end for Σ_t combination_t · loss_t of new runs at `weights`."""
        fits, shares = self.counting(combination)
        value = self.combined(weights, combination)
        size = np.abs(shares)
        residual = np.column_stack([fit.residuals for fit in fits]) @ shares
        local = np.column_stack([fit.local for fit in fits]) @ size
        reach = conformal_quantile(np.abs(residual) / local, level)
        half = reach * (np.column_stack([fit.scale(weights) for fit in fits]) @ size)
        return value, value - half, value + half


def conformal_quantile(scores: np.ndarray, level: float) -> float:
    """The ceil((n + 1) level)-th smallest score: covers a new exchangeable one with probability >= level."""
    place = int(np.ceil((len(scores) + 1) * level)) - 1
    return float(np.sort(scores)[min(place, len(scores) - 1)])


def fit_swarm(
    swarm: Swarm, candidates: Sequence[str] | None = None, folds: int = 5, jobs: int = 1, seed: int = 0
) -> Fit:
    """Fit every target. `jobs` processes at most; the result does not depend on their number."""
    if len(swarm) < FEWEST:
        raise RequestError(f"{len(swarm)} runs are too few to fit a mixture on; at least {FEWEST} are needed")
    names = tuple(candidates) if candidates else default_candidates(len(swarm))
    noise = replicate_noise(swarm.weights, swarm.losses)
    fold = fold_of(swarm.weights, min(folds, len(swarm)), seed)
    tasks = [
        (target, swarm.weights, swarm.losses[:, t], names, fold, 0.0 if noise is None else float(noise[t]), path)
        for t, (target, path) in enumerate(zip(swarm.targets, _paths(swarm), strict=True))
    ]
    if jobs > 1 and len(tasks) > 1:
        from joblib import Parallel, delayed

        done = Parallel(n_jobs=min(jobs, len(tasks)))(delayed(fit_target)(*task) for task in tasks)
        fits = [cast(TargetFit, fit) for fit in done]
    else:
        fits = [fit_target(*task) for task in tasks]
    return Fit(swarm, fits, noise)


def _paths(swarm: Swarm) -> list[Path | None]:
    """Per target the steps and (R, C) losses along training, None where they were not recorded."""
    if swarm.trajectories is None:
        return [None] * len(swarm.targets)
    return [(swarm.steps, swarm.trajectories[:, :, t]) for t in range(len(swarm.targets))]


def default_candidates(rows: int) -> tuple[str, ...]:
    return tuple("lightgbm_small" if name == "lightgbm" and rows < SMALL else name for name in DEFAULT)


def fold_of(weights: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each row; replicates of a mixture share one, so that no fold is judged on a mixture it has seen."""
    _, group = np.unique(np.round(weights, 9), axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.random.default_rng(seed).permutation(int(group.max()) + 1)
    return order[group] % folds


@threadpool_limits.wrap(limits=1)  # sums must not depend on how many cores there are, nor on `jobs`
def fit_target(
    target: str,
    weights: np.ndarray,
    losses: np.ndarray,
    names: Sequence[str],
    fold: np.ndarray,
    noise: float = 0.0,
    path: Path | None = None,
) -> TargetFit:
    """Cross-validate the candidates on one target, weigh them, and refit on all rows those that count.

    path  the losses along training, where they were recorded: extra information for the candidates that take it
    """
    full, out, local = {}, {}, {}
    for name in names:
        member = make_regressor(name)
        if isinstance(member, (GPOnWeights, GPAlong)):
            member.inner.noise = noise
        if isinstance(member, GPAlong) and path is not None:
            member.along(*path)
        full[name] = member.fit(weights, losses)
        out[name], scale = _out_of_fold(name, member, weights, losses, fold, noise, path)
        if scale is not None:
            local[name] = scale
    shares = stack(np.column_stack([out[name] for name in names]), losses)
    chosen = {name: share for name, share in zip(names, shares, strict=True) if share > 0}
    ensemble = np.sum([share * out[name] for name, share in chosen.items()], axis=0)
    cv = {name: measure(out[name], losses) for name in names}
    cv["ensemble"] = measure(ensemble, losses)
    scales = [local[name] for name in chosen if name in local]
    return TargetFit(
        target,
        [(share, full[name]) for name, share in chosen.items()],
        list(chosen),
        losses - ensemble,
        np.mean(scales, axis=0) if scales else np.ones(len(losses)),
        cv,
    )


def _out_of_fold(
    name: str,
    fitted: Regressor,
    weights: np.ndarray,
    losses: np.ndarray,
    fold: np.ndarray,
    noise: float,
    path: Path | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    out = np.empty(len(losses))
    scale = np.empty(len(losses)) if isinstance(fitted, GPOnWeights) else None
    for k in range(int(fold.max()) + 1):
        inside, outside = fold != k, fold == k
        member = make_regressor(name)
        if isinstance(member, GPOnWeights) and isinstance(fitted, GPOnWeights):
            member.inner.noise, member.inner.start, member.inner.iterations = noise, fitted.inner.hyper, 8
        if isinstance(member, GPAlong) and isinstance(fitted, GPAlong) and path is not None:
            member.along(path[0], path[1][inside])
            member.inner.noise, member.inner.start, member.inner.iterations = noise, fitted.inner.hyper, 8
        member.fit(weights[inside], losses[inside])
        out[outside] = member.predict(weights[outside])
        if scale is not None:
            scale[outside] = _local_scale([member], weights[outside])
    return out, scale


def _local_scale(members: Sequence[Regressor], weights: np.ndarray) -> np.ndarray:
    scales = [member.deviation(weights) for member in members if isinstance(member, GPOnWeights)]
    return np.mean(scales, axis=0) if scales else np.ones(len(weights))


def stack(predictions: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Weights >= 0 that sum to 1 and minimise the squared error of Σ_m weight_m · predictions[:, m]."""
    spread = float(losses.std()) or 1.0
    heavy = 1e3  # the constraint on the sum, as one heavily weighed row
    left = np.vstack([(predictions - losses.mean()) / spread, heavy * np.ones(predictions.shape[1])])
    right = np.append((losses - losses.mean()) / spread, heavy)
    shares = nnls(left, right)[0]
    shares[shares < NEGLIGIBLE * shares.sum()] = 0.0
    return shares / shares.sum()


def target_weights(targets: Sequence[str], wanted: Mapping[str, float] | None) -> np.ndarray:
    """Weight of each target in the objective: as wanted (by plain name), normalised; equal where nothing is said."""
    if not wanted:
        return np.full(len(targets), 1 / len(targets))
    all_finite(wanted, "target weights")
    full = match_names(wanted, targets, "target", "target")
    found = np.array([full.get(target, 0.0) for target in targets])
    if (found < 0).any() or found.sum() <= 0:
        raise RequestError(f"target weights must be >= 0 and not all zero: {dict(wanted)}")
    return found / found.sum()


def report(fit: Fit, natural: np.ndarray | None = None) -> dict[str, Any]:
    """What a reader needs to judge the fit: per target the members, their cross-validated measures, the baselines."""
    middle = fit.swarm.weights.mean(0) if natural is None else natural
    own = fit.swarm.own()
    targets = {}
    for t, target in enumerate(fit.targets):
        losses = fit.swarm.losses[:, t]
        targets[target.target] = {
            "members": {name: float(share) for name, (share, _) in zip(target.names, target.members, strict=True)},
            "cross_validated": target.cv,
            "baselines": trivial(fit.swarm.weights, middle, own[t], losses),
            "replicate_sd": None if fit.noise is None else float(np.sqrt(fit.noise[t])),
        }
    return {"runs": len(fit.swarm), "domains": list(fit.swarm.domains), "targets": targets}


def evaluate(fit: Fit, unseen: Swarm, level: float = 0.9) -> dict[str, Any]:
    """Measures on mixtures that the fit has not seen: per target, their mean, the average of targets, the coverage."""
    predicted = fit.predict(unseen.weights)
    natural, own = fit.swarm.weights.mean(0), fit.swarm.own()
    rows: dict[str, Any] = {}
    for t, target in enumerate(fit.targets):
        one = np.eye(len(fit.targets))[t]
        _, low, high = fit.interval(unseen.weights, one, level)
        true = unseen.losses[:, t]
        rows[target.target] = {
            **measure(predicted[:, t], true),
            "coverage": float(np.mean((low <= true) & (true <= high))),
            "baselines": trivial(unseen.weights, natural, own[t], true),
        }
    equal = np.full(len(fit.targets), 1 / len(fit.targets))
    _, low, high = fit.interval(unseen.weights, equal, level)
    average = unseen.losses @ equal
    return {
        "runs": len(unseen),
        "targets": rows,
        "mean_spearman": float(np.mean([row["spearman"] for row in rows.values()])),
        "average": {
            **measure(predicted @ equal, average),
            "coverage": float(np.mean((low <= average) & (average <= high))),
        },
        "coverage": float(np.mean([row["coverage"] for row in rows.values()])),
        "level": level,
    }
