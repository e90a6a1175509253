"""The ladder: the same mixtures at several model sizes, to see how well what small models say carries over.

A mixture chosen at one size is used at another. Rank correlation says how far the order of mixtures survives; pairwise
accuracy how often the better of two at the small size is the better at the large one (DataDecide's measure); the noise
of each size, where replicates were trained, says how far either could be from 1 by luck alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import spearmanr

from ..corpus.refusal import RequestError
from .fleet import FleetResult, FleetSettings, train_fleet
from .pool import TokenPool


@dataclass(frozen=True)
class Rung:
    """One size against the next larger one. E targets.

    spearman  (E,) rank correlation of the final bits per byte over mixtures
    pairwise  (E,) share of pairs of mixtures in the same order at both sizes
    models    living at both sizes
    """

    small: str
    large: str
    targets: list[str]
    spearman: np.ndarray
    pairwise: np.ndarray
    models: int


def climb(
    pool: TokenPool,
    mixtures: np.ndarray,
    sizes: dict[str, FleetSettings],
    seeds: Sequence[int] = (0,),
    checkpoint: str | None = None,
) -> tuple[dict[str, FleetResult], list[Rung]]:
    """Train the mixtures at every size, smallest first as given, and compare each size with the next."""
    if len(sizes) < 2 or len(mixtures) < 3:
        raise RequestError(f"a ladder needs two sizes and three mixtures, got {len(sizes)} and {len(mixtures)}")
    results = {
        name: train_fleet(pool, mixtures, settings, seeds, checkpoint=checkpoint and f"{checkpoint}/{name}")
        for name, settings in sizes.items()
    }
    return results, [compare(a, results[a], b, results[b]) for a, b in pairwise(results)]


def compare(small: str, a: FleetResult, large: str, b: FleetResult) -> Rung:
    """How the order of mixtures at one size agrees with that at another; models that died at either are left out."""
    if a.targets != b.targets or not np.array_equal(a.mixtures, b.mixtures):
        raise RequestError(f"{small} and {large} were not trained on the same mixtures and targets")
    alive = a.alive & b.alive
    x, y = a.final[alive], b.final[alive]
    ranks = np.array([spearmanr(x[:, e], y[:, e]).statistic for e in range(len(a.targets))])
    first, second = np.triu_indices(len(x), 1)
    agree = (np.sign(x[first] - x[second]) == np.sign(y[first] - y[second])).mean(0)
    return Rung(small, large, a.targets, ranks, agree, int(alive.sum()))
