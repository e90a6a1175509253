"""Two passes over memory of a fleet on a GPU, in Triton: the loss of a row of logits, and AdamW of stacked models.

torch's own operations read and write the logits twelve times and the weights' state thirteen times for the same
result (here 4 bytes a logit and 28 a parameter, which is what there is to read and to write). The plain
twins are `heads.terms` and `stacked_optimizer.AdamW.elementwise`, which a CPU runs and the tests hold these to.

Imported only where `heads.has_kernels` finds a CUDA device and Triton; refuses nothing.
"""

from collections.abc import Sequence

import torch
import triton  # type: ignore[import-not-found]
import triton.language as tl  # type: ignore[import-not-found]
from torch import Tensor

from .stacked_optimizer import AdamState, AdamW

ROW = 8192  # logits that one program holds at a time
BLOCK = 1024  # parameters that one program updates


def terms(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """As `heads.terms`: logits (k, n, V), overwritten by their gradient, targets (k, n, 1) -> losses (k, n) float32 and
    softmax minus one-hot in the dtype of the logits."""
    return _rows(logits, targets, True), logits


def losses(logits: Tensor, targets: Tensor) -> Tensor:
    """(k, n) float32 nats of logits (k, n, V), which stay as they are, and targets (k, n, 1)."""
    return _rows(logits, targets, False)


def _rows(logits: Tensor, targets: Tensor, gradient: bool) -> Tensor:
    vocab = logits.shape[-1]
    rows = logits.view(-1, vocab)
    nll = torch.empty(logits.shape[:-1], dtype=torch.float32, device=logits.device)
    block = min(ROW, 1 << (vocab - 1).bit_length())
    _cross_entropy[(len(rows),)](  # type: ignore[index]
        rows,
        targets.reshape(-1).contiguous(),
        nll,
        rows.stride(0),
        VOCAB=vocab,
        GRADIENT=gradient,
        BLOCK=block,
        num_warps=8,
    )
    return nll


def adamw(
    update: AdamW,
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    state: AdamState,
    rates: Tensor,
    alive: Tensor,
    updates: Tensor,
    scales: Tensor,
) -> None:
    """As `AdamW.elementwise`, which says what the arguments are. The moments of a model that is not alive stay."""
    updates.add_(1)
    corrections = torch.stack((1 - update.beta1**updates, 1 - update.beta2**updates))
    lives = alive.to(torch.int32)
    for i, weight in enumerate(weights):
        size = weight[0].numel()
        decay = update.weight_decay if update.decays[i] else 0.0
        _adamw[(-(-size // BLOCK), len(weight))](  # type: ignore[index]
            weight.detach(), gradients[i].contiguous(), state.first[i], state.second[i], rates, lives, scales,
            corrections, size, 1 - update.beta1, update.beta2, 1 - update.beta2, update.epsilon, decay, BLOCK=BLOCK,
        )  # fmt: skip


@triton.jit
def _cross_entropy(
    logits, targets, nll, stride, VOCAB: tl.constexpr, GRADIENT: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """One row: its normaliser under a running maximum, then its gradient in place."""
    row = tl.program_id(0).to(tl.int64)
    base = logits + row * stride
    target = tl.load(targets + row)
    # before anything is written, and before the barriers of the sums: another warp may overwrite it below
    picked = tl.load(base + target).to(tl.float32)
    columns = tl.arange(0, BLOCK)
    top = tl.full((), float("-inf"), tl.float32)
    total = tl.full((), 0.0, tl.float32)
    for first in range(0, VOCAB, BLOCK):
        place = first + columns
        x = tl.load(base + place, mask=place < VOCAB, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(top, tl.max(x, 0))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(x - higher), 0)
        top = higher
    normaliser = top + tl.log(total)
    tl.store(nll + row, normaliser - picked)
    if GRADIENT:
        for first in range(0, VOCAB, BLOCK):
            place = first + columns
            x = tl.load(base + place, mask=place < VOCAB, other=float("-inf")).to(tl.float32)
            p = tl.exp(x - normaliser)
            p = tl.where(place == target, p - 1.0, p)
            tl.store(base + place, p.to(logits.dtype.element_ty), mask=place < VOCAB)


@triton.jit
def _adamw(
    weight, gradient, first, second, rates, alive, scales, corrections, size, less1, beta2, less2, epsilon, decay,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of one model's part of one weight."""
    k = tl.program_id(1)
    if tl.load(alive + k) != 0:
        offset = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = offset < size
        place = k.to(tl.int64) * size + offset
        g = tl.load(gradient + place, mask=mask, other=0.0) * tl.load(scales + k)
        w = tl.load(weight + place, mask=mask, other=0.0)
        m = tl.load(first + place, mask=mask, other=0.0)
        v = tl.load(second + place, mask=mask, other=0.0)
        m += less1 * (g - m)
        v = v * beta2 + less2 * g * g
        change = (m / tl.load(corrections)) / (tl.sqrt(v / tl.load(corrections + 1)) + epsilon)
        w -= tl.load(rates + k) * (change + decay * w)
        tl.store(weight + place, w, mask=mask)
        tl.store(first + place, m, mask=mask)
        tl.store(second + place, v, mask=mask)
