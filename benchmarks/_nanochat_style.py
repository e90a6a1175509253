"""A model in the published habits of nanochat, for `training_gpu`: what its d12 is made of, written down minimally.

Norms without weights, also after the embedding; queries and keys normed after rotary positions; squared ReLU of four
times the width; embedding and head apart, the embedding held in bfloat16; logits capped by 15 tanh(x / 15) in float32;
matrices under Muon, the rest under AdamW; full logits through cross-entropy under bfloat16 autocast. Attention is the
same SDPA call as ours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gristmill.training.transformer import TransformerConfig, rotate

CAP = 15.0


def norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],))


class Layer(nn.Module):
    """Attention, then squared ReLU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows, length, width = x.shape
        q, k, v = self.qkv(norm(x)).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(F.relu(self.up(norm(x))).square())


class NanochatStyle(nn.Module):
    """ids and targets (B, T) -> the mean loss."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(config.padded_vocab, config.d_model, dtype=torch.bfloat16)
        self.layers = nn.ModuleList(Layer(config.d_model, config.n_heads) for _ in range(config.n_layers))
        self.head = nn.Linear(config.d_model, config.padded_vocab, bias=False)
        half = config.head_dim // 2
        angles = torch.outer(torch.arange(config.max_len), 10_000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos().bfloat16(), persistent=False)
        self.register_buffer("sin", angles.sin().bfloat16(), persistent=False)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = norm(self.embed(ids))
        for layer in self.layers:
            x = layer(x, self.cos[: ids.shape[1]], self.sin[: ids.shape[1]])
        logits = CAP * torch.tanh(self.head(norm(x)).float() / CAP)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def optimisers(self) -> list[torch.optim.Optimizer]:
        matrices = [parameter for layer in self.layers for parameter in layer.parameters()]
        tables = [self.embed.weight, self.head.weight]
        return [torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(tables, lr=1e-3, betas=(0.8, 0.95), fused=True)]
