"""Domains from clusters: k-means over document vectors, as mixture units where sources mean little (CLIMB).

Many fine clusters are found first and merged into few by the likeness of their centres; a document belongs to the
coarse cluster of its nearest fine centre. The default vectors need no model: hashed word counts, weighted by rarity,
projected at random to a few hundred dimensions. Vectors of any other kind, embeddings say, take their place where they
are given; they are scaled to length one, so that it is their direction that counts.
A cluster with less than one percent of the sample joins its nearest, so there may be fewer than were asked for.
Refuses fewer documents than clusters.
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ...corpus.store.errors import WorkspaceError
from .tagging import hashed_counts

BUCKETS = 1 << 15
WIDTH = 256
FINE = 8  # fine clusters for each coarse one
LEAST = 0.01  # of the sample; a smaller cluster is no mixture unit and joins the nearest


@dataclass(frozen=True)
class Clusters:
    """rarity (BUCKETS,), centres (F, width), coarse (F,) cluster of each centre, the projection's seed, sizes (C,).

    Rarity is empty where the clusters were found in given vectors.
    """

    rarity: np.ndarray
    centres: np.ndarray
    coarse: np.ndarray
    seed: int
    sizes: np.ndarray
    words: tuple[str, ...]  # of each coarse cluster, its most telling words, for a human

    def assign(self, texts: Sequence[str]) -> np.ndarray:
        """(D,) the coarse cluster of each text."""
        return self.place(vectors(texts, self.rarity, self.seed))

    def place(self, points: np.ndarray) -> np.ndarray:
        """(D,) the coarse cluster of each point (D, width) of length one; refuses points of another width."""
        if points.shape[1] != self.centres.shape[1]:
            raise WorkspaceError(f"vectors of width {points.shape[1]} and clusters of width {self.centres.shape[1]}")
        return self.coarse[nearest(points, self.centres)]

    def names(self) -> list[str]:
        """`cluster-00` and so on, the largest first."""
        return [f"cluster-{at:02d}" for at in range(len(self.sizes))]


def vectors(texts: Sequence[str], rarity: np.ndarray, seed: int) -> np.ndarray:
    """(D, WIDTH) float32 of length one (zero for a text without words)."""
    projected = np.asarray(
        (hashed_counts(texts, BUCKETS, pairs=False) @ sparse.diags(rarity)) @ projection(seed), np.float32
    )
    return unit(projected)


def unit(points: np.ndarray) -> np.ndarray:
    """The points (D, width) scaled to length one; zeros stay."""
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(norms == 0, 1, norms)


_PROJECTIONS: dict[int, np.ndarray] = {}


def projection(seed: int) -> np.ndarray:
    """(BUCKETS, WIDTH) float32 of random signs, kept per process: 32 MiB."""
    if seed not in _PROJECTIONS:
        bits = np.random.default_rng([seed, 0x51]).integers(0, 2, (BUCKETS, WIDTH), np.int8)
        _PROJECTIONS[seed] = (2 * bits - 1).astype(np.float32) / np.sqrt(np.float32(WIDTH))
    return _PROJECTIONS[seed]


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(D,) index of the nearest centre, by Euclidean distance."""
    return np.argmin((centres**2).sum(1) - 2 * points @ centres.T, axis=1)


def find_clusters(texts: Sequence[str], k: int, seed: int, given: np.ndarray | None = None) -> Clusters:
    """Cluster a sample of texts, given in an order of its own (by id). Equal texts and seed, equal clusters.

    given  (D, width) vectors of the texts, to be clustered instead of their words
    """
    if len(texts) < k:
        raise WorkspaceError(f"{len(texts)} documents cannot make {k} clusters; ask for fewer or sample more")
    if given is None:
        raw = hashed_counts(texts, BUCKETS, pairs=False)
        seen = np.bincount(raw.indices, minlength=BUCKETS)
        rarity = np.log((1 + len(texts)) / (1 + seen)).astype(np.float32)
        points = vectors(texts, rarity, seed)
    else:
        rarity, points = np.zeros(0, np.float32), unit(given)
    fine = min(len(texts) // 4 or 1, k * FINE)
    centres, coarse = cluster_vectors(points, k, max(fine, k), seed)
    own = nearest(points, centres)
    coarse = without_tiny(centres, coarse, np.bincount(own, minlength=len(centres)), max(2, int(LEAST * len(texts))))
    sizes = np.bincount(coarse[own], minlength=k)
    order = np.lexsort((np.arange(k), -sizes))
    rank = np.empty(k, np.int64)
    rank[order] = np.arange(k)
    left = int((sizes > 0).sum())
    words = _telling_words(texts, rank[coarse[own]], left)
    return Clusters(rarity, centres, rank[coarse], seed, sizes[order][:left], words)


def without_tiny(centres: np.ndarray, coarse: np.ndarray, sizes: np.ndarray, least: int) -> np.ndarray:
    """`coarse` with every cluster of fewer than `least` documents joined to the one whose centre is nearest.

    centres (F, width), coarse (F,), sizes (F,) documents of each fine cluster. The smallest goes first.
    """
    coarse = coarse.copy()
    while True:
        labels = np.unique(coarse)
        totals = np.array([sizes[coarse == label].sum() for label in labels])
        if len(labels) == 1 or totals.min() >= least:
            return coarse
        weights = np.maximum(sizes, 1e-9)[:, None]
        means = np.stack([(centres * weights)[coarse == c].sum(0) / weights[coarse == c].sum() for c in labels])
        smallest = int(totals.argmin())
        distances = ((means - means[smallest]) ** 2).sum(1)
        distances[smallest] = np.inf
        coarse[coarse == labels[smallest]] = labels[int(distances.argmin())]


def cluster_vectors(points: np.ndarray, k: int, fine: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (fine, width) by k-means and the coarse cluster of each, by merging centres that are alike."""
    from sklearn.cluster import AgglomerativeClustering, KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # one order of summation, equal bytes
        options: dict[str, Any] = {"n_init": 2, "random_state": seed}
        fitted = KMeans(fine, **options).fit(points)
        centres = np.asarray(fitted.cluster_centers_, np.float32)
        if fine == k:
            return centres, np.arange(k)
        merged = AgglomerativeClustering(n_clusters=k, linkage="ward").fit(centres)
    return centres, np.asarray(merged.labels_, np.int64)


def _telling_words(texts: Sequence[str], found: np.ndarray, k: int) -> tuple[str, ...]:
    """Words that are frequent in a cluster and rare outside, by document counts."""
    inside: list[Counter[str]] = [Counter() for _ in range(k)]
    everywhere: Counter[str] = Counter()
    for text, cluster in zip(texts, found.tolist(), strict=True):
        words = {word for word in text[:4000].casefold().split() if word.isalpha() and len(word) > 3}
        inside[cluster].update(words)
        everywhere.update(words)
    told = []
    for counter in inside:
        ranked = sorted(counter, key=lambda word: (-(counter[word] ** 2) / (everywhere[word] + 5), word))
        told.append(" ".join(ranked[:8]))
    return tuple(told)


def to_bytes(clusters: Clusters) -> bytes:
    """Clusters as one `.npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        rarity=clusters.rarity,
        centres=clusters.centres,
        coarse=clusters.coarse,
        seed=np.int64(clusters.seed),
        sizes=clusters.sizes,
        words=np.array(clusters.words, dtype=np.str_),
    )
    return buffer.getvalue()


def from_bytes(stored: bytes) -> Clusters:
    """What `to_bytes` wrote; reads numbers and text only, never code."""
    with np.load(io.BytesIO(stored), allow_pickle=False) as told:
        return Clusters(
            told["rarity"],
            told["centres"],
            told["coarse"],
            int(told["seed"]),
            told["sizes"],
            tuple(str(words) for words in told["words"]),
        )
