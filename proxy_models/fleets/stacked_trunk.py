"""Forward and backward pass of K stacked transformers, written out for a CPU: the same memory serves every step.

Autograd takes new memory for each of some forty intermediate results of a step, and on a CPU the first touch of a page
costs more than most of the arithmetic done in it; it also joins by copying what was split. Here each result has its
place in a `Workspace`, the halves of a product are written where they belong, and the gradients of the weights lie in
tensors of their own. Attention alone is left to autograd.

Use `StackedTransformer.trunk`, which this must agree with, where no gradient is wanted, and on a GPU: there memory
comes from a pool anyhow, and kernels that fuse a norm are worth more. Refuses activations that are not float32.

Shapes as in `stacked`: K models, B rows, T positions, N = B T, d width, H query heads, G key and value heads, E width
of a head, F width of the feed-forward part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...training.transformer import TransformerConfig

EPSILON = 1e-6  # of every norm


class Buffers:
    """Tensors by name and shape, made when they are first asked for and then used again. Contents are not kept."""

    def __init__(self) -> None:
        self._tensors: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        key = (name, shape)
        if key not in self._tensors:
            self._tensors[key] = torch.empty(shape)
        return self._tensors[key]


@dataclass
class Normed:
    """What the backward pass of an RMS norm needs: x / rms(x), and 1 / rms(x) with a last axis of one."""

    unit: Tensor
    inverse: Tensor


@dataclass
class Layer:
    """What one block leaves for its backward pass."""

    attention: Normed
    read: Tensor  # (K, N, d) what qkv is applied to
    heads: Normed | None  # of queries and keys
    inputs: tuple[Tensor, Tensor, Tensor]  # q, k, v, leaves of the graph of `attended`
    attended: Tensor
    mixed: Tensor  # (K, N, H E) attended, heads after positions
    ffn: Normed
    seen: Tensor  # (K, N, d) what gate_up is applied to
    gate_up: Tensor  # (K, N, 2 F)
    opened: Tensor  # (K, N, F) silu(gate)
    product: Tensor  # (K, N, F) silu(gate) up


class Trunk:
    """The blocks and the last norm of K models, for one shape (K, B, T) at a time.

    weights    name -> stacked weight as in `StackedTransformer`
    gradients  name -> where the gradient of it is put, float32
    """

    def __init__(
        self,
        config: TransformerConfig,
        weights: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        cos: Tensor,
        sin: Tensor,
    ) -> None:
        self.config, self.gradients, self.cos, self.sin = config, gradients, cos, sin  # cos, sin: (max_len, E/2)
        self.weights = {name: weight.detach() for name, weight in weights.items()}
        self.take = Buffers()
        self.layers: list[Layer] = []
        self.last: Normed | None = None

    # ---- forward

    @torch.no_grad()
    def forward(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """Embedded tokens (K, N, d) of shape (K, B, T) -> (K, N, d) after the last norm. `x` is overwritten."""
        self.shape = (shape[0], shape[1], shape[2])
        self.layers = [self._block(x, number) for number in range(self.config.n_layers)]
        hidden, self.last = self._norm(x, "final_norm")
        return hidden

    def _block(self, x: Tensor, number: int) -> Layer:
        config, (K, n, _), take, own = self.config, x.shape, self.take, f"blocks.{number}"
        read, attention = self._norm(x, f"{own}.attention_norm")
        qkv = torch.bmm(read, self._w(number, "qkv"), out=take(f"{own} qkv", K, n, config.qkv_width))
        q, k, v, heads = self._rotated(qkv, number)
        with torch.enable_grad():
            inputs = q.detach().requires_grad_(), k.detach().requires_grad_(), v.detach().requires_grad_()
            grouped = config.n_heads != config.n_kv_heads
            attended = F.scaled_dot_product_attention(*inputs, is_causal=True, enable_gqa=grouped)
        mixed = attended.detach().transpose(1, 2).reshape(K, n, -1)
        x.baddbmm_(mixed, self._w(number, "attention_out"))
        seen, ffn = self._norm(x, f"{own}.ffn_norm")
        gate_up = torch.bmm(seen, self._w(number, "gate_up"), out=take(f"{own} gate_up", K, n, 2 * config.d_ff))
        gate, up = gate_up.split(config.d_ff, 2)
        opened = torch.ops.aten.silu.out(gate, out=take(f"{own} opened", *up.shape))
        product = torch.mul(opened, up, out=take(f"{own} product", *up.shape))
        x.baddbmm_(product, self._w(number, "down"))
        return Layer(attention, read, heads, inputs, attended, mixed, ffn, seen, gate_up, opened, product)

    def _w(self, number: int, name: str) -> Tensor:
        return self.weights[f"blocks.{number}.{name}.weight"]

    def _norm(self, x: Tensor, name: str) -> tuple[Tensor, Normed]:
        """RMS norm over the last axis of (K, N, d), times the weight (K, d)."""
        square = torch.mul(x, x, out=self.take("square", *x.shape))
        inverse = square.mean(2, keepdim=True).add_(EPSILON).rsqrt_()
        unit = torch.mul(x, inverse, out=self.take(f"{name} unit", *x.shape))
        return torch.mul(unit, self.weights[f"{name}.weight"][:, None], out=self.take(name, *x.shape)), Normed(
            unit, inverse
        )

    def _rotated(self, qkv: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor, Normed | None]:
        """Queries, keys and values (K B, heads, T, E): queries and keys normed where they are, and rotated."""
        config, (K, B, T) = self.config, self.shape
        H, G, E = config.n_heads, config.n_kv_heads, config.head_dim
        qk, v = qkv.view(K, B, T, H + 2 * G, E).split((H + G, G), 3)
        normed = None
        if config.qk_norm:
            square = torch.mul(qk, qk, out=self.take("qk square", *qk.shape))
            inverse = square.mean(4, keepdim=True).add_(EPSILON).rsqrt_()
            unit = torch.mul(qk, inverse, out=self.take(f"blocks.{number} qk unit", *qk.shape))
            qk = torch.mul(unit, self._head_scale(number), out=self.take("qk scaled", *qk.shape))
            normed = Normed(unit, inverse)
        turned = self._turn(qk, self.take(f"blocks.{number} qk", *qk.shape), 1.0).flatten(0, 1).transpose(1, 2)
        return turned[:, :H], turned[:, H:], v.flatten(0, 1).transpose(1, 2), normed

    def _head_scale(self, number: int) -> Tensor:
        """(K, 1, 1, H + G, E) weights of the norms of queries and keys."""
        config, K = self.config, self.shape[0]
        q, k = (self._w(number, name)[:, None] for name in ("q_norm", "k_norm"))
        scale = torch.cat((q.expand(K, config.n_heads, -1), k.expand(K, config.n_kv_heads, -1)), 1)
        return scale[:, None, None]

    def _turn(self, x: Tensor, out: Tensor, direction: float) -> Tensor:
        """Rotary positions of (K, B, T, heads, E); direction -1 turns back, which is the gradient."""
        T, half = x.shape[2], x.shape[4] // 2
        cos, sin = self.cos[:T, None], self.sin[:T, None]
        torch.mul(x[..., :half], cos, out=out[..., :half]).addcmul_(x[..., half:], sin, value=-direction)
        torch.mul(x[..., half:], cos, out=out[..., half:]).addcmul_(x[..., :half], sin, value=direction)
        return out

    # ---- backward

    @torch.no_grad()
    def backward(self, d_hidden: Tensor) -> Tensor:
        """d loss / d hidden (K, N, d) -> d loss / d embedded tokens; those of the weights go to `gradients`."""
        assert self.last is not None
        dx = self.take("dx", *d_hidden.shape).zero_()
        self._norm_backward(d_hidden, "final_norm", self.last, dx)
        for number in reversed(range(self.config.n_layers)):
            self._feed_forward_backward(dx, self.layers[number], number)
            self._attention_backward(dx, self.layers[number], number)
        return dx

    def _feed_forward_backward(self, dx: Tensor, layer: Layer, number: int) -> None:
        (K, n, _), width, take = dx.shape, self.config.d_ff, self.take
        self._product_gradient(f"blocks.{number}.down", layer.product, dx)
        d_product = torch.bmm(dx, self._w(number, "down").mT, out=take("d_product", K, n, width))
        gate, up = layer.gate_up.split(width, 2)
        d_gate_up = take("d_gate_up", K, n, 2 * width)
        torch.mul(d_product, layer.opened, out=d_gate_up[..., width:])
        d_product.mul_(up)
        torch.ops.aten.silu_backward.grad_input(d_product, gate, grad_input=d_gate_up[..., :width])
        self._product_gradient(f"blocks.{number}.gate_up", layer.seen, d_gate_up)
        d_seen = torch.bmm(d_gate_up, self._w(number, "gate_up").mT, out=take("d_read", *dx.shape))
        self._norm_backward(d_seen, f"blocks.{number}.ffn_norm", layer.ffn, dx)

    def _attention_backward(self, dx: Tensor, layer: Layer, number: int) -> None:
        config, (K, B, T) = self.config, self.shape
        H, G, E, n = config.n_heads, config.n_kv_heads, config.head_dim, B * T
        self._product_gradient(f"blocks.{number}.attention_out", layer.mixed, dx)
        d_mixed = torch.bmm(dx, self._w(number, "attention_out").mT, out=self.take("d_mixed", K, n, H * E))
        d_attended = d_mixed.view(K * B, T, H, E).transpose(1, 2)
        dq, dk, dv = (d.transpose(1, 2) for d in torch.autograd.grad(layer.attended, layer.inputs, d_attended))
        d_qkv = self.take("d_qkv", K, B, T, H + 2 * G, E)
        d_qk, flat = d_qkv[..., : H + G, :], d_qkv.view(K * B, T, H + 2 * G, E)
        flat[:, :, H + G :].copy_(dv)
        turned = self.take("d_turned", K, B, T, H + G, E)
        turned.view(K * B, T, H + G, E)[:, :, :H].copy_(dq)
        turned.view(K * B, T, H + G, E)[:, :, H:].copy_(dk)
        if layer.heads is None:
            self._turn(turned, d_qk, -1.0)
        else:
            back = self._turn(turned, self.take("d_scaled", *turned.shape), -1.0)
            self._heads_backward(back, layer.heads, number, d_qk)
        d_qkv = d_qkv.view(K, n, config.qkv_width)
        self._product_gradient(f"blocks.{number}.qkv", layer.read, d_qkv)
        d_read = torch.bmm(d_qkv, self._w(number, "qkv").mT, out=self.take("d_read", *dx.shape))
        self._norm_backward(d_read, f"blocks.{number}.attention_norm", layer.attention, dx)

    def _product_gradient(self, name: str, read: Tensor, d_written: Tensor) -> None:
        """Of a matrix that turned `read` into what has the gradient `d_written`."""
        torch.bmm(read.mT, d_written, out=self.gradients[f"{name}.weight"])

    def _norm_backward(self, d: Tensor, name: str, normed: Normed, dx: Tensor) -> None:
        """Add to dx the gradient through an RMS norm, d being that of its output; the weight's goes to its place."""
        scratch = torch.mul(d, normed.unit, out=self.take("square", *d.shape))
        self.gradients[f"{name}.weight"].copy_(scratch.sum(1))
        d_unit = torch.mul(d, self.weights[f"{name}.weight"][:, None], out=scratch)
        self._through_norm(d_unit, normed, self.take("d_unit", *d.shape))
        dx.add_(d_unit)

    def _through_norm(self, d_unit: Tensor, normed: Normed, scratch: Tensor) -> None:
        """(d_unit - unit mean(d_unit unit)) / rms, in place."""
        along = torch.mul(d_unit, normed.unit, out=scratch).mean(-1, keepdim=True)
        d_unit.addcmul_(normed.unit, along, value=-1.0).mul_(normed.inverse)

    def _heads_backward(self, d: Tensor, normed: Normed, number: int, into: Tensor) -> None:
        """Through the norms of queries and keys: d (K, B, T, H + G, E) that of the scaled ones; overwritten."""
        H, scratch = self.config.n_heads, self.take("qk square", *d.shape)
        d_scale = torch.mul(d, normed.unit, out=scratch).sum((1, 2))  # (K, H + G, E)
        self.gradients[f"blocks.{number}.q_norm.weight"].copy_(d_scale[:, :H].sum(1))
        self.gradients[f"blocks.{number}.k_norm.weight"].copy_(d_scale[:, H:].sum(1))
        d.mul_(self._head_scale(number))
        self._through_norm(d, normed, scratch)
        into.copy_(d)
