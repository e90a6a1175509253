"""Which mixtures to train proxies on: a swarm is designed before a token is spent.

`dirichlet_swarm` draws around the natural mixture as RegMix does; `spread_swarm` fills the allowed region evenly;
`nested_swarm` draws groups first and domains within them; `next_round` picks what the fitted model knows least about
among what it finds promising (CLIMB-style rounds), `promising` does that among given mixtures. All are functions of
their seed. Refuses limits that leave no room for so many different mixtures.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import qmc

from ...corpus.store.errors import RequestError
from .simplex import Limits

STRENGTHS = tuple(np.logspace(-1, np.log10(5.0), 15))  # RegMix's: from one-domain corners to nearly natural
TEMPERATURE = 0.5
MINIMUM = 2e-4
CANDIDATES = 64  # drawn for each mixture wanted


def tempered(natural: np.ndarray, temperature: float = TEMPERATURE) -> np.ndarray:
    """Natural shares raised to `temperature` and renormalised: 1 leaves them, 0 makes them uniform."""
    powered = np.where(natural > 0, np.maximum(natural, 1e-300) ** temperature, 0.0)
    return powered / powered.sum()


def dirichlet_swarm(
    natural: np.ndarray,
    count: int,
    seed: int,
    limits: Limits,
    *,
    temperature: float = TEMPERATURE,
    strengths: Sequence[float] = STRENGTHS,
    minimum: float = MINIMUM,
) -> np.ndarray:
    """(count, D) mixtures: Dirichlet(strength * tempered natural), strengths in turn, weights below `minimum` to 0.

    Draws beyond the limits are rejected, as RegMix does; where limits are so tight that rejection finds too few, the
    rest are projected onto the limits instead. No two rows are equal.
    """
    draw = np.random.default_rng([seed, 0])
    centre = tempered(natural, temperature)
    alpha = np.maximum(np.array(strengths)[np.arange(count * CANDIDATES) % len(strengths), None] * centre, 1e-6)
    gammas = np.maximum(draw.gamma(alpha), 1e-300)
    rows = _thinned(gammas / gammas.sum(1, keepdims=True), minimum)
    fit = limits.contains(rows)
    chosen = _distinct(rows[fit], count)
    if len(chosen) < count:
        chosen = _distinct(np.vstack([chosen, limits.project(rows[~fit])]), count)
    if len(chosen) < count:
        raise RequestError(f"the limits leave room for {len(chosen)} different mixtures, {count} were asked for")
    return chosen


def spread_swarm(count: int, seed: int, limits: Limits, minimum: float = MINIMUM) -> np.ndarray:
    """(count, D) mixtures that fill the allowed region: a Sobol sequence on the simplex, then greedy farthest points.

    Distances are between square roots of weights (Hellinger), because losses change fastest near a weight of 0.
    """
    D = len(limits.domains)
    if D == 1:
        return _distinct(np.ones((1, 1)), count)
    power = int(np.ceil(np.log2(max(64, count * 16))))
    cube = qmc.Sobol(D, scramble=True, rng=np.random.default_rng([seed, 1])).random_base2(power)
    exponentials = -np.log(np.clip(cube, 1e-12, 1 - 1e-12))
    rows = limits.project(_thinned(exponentials / exponentials.sum(1, keepdims=True), minimum))
    points = np.sqrt(np.maximum(rows, 0))
    middle = points.mean(0)
    chosen = [int(np.argmin(((points - middle) ** 2).sum(1)))]
    distance = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < count:
        farthest = int(np.argmax(distance))
        if distance[farthest] < 1e-8:
            raise RequestError(f"the limits leave room for {len(chosen)} different mixtures, {count} were asked for")
        chosen.append(farthest)
        distance = np.minimum(distance, ((points - points[farthest]) ** 2).sum(1))
    return rows[chosen]


def nested_swarm(
    groups: Mapping[str, Sequence[str]], natural: np.ndarray, count: int, seed: int, limits: Limits
) -> np.ndarray:
    """Hierarchical domains: shares of groups are drawn first, then shares within each group; both by Dirichlet."""
    places = [[limits.domains.index(name) for name in members] for members in groups.values()]
    if sorted(place for group in places for place in group) != list(range(len(limits.domains))):
        raise RequestError(f"groups must hold every domain exactly once; domains: {', '.join(limits.domains)}")
    free = Limits.free(tuple(groups))
    outer = dirichlet_swarm(np.array([natural[group].sum() for group in places]), count, seed, free)
    rows = np.zeros((count, len(limits.domains)))
    for number, group in enumerate(places):
        inner = np.ones((count, 1))
        if len(group) > 1:
            within = natural[group] / natural[group].sum()
            members = tuple(limits.domains[place] for place in group)
            inner = dirichlet_swarm(within, count, seed + 1 + number, Limits.free(members), strengths=(1.0, 3.0, 9.0))
        rows[:, group] = outer[:, [number]] * inner
    return limits.project(rows)


def next_round(
    seen: np.ndarray,
    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    natural: np.ndarray,
    count: int,
    seed: int,
    limits: Limits,
    *,
    boldness: float = 1.0,
    repel: float = 0.1,
) -> np.ndarray:
    """Mixtures for another round: lowest `value - boldness * deviation` first, each pushing the next away from it.

    predict  (N, D) -> value and standard deviation of the objective, (N,) each
    repel    Hellinger distance over which a chosen (or seen) mixture makes its neighbours uninteresting
    """
    if count == 0:
        return np.zeros((0, len(limits.domains)))
    pool = dirichlet_swarm(natural, max(count * 32, 512), seed, limits)
    return pool[promising(pool, seen, *predict(pool), count, boldness=boldness, repel=repel)]


def promising(
    pool: np.ndarray,
    seen: np.ndarray,
    value: np.ndarray,
    deviation: np.ndarray,
    count: int,
    *,
    boldness: float,
    repel: float = 0.0,
) -> list[int]:
    """Places in the pool (N, D) of the `count` lowest `value - boldness * deviation`, one after another: what is known
    near a chosen or seen mixture, within a Hellinger distance of about `repel`, takes its deviation away."""
    points, nearest = np.sqrt(pool), np.full(len(pool), np.inf)
    for point in np.sqrt(np.maximum(seen, 0)) if repel else ():
        nearest = np.minimum(nearest, np.sqrt(((points - point) ** 2).sum(1)))
    chosen: list[int] = []
    while len(chosen) < count:
        known = np.exp(-((nearest / repel) ** 2)) if repel else 0.0
        score = value - boldness * deviation * (1 - known)
        score[chosen] = np.inf
        best = int(np.argmin(score))
        chosen.append(best)
        if repel:
            nearest = np.minimum(nearest, np.sqrt(((points - points[best]) ** 2).sum(1)))
    return chosen


def _thinned(rows: np.ndarray, minimum: float) -> np.ndarray:
    rows = np.where(rows < minimum, 0.0, rows)
    return rows / rows.sum(1, keepdims=True)


def _distinct(rows: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows that differ from every earlier one by more than rounding, in their order."""
    _, first = np.unique(np.round(rows, 5), axis=0, return_index=True)
    return rows[np.sort(first)][:count]
