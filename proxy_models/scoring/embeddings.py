"""Embeddings of documents from a proxy model, and RDS+: likeness to target queries (Ivison et al. 2025).

An embedding is the mean of the last hidden states weighted by position (weight i of the i-th token, as in SGPT: later
states have seen more), of unit length. `score` is the largest cosine to any query of any target; `score_<target>` the
same for each target, which `select --by rds.score_a --by rds.score_b` takes from in turn. The vector itself is a
column: semantic deduplication reads it.

The reference code is right for batches of one only (its weights ignore padding); ours are of real tokens.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch
from safetensors.numpy import load, save

from ...corpus.store.errors import RequestError
from ...training.data.tokenizer import load_tokenizer, token_facts
from ..model_files import ProxyModel, one_tokenizer
from .reader import reader
from .sampling import Samples
from .token_losses import batches

BATCH_TOKENS = 16_384
BLOCK = 2048  # documents embedded at a time


class Embedder:
    """Texts to unit vectors by one proxy model; a text is cut at the model's longest row."""

    def __init__(self, tokenizer: str, model: ProxyModel) -> None:
        facts = token_facts(tokenizer)
        one_tokenizer({"embedder": model}, facts.tokenizer)
        self.tokenizer, self.start = load_tokenizer(tokenizer), facts.bos
        self.reader = reader(model.placed().transformer)
        self.width = self.reader.config.d_model

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(N, d) float32 of length one; zeros for a text without tokens."""
        longest = self.reader.config.max_len - 1
        encoded = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        tokens = [np.array(encoding.ids[:longest], np.int64) for encoding in encoded]
        vectors = np.zeros((len(texts), self.width), np.float32)
        some = np.array([row for row, own in enumerate(tokens) if len(own)], np.int64)
        lengths = np.array([len(tokens[row]) for row in some], np.int64)
        for rows in batches(lengths + 1, BATCH_TOKENS):
            chosen, T = some[rows], int(lengths[rows].max())
            ids = np.full((len(rows), T + 1), self.start, np.int64)
            for place, row in enumerate(chosen):
                ids[place, 1 : 1 + len(tokens[row])] = tokens[row]
            read = self.reader.hidden(torch.from_numpy(ids).to(self.reader.device))
            hidden = read[:, 1:].float().cpu()  # (B, T, d): after the start token
            place = torch.arange(1, T + 1, dtype=hidden.dtype)
            weight = place * (torch.arange(T) < torch.from_numpy(lengths[rows])[:, None])  # (B, T)
            mean = torch.einsum("bt,btd->bd", weight / weight.sum(1, keepdim=True), hidden)
            vectors[chosen] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors


class Rds:
    """Scores documents by cosine to the queries of each target: name -> (Q, d)."""

    def __init__(self, embedder: Embedder, queries: Mapping[str, np.ndarray]) -> None:
        self.embedder, self.queries = embedder, dict(queries)

    @property
    def schema(self) -> pa.Schema:
        columns: list = [pa.field("id", pa.string(), nullable=False), ("score", pa.float64())]
        columns += [(f"score_{name}", pa.float64()) for name in self.queries]
        return pa.schema([*columns, ("embedding", pa.list_(pa.float32(), self.embedder.width))])

    def score(self, ids: Sequence[str], texts: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """Rows in the order given, in batches of `BLOCK`."""
        for first in range(0, len(ids), BLOCK):
            part = slice(first, first + BLOCK)
            vectors = self.embedder.embed(texts[part])
            empty = ~vectors.any(axis=1)
            best = [(vectors @ queries.T).max(axis=1).astype(np.float64) for queries in self.queries.values()]
            columns = [np.max(best, axis=0), *best]
            yield pa.RecordBatch.from_arrays(
                [pa.array(list(ids[part])), *(pa.array(c, mask=empty) for c in columns), vector_array(vectors)],
                schema=self.schema,
            )


def vector_array(vectors: np.ndarray) -> pa.Array:
    """(N, d) float32 as a column of fixed-size lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), vectors.shape[1])


def fit_rds(samples: Samples, tokenizer: str, model: bytes, queries: int) -> dict[str, bytes]:
    """The artefacts: the model, and the embeddings of up to `queries` documents of each target."""
    if not any(samples.targets.values()):
        raise RequestError("RDS+ needs a --target")
    embedder = Embedder(tokenizer, ProxyModel.from_bytes(model))
    vectors = {name: embedder.embed(texts[:queries]) for name, texts in samples.targets.items()}
    for name, found in vectors.items():
        if not found.any():
            raise RequestError(f"target {name} has no document with a token")
    kept = {name: found[found.any(axis=1)] for name, found in vectors.items()}
    return {
        "rds.json": json.dumps({"targets": list(kept)}).encode(),
        "tokenizer.json": tokenizer.encode(),
        "model.safetensors": model,
        "queries.safetensors": save(kept),
    }


def open_rds(artefacts: Mapping[str, bytes]) -> Rds:
    queries = load(artefacts["queries.safetensors"])
    names = json.loads(artefacts["rds.json"])["targets"]
    embedder = Embedder(artefacts["tokenizer.json"].decode(), ProxyModel.from_bytes(artefacts["model.safetensors"]))
    return Rds(embedder, {name: queries[name] for name in names})
