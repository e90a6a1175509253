"""Regressors: how one target's loss depends on the mixture. Each is fitted on one target alone.

A regressor is made by name with `make_regressor`, has `fit(weights, losses)` and `predict(weights)`, and those with a
gradient say so by `smooth`. Combining targets and choosing among regressors is the business of `ensemble`.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy.optimize import minimize, nnls

from ...corpus.store.errors import RequestError, unknown_name
from .gaussian_process import GaussianProcess, Hyper

LIGHTGBM = {"learning_rate": 1e-2, "num_iterations": 1000, "verbosity": -1, "seed": 42, "num_threads": 1}


class Regressor(Protocol):
    """One target's loss as a function of the mixture."""

    smooth: bool  # whether its prediction has a useful gradient

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "Regressor": ...

    def predict(self, weights: np.ndarray) -> np.ndarray: ...


class LeastSquares:
    """Ordinary least squares on the weights, lightly ridged because they sum to 1. The baseline of RegMix."""

    smooth = True

    def __init__(self, ridge: float = 1e-6) -> None:
        self.ridge = ridge

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "LeastSquares":
        self.centre, self.mean = weights.mean(0), float(losses.mean())
        inputs = weights - self.centre
        gram = inputs.T @ inputs + self.ridge * len(inputs) * np.eye(inputs.shape[1])
        self.slope = np.linalg.solve(gram, inputs.T @ (losses - self.mean))
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.mean + (weights - self.centre) @ self.slope


class LightGBM:
    """Gradient-boosted trees with RegMix's settings, all 1000 of them: its early stop looked at the test set.

    leaf   rows that a leaf needs; 20 is RegMix's (LightGBM's default), 5 suits swarms of fewer than 256 runs
    """

    smooth = False

    def __init__(self, leaf: int = 20) -> None:
        self.leaf = leaf

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "LightGBM":
        import lightgbm

        settings = {**LIGHTGBM, "objective": "regression", "min_child_samples": self.leaf, "deterministic": True}
        data = lightgbm.Dataset(weights, losses, params={"verbosity": -1})
        self.trees = lightgbm.train(settings, data)
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self.trees.predict(weights, num_threads=1))


class ExtraTrees:
    """Extremely randomised trees: even across scales, poor at the finest order."""

    smooth = False

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "ExtraTrees":
        from sklearn.ensemble import ExtraTreesRegressor

        self.trees = ExtraTreesRegressor(300, min_samples_leaf=2, random_state=42).fit(weights, losses)
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.trees.predict(weights)


class Exponential:
    """c + exp(b + t·w): the exponential mixing law, robustly fitted from several starts. Convex in w."""

    smooth = True

    def __init__(self, starts: int = 6, huber: float = 0.02) -> None:
        self.starts, self.huber = starts, huber

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "Exponential":
        scale = float(losses.std()) or 1.0
        best = None
        for gap in np.geomspace(0.02, 20.0, self.starts):  # how far below the smallest loss the floor begins
            floor = float(losses.min()) - gap * scale
            inputs = np.column_stack([weights, np.full(len(weights), 1e-3)])  # the constant is inside: weights sum to 1
            rise = np.log(losses - floor)
            gram = inputs.T @ inputs + 1e-4 * len(inputs) * np.eye(inputs.shape[1])
            slope = np.linalg.solve(gram, inputs.T @ rise)[:-1]
            begin = np.concatenate([[float((rise - weights @ slope).mean()), floor], slope])
            found = minimize(
                self._loss,
                begin,
                args=(weights, losses, scale),
                jac=True,
                method="L-BFGS-B",
                bounds=[(-12, 12), (None, None)] + [(-30, 30)] * weights.shape[1],
                options={"maxiter": 400},
            )
            if best is None or found.fun < best.fun - 1e-9:
                best = found
        assert best is not None
        self.bias, self.floor, self.slope = float(best.x[0]), float(best.x[1]), best.x[2:]
        return self

    def _loss(self, p: np.ndarray, weights: np.ndarray, losses: np.ndarray, scale: float) -> tuple[float, np.ndarray]:
        rise = np.exp(np.minimum(p[0] + weights @ p[2:], 50.0))
        error = (p[1] + rise - losses) / scale
        far = np.abs(error) > self.huber
        value = np.where(far, self.huber * (np.abs(error) - self.huber / 2), error**2 / 2)
        push = np.where(far, self.huber * np.sign(error), error) / scale
        ridge = 1e-5 * p[2:]
        gradient = np.concatenate([[(push * rise).sum(), push.sum()], weights.T @ (push * rise) + 2 * ridge])
        return float(value.sum() + ridge @ p[2:]), gradient

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.floor + np.exp(np.minimum(self.bias + weights @ self.slope, 50.0))


class BiMix:
    """c + Σ_j a_j (w_j + e)^-α with a_j >= 0: a power law in each weight (BiMix at one data size, several domains).

    The exponent α and the offset e are searched on a grid, where the rest is a non-negative least squares.
    """

    smooth = True
    ALPHAS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
    OFFSETS = (1e-3, 3e-3, 1e-2, 3e-2)

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "BiMix":
        best = np.inf
        for alpha in self.ALPHAS:
            for offset in self.OFFSETS:
                inputs = (weights + offset) ** -alpha
                centre = inputs.mean(0)
                slope, residual = nnls(inputs - centre, losses - losses.mean())
                if residual < best:
                    best, self.alpha, self.offset, self.slope = residual, alpha, offset, slope
                    self.floor = float(losses.mean() - centre @ slope)
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.floor + (np.maximum(weights, 0.0) + self.offset) ** -self.alpha @ self.slope


TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log": lambda weights: np.log(np.maximum(weights, 0.0) + 1e-3),
    "sqrt": lambda weights: np.sqrt(np.maximum(weights, 0.0)),
    "cbrt": lambda weights: np.cbrt(np.maximum(weights, 0.0)),
}


class GPOnWeights:
    """Gaussian process, ARD Matérn 3/2, on transformed weights: near 0 a small change of weight matters most."""

    smooth = True

    def __init__(self, transform: str, noise: float = 0.0, start: Hyper | None = None, iterations: int = 80) -> None:
        self.transform, self.inner = TRANSFORMS[transform], GaussianProcess(noise, start, iterations)

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "GPOnWeights":
        self.inner.fit(self.transform(weights), losses)
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.inner.predict(self.transform(weights))

    def deviation(self, weights: np.ndarray, noisy: bool = True) -> np.ndarray:
        return self.inner.deviation(self.transform(weights), noisy)


class GPAlong:
    """Gaussian process on root weights and the logarithm of the step, over the last evaluations of runs (RegMix-D).

    Losses of each evaluation are standardised, so that what evaluations share is how they order mixtures; how fast one
    forgets another is the length-scale of the step. Predicts the last evaluation. Refuses runs without trajectories.
    """

    smooth = True
    EVALUATIONS = 3

    def __init__(self) -> None:
        self.inner = GaussianProcess()
        self.steps, self.paths = np.zeros(0), np.zeros((0, 0))

    def along(self, steps: np.ndarray, paths: np.ndarray) -> "GPAlong":
        """steps (C,), paths (R, C): the runs' losses along training; to be called before `fit`."""
        self.steps, self.paths = steps[-self.EVALUATIONS :], paths[:, -self.EVALUATIONS :]
        return self

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> "GPAlong":
        if self.paths.shape[0] != len(weights) or len(self.steps) < 2:
            raise RequestError("gp_along needs the losses of every run at two evaluations at least")
        middle, spread = self.paths.mean(0), np.maximum(self.paths.std(0), 1e-12)
        self.middle, self.spread = float(middle[-1]), float(spread[-1])
        inputs = np.vstack([self._inputs(weights, step) for step in self.steps])
        self.inner.noise /= self.spread**2
        self.inner.fit(inputs, ((self.paths - middle) / spread).T.reshape(-1))
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.middle + self.spread * self.inner.predict(self._inputs(weights, self.steps[-1]))

    def _inputs(self, weights: np.ndarray, step: float) -> np.ndarray:
        return np.column_stack([TRANSFORMS["sqrt"](weights), np.full(len(weights), np.log(step))])


REGRESSORS: dict[str, Callable[[], Regressor]] = {
    "linear": LeastSquares,
    "lightgbm": LightGBM,
    "lightgbm_small": lambda: LightGBM(leaf=5),
    "extra_trees": ExtraTrees,
    "exponential": Exponential,
    "bimix": BiMix,
    "gp_log": lambda: GPOnWeights("log"),
    "gp_sqrt": lambda: GPOnWeights("sqrt"),
    "gp_cbrt": lambda: GPOnWeights("cbrt"),
    "gp_along": GPAlong,
}


def make_regressor(name: str) -> Regressor:
    """A fresh regressor of that name."""
    if name not in REGRESSORS:
        raise unknown_name("regressor", name, REGRESSORS)
    return REGRESSORS[name]()
