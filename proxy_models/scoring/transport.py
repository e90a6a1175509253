"""GOT-D: documents that move the corpus towards the target fastest (Kang et al. 2024).

The optimal-transport distance between corpus and target falls fastest where the calibrated gradient
f(z) - mean f of the others is most negative; f is the dual potential. The potentials of the target's side are found by
entropic Sinkhorn on a sample of the corpus; then f(z) of any document is one soft minimum over the target, so the
corpus is scored shard by shard. `score` is minus f, calibrated by the sample's mean: larger is better.

Costs are squared distances of unit vectors (2 - 2 cosine) of a proxy's embeddings. Formulas from the paper's
description; no reference code was at hand.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from safetensors.numpy import load, save
from scipy.special import logsumexp

from ...corpus.store.errors import RequestError
from ..model_files import ProxyModel
from .embeddings import BLOCK, Embedder
from .sampling import Samples

SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), ("score", pa.float64())])


class Transport:
    """Scores documents by the dual potential of optimal transport to the target.

    target     (M, d) unit vectors
    potential  (M,) float64 of the target's side
    center     mean of f over the sample of the corpus
    """

    schema = SCHEMA

    def __init__(
        self, embedder: Embedder, target: np.ndarray, potential: np.ndarray, center: float, regularization: float
    ) -> None:
        self.embedder, self.target, self.potential = embedder, target, potential
        self.center, self.regularization = center, regularization

    def score(self, ids: Sequence[str], texts: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """Rows in the order given, in batches of `BLOCK`."""
        for first in range(0, len(ids), BLOCK):
            part = slice(first, first + BLOCK)
            vectors = self.embedder.embed(texts[part])
            f = soft_minimum(costs(vectors, self.target), self.potential, self.regularization)
            empty = ~vectors.any(axis=1)
            yield pa.RecordBatch.from_arrays(
                [pa.array(list(ids[part])), pa.array(self.center - f, mask=empty)], schema=SCHEMA
            )


def costs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) float64 squared distances of unit vectors."""
    return 2.0 - 2.0 * (a.astype(np.float64) @ b.astype(np.float64).T)


def soft_minimum(cost: np.ndarray, potential: np.ndarray, regularization: float) -> np.ndarray:
    """f (N,) from g (M,): -eps log mean_j exp((g_j - cost_ij) / eps), with equal weights on the other side."""
    return -regularization * (logsumexp((potential - cost) / regularization, axis=1) - np.log(cost.shape[1]))


def sinkhorn(cost: np.ndarray, regularization: float, tolerance: float = 1e-6, most: int = 2000) -> np.ndarray:
    """g (M,) float64: the potential of the columns' side, both with equal weights. Raises if it does not settle."""
    g = np.zeros(cost.shape[1])
    for _ in range(most):
        f = soft_minimum(cost, g, regularization)
        after = soft_minimum(cost.T, f, regularization)
        moved, g = np.abs(after - g).max(), after
        if moved < tolerance:
            return g
    raise RequestError(
        f"optimal transport did not settle in {most} rounds: raise the regularization {regularization:.3g}"
    )


def fit_transport(
    samples: Samples, tokenizer: str, model: bytes, queries: int, regularization: float
) -> dict[str, bytes]:
    """The artefacts: the model, the target's vectors and their potential. All targets together are one target here."""
    wanted = [text for texts in samples.targets.values() for text in texts[:queries]]
    if not wanted:
        raise RequestError("GOT-D needs a --target")
    embedder = Embedder(tokenizer, ProxyModel.from_bytes(model))
    target, corpus = (v[v.any(axis=1)] for v in (embedder.embed(wanted), embedder.embed(samples.random)))
    cost = costs(corpus, target)
    regularization *= float(cost.mean())  # relative: vectors of small models all point nearly the same way
    potential = sinkhorn(cost, regularization)
    center = float(soft_minimum(cost, potential, regularization).mean())
    return {
        "transport.json": json.dumps({"center": center, "regularization": regularization}).encode(),
        "tokenizer.json": tokenizer.encode(),
        "model.safetensors": model,
        "target.safetensors": save({"target": target, "potential": potential}),
    }


def open_transport(artefacts: Mapping[str, bytes]) -> Transport:
    told = json.loads(artefacts["transport.json"])
    own = load(artefacts["target.safetensors"])
    embedder = Embedder(artefacts["tokenizer.json"].decode(), ProxyModel.from_bytes(artefacts["model.safetensors"]))
    return Transport(embedder, own["target"], own["potential"], told["center"], told["regularization"])
