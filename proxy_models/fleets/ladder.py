"""The ladder: the same mixtures at several model sizes, to see how well what small models say carries over.

A mixture chosen at one size is used at another. Rank correlation says how far the order of mixtures survives; pairwise
accuracy how often the better of two at the small size is the better at the large one (DataDecide's measure); the noise
of each size, where replicates were trained, says how far either could be from 1 by luck alone.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from ...corpus.store.errors import RequestError


def agreement(small: np.ndarray, large: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses (R, E) of the same mixtures at two sizes -> Spearman (E,), share of pairs in the same order (E,)."""
    ranks = np.array([spearmanr(small[:, e], large[:, e])[0] for e in range(small.shape[1])])
    first, second = np.triu_indices(len(small), 1)
    same = np.sign(small[first] - small[second]) == np.sign(large[first] - large[second])
    return ranks, same.mean(0)


def rungs(losses: Mapping[str, Mapping[str, np.ndarray]], targets: list[str]) -> list[dict[str, Any]]:
    """Each size against the next, and the smallest against the largest where there are more than two.

    losses  size -> mixture -> (E,) bits per byte at the end; a mixture that diverged at a size is not in it
    """
    steps = list(pairwise(losses))
    if len(losses) > 2:
        steps.append((next(iter(losses)), list(losses)[-1]))
    found = []
    for small, large in steps:
        both = [name for name in losses[small] if name in losses[large]]
        if len(both) < 3:
            raise RequestError(f"{len(both)} mixtures lived at {small} and at {large}; a comparison needs three")
        x, y = (np.array([losses[size][name] for name in both]) for size in (small, large))
        ranks, same = agreement(x, y)
        overall_ranks, overall = agreement(x.mean(1, keepdims=True), y.mean(1, keepdims=True))
        told = {target: {"spearman": float(ranks[e]), "pairwise": float(same[e])} for e, target in enumerate(targets)}
        mean = {"spearman": float(overall_ranks[0]), "pairwise": float(overall[0])}
        found.append({"small": small, "large": large, "mixtures": len(both), "mean": mean, "targets": told})
    return found
