"""Loss of model size and tokens: L = E + A / N^alpha + B / D^beta, and what follows from it.

Also the over-training law, L = E + (a M^eta + b M^-eta) C^-eta with M = D / N and C = 6 N D, and the law from loss to
task error, Err = epsilon - k exp(-gamma L). Fitted with a Huber loss on log residuals from a grid of starts.
"""

import itertools

import numpy as np

from .robust import LawFit, fit_law

HUBER = 1e-3


def loss(p: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """p = log A, log B, log E, alpha, beta; inputs = (N, D)."""
    n, d = np.log(inputs[:, 0]), np.log(inputs[:, 1])
    return np.exp(p[2]) + np.exp(p[0] - p[3] * n) + np.exp(p[1] - p[4] * d)


def fit_chinchilla(
    parameters: np.ndarray, tokens: np.ndarray, losses: np.ndarray, bootstrap: int = 0, seed: int = 0
) -> LawFit:
    """Fit the law; the names of the fitted values are log_A, log_B, log_E, alpha, beta."""
    grid = itertools.product([4.0, 8.0], [4.0, 8.0], [0.0, 0.7], [0.3, 0.6], [0.3, 0.6])
    return fit_law(
        loss,
        ("log_A", "log_B", "log_E", "alpha", "beta"),
        np.array(list(grid)),
        np.column_stack([parameters, tokens]),
        losses,
        huber=HUBER,
        bootstrap=bootstrap,
        seed=seed,
        bounds=[(-5, 30), (-5, 30), (-5, 3), (0.01, 2), (0.01, 2)],
    )


def constants(fit: LawFit) -> dict[str, float]:
    """E, A, B, alpha, beta as they are published."""
    return {
        "E": float(np.exp(fit["log_E"])),
        "A": float(np.exp(fit["log_A"])),
        "B": float(np.exp(fit["log_B"])),
        "alpha": fit["alpha"],
        "beta": fit["beta"],
    }


def optimal_split(fit: LawFit, compute: float) -> tuple[float, float]:
    """Parameters and tokens that minimise the loss under 6 N D = compute."""
    a, b, alpha, beta = np.exp(fit["log_A"]), np.exp(fit["log_B"]), fit["alpha"], fit["beta"]
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    n = g * (compute / 6) ** (beta / (alpha + beta))
    return float(n), float(compute / 6 / n)


def overtrained(p: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """p = log a, log b, log E, eta; inputs = (C, M), compute and tokens per parameter."""
    c, m = np.log(inputs[:, 0]), np.log(inputs[:, 1])
    return np.exp(p[2]) + np.exp(p[0] + p[3] * (m - c)) + np.exp(p[1] - p[3] * (m + c))


def fit_overtrained(
    compute: np.ndarray, multiplier: np.ndarray, losses: np.ndarray, bootstrap: int = 0, seed: int = 0
) -> LawFit:
    """Fit the over-training law: reliable along M at small C, so that a large over-trained run can be foretold."""
    grid = itertools.product([2.0, 5.0, 8.0], [2.0, 5.0, 8.0], [0.0, 0.7], [0.1, 0.2, 0.3])
    return fit_law(
        overtrained,
        ("log_a", "log_b", "log_E", "eta"),
        np.array(list(grid)),
        np.column_stack([compute, multiplier]),
        losses,
        huber=HUBER,
        bootstrap=bootstrap,
        seed=seed,
    )


def error_of_loss(p: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """p = epsilon, log k, log gamma; inputs = (L,)."""
    return p[0] - np.exp(p[1] - np.exp(p[2]) * inputs[:, 0])


def fit_error(losses: np.ndarray, errors: np.ndarray, bootstrap: int = 0, seed: int = 0) -> LawFit:
    """Fit task error as a function of loss: flat at chance for high losses, falling below."""
    top = float(np.max(errors))
    grid = itertools.product([top, top * 1.05], [0.0, 1.0, 3.0], [-1.0, 0.0, 0.7])
    return fit_law(
        error_of_loss,
        ("epsilon", "log_k", "log_gamma"),
        np.array(list(grid)),
        np.asarray(losses)[:, None],
        errors,
        huber=0.05,
        logarithmic=False,
        bootstrap=bootstrap,
        seed=seed,
    )
