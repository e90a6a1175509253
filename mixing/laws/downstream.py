"""Task accuracy foretold from loss by clusters of questions: the hard ones do not move with the easy ones.

Questions are clustered by how their measure changes over small runs; each cluster gets its own curve over the loss,
clusters that show no trend are predicted by their mean, and the task is the sum by size. Refuses fewer runs than the
curve has parameters.
"""

from dataclasses import dataclass

import numpy as np

from ...corpus.store.errors import RequestError
from .chinchilla import fit_error
from .robust import LawFit


@dataclass(frozen=True)
class DownstreamFit:
    """Clusters with their share of the questions and their curve; None where a cluster does not move."""

    shares: np.ndarray
    curves: list[LawFit | None]
    means: np.ndarray
    clusters: np.ndarray  # (questions,) which cluster each is in

    def predict(self, losses: np.ndarray, allow: bool = False) -> np.ndarray:
        """Mean accuracy of the task at these losses."""
        losses = np.atleast_1d(np.asarray(losses, float))
        total = np.zeros(len(losses))
        for share, curve, mean in zip(self.shares, self.curves, self.means, strict=True):
            error = np.full(len(losses), 1 - mean) if curve is None else curve.predict(losses[:, None], allow=allow)
            total += share * (1 - np.clip(error, 0.0, 1.0))
        return total


def fit_downstream(losses: np.ndarray, correct: np.ndarray, clusters: int = 4, seed: int = 0) -> DownstreamFit:
    """losses (runs,), correct (runs, questions) in [0, 1]: probability or correctness of each question in each run."""
    from sklearn.cluster import KMeans

    runs = correct.shape[0]
    if runs < 5:
        raise RequestError(f"{runs} runs are too few for a curve of three parameters per cluster; five at least")
    order = np.argsort(-np.asarray(losses))
    paths = correct[order].T  # (questions, runs) from the worst run to the best
    count = min(clusters, len(np.unique(paths, axis=0)))
    labels = KMeans(n_clusters=count, random_state=seed).fit_predict(paths)
    shares, curves, means = [], [], []
    for cluster in range(count):
        inside = correct[:, labels == cluster].mean(1)
        shares.append(float(np.mean(labels == cluster)))
        means.append(float(inside.mean()))
        trend = np.corrcoef(losses, inside)[0, 1] if inside.std() > 1e-9 else 0.0
        curves.append(fit_error(losses, 1 - inside) if trend < -0.5 else None)
    return DownstreamFit(np.array(shares), curves, np.array(means), labels)
