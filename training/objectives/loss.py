"""Linear cross-entropy in chunks: the loss of a head over hidden states without all logits at once.

Targets may be distributions over a few tokens (distillation from a stored top-k cache) and each token has a weight, so
masks, reweighting and z-loss are one code path. Gradients are computed chunk by chunk, in the forward pass where the
weights are known (`weighted_loss`, one product with the head instead of two) and again in the backward pass where
they are not (`token_nll`).

Shapes: N tokens, D width, V vocabulary, K candidates of a soft target. A negative target has loss 0 and no gradient.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Terms = Callable[..., tuple[Tensor, Tensor | None]]  # of the arguments of `chunk_terms`

CHUNK_LOGITS = {"cpu": 1 << 20, "cuda": 1 << 28}  # logits alive at once: about a core's cache, a small share of a GPU


def rows_per_chunk(vocabulary: int, device: str) -> int:
    return max(16, CHUNK_LOGITS.get(device, 1 << 24) // vocabulary)


def chunk_terms(
    hidden: Tensor, weight: Tensor, ids: Tensor, shares: Tensor | None, scale: Tensor | None, z: float, vocab: int
) -> tuple[Tensor, Tensor | None]:
    """Loss of one chunk and, where `scale` is given, the gradient with respect to its logits.

    hidden (n, D), weight (V, D), ids (n, K) with 0 where ignored, shares (n, K) or None for K = 1 -> (n,) float32 of
    lse(logits) - sum_k shares_k logits[ids_k], and (n, V), as hidden: scale (softmax (1 + 2 z lse) - shares)
    """
    logits = (hidden @ weight.T).float()
    if vocab < weight.shape[0]:
        logits[:, vocab:] = -torch.inf
    lse = logits.logsumexp(-1)
    picked = logits.gather(1, ids)
    loss = lse - (picked[:, 0] if shares is None else (picked * shares).sum(-1))
    if scale is None:
        return loss, None
    gradient = (logits - lse[:, None]).exp_()
    factor = scale if z == 0.0 else scale * (1.0 + 2.0 * z * lse)
    gradient *= factor[:, None]
    given = -scale[:, None] if shares is None else -scale[:, None] * shares
    gradient.scatter_add_(1, ids, given)
    if z != 0.0:
        loss = torch.stack((loss, lse))
    return loss, gradient.to(hidden.dtype)


def _prepared(targets: Tensor, shares: Tensor | None) -> tuple[Tensor, Tensor]:
    """ids (N, K) without negatives, and which tokens count (N,) bool."""
    ids = targets[:, None] if targets.ndim == 1 else targets
    counts = ids[:, 0] >= 0
    return ids.clamp(min=0), counts


def _sweep(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    shares: Tensor | None,
    scale: Tensor | None,
    z: float,
    vocab: int,
    terms: Terms,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """All chunks: loss (N,), lse (N,; zeros unless z), and if scale is given the gradients of hidden and weight."""
    ids, counts = _prepared(targets, shares)
    cast = weight.to(hidden.dtype)
    losses = torch.zeros(len(hidden), device=hidden.device)
    lses = torch.zeros_like(losses)
    grad_hidden = torch.empty_like(hidden) if scale is not None else None
    grad_weight = torch.zeros_like(weight, dtype=torch.float32) if scale is not None else None
    if scale is not None:
        scale = scale * counts
    step = rows_per_chunk(len(weight), hidden.device.type)
    for start in range(0, len(hidden), step):
        part = slice(start, start + step)
        loss, gradient = terms(
            hidden[part],
            cast,
            ids[part],
            None if shares is None else shares[part],
            None if scale is None else scale[part],
            z,
            vocab,
        )
        if z != 0.0 and scale is not None:
            loss, lses[part] = loss[0], loss[1]
        losses[part] = loss
        if gradient is not None and grad_hidden is not None and grad_weight is not None:
            torch.mm(gradient, cast, out=grad_hidden[part])
            if gradient.dtype == torch.float32:
                grad_weight.addmm_(gradient.T, hidden[part])
            else:
                grad_weight += gradient.T @ hidden[part]
    return losses * counts, lses * counts, grad_hidden, grad_weight


def compiled_terms() -> Terms:
    """`chunk_terms` with its element-wise passes over the logits fused. For CUDA; compiles once per shape."""
    return torch.compile(chunk_terms, dynamic=False)


class _TokenNLL(torch.autograd.Function):
    """Loss per token; the backward pass computes the chunks again with the incoming gradient as weights."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, shares: Tensor | None, vocab: int, terms: Terms
    ):
        ctx.save_for_backward(hidden, weight, targets, shares)
        ctx.vocab, ctx.terms = vocab, terms
        return _sweep(hidden, weight, targets, shares, None, 0.0, vocab, terms)[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):
        hidden, weight, targets, shares = ctx.saved_tensors
        scale = grads[0].float()
        _, _, grad_hidden, grad_weight = _sweep(hidden, weight, targets, shares, scale, 0.0, ctx.vocab, ctx.terms)
        return grad_hidden, grad_weight, None, None, None, None


class _WeightedLoss(torch.autograd.Function):
    """Sum of weighted losses; gradients are made in the forward pass and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        shares: Tensor | None,
        scale: Tensor,
        z: float,
        vocab: int,
        terms: Terms,
    ):
        needed = scale if any(ctx.needs_input_grad[:2]) else None
        losses, lses, grad_hidden, grad_weight = _sweep(hidden, weight, targets, shares, needed, z, vocab, terms)
        ctx.save_for_backward(grad_hidden, grad_weight)
        total = (losses * scale).sum() + z * (lses.square() * scale).sum()
        ctx.mark_non_differentiable(losses)
        return total, losses

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grads[0].to(grad_hidden.dtype), grad_weight * grads[0], *([None] * 6)


def token_nll(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    vocab: int | None = None,
    shares: Tensor | None = None,
    terms: Terms = chunk_terms,
) -> Tensor:
    """Differentiable loss per token: hidden (N, D), weight (padded V, D), targets (N,) or (N, K) -> (N,) nats."""
    return _TokenNLL.apply(hidden, weight, targets, shares, vocab or len(weight), terms)  # type: ignore[return-value]


def weighted_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    scale: Tensor,
    vocab: int | None = None,
    shares: Tensor | None = None,
    z: float = 0.0,
    terms: Terms = chunk_terms,
) -> tuple[Tensor, Tensor]:
    """sum_i scale_i (nll_i + z lse_i^2), and the nll per token (N,) without gradient.

    scale   (N,) float32; 0 masks a token
    shares  (N, K) probabilities of the targets (N, K); None for plain targets (N,)
    z       weight of the z-loss, which keeps the normaliser near 1 (PaLM, 1e-4)
    terms   what computes a chunk: `chunk_terms`, or `compiled_terms()`
    """
    return _WeightedLoss.apply(hidden, weight, targets, shares, scale, z, vocab or len(weight), terms)  # type: ignore


@torch.no_grad()
def sample_targets(hidden: Tensor, weight: Tensor, seed: int, vocab: int) -> Tensor:
    """Labels drawn from the model's own distribution, for Sophia: hidden (N, D) -> (N,) int64."""
    generator = torch.Generator(hidden.device).manual_seed(seed)
    weight = weight[:vocab].to(hidden.dtype)
    drawn = []
    for part in hidden.split(rows_per_chunk(vocab, hidden.device.type)):
        logits = (part @ weight.T).float()
        uniform = torch.rand(logits.shape, generator=generator, device=logits.device).clamp_(min=1e-20)
        drawn.append((logits - (-uniform.log()).log()).argmax(-1))  # Gumbel
    return torch.cat(drawn)
