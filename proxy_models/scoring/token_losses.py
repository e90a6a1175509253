"""Losses of every token of many chunks under several models: columnar, length-sorted, batches of a token budget.

Chunks of equal length share a batch, so hardly anything is padded; every model sees the same batch; the output layer
is applied to real tokens only, tile by tile. A chunk is read after the tokenizer's start token and knows nothing of
its neighbours. The chunk of a text is the unit of CoLoR-Filter and of `select --unit chunks`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .reader import Reader

BATCH_TOKENS = {"cpu": 2048, "cuda": 1 << 16}  # a CPU keeps 2,048 positions of a small model in its cache


@dataclass(frozen=True)
class TokenStatistics:
    """What one model says of each token, in the order of the chunks. N tokens.

    nll    (N,) float32: minus log probability, nats
    mean   (N,) float32: of log p under p (minus the entropy), where asked for
    spread (N,) float32: standard deviation of log p under p
    rank   (N,) int32: entries of the vocabulary that were likelier
    """

    nll: np.ndarray
    mean: np.ndarray | None = None
    spread: np.ndarray | None = None
    rank: np.ndarray | None = None


def token_losses(
    models: Mapping[str, Reader],
    chunks: Sequence[np.ndarray],
    start: int,
    batch_tokens: int | None = None,
    details: bool = False,
) -> dict[str, TokenStatistics]:
    """Losses of all tokens of all chunks, by model, computed where the models are. Nothing is averaged here.

    models   readers, all on one device
    chunks   token arrays, none empty and none longer than a model can read
    start    the token that each chunk is read after
    details  also mean, spread and rank, which cost a few passes over the logits
    """
    lengths = np.array([len(chunk) for chunk in chunks], np.int64)
    ends = np.cumsum(lengths)
    total = int(lengths.sum())
    found = {name: _empty(total, details) for name in models}
    device = next(iter(models.values())).device
    for rows in batches(lengths, batch_tokens or BATCH_TOKENS[device.type]):
        width = int(lengths[rows].max())
        ids = np.full((len(rows), width + 1), start, np.int64)
        for place, row in enumerate(rows):
            ids[place, 1 : 1 + lengths[row]] = chunks[row]
        real = np.arange(width) < lengths[rows, None]  # (B, T)
        where = (ends[rows, None] - lengths[rows, None] + np.arange(width))[real]
        inputs, targets = torch.from_numpy(ids[:, :-1]).to(device), torch.from_numpy(ids[:, 1:][real]).to(device)
        kept = torch.from_numpy(real).to(device)
        for name, model in models.items():
            told = _batch(model, inputs, kept, targets, details)
            for column, values in zip(found[name], told, strict=True):
                column[where] = values
    return {name: TokenStatistics(*columns) for name, columns in found.items()}


def batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Row numbers of each batch: ascending length, at most `batch_tokens` positions, or one row."""
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and lengths[order[last]] * (last - first + 1) <= batch_tokens:
            last += 1
        yield order[first:last]
        first = last


def cut(ids: np.ndarray, chunk_tokens: int) -> list[np.ndarray]:
    """A text's tokens in chunks of `chunk_tokens`; the last may be shorter. No tokens, no chunks."""
    return [ids[first : first + chunk_tokens] for first in range(0, len(ids), chunk_tokens)]


def per_piece(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sums over consecutive pieces, float64; 0 for an empty piece. A sum knows nothing of the other pieces."""
    sums = np.zeros(len(lengths))
    some = lengths > 0
    if some.any():
        starts = (np.cumsum(lengths) - lengths)[some]
        sums[some] = np.add.reduceat(values.astype(np.float64), starts)
    return sums


def _empty(total: int, details: bool) -> list[np.ndarray]:
    kinds = [np.float32, np.float32, np.float32, np.int32] if details else [np.float32]
    return [np.empty(total, kind) for kind in kinds]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch's threads while the block runs: workers are processes, and small products only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def _batch(model: Reader, inputs: Tensor, real: Tensor, targets: Tensor, details: bool) -> list[np.ndarray]:
    hidden = model.hidden(inputs)[real]  # (N, d)
    told = model.statistics(hidden, targets) if details else [model.losses(hidden, targets)]
    return [column.cpu().numpy() for column in told]
