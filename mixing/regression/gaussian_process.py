"""Gaussian process with one length-scale per input (ARD Matérn 3/2) for a few hundred rows.

scikit-learn's has the same model (a test compares the two), but its gradient holds an (n, n, inputs) array: 14 s a fit
at 512 rows and 17 inputs, against about 1 s here, and a swarm needs one fit per target. Refuses nothing but NaN.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.linalg import cho_factor, cho_solve, get_lapack_funcs, solve_triangular
from scipy.optimize import minimize

ROOT3 = math.sqrt(3.0)
LENGTH_PRIOR = (math.log(2.0), 1.5)  # mean and sd of log length-scale, inputs standardised to unit variance
NOISE_PRIOR = (math.log(3e-3), 2.0)  # of log noise variance, outputs standardised
BOUNDS_LENGTH = (math.log(5e-2), math.log(2e2))
BOUNDS_SIGNAL = (math.log(1e-2), math.log(1e3))
BOUNDS_NOISE = (math.log(1e-7), math.log(1.0))
COARSE = 192  # rows that hyper-parameters are first looked for on


@numba.njit(cache=True, fastmath=True)
def _kernel(a, b, scales):  # (n, d), (m, d), (d,) -> correlation (n, m), exp(-sqrt(3) r) (n, m)
    n, m, d = a.shape[0], b.shape[0], a.shape[1]
    correlation, decay = np.empty((n, m)), np.empty((n, m))
    for i in range(n):
        for j in range(m):
            square = 0.0
            for k in range(d):
                step = (a[i, k] - b[j, k]) * scales[k]
                square += step * step
            r = ROOT3 * math.sqrt(square)
            e = math.exp(-r)
            decay[i, j] = e
            correlation[i, j] = (1.0 + r) * e
    return correlation, decay


@numba.njit(cache=True, fastmath=True)
def _length_gradient(x, scales, outer):  # (n, d), (d,), symmetric (n, n) -> sum over pairs of outer * (step/scale)^2
    n, d = x.shape
    gradient = np.zeros(d)
    for i in range(n):
        for j in range(i):
            weight = outer[i, j]
            for k in range(d):
                step = (x[i, k] - x[j, k]) * scales[k]
                gradient[k] += weight * step * step
    return gradient


@dataclass
class Hyper:
    """Logarithms of length-scales (d,), signal variance and noise variance."""

    lengths: np.ndarray
    signal: float
    noise: float

    def pack(self) -> np.ndarray:
        return np.concatenate([self.lengths, [self.signal, self.noise]])

    @staticmethod
    def unpack(values: np.ndarray) -> "Hyper":
        return Hyper(values[:-2].copy(), float(values[-2]), float(values[-1]))


def objective(values: np.ndarray, x: np.ndarray, y: np.ndarray, prior: bool = True) -> tuple[float, np.ndarray]:
    """Negative log marginal likelihood (plus the log prior of the hyper-parameters) and its gradient."""
    hyper = Hyper.unpack(values)
    scales = np.exp(-hyper.lengths)
    signal, noise = math.exp(hyper.signal), math.exp(hyper.noise)
    correlation, decay = _kernel(x, x, scales)
    covariance = signal * correlation
    covariance[np.diag_indices_from(covariance)] += noise + 1e-10
    dpotrf, dpotri = get_lapack_funcs(("potrf", "potri"), (covariance,))
    factor, info = dpotrf(covariance, lower=True, clean=True)
    if info != 0:
        return 1e25, np.zeros_like(values)
    alpha = cho_solve((factor, True), y)
    inverse, _ = dpotri(factor, lower=True)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    value = 0.5 * float(y @ alpha) + float(np.log(np.diag(factor)).sum()) + 0.5 * len(y) * math.log(2 * math.pi)
    weight = inverse - np.outer(alpha, alpha)
    gradient = np.empty_like(values)
    gradient[:-2] = _length_gradient(x, scales, weight * decay * (3.0 * signal))
    gradient[-2] = 0.5 * signal * float((weight * correlation).sum())
    gradient[-1] = 0.5 * noise * float(np.trace(weight))
    if prior:
        offset = (hyper.lengths - LENGTH_PRIOR[0]) / LENGTH_PRIOR[1]
        value += 0.5 * float(offset @ offset)
        gradient[:-2] += offset / LENGTH_PRIOR[1]
        z = (hyper.noise - NOISE_PRIOR[0]) / NOISE_PRIOR[1]
        value += 0.5 * z * z
        gradient[-1] += z / NOISE_PRIOR[1]
    return value, gradient


def _climb(values: np.ndarray, x: np.ndarray, y: np.ndarray, bounds: list, iterations: int) -> np.ndarray:
    """Hyper-parameters after so many steps up the posterior."""
    options = {"maxiter": iterations, "ftol": 1e-7}
    return minimize(objective, values, args=(x, y), jac=True, bounds=bounds, method="L-BFGS-B", options=options).x


class GaussianProcess:
    """Posterior mean and standard deviation of one target. Inputs and outputs are standardised inside.

    noise    known noise variance in the units of y (from replicates); a lower bound on the fitted one
    start    hyper-parameters to begin from (a fit on nearly the same rows); fewer iterations are then enough
    """

    def __init__(self, noise: float = 0.0, start: Hyper | None = None, iterations: int = 80) -> None:
        self.noise, self.start, self.iterations = noise, start, iterations

    def fit(self, x: np.ndarray, y: np.ndarray) -> "GaussianProcess":
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError("a Gaussian process needs finite inputs and outputs")
        self.centre, self.spread = x.mean(0), x.std(0)
        self.spread = np.where(self.spread > 1e-12, self.spread, 1.0)
        self.mean, self.scale = float(y.mean()), float(y.std()) or 1.0
        self.x = np.ascontiguousarray((x - self.centre) / self.spread)
        self.y = (y - self.mean) / self.scale
        low = max(BOUNDS_NOISE[0], math.log(self.noise / self.scale**2 + 1e-300))
        bounds = [BOUNDS_LENGTH] * x.shape[1] + [BOUNDS_SIGNAL, (min(low, BOUNDS_NOISE[1] - 1e-3), BOUNDS_NOISE[1])]
        begin = self.start or Hyper(np.full(x.shape[1], math.log(3.0)), math.log(2.0), math.log(1e-2))
        values, iterations = begin.pack(), self.iterations
        if (
            self.start is None and len(x) > 2 * COARSE
        ):  # most of the way on some rows, the rest on all: a third the time
            rows = np.linspace(0, len(x) - 1, COARSE).astype(int)
            values = _climb(values, self.x[rows], self.y[rows], bounds, iterations)
            iterations = max(10, iterations // 3)
        self.hyper = Hyper.unpack(_climb(values, self.x, self.y, bounds, iterations))
        return self.condition()

    def condition(self) -> "GaussianProcess":
        """Factor the covariance at the present hyper-parameters."""
        self.scales = np.exp(-self.hyper.lengths)
        covariance = math.exp(self.hyper.signal) * _kernel(self.x, self.x, self.scales)[0]
        covariance[np.diag_indices_from(covariance)] += math.exp(self.hyper.noise) + 1e-10
        self.factor = cho_factor(covariance, lower=True)
        self.alpha = cho_solve(self.factor, self.y)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.mean + self.scale * (self._cross(x) @ self.alpha)

    def deviation(self, x: np.ndarray, noisy: bool = True) -> np.ndarray:
        """Standard deviation of a new measurement at x, or of the mean itself (`noisy=False`)."""
        half = solve_triangular(self.factor[0], self._cross(x).T, lower=True)
        variance = math.exp(self.hyper.signal) - (half * half).sum(0)
        if noisy:
            variance = variance + math.exp(self.hyper.noise)
        return self.scale * np.sqrt(np.maximum(variance, 1e-12))

    def _cross(self, x: np.ndarray) -> np.ndarray:
        points = np.ascontiguousarray((x - self.centre) / self.spread)
        return math.exp(self.hyper.signal) * _kernel(points, self.x, self.scales)[0]
