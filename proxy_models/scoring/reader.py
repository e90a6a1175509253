"""Reading with a transformer: hidden states and the loss of every token, without gradients, as fast as its device goes.

`reader(model)` takes the transformer as it is, or on a CPU a packed copy of it. Packing lays each matrix out once as
oneDNN's kernels want it, whose products in float32 are never slower than those that torch takes by default and twice as
fast on processors whose wide vectors that default leaves alone. What stands between the products is one compiled pass
each (`reader_kernels`, `reader_attention`), a few hundred positions at a time, so that it stays in the cache of a core;
no more logits than these times a part of the vocabulary are ever held. `training.Transformer` is the definition:
readers agree with it to rounding, which the tests hold them to.

Refuses nothing: what cannot be packed is read as it is. A packed reader keeps the weights of the moment it was made.
"""

import threading
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...training.transformer import Transformer
from ..fleets import heads
from . import reader_kernels as kernels
from .reader_attention import attend

PANEL = 1024  # entries of the vocabulary in one product
ROWS = 256  # positions in one product: with a panel, a tile of 1 MiB
STEP = 64  # rows of a product are rounded up to this: a kernel is generated for every number of rows


def reader(model: Transformer) -> "Reader":
    """The fastest reader of a model where it is."""
    packable = model.cos.device.type == "cpu" and model.compute_dtype == torch.float32
    return PackedReader(model) if packable and _can_pack() else Reader(model)


class Reader:
    """Reads with the transformer itself, on any device."""

    def __init__(self, model: Transformer) -> None:
        self.config, self.device = model.config, model.cos.device
        self.head = model.head_weight.detach().T[None]  # (1, d, V)
        self.model: Transformer | None = model

    def hidden(self, ids: Tensor) -> Tensor:
        """ids (B, T) int64 -> (B, T, d) after the last norm."""
        assert self.model is not None
        return self.model(ids)

    def losses(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """(N,) float32 nats: hidden (N, d), targets (N,) int64."""
        return heads.losses(hidden[None], self.head, targets[None], self.config.vocab_size)[0]

    def statistics(self, hidden: Tensor, targets: Tensor) -> list[Tensor]:
        """Loss, mean and deviation of log p, and rank: (N,) each, as `heads.statistics` has them."""
        told = heads.statistics(hidden[None], self.head, targets[None], self.config.vocab_size)
        return [column[0] for column in told]


class PackedReader(Reader):
    """Reads on a CPU in float32, by packed matrices and buffers that serve every batch."""

    def __init__(self, model: Transformer) -> None:
        super().__init__(model)
        self.model = None  # the copy stands on its own
        config, state = model.config, {name: weight.detach() for name, weight in model.state_dict().items()}
        self.embed = state["embed.weight"]
        self.layers = [_Layer(state, f"blocks.{number}", model) for number in range(config.n_layers)]
        self.norms = [norm for layer in self.layers for norm in (layer.attention_norm, layer.ffn_norm)]
        self.norms.append(state["final_norm.weight"].numpy())
        self.cos, self.sin = model.cos.numpy(), model.sin.numpy()
        width = -(-config.vocab_size // -(-config.vocab_size // PANEL))
        entries = model.head_weight.detach()[: config.vocab_size]
        self.panels = {n: _packed(entries[n : n + width]) for n in range(0, config.vocab_size, width)}
        self._buffers = threading.local()  # a runner may share one reader between its threads

    def hidden(self, ids: Tensor) -> Tensor:
        """As of `Reader`; a view of a buffer that the thread's next call overwrites."""
        config, (B, T) = self.config, ids.shape
        n, H, G, E = B * T, config.n_heads, config.n_kv_heads, config.head_dim
        x, read = self._buffer("x", n, config.d_model), self._buffer("read", n, config.d_model)
        heads, mixed = self._buffer("heads", n, config.qkv_width), self._buffer("mixed", n, H * E)
        product, gate = self._buffer("product", min(n, ROWS), config.d_ff), kernels.gate
        add_norm, (first_norm, *norms) = kernels.add_norm, self.norms
        torch.index_select(self.embed, 0, ids.flatten(), out=x[:n])
        add_norm(x.numpy(), np.empty((0, config.d_model), np.float32), first_norm, read.numpy())
        by_head, by_query = heads.view(-1, H + 2 * G, E).numpy(), mixed.view(-1, H, E).numpy()
        for layer, (ffn_norm, next_norm) in zip(self.layers, zip(norms[::2], norms[1::2], strict=True), strict=True):
            for rows in _blocks(len(x)):
                qkv = _times(read[rows], layer.qkv).view(-1, H + 2 * G, E).numpy()
                kernels.turn_heads(
                    qkv, layer.scales, self.cos[:T], self.sin[:T], rows.start, config.qk_norm, by_head[rows]
                )
            attend(by_head[:n], B, H, G, by_query[:n])
            for rows in _blocks(len(x)):
                own, now = x[rows].numpy(), read[rows]
                add_norm(own, _times(mixed[rows], layer.attention_out).numpy(), ffn_norm, now.numpy())
                gate(_times(now, layer.gate_up).numpy(), product[: len(now)].numpy())
                add_norm(own, _times(product[: len(now)], layer.down).numpy(), next_norm, now.numpy())
        return read[:n].view(B, T, -1)

    def losses(self, hidden: Tensor, targets: Tensor) -> Tensor:
        n = len(targets)
        top, total, own = np.full(n, -np.inf, np.float32), np.zeros(n, np.float32), np.zeros(n, np.float32)
        places = targets.numpy()
        for rows in _blocks(n):
            block, count = hidden[rows], len(places[rows])
            if count % STEP:
                block = self._buffer("rows", count, hidden.shape[1])
                block[:count].copy_(hidden[rows])
            for start, panel in self.panels.items():
                logits = _times(block, panel).numpy()[:count]
                kernels.absorb(logits, places[rows], start, top[rows], total[rows], own[rows])
        return torch.from_numpy(top + np.log(total) - own)

    def _buffer(self, name: str, n: int, width: int) -> Tensor:
        """(n rounded up, width) float32, holding what was last put there."""
        size, own = -(-n // STEP) * STEP * width, self._buffers.__dict__
        if name not in own or own[name].numel() < size:
            own[name] = torch.zeros(size)
        return own[name][:size].view(-1, width)


class _Layer:
    """A block's matrices, packed, and the weights of its norms."""

    def __init__(self, state: dict[str, Tensor], block: str, model: Transformer) -> None:
        self.qkv, self.attention_out, self.gate_up, self.down = (
            _packed(state[f"{block}.{name}.weight"]) for name in ("qkv", "attention_out", "gate_up", "down")
        )
        self.attention_norm, self.ffn_norm = (
            state[f"{block}.{name}.weight"].numpy() for name in ("attention_norm", "ffn_norm")
        )
        queries, keys = model.config.n_heads, model.config.n_kv_heads
        self.scales = np.ones((queries + keys, model.config.head_dim), np.float32)  # of the norms of queries and keys
        if model.config.qk_norm:
            self.scales[:queries] = state[f"{block}.q_norm.weight"].numpy()
            self.scales[queries:] = state[f"{block}.k_norm.weight"].numpy()


def _blocks(n: int) -> Iterator[slice]:
    return (slice(first, min(first + ROWS, n)) for first in range(0, n, ROWS))


def _can_pack() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _packed(weight: Tensor) -> Tensor:
    """A matrix (outputs, inputs), laid out for `_times`."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)


def _times(x: Tensor, packed: Tensor) -> Tensor:
    """x (n, inputs) times the matrix that was packed, transposed: (n, outputs)."""
    return torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
