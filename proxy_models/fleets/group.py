"""One group of a fleet: models that are stacked and trained together, from their first step to their last evaluation.

The pool lies on the device once; a step asks the data order where its rows begin and gathers them there. Losses and
gradients of the output layer come tile by tile from `heads`, everything below it from autograd. On a GPU the step is
captured as a CUDA graph (`graph.GraphedGroup`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...training.evaluation import text_rows, windows
from ..settings import FleetSettings
from . import heads
from .checkpoint import Trail
from .order import DataOrder
from .pool import HeldOutTokens, TokenPool
from .stacked import StackedTransformer
from .stacked_optimizer import AdamState, AdamW, clip, norms
from .stacked_trunk import Trunk

TABLES = ("embed.weight", "head.weight")  # their gradients do not come from autograd
EVALUATION_TOKENS = {"cpu": 1 << 12, "cuda": 1 << 15}  # of all models together, at a time: caches are small


class Group:
    """K stacked models with the state of their training."""

    def __init__(
        self,
        pool: TokenPool,
        order: DataOrder,
        settings: FleetSettings,
        rates: Sequence[float],
        states: Sequence[Mapping[str, Tensor]] | None = None,
        device: str | None = None,
    ) -> None:
        self.pool, self.order, self.settings, self.rates = pool, order, settings, list(rates)
        self.device = device or settings.where()
        self.on_cpu = torch.device(self.device).type == "cpu"
        self.dtype = torch.float32 if self.on_cpu else torch.bfloat16
        config = settings.config(pool.vocab_size)
        if states is None:
            self.net = StackedTransformer.initialised(config, order.seeds, self.device)
        else:
            self.net = StackedTransformer.stack(config, states, self.device)
        self.names = sorted(self.net.weights)
        self.weights = [self.net.weights[name].requires_grad_() for name in self.names]
        self.adam = AdamState.zeros(self.weights)
        decays = tuple(name.endswith("weight") and "norm" not in name for name in self.names)
        self.update = AdamW(*settings.betas, settings.epsilon, settings.weight_decay, decays)
        self.stopped = np.full(self.net.models, -1, np.int64)
        self.tokens = _on_device(pool, self.device)
        self.heldout = HeldOutRows(pool, settings.seq_len, self.device)
        self._reach = torch.arange(settings.seq_len + 1, device=self.device)
        self.step_done = 0
        self.gradient = {name: torch.zeros_like(weight) for name, weight in self.net.weights.items()}
        self._looked_up = torch.zeros(0, dtype=torch.int64)  # rows of the embedding's gradient that are not zero
        self._trunk = None
        own = heads.terms_for(self.device)
        if settings.compile:
            self._forward = torch.compile(self.net.trunk, dynamic=False)
            self._terms = torch.compile(heads.terms) if own is heads.terms else own
        else:
            self._forward, self._terms = self.net.trunk, own
            if self.on_cpu:
                self._trunk = Trunk(config, self.net.weights, self.gradient, self.net.cos, self.net.sin)

    def train(
        self, trail: Trail, keep_weights: bool = False, after: Callable[[int, int], None] | None = None
    ) -> dict[str, Any]:
        """Train to the end, from where the trail leads. Returns what FleetResult is put together from."""
        evaluated = self.settings.evaluated()
        measured, losses = self._resume(trail)
        while self.step_done < self.settings.steps:
            loss = self.step()
            if after is not None:
                after(self.step_done, self.settings.steps)
            if self.step_done in evaluated:
                self.stopped = self.lives()
                bits = self.heldout.bits_per_byte(self.net, self.dtype)
                measured.append(np.where(self.stopped[:, None] < 0, bits, np.nan))
                losses.append(loss.cpu().numpy().astype(np.float64))
                self._save(trail, measured, losses)
        return {
            "bits_per_byte": np.stack(measured, 1),
            "train_loss": np.stack(losses, 1),
            "stopped": self.stopped,
            "weights": [self.net.state_dict(k) for k in range(self.net.models)] if keep_weights else [],
        }

    def step(self) -> Tensor:
        """One update of every living model. Returns the losses (K,) float32, NaN of those that have been stopped."""
        loss, gradients = self.gradients(self.rows(torch.from_numpy(self.order.starts(self.step_done))))
        norm = norms(gradients)
        self._judge(loss.numpy(), norm.numpy())
        alive = torch.from_numpy(self.stopped < 0)
        if self.settings.clip is not None:
            clip(gradients, torch.where(alive, norm, 0), self.settings.clip)
        now = self.settings.rate(self.step_done)
        with torch.no_grad():
            self.update.fused(self.weights, gradients, self.adam, [rate * now for rate in self.rates], alive.tolist())
        self.step_done += 1
        return torch.where(alive, loss, torch.nan)

    def lives(self) -> np.ndarray:
        """(K,) int64: the step at which each model was stopped, -1 for those that live."""
        return self.stopped

    def _judge(self, loss: np.ndarray, norm: np.ndarray) -> None:
        """Stop models whose loss or gradient is not finite, or who do far worse than guessing."""
        limit = 2 * math.log(self.pool.vocab_size) + 1
        bad = ~np.isfinite(loss) | ~np.isfinite(norm) | (loss > limit)
        self.stopped[bad & (self.stopped < 0)] = self.step_done

    def rows(self, starts: Tensor) -> Tensor:
        """starts (K, B) -> (K, B, T + 1) int64 tokens."""
        return self.tokens[starts[..., None] + self._reach].long()

    def gradients(self, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Losses (K,) and the gradient of each weight, in the order of `names`; the next call overwrites them."""
        net, vocab = self.net, self.pool.vocab_size
        places, targets = net.places(ids[..., :-1]), ids[..., 1:].reshape(net.models, -1)
        x = F.embedding(places, net.weights["embed.weight"].detach().flatten(0, 1)).to(self.dtype)
        into = None if net.config.tied else self.gradient["head.weight"]
        if self._trunk is not None:
            hidden = self._trunk.forward(x, ids[..., :-1].shape)
            loss, d_hidden, d_head = heads.loss_and_gradients(
                hidden, net.head.detach(), targets, vocab, into, self._terms
            )
            d_x = self._trunk.backward(d_hidden)
        else:
            hidden = self._forward(x.requires_grad_(), ids[..., :-1].shape)
            with torch.no_grad():
                loss, d_hidden, d_head = heads.loss_and_gradients(
                    hidden.detach(), net.head.detach(), targets, vocab, into, self._terms
                )
            inner = [name for name in self.names if name not in TABLES]
            d_x, *found = torch.autograd.grad(hidden, [x, *(net.weights[name] for name in inner)], d_hidden)
            self.gradient |= dict(zip(inner, found, strict=True))
        self._embedding_gradient(d_x, places)
        if net.config.tied:
            self.gradient["embed.weight"].add_(d_head.transpose(1, 2))
        return loss, [self.gradient[name] for name in self.names]

    def _embedding_gradient(self, d_x: Tensor, places: Tensor) -> None:
        """(K, V, d): zero but for the rows that were looked up. On a CPU only those rows of the step before are zeroed:
        at 64 tokens a step the rest is 98 % of the table."""
        table, d_x = self.gradient["embed.weight"], d_x.float()
        flat, backward = table.flatten(0, 1), torch.ops.aten.embedding_dense_backward
        if not self.on_cpu:
            self.gradient["embed.weight"] = backward(d_x, places, len(flat), -1, False).view(table.shape)
            return
        rows, which = torch.unique(places, return_inverse=True)
        if self.net.config.tied:
            flat.zero_()
        else:
            flat[self._looked_up] = 0
        flat[rows] = backward(d_x, which, len(rows), -1, False)
        self._looked_up = rows

    def _save(self, trail: Trail, measured: list[np.ndarray], losses: list[np.ndarray]) -> None:
        tensors = {}
        for i, name in enumerate(self.names):
            tensors[f"weight/{name}"] = self.weights[i]
            tensors[f"first/{name}"], tensors[f"second/{name}"] = self.adam.first[i], self.adam.second[i]
        notes = {
            "step": self.step_done,
            "updates": self.adam.updates,
            "stopped": self.stopped.tolist(),
            "measured": [bits.tolist() for bits in measured],
            "losses": [loss.tolist() for loss in losses],
        }
        trail.save(tensors, notes)

    @torch.no_grad()
    def _resume(self, trail: Trail) -> tuple[list[np.ndarray], list[np.ndarray]]:
        found = trail.load()
        if found is None:
            return [], []
        tensors, notes = found
        for i, name in enumerate(self.names):
            self.weights[i].copy_(tensors[f"weight/{name}"])
            self.adam.first[i].copy_(tensors[f"first/{name}"])
            self.adam.second[i].copy_(tensors[f"second/{name}"])
        self.step_done, self.adam.updates = notes["step"], notes["updates"]
        self.stopped = np.array(notes["stopped"], np.int64)
        return [np.array(bits) for bits in notes["measured"]], [np.array(loss) for loss in notes["losses"]]


class HeldOutRows:
    """The held-out sets cut into rows, all targets in one matrix: every model of every group reads the same rows."""

    def __init__(self, pool: TokenPool, seq_len: int, device: str) -> None:
        self.bytes = np.array([target.n_bytes for target in pool.heldout], np.float64)
        self.vocab_size = pool.vocab_size
        empty = np.zeros((0, seq_len), np.int64)
        inputs, targets, owner = [empty], [empty], []
        for e, target in enumerate(pool.heldout):
            rows = held_out_rows(target, pool, seq_len)
            inputs.append(rows[0])
            targets.append(rows[1])
            owner += [e] * len(rows[0])
        self.inputs = torch.from_numpy(np.concatenate(inputs)).to(device)
        self.targets = torch.from_numpy(np.concatenate(targets)).to(device)
        self.owner = np.array(owner, np.int64)

    @torch.no_grad()
    def bits_per_byte(self, net: StackedTransformer, dtype: torch.dtype = torch.float32) -> np.ndarray:
        """(K, E) float64."""
        K, T = net.models, self.inputs.shape[1]
        step = max(1, EVALUATION_TOKENS[self.inputs.device.type] // (K * T))
        nats = np.zeros((K, len(self.bytes)))
        for first in range(0, len(self.inputs), step):
            rows = slice(first, first + step)
            targets = self.targets[rows].flatten()
            measured = (targets >= 0).nonzero().squeeze(1)  # what is only read needs no output layer
            if not len(measured):
                continue
            hidden = net.hidden(self.inputs[rows], dtype)[:, measured]
            nll = heads.losses(hidden, net.head, targets[measured].expand(K, -1), self.vocab_size).double().cpu()
            owner = self.owner[rows][(measured // T).cpu().numpy()]
            for e in np.unique(owner):
                nats[:, e] += nll.numpy()[:, owner == e].sum(1)
        return nats / math.log(2) / self.bytes


def held_out_rows(target: HeldOutTokens, pool: TokenPool, seq_len: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, T) inputs and targets of a held-out set, cut as the training loop cuts it. A document that lacks the start
    token is read after one all the same."""
    if target.heads is not None:
        return answer_rows(target, pool.start, seq_len)
    offsets = target.offsets
    if offsets is None:
        starts = np.flatnonzero(target.tokens == pool.start)
        offsets = np.unique(np.concatenate(([0], starts, [len(target.tokens)])))
    size = len(target.tokens)
    bare = [begin for begin in offsets[:-1].tolist() if begin < size and target.tokens[begin] != pool.start]
    tokens = np.insert(target.tokens, bare, pool.start)
    offsets = offsets + np.searchsorted(bare, offsets, side="left")
    ids, targets, _ = text_rows(tokens, offsets, np.zeros(len(offsets) - 1, np.int64), pool.start, pool.end, seq_len)
    return ids, targets


def answer_rows(target: HeldOutTokens, start: int, seq_len: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, T) inputs and targets (-1 where nothing is measured) of documents whose heads are only read.

    Each document is read behind its own head, in windows where it is longer than a row (`training.evaluation.windows`),
    and a row takes up as many as fit, one after the other, as rows of training do.
    """
    assert target.offsets is not None
    assert target.heads is not None
    pieces = []
    for begin, end, head in zip(target.offsets[:-1], target.offsets[1:], target.heads, strict=True):
        tokens = target.tokens[begin:end].astype(np.int64)
        for left, first, last in windows(int(head), int(end - begin - head), seq_len):
            wanted = np.full(last - 1 - left, -1, np.int64)
            wanted[first - 1 - left :] = tokens[first:last]
            pieces.append((tokens[left : last - 1], wanted))
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    used = seq_len
    for inputs, wanted in pieces:
        if used + len(inputs) > seq_len:
            rows.append((np.full(seq_len, start, np.int64), np.full(seq_len, -1, np.int64)))
            used = 0
        rows[-1][0][used : used + len(inputs)] = inputs
        rows[-1][1][used : used + len(inputs)] = wanted
        used += len(inputs)
    empty = np.zeros((0, seq_len), np.int64)
    return np.stack([row[0] for row in rows]) if rows else empty, np.stack([row[1] for row in rows]) if rows else empty


def _on_device(pool: TokenPool, device: str) -> Tensor:
    """The whole pool as one tensor: 4 bytes a token, there once for all models."""
    return torch.from_numpy(np.concatenate([domain.tokens for domain in pool.domains]).astype(np.int32)).to(device)
