"""Mixtures that need no proxies: the rows that a fitted mixture is compared with. Each is a share of tokens."""

import numpy as np

from .simplex import Limits


def natural(available: np.ndarray) -> np.ndarray:
    """Shares of the tokens as they lie there."""
    return np.asarray(available, float) / np.sum(available)


def uniform(count: int) -> np.ndarray:
    return np.full(count, 1 / count)


def temperature(available: np.ndarray, tau: float) -> np.ndarray:
    """Natural shares to the power 1/tau, renormalised: tau 1 is natural, large tau uniform (multilingual practice)."""
    powered = natural(available) ** (1 / tau)
    return powered / powered.sum()


def unimax(available: np.ndarray, total_tokens: float, max_epochs: float) -> np.ndarray:
    """As uniform as `max_epochs` passes allow: the smallest domains first, each takes its equal part of what is left.

    Where even all domains at the cap cannot fill the run, shares are those of the caps.
    """
    available = np.asarray(available, float)
    left = float(total_tokens)
    given = np.zeros(len(available))
    order = np.argsort(available, kind="stable")
    for number, place in enumerate(order):
        given[place] = min(left / (len(order) - number), max_epochs * available[place])
        left -= given[place]
    return given / given.sum()


def doremi_style(excess: np.ndarray, prior: np.ndarray, eta: float = 1.0, smoothing: float = 1e-3) -> np.ndarray:
    """Group-DRO weights from excess losses along a proxy's training, averaged over steps (DoReMi's update rule).

    excess  (steps, D) proxy loss minus reference loss, per domain; negative ones count as 0
    """
    logits, total = np.log(np.maximum(prior, 1e-12)), np.zeros(len(prior))
    for row in np.maximum(excess, 0.0):
        logits = logits + eta * row
        logits = logits - logits.max()
        weights = np.exp(logits) / np.exp(logits).sum()
        weights = (1 - smoothing) * weights + smoothing / len(prior)
        logits = np.log(weights)
        total += weights
    return total / total.sum()


def within(mixtures: dict[str, np.ndarray], limits: Limits) -> dict[str, np.ndarray]:
    """The same mixtures, moved within the limits by keeping proportions where they break them."""
    return {
        name: weights if limits.contains(weights)[0] else limits.rescale(weights) for name, weights in mixtures.items()
    }
