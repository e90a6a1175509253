"""Spikes: a loss that says the run has gone wrong. Measures nothing and refuses nothing."""

import numpy as np


def is_spike(loss: float, window: list[float], sigma: float) -> bool:
    """Not finite, or `sigma` deviations above the mean of a window that is at least 16 steps long."""
    if not np.isfinite(loss):
        return True
    if len(window) < 16:
        return False
    return loss > float(np.mean(window)) + sigma * max(float(np.std(window)), 0.01)
