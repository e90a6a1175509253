"""The transformer: one decoder-only language model in one file, the same for proxies, scorers and pre-training.

Pre-norm blocks of RMSNorm, rotary positions, grouped-query attention through SDPA and SwiGLU; QK-norm and a tied head
are options; the vocabulary is padded to a multiple of 64 and the padding never receives probability.

Shapes: B rows, T positions, D width, H heads, G key/value heads, E head width, F feed-forward width, V vocabulary.
Weights stay in float32; the activations' dtype is `compute_dtype` (every matrix is cast where it is used), so bfloat16
training keeps float32 master weights without autocast. Refuses shapes that SDPA or rotary positions cannot take.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..corpus.store.errors import RequestError, unknown_name
from .objectives.loss import token_nll

PAD = 64  # the vocabulary is padded to a multiple of this; matrix products over it then use full tiles


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a model; everything that decides its parameters."""

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_ff: int
    vocab_size: int
    max_len: int = 2048
    tied: bool = False
    qk_norm: bool = True
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 2:
            raise RequestError(f"d_model {self.d_model} does not split into {self.n_heads} heads of even width")
        if self.n_heads % self.n_kv_heads:
            raise RequestError(f"n_heads {self.n_heads} is no multiple of n_kv_heads {self.n_kv_heads}")
        if min(self.n_layers, self.d_ff, self.vocab_size, self.max_len) < 1:
            raise RequestError(f"n_layers, d_ff, vocab_size and max_len must be positive: {self}")

    @property
    def head_dim(self) -> int:
        return self.d_model // self.n_heads

    @property
    def padded_vocab(self) -> int:
        return -(-self.vocab_size // PAD) * PAD

    @property
    def qkv_width(self) -> int:
        """Rows of the fused projection: queries, then keys, then values."""
        return (self.n_heads + 2 * self.n_kv_heads) * self.head_dim


@dataclass(frozen=True)
class ReadingMode:
    """What of its training, beside the weights, shapes the probabilities of a model: what measures it has to do alike.

    document_mask  attention stays within documents
    metadata       documents begin with their metadata prefix, which carries no loss
    """

    document_mask: bool = False
    metadata: bool = False


PLAIN = ReadingMode()  # one text after the other, without prefixes


# name -> layers, width, heads, key/value heads, feed-forward width. A name counts the parameters of the blocks alone:
# embedding and head depend on the vocabulary and would swamp the small sizes.
SIZES = {
    "1m": (5, 128, 2, 2, 384),
    "4m": (5, 256, 4, 4, 704),
    "15m": (8, 384, 6, 6, 1024),
    "60m": (12, 640, 10, 10, 1728),
    "150m": (12, 1024, 8, 8, 2752),
    "350m": (18, 1280, 10, 10, 3456),
    "1b": (22, 2048, 16, 4, 5632),
}


def size(name: str, vocab_size: int, max_len: int = 2048, **changes: object) -> TransformerConfig:
    """The configuration of a named size, or of numbers: `2x128x4` is layers x width x heads with 8/3 x width in the
    feed-forward part, rounded up to 64. `changes` replace single fields."""
    numbers = name.split("x")
    if len(numbers) == 3 and all(number.isdigit() and int(number) > 0 for number in numbers):
        layers, width, heads = map(int, numbers)
        kv_heads, d_ff = heads, -(-8 * width // (3 * PAD)) * PAD
    elif name in SIZES:
        layers, width, heads, kv_heads, d_ff = SIZES[name]
    else:
        raise unknown_name("model size", name, [*SIZES, "LAYERSxWIDTHxHEADS"])
    config = TransformerConfig(layers, width, heads, kv_heads, d_ff, vocab_size, max_len)
    return replace(config, **changes)  # type: ignore[arg-type]


def block_parameters(config: TransformerConfig) -> int:
    """Parameters of the matrices in the blocks: no norms, no embedding, no head."""
    attention = config.d_model * config.qkv_width + config.n_heads * config.head_dim * config.d_model
    return config.n_layers * (attention + 3 * config.d_model * config.d_ff)


def flops_per_token(config: TransformerConfig, seq_len: int) -> float:
    """Floating-point operations to train on one token, forward and backward.

    6 per parameter of a matrix that a token passes through (blocks and head; the embedding is a look-up), plus
    12 n_layers H E T for attention scores and values, counted over the whole T x T square although the causal half is
    skipped. That is the convention of published MFU figures; counting half lowers MFU by 1 to 3 points.
    """
    matrices = block_parameters(config) + config.padded_vocab * config.d_model
    return 6.0 * matrices + 12.0 * config.n_layers * config.n_heads * config.head_dim * seq_len


class Linear(nn.Linear):
    """A bias-free linear map whose float32 weight is cast to the dtype of what it is applied to."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight.to(input.dtype))


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), 1e-6)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: x (..., T, E), cos and sin (T, E/2); the first half of E pairs with the second."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


@cache
def fused_flex() -> Any:
    """Flex attention as one kernel, for a model that is not compiled itself."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


class Block(nn.Module):
    """Attention and SwiGLU, each behind its norm and added to the stream."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.attention_norm = RMSNorm(config.d_model)
        self.qkv = Linear(config.d_model, config.qkv_width)
        self.q_norm = RMSNorm(config.head_dim) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(config.head_dim) if config.qk_norm else nn.Identity()
        self.attention_out = Linear(config.n_heads * config.head_dim, config.d_model)
        self.ffn_norm = RMSNorm(config.d_model)
        self.gate_up = Linear(config.d_model, 2 * config.d_ff)
        self.down = Linear(config.d_ff, config.d_model)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: object = None) -> Tensor:
        x = x + self.attention_out(self.attend(self.attention_norm(x), cos, sin, mask))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor, mask: object) -> Tensor:
        config, (rows, length, _) = self.config, x.shape
        heads = self.qkv(x).view(rows, length, config.n_heads + 2 * config.n_kv_heads, config.head_dim).transpose(1, 2)
        q, k, v = heads.split((config.n_heads, config.n_kv_heads, config.n_kv_heads), dim=1)  # (B, H or G, T, E)
        q, k = rotate(self.q_norm(q), cos, sin), rotate(self.k_norm(k), cos, sin)
        grouped = config.n_heads != config.n_kv_heads
        if mask is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        elif isinstance(mask, Tensor):
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
        else:
            from torch.nn.attention.flex_attention import flex_attention

            eager_cuda = q.is_cuda and not torch.compiler.is_compiling()
            attention = fused_flex() if eager_cuda else flex_attention
            y = attention(q, k, v, block_mask=mask, enable_gqa=grouped)  # type: ignore[arg-type]
        return y.transpose(1, 2).reshape(rows, length, config.n_heads * config.head_dim)  # type: ignore[union-attr]


class Transformer(nn.Module):
    """Token ids in, hidden states out. The head is applied by `nll`, in chunks that never hold all logits."""

    cos: Tensor  # (max_len, E/2) float32
    sin: Tensor

    def __init__(self, config: TransformerConfig, seed: int = 0, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config, self.compute_dtype = config, compute_dtype
        self.reading = ReadingMode()
        self.embed = nn.Embedding(config.padded_vocab, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.final_norm = RMSNorm(config.d_model)
        self.head = None if config.tied else Linear(config.d_model, config.padded_vocab)
        frequencies = config.rope_base ** (-torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)
        angles = torch.outer(torch.arange(config.max_len, dtype=torch.float64), frequencies)
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)
        self.initialise(seed)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Weights from a generator of their own, so that nothing else that draws numbers changes them.

        Normal with deviation 1/sqrt(inputs); maps back into the stream start at zero, so every block starts as the
        identity; embedding and head at 0.02. Norms start at one.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0)
            elif name.endswith(("attention_out.weight", "down.weight")):
                parameter.zero_()
            else:
                deviation = 0.02 if name.startswith(("embed", "head")) else 1.0 / math.sqrt(parameter.shape[1])
                draw = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(draw * deviation)

    @property
    def head_weight(self) -> Tensor:
        """(padded V, D)"""
        return self.embed.weight if self.head is None else self.head.weight

    def forward(self, ids: Tensor, mask: object = None) -> Tensor:
        """ids (B, T) int64, mask None (causal) or what `document_mask` made -> (B, T, D) after the last norm."""
        length = ids.shape[1]
        if length > self.config.max_len:
            raise RequestError(f"a row of {length} tokens is longer than max_len {self.config.max_len}")
        x = self.embed(ids).to(self.compute_dtype)
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return self.final_norm(x)

    def nll(self, ids: Tensor, targets: Tensor, mask: object = None) -> Tensor:
        """Loss per token: ids and targets (B, T) int64 -> (B, T) float32 nats, 0 where the target is negative.

        Always runs uncompiled, so that rows of any number and length may be measured beside a compiled training step.
        """
        hidden = self.forward(ids, mask).flatten(0, 1)
        return token_nll(hidden, self.head_weight, targets.flatten(), self.config.vocab_size).view(targets.shape)

    def read(self, ids: Tensor, targets: Tensor, documents: Tensor | None = None) -> Tensor:
        """Loss per token as in `nll`, read as the model was trained: documents (B, T) int say which tokens belong
        together, and count where attention stays within documents."""
        masked = self.reading.document_mask and documents is not None
        return self.nll(ids, targets, document_mask(documents) if masked else None)  # type: ignore[arg-type]

    def logits(self, ids: Tensor, mask: object = None) -> Tensor:
        """(B, T, V) float32, for generation and small tests; training never calls it."""
        hidden = self(ids, mask)
        return F.linear(hidden, self.head_weight.to(hidden.dtype))[..., : self.config.vocab_size].float()


def document_mask(documents: Tensor) -> object:
    """Causal attention within documents. documents (B, T) int: equal numbers, same document.

    Positions are not reset: rotary attention depends on differences of positions alone. On CUDA a block mask for flex
    attention, which skips what is masked; elsewhere a boolean (B, 1, T, T), its twin.
    """
    length = documents.shape[1]
    if documents.is_cuda:
        from torch.nn.attention.flex_attention import create_block_mask

        def visible(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (q >= k) & (documents[b, q] == documents[b, k])

        return create_block_mask(visible, documents.shape[0], None, length, length, device=documents.device)
    causal = torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()
    return (causal & (documents[:, :, None] == documents[:, None, :]))[:, None]
