"""Laws of the mixture along training steps and model sizes, and mixtures for continued pre-training.

Data Mixing Laws nest three: a power law over steps, a power law over sizes, and c + k exp(t·r) over mixtures; small and
short runs of many mixtures then foretell a large and long one. The D-CPT law adds the share r of a domain to the law
of size and tokens, for choosing r under a bound on the general loss. `projected` extrapolates a value that is linear
in the logarithm of the tokens from two scales (projektor's second stage).
"""

import itertools

import numpy as np

from ...corpus.store.errors import RequestError
from ..regression.regressors import Exponential
from .robust import LawFit, fit_law


def power(p: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """p = log c, log k, alpha: c + k x^-alpha."""
    return np.exp(p[0]) + np.exp(p[1] - p[2] * np.log(inputs[:, 0]))


def fit_power(x: np.ndarray, losses: np.ndarray, bootstrap: int = 0, seed: int = 0) -> LawFit:
    """A power law with a floor over steps, tokens or sizes."""
    low, first = float(np.min(losses)), float(np.log(np.median(x)))
    starts = [
        [np.log(low * part), np.log(max(low * (1 - part), 1e-3)) + alpha * first, alpha]
        for part, alpha in itertools.product([0.3, 0.6, 0.9], [0.1, 0.3, 0.7])
    ]
    bounds = [(-12, 5), (-20, 40), (1e-3, 3)]
    return fit_law(
        power,
        ("log_c", "log_k", "alpha"),
        np.array(starts),
        np.asarray(x, float)[:, None],
        losses,
        bootstrap=bootstrap,
        seed=seed,
        bounds=bounds,
    )


def nested_prediction(
    mixtures: np.ndarray,
    steps: np.ndarray,
    sizes: np.ndarray,
    losses: np.ndarray,
    *,
    step: float,
    size: float,
    unseen: np.ndarray,
) -> np.ndarray:
    """Loss of unseen mixtures at a larger step and size: the step law, then the size law, then the mixture law.

    mixtures (R, D); steps (C,); sizes (S,); losses (R, S, C) of one target. At least three steps and three sizes (with
    one size given, the size law is left out and `size` must be that one).
    """
    if losses.shape != (len(mixtures), len(sizes), len(steps)):
        raise RequestError(f"losses have shape {losses.shape}, expected (mixtures, sizes, steps)")
    if len(steps) < 3 or (len(sizes) not in (1,) and len(sizes) < 3):
        raise RequestError("a power law with a floor needs three steps and three sizes at least")
    if len(sizes) == 1 and size != sizes[0]:
        raise RequestError(f"one size was measured ({sizes[0]:g}); nothing can be said of {size:g}")
    final = np.empty(len(mixtures))
    for r in range(len(mixtures)):
        at_step = [
            float(fit_power(steps, losses[r, s]).predict(np.array([[step]]), beyond=32)[0]) for s in range(len(sizes))
        ]
        final[r] = at_step[0]
        if len(sizes) > 1:
            final[r] = float(fit_power(sizes, np.array(at_step)).predict(np.array([[size]]), beyond=32)[0])
    return Exponential().fit(mixtures, final).predict(unseen)


OFFSET = 1e-2  # epsilon of the D-CPT law: the loss stays finite where a domain has no share


def dcpt(p: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """p = log E, log A, log B, log C, alpha, beta, gamma, eta; inputs = (N, D, r), r the share of the domain."""
    n, d, r = np.log(inputs[:, 0]), np.log(inputs[:, 1]), inputs[:, 2]
    size = np.exp(p[1] - p[4] * n)
    data = np.exp(p[2] - p[5] * d) * np.maximum(r, 1e-12) ** p[7]
    share = np.exp(p[3] - p[6] * np.log(r + OFFSET))
    return np.exp(p[0]) + size + data + share


def fit_dcpt(
    parameters: np.ndarray, tokens: np.ndarray, share: np.ndarray, losses: np.ndarray, bootstrap: int = 0, seed: int = 0
) -> LawFit:
    """The D-CPT law of one loss. For the general loss give 1 - r as the share."""
    low = float(np.log(np.min(losses)))
    starts = [
        [low - 0.5, a, b, c, alpha, beta, gamma, 0.2]
        for (a, alpha), (b, beta), (c, gamma) in itertools.product(
            [(2.0, 0.2), (5.0, 0.35)], [(2.0, 0.2), (5.0, 0.35)], [(-3.0, 0.3), (-1.0, 0.2)]
        )
    ]
    bounds = [(-8, 4), (-10, 30), (-10, 30), (-15, 5), (0.01, 2), (0.01, 2), (0.01, 3), (0.0, 2)]
    return fit_law(
        dcpt,
        ("log_E", "log_A", "log_B", "log_C", "alpha", "beta", "gamma", "eta"),
        np.array(starts),
        np.column_stack([parameters, tokens, share]),
        losses,
        bootstrap=bootstrap,
        seed=seed,
        bounds=bounds,
    )


def best_share(
    domain: LawFit, general: LawFit, parameters: float, tokens: float, baseline: float, tolerance: float = 0.03
) -> dict[str, float]:
    """The share r with the lowest domain loss among those whose general loss stays within (1 + tolerance) baseline."""
    grid = np.linspace(0.0, 1.0, 1001)
    size, data = np.full_like(grid, parameters), np.full_like(grid, tokens)
    ours = domain.predict(np.column_stack([size, data, grid]))
    theirs = general.predict(np.column_stack([size, data, 1 - grid]))
    allowed = theirs <= (1 + tolerance) * baseline
    if not allowed.any():
        raise RequestError(
            f"no share keeps the general loss within {tolerance:.0%} of {baseline:.4g}; "
            f"the lowest is {theirs.min():.4g}"
        )
    best = int(np.argmin(np.where(allowed, ours, np.inf)))
    return {"share": float(grid[best]), "domain_loss": float(ours[best]), "general_loss": float(theirs[best])}


def projected(tokens: float, first: tuple[float, float], second: tuple[float, float]) -> float:
    """A value at `tokens`, linear in the logarithm of tokens through two measured (tokens, value) pairs."""
    (n0, v0), (n1, v1) = first, second
    if n0 <= 0 or n1 <= n0 or tokens <= 0:
        raise RequestError("projection needs two scales in rising order, both above 0")
    return float((np.log(tokens / n0) * v1 - np.log(tokens / n1) * v0) / np.log(n1 / n0))
