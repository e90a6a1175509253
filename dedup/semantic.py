"""Duplicates in meaning, and pruning by density: what unit vectors say that words do not. Decides on vectors alone.

Vectors of language models share a direction that says nothing of a document: of a small proxy model's, half of all
pairs have a cosine above 0.84. So the mean and the first principal directions are taken away first (`Frame`: all but
the top, Mu and Viswanath 2018, who take one direction for each 100 dimensions), and every cosine and distance below is
of what is left. There, unrelated documents have a cosine of about 0.

All three start from spherical k-means: vectors and centroids have length one, distance is 1 - cosine.

    SemDeDup     inside a cluster, a document whose cosine with one that is kept exceeds 1 - epsilon goes (Abbas et al.
                 2023; there a dropped document can drop others, here only a kept one can: each has a kept match)
    prototypes   keep the documents farthest from their centroid (hard), or nearest (easy, for a small budget), with a
                 share of the budget spread evenly over clusters (Sorscher et al. 2022)
    density      give each cluster a part of the budget by how spread out and how far from others it is (Abbas et al.
                 2024), and keep its farthest documents: `density_budget` solves the paper's quadratic programme

Order is by distance, then by rank (a hash of the id): the same set of documents gives the same choice in any order.
"""

from dataclasses import dataclass

import numpy as np

from ..corpus.store.errors import RequestError
from .settings import SemanticSettings

FEWEST = 16  # documents beyond the directions taken away: in 15 dimensions a cosine of 0.95 is no accident
BLOCK = 2048  # documents compared at a time: memory is BLOCK x the documents of a cluster


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one, (N, d) float32; a zero vector stays zero."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Frame:
    """What all vectors share: their mean (d,) and directions (C, d) of length one, at right angles."""

    mean: np.ndarray
    directions: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors without what all share, (N, d) float32; a zero vector stays zero."""
        found = unit(vectors).astype(np.float64)  # rounded at the end: the same bits whatever rows come along
        absent = ~found.any(axis=1)
        found -= self.mean
        found -= (found @ self.directions.T) @ self.directions
        found[absent] = 0
        return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def fit_frame(vectors: np.ndarray, rank: np.ndarray, settings: SemanticSettings) -> Frame:
    """Mean and first principal directions of a sample, whose order does not matter. vectors (N, d), rank (N,)."""
    from threadpoolctl import threadpool_limits

    width = vectors.shape[1]
    none = np.zeros((0, width), np.float32)
    if not settings.centre:
        return Frame(np.zeros(width, np.float32), none)
    ordered = unit(vectors)[np.argsort(rank)]
    ordered = ordered[ordered.any(axis=1)].astype(np.float64)
    components = -(-width // 100) if settings.components is None else settings.components
    if components > width // 2:
        raise RequestError(
            f"semantic: {components} directions of vectors of {width} numbers are more than half of what tells "
            f"documents apart; give --components {width // 2} at most"
        )
    if len(ordered) < 2:
        return Frame(np.zeros(width, np.float32), none)  # nothing to compare
    if components and len(ordered) < FEWEST + components:
        raise RequestError(
            f"semantic: {len(ordered)} documents are too few to tell what all vectors share from what sets them apart "
            f"(without their mean and {components} directions, unlike ones would point the same way by chance); it "
            f"takes {FEWEST + components}; give --components 0 to take away the mean alone"
        )
    with threadpool_limits(1):  # sums in a fixed order, hence the same bits
        mean = ordered.mean(axis=0)
        ordered -= mean
        _, directions = np.linalg.eigh(ordered.T @ ordered)
    return Frame(mean.astype(np.float32), directions[:, width - components :].T.astype(np.float32))


def fit_centroids(vectors: np.ndarray, rank: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Centroids of spherical k-means over a sample, as unit vectors (K, d) float32, K at most the sample.

    vectors (N, d), rank (N,) uint64: rows are sorted by it first, so that their order does not matter
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    vectors = unit(vectors)[np.argsort(rank)]
    distinct = len(np.unique(vectors, axis=0))
    with threadpool_limits(1):  # sums in a fixed order, hence the same bits
        model = KMeans(min(clusters, distinct), n_init=1, random_state=seed).fit(vectors)  # pyright: ignore
    return unit(model.cluster_centers_)


def assign(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centroid and the distance to it: (N,) int64, (N,) float64 in [0, 2]."""
    cluster = np.empty(len(vectors), np.int64)
    cosine = np.empty(len(vectors), np.float64)
    middle = centroids.T.astype(np.float64)
    for start in range(0, len(vectors), BLOCK):
        similar = np.round(unit(vectors[start : start + BLOCK]) @ middle, 7)  # the same whatever rows come along
        cluster[start : start + BLOCK] = similar.argmax(axis=1)
        cosine[start : start + BLOCK] = similar.max(axis=1)
    return cluster, 1 - cosine


def semdedup(
    vectors: np.ndarray, distance: np.ndarray, rank: np.ndarray, epsilon: float, first: str
) -> tuple[np.ndarray, np.ndarray]:
    """Which document of one cluster each dropped one repeats, and their cosine.

    first    "hard" keeps the farthest from the centroid, "easy" the nearest, "random" the smallest rank
    returns  match (N,) int64, -1 where kept; cosine (N,) float64, nan where kept
    """
    order = np.lexsort((rank, {"hard": -distance, "easy": distance, "random": np.zeros(len(rank))}[first]))
    ordered = unit(vectors)[order]
    match, cosine = np.full(len(order), -1), np.full(len(order), np.nan)
    kept = np.zeros(0, np.int64)  # places in the order
    for start in range(0, len(order), BLOCK):
        block = ordered[start : start + BLOCK]
        best, value = np.full(len(block), -1), np.full(len(block), -2.0)
        for part in range(0, len(kept), BLOCK):
            similar = block @ ordered[kept[part : part + BLOCK]].T
            top = similar.argmax(axis=1)
            higher = similar[np.arange(len(block)), top] > value
            best[higher] = kept[part + top[higher]]
            value[higher] = similar[np.arange(len(block)), top][higher]
        inside = block @ block.T
        alive = value <= 1 - epsilon
        fresh = []
        for i in range(len(block)):
            if alive[i] and fresh:
                top = fresh[int(inside[i, fresh].argmax())]
                if inside[i, top] > 1 - epsilon:
                    alive[i], best[i], value[i] = False, start + top, inside[i, top]
            if alive[i]:
                fresh.append(i)
        gone = np.flatnonzero(~alive)
        match[order[start + gone]] = order[best[gone]]
        cosine[order[start + gone]] = value[gone]
        kept = np.concatenate([kept, start + np.array(fresh, np.int64)])
    return match, cosine


def prototype_budget(sizes: np.ndarray, keep: int, balance: float) -> np.ndarray:
    """At least this many documents of each cluster: `balance` of an even share of the budget, or all it has."""
    return np.minimum(sizes, int(balance * keep / max(1, len(sizes))))


def prototypes(
    distance: np.ndarray, cluster: np.ndarray, rank: np.ndarray, keep: int, first: str, balance: float
) -> np.ndarray:
    """Which documents stay, (N,) bool with `keep` true: each cluster's share first, then the best of all clusters."""
    value = -distance if first == "hard" else distance
    order = np.lexsort((rank, value, cluster))
    sizes = np.bincount(cluster)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - (np.cumsum(sizes) - sizes)[cluster[order]]
    sure = place < prototype_budget(sizes, keep, balance)[cluster]
    rest = np.flatnonzero(~sure)
    chosen = sure.copy()
    chosen[rest[np.lexsort((rank[rest], value[rest]))][: max(0, keep - int(sure.sum()))]] = True
    return chosen


def complexity(distance: np.ndarray, cluster: np.ndarray, centroids: np.ndarray, neighbours: int = 20) -> np.ndarray:
    """Complexity of each cluster: mean distance to its centroid x mean distance to the nearest other centroids."""
    sizes = np.bincount(cluster, minlength=len(centroids))
    spread = np.bincount(cluster, weights=distance, minlength=len(centroids)) / np.maximum(sizes, 1)
    apart = 1 - centroids @ centroids.T
    np.fill_diagonal(apart, np.inf)
    near = np.sort(apart, axis=1)[:, : min(neighbours, len(centroids) - 1)]
    return spread * (near.mean(axis=1) if near.size else np.ones(len(centroids)))


def density_budget(
    complexities: np.ndarray, sizes: np.ndarray, keep: int, temperature: float, least: int
) -> np.ndarray:
    """Documents to keep of each cluster: the x nearest to keep * softmax(complexity / temperature) in squared error.

    Subject to sum x = keep and min(least, size - 1) <= x <= size. The programme is a projection on a box and a plane:
    x = clip(target - t, low, high) for the one t that makes the sum right, found by bisection. Rounded to whole
    documents by largest remainder, so the sum stays exact.

    complexities (K,), sizes (K,) int64 -> (K,) int64
    """
    scaled = complexities / temperature
    share = np.where(sizes > 0, np.exp(scaled - scaled.max()), 0)
    target = keep * share / share.sum()
    low = np.minimum(least, np.maximum(sizes - 1, 0)).astype(float)
    high = sizes.astype(float)
    if low.sum() > keep:  # the least of every cluster is more than the budget
        low = low * (keep / low.sum())
    below, above = (target - high).min() - 1, (target - low).max() + 1
    for _ in range(200):
        middle = (below + above) / 2
        if np.clip(target - middle, low, high).sum() > keep:
            below = middle
        else:
            above = middle
    exact = np.clip(target - above, low, high)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    for k in np.lexsort((np.arange(len(exact)), whole - exact)):
        if whole.sum() >= keep:
            break
        whole[k] += whole[k] < sizes[k]
    return whole


def prune(
    distance: np.ndarray,
    cluster: np.ndarray,
    rank: np.ndarray,
    centroids: np.ndarray,
    settings: SemanticSettings,
    keep: int,
) -> np.ndarray:
    """Which documents stay within the budget, by the settings' method: (N,) bool."""
    if settings.prune == "prototypes":
        first = settings.prefer
        if first == "auto":  # scarce: learn the typical first; abundant: the typical is known
            first = "easy" if keep < settings.scarce * len(distance) else "hard"
        return prototypes(distance, cluster, rank, keep, first, settings.balance)
    sizes = np.bincount(cluster, minlength=len(centroids))
    least = int(settings.balance * keep / max(1, len(centroids)))
    budget = density_budget(complexity(distance, cluster, centroids), sizes, keep, settings.temperature, least)
    order = np.lexsort((rank, -distance, cluster))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - (np.cumsum(sizes) - sizes)[cluster[order]]
    return place < budget[cluster]
