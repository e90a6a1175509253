"""Bits per byte of text: the loss that tokenizers cannot change, by one arithmetic for training, fleets and targets.

Held-out documents of a domain are read in the order of their ids, one after the other, in rows of T tokens; BOS, EOS
and metadata prefixes carry no loss, so the sum of losses covers exactly the tokens of the text, and is divided by the
text's UTF-8 bytes. A cap in tokens takes whole documents until it is reached. A text that is measured on its own and
is longer than the context is read in windows (`windows`), so that what is scored is all of it.

Models are read as they were trained (`transformer.Reading`): attention within documents where training kept it there,
metadata prefixes where the run ended on them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..corpus.store.errors import RequestError
from .data.packing import IGNORED
from .data.shards import TokenDomain
from .transformer import PLAIN, ReadingMode, Transformer


@dataclass(frozen=True)
class HeldOut:
    """Rows to measure a domain by. ids, targets (N, T) int64; `bytes` is what the targets' text measures.

    documents  (N, T) int32, equal numbers for tokens of one document, -1 where a row is padded; None: unknown, and
               then every row is one document
    """

    ids: np.ndarray
    targets: np.ndarray
    bytes: int
    documents: np.ndarray | None = None

    @property
    def tokens(self) -> int:
        return int((self.targets != IGNORED).sum())


def held_out_rows(
    domain: TokenDomain, seq_len: int, max_tokens: int | None = None, reading: ReadingMode = PLAIN
) -> HeldOut:
    """Cut the first documents of a domain into rows; refuses a domain without text.

    reading  how the model reads: prefixes stay, without loss, where it was trained on them; else they are stripped
    """
    documents = domain.documents
    if max_tokens is not None:
        documents = min(documents, int(np.searchsorted(domain.offsets, max_tokens, side="left")))
    text = int(domain.n_bytes[:documents].sum())
    if not text:
        raise RequestError(
            f"domain {domain.name} has no {domain.split} text to measure by; tokenize with a larger --heldout"
        )
    prefixes = domain.metadata_tokens[:documents]
    if reading.metadata:
        tokens, offsets = domain.head(documents), domain.offsets[: documents + 1]
    else:
        tokens, offsets = domain.plain(documents)
        prefixes = np.zeros_like(prefixes)
    ids, targets, owners = text_rows(tokens, offsets, prefixes, domain.facts.bos, domain.facts.eos, seq_len)
    return HeldOut(ids, targets, text, owners)


def text_rows(
    tokens: np.ndarray, offsets: np.ndarray, prefixes: np.ndarray, bos: int, eos: int | None, seq_len: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents end to end in rows of T: ids, targets (N, T) int64 and document numbers (N, T) int32.

    tokens    (S,) BOS, prefix, text and, where the tokenizer has one of its own, EOS of each document
    offsets   (documents + 1,) where each begins; prefixes (documents,) tokens of its prefix
    Targets are the tokens of the texts, each once: what starts a document, says that it ends or stands before its text
    is none. Rows do not overlap; the last is padded with BOS.
    """
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    place = np.arange(len(tokens)) - np.repeat(offsets[:-1], lengths)  # of each token in its document
    silent = place <= np.repeat(prefixes, lengths)
    if eos is not None:
        silent |= place == np.repeat(lengths, lengths) - 1
    count = max(1, -(-(len(tokens) - 1) // seq_len))
    ids = np.full(count * seq_len, bos, np.int64)
    targets, documents = np.full(count * seq_len, IGNORED, np.int64), np.full(count * seq_len, -1, np.int32)
    used = max(0, len(tokens) - 1)
    ids[:used], documents[:used] = tokens[:-1], owner[:-1]
    targets[:used] = np.where(silent[1:], IGNORED, tokens[1:].astype(np.int64))
    shape = (count, seq_len)
    return ids.reshape(shape), targets.reshape(shape), documents.reshape(shape)


def windows(before: int, length: int, most: int) -> Iterator[tuple[int, int, int]]:
    """How to read a text that stands behind `before` tokens: (begin, first, end) of each window.

    A window has the inputs [begin, end - 1), at most `most` of them, and scores the tokens [first, end): every one of
    the `length` tokens is scored once. Windows follow each other; each is filled up to its left with what came before,
    as in the rolling windows of lm-evaluation-harness (`utils.get_rolling_token_windows`, context_len 1).
    """
    if before < 1:
        raise ValueError("a text is read behind a start token at least")
    for first in range(before, before + length, most):
        end = min(first + most, before + length)
        yield max(0, end - 1 - most), first, end


@torch.no_grad()
def bits_per_byte(model: nn.Module, held_out: Mapping[str, HeldOut], rows: int = 32) -> dict[str, float]:
    """Domain -> bits per byte: the summed loss in bits over the bytes of the text.

    model  a Transformer, or a module that is called with (ids, targets, documents=) and gives the loss per token
    rows   measured at a time; changes memory, and sums by rounding only
    """
    device = next(model.parameters()).device
    nll = model.read if isinstance(model, Transformer) else model
    found = {}
    for name, held in held_out.items():
        total = torch.zeros((), dtype=torch.float64, device=device)
        for start in range(0, len(held.ids), rows):
            part = slice(start, start + rows)
            ids, targets = (torch.from_numpy(whole[part]).to(device) for whole in (held.ids, held.targets))
            documents = None if held.documents is None else torch.from_numpy(held.documents[part]).to(device)
            total += nll(ids, targets, documents=documents).sum(dtype=torch.float64)
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
