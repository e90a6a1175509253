"""`ScorePair(a, b)`: the losses of two models on the same tokens, and every score that follows from them.

    CoLoR-Filter   a = prior, b = conditional (the prior trained on the target): what the target's data explain
    MiniPLM        a = small, b = large: what a larger model has learned and a small one cannot
    RHO            a = current, b = reference: what can still be learned

all of which are `score` = mean nll_a - mean nll_b, larger is better, in nats per token. Chunks carry both losses too,
so that selection may take parts of documents. One model alone gives perplexity and the scores of `details`.

Brandfonbrener et al. 2024 (CoLoR-Filter), Gu et al. 2024 (MiniPLM), Lin et al. 2024 (Rho-1: `excess`), Zhang et al.
2024 (Min-K%++, DC-PDD), Rawat et al. 2024 (SALT: `learnability`). Where the MiniPLM paper writes a ratio of
probabilities and its code a difference of losses, this is the difference.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from ...corpus.store.errors import RequestError
from ...training.data.tokenizer import load_tokenizer, token_facts
from ..model_files import ProxyModel, one_tokenizer
from .reader import reader
from .token_losses import TokenStatistics, cut, per_piece, token_losses

CHUNK_TOKENS = 512
BLOCK_TOKENS = 1 << 19  # documents are scored in blocks of about this many tokens: bounds memory, feeds the sort
TOP_K, LOWEST, CLIP = 10, 0.2, 0.01  # SALT's k, Min-K%++'s share, DC-PDD's ceiling


class ScorePair:
    """Scores of documents from the losses of one model or two.

    names         of the models, as in the columns nll_<name>; the score is first minus second
    chunk_tokens  texts are read in chunks of this many tokens, each on its own
    details       also learnability, min_k and dc_pdd of each model (a few more passes over the logits)
    """

    def __init__(
        self,
        tokenizer: str,
        models: Mapping[str, ProxyModel],
        chunk_tokens: int = 512,
        details: bool = False,
    ) -> None:
        facts = token_facts(tokenizer)
        one_tokenizer(models, facts.tokenizer)
        for name, model in models.items():
            if model.transformer.config.max_len < chunk_tokens:
                raise RequestError(
                    f"model {name} reads {model.transformer.config.max_len} tokens, chunk_tokens is {chunk_tokens}"
                )
        if not 1 <= len(models) <= 2:
            raise RequestError(f"losses of one model or of two are scored, not of {len(models)}")
        self.tokenizer: Tokenizer = load_tokenizer(tokenizer)
        self.start, self.details = facts.bos, details
        self.readers = {name: reader(model.placed().transformer) for name, model in models.items()}
        self.seen = {name: model.tokens_seen for name, model in models.items()}
        self.chunk_tokens = chunk_tokens

    @property
    def schema(self) -> pa.Schema:
        losses = [(f"nll_{name}", pa.float32()) for name in self.readers]
        columns: list = [
            pa.field("id", pa.string(), nullable=False),
            ("score", pa.float64()),  # null where the text has no token
            ("n_tokens", pa.int32()),
            ("n_bytes", pa.int64()),
            *((f"nll_{name}", pa.float64()) for name in self.readers),
            *((f"perplexity_{name}", pa.float64()) for name in self.readers),
        ]
        if len(self.readers) == 2:
            columns.append(("excess", pa.float64()))
        if self.details:
            columns += [(f"{s}_{n}", pa.float64()) for n in self.readers for s in ("learnability", "min_k", "dc_pdd")]
        columns.append(("chunks", pa.list_(pa.struct([("end", pa.int64()), ("n_tokens", pa.int32()), *losses]))))
        return pa.schema(columns)

    def score(self, ids: Sequence[str], texts: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """Rows in the order given, in batches of a block of tokens."""
        rows: list[tuple[str, str, np.ndarray, np.ndarray]] = []
        pending = 0
        for first in range(0, len(ids), 512):
            part = slice(first, first + 512)
            encoded = self.tokenizer.encode_batch(list(texts[part]), add_special_tokens=False)
            for id, text, encoding in zip(ids[part], texts[part], encoded, strict=True):
                tokens = np.array(encoding.ids, np.int64)
                ends = np.array([end for _, end in encoding.offsets], np.int64)
                rows.append((id, text, tokens, ends))
                pending += len(tokens)
                if pending >= BLOCK_TOKENS:
                    yield self._block(rows)
                    rows, pending = [], 0
        if rows:
            yield self._block(rows)

    def _block(self, rows: list[tuple[str, str, np.ndarray, np.ndarray]]) -> pa.RecordBatch:
        pieces = [cut(tokens, self.chunk_tokens) for _, _, tokens, _ in rows]
        chunks = [chunk for own in pieces for chunk in own]
        told = token_losses(self.readers, chunks, self.start, details=self.details)
        n_chunks = np.array([len(own) for own in pieces], np.int64)
        n_tokens = np.array([len(row[2]) for row in rows], np.int64)
        columns: dict[str, Any] = {
            "id": [row[0] for row in rows],
            "n_tokens": n_tokens,
            "n_bytes": [len(row[1].encode()) for row in rows],
        }
        per_token = np.maximum(n_tokens, 1)
        for name, statistics in told.items():
            columns[f"nll_{name}"] = mean = per_piece(statistics.nll, n_tokens) / per_token
            columns[f"perplexity_{name}"] = np.exp(mean)
            if self.details:
                found = _details(statistics, [row[2] for row in rows], self.seen[name])
                columns |= {f"{k}_{name}": v for k, v in found.items()}
        names = list(self.readers)
        if len(names) == 2:
            a, b = (told[name].nll for name in names)
            columns["score"] = np.asarray(columns[f"nll_{names[0]}"]) - np.asarray(columns[f"nll_{names[1]}"])
            columns["excess"] = per_piece(np.maximum(a - b, 0), n_tokens) / per_token
        else:
            columns["score"] = -np.asarray(columns[f"nll_{names[0]}"])
        columns["chunks"] = self._chunks(rows, chunks, n_chunks, told)
        arrays = []
        for field in self.schema:
            column = columns[field.name]
            if pa.types.is_floating(field.type):  # null where there is nothing to say
                column = pa.array(column, field.type, mask=(n_tokens == 0) | np.isnan(column))
            arrays.append(column if isinstance(column, pa.Array) else pa.array(column, field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _chunks(self, rows, chunks, n_chunks: np.ndarray, told: Mapping[str, TokenStatistics]) -> pa.Array:
        lengths = np.array([len(chunk) for chunk in chunks], np.int64)
        ends = []
        for _, text, tokens, offsets in rows:
            last = [min(first + self.chunk_tokens, len(tokens)) for first in range(0, len(tokens), self.chunk_tokens)]
            ends += [len(text) if end == len(tokens) else int(offsets[end - 1]) for end in last]
        kind = self.schema.field("chunks").type
        losses = [per_piece(told[name].nll, lengths) / np.maximum(lengths, 1) for name in self.readers]
        fields = [pa.array(ends, pa.int64()), pa.array(lengths, pa.int32())]
        fields += [pa.array(loss, pa.float32()) for loss in losses]
        structs = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
        offsets = np.concatenate([[0], np.cumsum(n_chunks)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), structs, type=kind)


def _details(told: TokenStatistics, texts: Sequence[np.ndarray], seen: np.ndarray | None) -> dict[str, np.ndarray]:
    """Scores that need more than losses, of each text; NaN where a text has nothing to say.

    learnability  median loss over tokens that the model has among its ten likeliest
    min_k         mean of the lowest fifth of (log p - mean) / deviation: larger, likelier seen in training (Min-K%++)
    dc_pdd        over first occurrences: mean of p log(1 / frequency), each at most 0.01; larger, likelier seen; NaN
                  of a model that does not tell what tokens it has seen (a checkpoint of `gristmill train`)
    """
    assert told.mean is not None
    assert told.spread is not None
    assert told.rank is not None
    surprise = None if seen is None else -np.log((seen + 1) / (seen.sum() + len(seen)))
    standing = (-told.nll - told.mean) / np.maximum(told.spread, 1e-6)
    found = {name: np.full(len(texts), np.nan) for name in ("learnability", "min_k", "dc_pdd")}
    first = 0
    for row, tokens in enumerate(texts):
        own = slice(first, first + len(tokens))
        first += len(tokens)
        if not len(tokens):
            continue
        easy = told.nll[own][told.rank[own] < TOP_K]
        if len(easy):
            found["learnability"][row] = np.median(easy)
        lowest = max(1, int(LOWEST * len(tokens)))
        found["min_k"][row] = np.sort(standing[own])[:lowest].mean()
        if surprise is None:
            continue
        once = np.unique(tokens, return_index=True)[1]
        found["dc_pdd"][row] = np.minimum(np.exp(-told.nll[own][once]) * surprise[tokens[once]], CLIP).mean()
    return found


def fit_pair(tokenizer: str, models: Mapping[str, bytes], chunk_tokens: int | None, details: bool) -> dict[str, bytes]:
    """The artefacts of a pair (or one model) that was trained elsewhere: copies, so that scores can be made again.

    chunk_tokens  None: CHUNK_TOKENS, or what the models can read, whichever is less
    """
    if chunk_tokens is None:
        longest = [ProxyModel.from_bytes(data, name).transformer.config.max_len for name, data in models.items()]
        chunk_tokens = min(CHUNK_TOKENS, *longest)
    told = {"names": list(models), "chunk_tokens": chunk_tokens, "details": details}
    artefacts = {"pair.json": json.dumps(told).encode(), "tokenizer.json": tokenizer.encode()}
    artefacts |= {f"{name}.safetensors": data for name, data in models.items()}
    open_pair(artefacts)  # refuses now what it would refuse on every worker
    return artefacts


def open_pair(artefacts: Mapping[str, bytes]) -> ScorePair:
    """The scorer that `fit_pair` or `fit_color` left the parts of."""
    told = json.loads(artefacts["pair.json"])
    models = {n: ProxyModel.from_bytes(artefacts[f"{n}.safetensors"], n) for n in told["names"]}
    return ScorePair(artefacts["tokenizer.json"].decode(), models, told["chunk_tokens"], told["details"])
