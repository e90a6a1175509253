"""Bits per byte of held-out text: the loss that tokenizers cannot change.

Held-out documents of a domain are read in the order of their ids, one after the other, in rows of T tokens; BOS, EOS
and metadata prefixes carry no loss, so the sum of losses covers exactly the tokens of the text, and is divided by the
text's UTF-8 bytes. A cap in tokens takes whole documents until it is reached.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..corpus.store.errors import RequestError
from .data.packing import IGNORED, Packing, Rows
from .data.shards import TokenDomain
from .transformer import Transformer


@dataclass(frozen=True)
class HeldOut:
    """Rows to measure a domain by. ids, targets (N, T) int64; `bytes` is what the targets' text measures."""

    ids: np.ndarray
    targets: np.ndarray
    bytes: int

    @property
    def tokens(self) -> int:
        return int((self.targets != IGNORED).sum())


def held_out_rows(domain: TokenDomain, seq_len: int, max_tokens: int | None = None) -> HeldOut:
    """Cut the first documents of a domain (their prefixes stripped) into rows; refuses a domain without text."""
    documents = domain.documents
    if max_tokens is not None:
        documents = min(documents, int(np.searchsorted(domain.offsets, max_tokens, side="left")))
    part = TokenDomain(
        domain.name,
        domain.split,
        domain.facts,
        domain.fingerprint,
        domain.segments,
        domain.offsets[: documents + 1],
        domain.n_bytes[:documents],
        domain.metadata_tokens[:documents],
    )
    if not part.bytes:
        raise RequestError(
            f"domain {domain.name} has no {domain.split} text to measure by; tokenize with a larger --heldout"
        )
    rows = Rows(part, Packing("concat", seq_len))
    shape = (len(rows), seq_len)
    ids, targets = np.empty(shape, np.int64), np.empty(shape, np.int64)
    order = np.arange(len(rows))
    rows.fill(order, order, ids, targets, np.empty((0, seq_len), np.int32))
    ends = domain.facts.bos if domain.facts.eos is None else domain.facts.eos
    targets[targets == ends] = IGNORED  # the end of a document is no byte of its text
    return HeldOut(ids, targets, part.bytes)


@torch.no_grad()
def bits_per_byte(model: nn.Module, held_out: Mapping[str, HeldOut], rows: int = 32) -> dict[str, float]:
    """Domain -> bits per byte: the summed loss in bits over the bytes of the text.

    model  a Transformer, or a module that is called with (ids, targets) and gives the loss per token
    rows   measured at a time; changes memory, and sums by rounding only
    """
    device = next(model.parameters()).device
    nll = model.nll if isinstance(model, Transformer) else model
    found = {}
    for name, held in held_out.items():
        total = torch.zeros((), dtype=torch.float64, device=device)
        for start in range(0, len(held.ids), rows):
            ids, targets = (
                torch.from_numpy(part[start : start + rows]).to(device) for part in (held.ids, held.targets)
            )
            total += nll(ids, targets).sum(dtype=torch.float64)
        found[name] = float(total) / math.log(2) / held.bytes
    return found


def mean_bits_per_byte(values: Mapping[str, float], weights: Mapping[str, float] | None = None) -> float:
    """The weighted mean over domains, by default each alike."""
    weights = weights or dict.fromkeys(values, 1.0)
    return sum(values[name] * weight for name, weight in weights.items()) / sum(weights.values())


def document_nll(model: Transformer, documents: list[np.ndarray], length: int, rows: int = 16) -> list[Tensor]:
    """Loss of each token after the first of each document (at most `length` + 1 tokens of it), length-sorted."""
    order = sorted(range(len(documents)), key=lambda i: -len(documents[i]))
    found: list[Tensor] = [torch.zeros(0)] * len(documents)
    device = next(model.parameters()).device
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        width = min(length, max(len(documents[i]) for i in chosen) - 1)
        ids, targets = (np.full((len(chosen), max(1, width)), fill, np.int64) for fill in (0, IGNORED))
        for row, i in enumerate(chosen):
            tokens = documents[i][: length + 1].astype(np.int64)
            ids[row, : len(tokens) - 1], targets[row, : len(tokens) - 1] = tokens[:-1], tokens[1:]
        with torch.no_grad():
            nll = model.nll(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device)).cpu()
        for row, i in enumerate(chosen):
            found[i] = nll[row, : min(len(documents[i]), length + 1) - 1]
    return found
