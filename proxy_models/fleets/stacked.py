"""K transformers of one shape as one program: the architecture of `training.transformer`, with weights stacked.

Nothing in it mixes models: products are batched over the models, attention has no weights and takes the models in its
batch axis, and each model looks its tokens up in its own part of one embedding table. Stack and unstack convert from
and to the state of `Transformer`, which is the definition that the tests hold this to.

Shapes: K models, B rows, T positions, N = B T, d width, V padded vocabulary, E head width.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...training.transformer import Transformer, TransformerConfig, rotate

MATRICES = ("qkv", "attention_out", "gate_up", "down")  # of each block, stored (K, inputs, outputs)


class StackedTransformer:
    """The weights of K models by the names of `Transformer.state_dict()`, and the forward pass of all of them.

    Matrices are (K, inputs, outputs), the head (K, d, V), norms (K, width), the embedding (K, V, d).
    """

    def __init__(self, config: TransformerConfig, weights: Mapping[str, Tensor]) -> None:
        self.config = config
        self.weights = dict(weights)
        self.models = self.weights["embed.weight"].shape[0]
        reference = Transformer(config)
        device = self.weights["embed.weight"].device
        self.cos, self.sin = reference.cos.to(device), reference.sin.to(device)

    @classmethod
    def initialised(cls, config: TransformerConfig, seeds: Sequence[int], device: str = "cpu") -> "StackedTransformer":
        """Each model as `Transformer(config, seed)` starts; equal seeds start equal."""
        states = {seed: Transformer(config, seed).state_dict() for seed in dict.fromkeys(seeds)}
        return cls.stack(config, [states[seed] for seed in seeds], device)

    @classmethod
    def stack(
        cls, config: TransformerConfig, states: Sequence[Mapping[str, Tensor]], device: str = "cpu"
    ) -> "StackedTransformer":
        weights = {}
        for name in states[0]:
            parts = [state[name].T if _is_matrix(name) else state[name] for state in states]
            weights[name] = torch.stack(parts).to(device).contiguous()
        return cls(config, weights)

    def state_dict(self, k: int) -> dict[str, Tensor]:
        """Model k's weights as `Transformer.load_state_dict` takes them."""
        return {
            name: (weight[k].T if _is_matrix(name) else weight[k]).detach().contiguous().clone()
            for name, weight in self.weights.items()
        }

    @property
    def head(self) -> Tensor:
        """(K, d, V)"""
        tied = self.weights["embed.weight"].transpose(1, 2)
        return tied if self.config.tied else self.weights["head.weight"]

    def hidden(self, ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """ids (K, B, T) int64, or (B, T) for all models alike -> (K, B T, d) after the last norm."""
        if ids.dim() == 2:
            ids = ids.expand(self.models, *ids.shape)
        return self.trunk(
            F.embedding(self.places(ids), self.weights["embed.weight"].flatten(0, 1)).to(dtype), ids.shape
        )

    def places(self, ids: Tensor) -> Tensor:
        """(K, N) int64: rows of the one embedding table of all models for ids (K, B, T)."""
        K, B, T = ids.shape
        first = torch.arange(K, device=ids.device)[:, None] * self.weights["embed.weight"].shape[1]
        return ids.reshape(K, B * T) + first

    def trunk(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """Embedded tokens (K, N, d) of shape (K, B, T) -> (K, N, d) after the last norm."""
        (K, B, T), dtype = shape, x.dtype
        cos, sin = (
            self.cos[:T, None].to(dtype),
            self.sin[:T, None].to(dtype),
        )  # (T, 1, E/2): heads stand after positions
        for layer in range(self.config.n_layers):
            w = {name: self.weights[f"blocks.{layer}.{name}.weight"].to(dtype) for name in (*MATRICES, *self._norms)}
            x = torch.baddbmm(
                x, self._attend(_norm(x, w["attention_norm"]), w, (K, B, T), cos, sin), w["attention_out"]
            )
            gate, up = torch.bmm(_norm(x, w["ffn_norm"]), w["gate_up"]).chunk(2, dim=-1)
            x = torch.baddbmm(x, F.silu(gate) * up, w["down"])
        return _norm(x, self.weights["final_norm.weight"].to(dtype))

    @property
    def _norms(self) -> tuple[str, ...]:
        return ("attention_norm", "ffn_norm", *(("q_norm", "k_norm") if self.config.qk_norm else ()))

    def _attend(
        self, x: Tensor, w: Mapping[str, Tensor], shape: tuple[int, int, int], cos: Tensor, sin: Tensor
    ) -> Tensor:
        """(K, N, d) -> (K, N, H E), K and B together as the batch of the attention kernel."""
        config, (K, B, T) = self.config, shape
        H, G, E = config.n_heads, config.n_kv_heads, config.head_dim
        heads = torch.bmm(x, w["qkv"]).view(K, B, T, H + 2 * G, E)
        qk, v = heads.split((H + G, G), dim=3)
        if config.qk_norm:
            scale = torch.cat((w["q_norm"][:, None].expand(K, H, E), w["k_norm"][:, None].expand(K, G, E)), 1)
            qk = F.rms_norm(qk, (E,), None, 1e-6) * scale[:, None, None]
        q, k = rotate(qk, cos, sin).split((H, G), dim=3)
        q, k, v = (part.reshape(K * B, T, -1, E).transpose(1, 2) for part in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=H != G)
        return y.transpose(1, 2).reshape(K, B * T, H * E)


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), None, 1e-6) * weight[:, None]


def _is_matrix(name: str) -> bool:
    return name == "head.weight" or name.split(".")[-2] in MATRICES
