"""The output layer and its loss, tile by tile: all logits of all models are never held at once.

A tile is a few models times a few tokens, small enough to stay in the cache of a core (or, on a GPU, to stay small
beside the weights). Each tile's gradients are taken with its loss, so nothing of it is kept for a backward pass: the
losses, the gradient of the hidden states and that of the weights come back together.

Use an ordinary cross-entropy where V times the tokens of one step fits the cache anyhow.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch

TILE_BYTES = 512 << 10  # half of a 1 MiB second-level cache; a GPU takes DEVICE_TILE_BYTES
DEVICE_TILE_BYTES = 256 << 20
LOSS_ROWS = 256  # tokens that share a tile of the weights where no gradient is wanted

Tile = tuple[slice, slice]  # of models, of tokens
Terms = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def tiles(models: int, tokens: int, vocab_size: int, device: str = "cpu") -> Iterator[Tile]:
    """Cut K models x N tokens into tiles of about `TILE_BYTES` of float32 logits: whole models if they are small."""
    fit = max(1, (TILE_BYTES if device == "cpu" else DEVICE_TILE_BYTES) // (4 * vocab_size))  # rows of logits
    if fit >= tokens:
        step = max(1, fit // tokens)
        for k in range(0, models, step):
            yield slice(k, min(k + step, models)), slice(0, tokens)
        return
    fit = max(fit, min(tokens, 64))  # thinner products waste the multipliers
    for k in range(models):
        for n in range(0, tokens, fit):
            yield slice(k, k + 1), slice(n, min(n + fit, tokens))


def has_kernels(device: str | torch.device) -> bool:
    """Whether `gpu_kernels` runs there: a CUDA device, with Triton installed beside torch."""
    return torch.device(device).type == "cuda" and find_spec("triton") is not None


def terms_for(device: str | torch.device) -> Terms:
    """What computes a tile on this device: `terms`, or the kernel that does the same in one pass."""
    if not has_kernels(device):
        return terms
    from . import gpu_kernels

    return gpu_kernels.terms


def terms(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of logits (k, n, V) and targets (k, n, 1): losses (k, n) float32, and their gradient, softmax minus one-hot, in
    the dtype of the logits. Float32 logits are overwritten by it."""
    if logits.dtype == torch.float32 and not torch.compiler.is_compiling():
        p = torch.ops.aten._softmax.out(logits, 2, False, out=logits)
        nll = p.gather(2, targets).log_().neg_().squeeze(2)
        return nll, p.scatter_add_(2, targets, p.new_full((), -1.0).expand(targets.shape))
    logp = torch.log_softmax(logits, 2, dtype=torch.float32)
    nll = -logp.gather(2, targets).squeeze(2)
    ids = torch.arange(logits.shape[2], device=logits.device)
    return nll, (logp.exp() - (ids == targets).float()).to(logits.dtype)


def loss_and_gradients(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    vocab_size: int,
    into: torch.Tensor | None = None,
    terms: Terms = terms,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean loss of each model, with its gradients.

    hidden      (K, N, d)
    weight      (K, d, V), V at least vocab_size; what is beyond gets no probability
    targets     (K, N) int64
    into        (K, d, V) where the gradient of the weight is put: new memory costs as much as a product
    terms       what computes a tile: `terms`, or that compiled
    returns     loss (K,) float32 in nats per token; d loss / d hidden (K, N, d); d loss / d weight (K, d, V)
    """
    K, N, V = hidden.shape[0], hidden.shape[1], vocab_size
    nll = hidden.new_empty((K, N), dtype=torch.float32)
    d_hidden, d_weight = torch.empty_like(hidden), weight.new_empty(weight.shape) if into is None else into
    if weight.shape[2] > V:  # the padding of the vocabulary
        d_weight[:, :, V:] = 0
    weight, d_used = weight[:, :, :V].to(hidden.dtype), d_weight[:, :, :V]
    scratch = hidden.new_empty(0)
    for models, tokens in tiles(K, N, V, hidden.device.type):
        h, w, y = hidden[models, tokens], weight[models], targets[models, tokens, None]
        if scratch.shape != (shape := (*h.shape[:2], V)):
            scratch = hidden.new_empty(shape)
        own, error = terms(torch.bmm(h, w, out=scratch), y)
        nll[models, tokens] = own
        torch.baddbmm(
            d_hidden[models, tokens], error, w.transpose(1, 2), beta=0, alpha=1 / N, out=d_hidden[models, tokens]
        )
        beta = 0 if tokens.start == 0 else 1
        if d_used.dtype == h.dtype:
            into = d_used[models]
            torch.baddbmm(into, h.transpose(1, 2), error, beta=beta, alpha=1 / N, out=into)
        else:  # low-precision activations, float32 weights: sum in float32, by one pass over them a tile
            scratch_weight = torch.baddbmm(w, h.transpose(1, 2), error, beta=0, alpha=1 / N)
            d_used[models].copy_(scratch_weight) if beta == 0 else d_used[models].add_(scratch_weight)
    return nll.mean(1), d_hidden, d_weight


def losses(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """(K, N) float32 nats of every token, without gradients. Arguments as in `loss_and_gradients`.

    The vocabulary is cut too, and the normaliser summed up from tile to tile under a running maximum: at V = 50,257 a
    few rows of all logits leave the cache, a block of rows times a thousand entries does not.
    """
    K, N, V = hidden.shape[0], hidden.shape[1], vocab_size
    weight, on_cpu = weight[:, :, :V].to(hidden.dtype), hidden.device.type == "cpu"
    fit = (TILE_BYTES * 2 if on_cpu else DEVICE_TILE_BYTES) // 4
    rows = min(N, LOSS_ROWS) if on_cpu else N
    columns = min(V, max(64, fit // max(1, rows)))
    together = max(1, fit // max(1, rows * columns)) if rows == N and columns == V else 1
    nll = hidden.new_empty((K, N), dtype=torch.float32)
    if has_kernels(hidden.device):
        from . import gpu_kernels

        for models, tokens in tiles(K, N, V, "cuda"):
            logits = torch.bmm(hidden[models, tokens], weight[models])
            nll[models, tokens] = gpu_kernels.losses(logits, targets[models, tokens, None])
        return nll
    for k in range(0, K, together):
        for n in range(0, N, rows):
            part = slice(k, k + together), slice(n, n + rows)
            nll[part] = _block_losses(hidden[part], weight[part[0]], targets[part], columns)
    return nll


def _block_losses(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, columns: int) -> torch.Tensor:
    """(k, n) losses of hidden (k, n, d) under weight (k, d, V), `columns` entries of the vocabulary at a time."""
    top = hidden.new_full(targets.shape, -torch.inf, dtype=torch.float32)
    total, own = torch.zeros_like(top), torch.zeros_like(top)
    scratch = hidden.new_empty((*targets.shape, columns))
    for first in range(0, weight.shape[2], columns):
        some = weight[:, :, first : first + columns]
        width = some.shape[2]
        space = scratch if width == columns else hidden.new_empty((*targets.shape, width))
        logits = torch.bmm(hidden, some, out=space).float()
        place = targets - first
        picked = logits.gather(2, place.clamp(0, width - 1)[..., None]).squeeze(2)
        own = torch.where((place >= 0) & (place < width), picked, own)
        higher = torch.maximum(top, logits.amax(2))
        total.mul_((top - higher).exp_()).add_(logits.sub_(higher[..., None]).exp_().sum(2))
        top = higher
    return top + total.log_() - own


def statistics(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, vocab_size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of every token: its loss, mean and deviation of log p under p, and its rank (0: the likeliest). Each (K, N)."""
    weight = weight[:, :, :vocab_size].to(hidden.dtype)
    nll, mean, spread = (hidden.new_empty(hidden.shape[:2], dtype=torch.float32) for _ in range(3))
    rank = hidden.new_empty(hidden.shape[:2], dtype=torch.int32)
    for models, tokens in tiles(hidden.shape[0], hidden.shape[1], vocab_size, hidden.device.type):
        logp = torch.log_softmax(torch.bmm(hidden[models, tokens], weight[models]), 2, dtype=torch.float32)
        own = logp.gather(2, targets[models, tokens, None])
        nll[models, tokens] = -own.squeeze(2)
        rank[models, tokens] = (logp > own).sum(2, dtype=torch.int32)
        p = logp.exp()
        mean[models, tokens] = center = (p * logp).sum(2)
        spread[models, tokens] = (p * (logp - center[..., None]).square()).sum(2).sqrt()
    return nll, mean, spread, rank
