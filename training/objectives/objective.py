"""The model and its loss in one module: what a step calls, and what DDP and FSDP wrap."""

from typing import Any

import torch
from torch import Tensor, nn

from ..transformer import Transformer
from .loss import Terms, chunk_terms, sample_targets, token_nll, weighted_loss


class Objective(nn.Module):
    """The model and its loss in one module, which is what DDP and FSDP wrap."""

    def __init__(self, model: Transformer, z: float, terms: Terms = chunk_terms) -> None:
        super().__init__()
        self.model, self.z, self.terms = model, z, terms

    def forward(
        self,
        ids: Tensor,
        targets: Tensor,
        scale: Tensor | None = None,
        mask: object = None,
        shares: Tensor | None = None,
        reweight: Any = None,
        draw: int | None = None,
        documents: Tensor | None = None,
    ) -> Any:
        """(weighted sum of losses, loss per token (B, T)); the latter alone where `scale` (B, T) is not given.

        targets    (B, T), or (B, T, K) with `shares` of the same shape
        reweight   (nll, scale) -> (B,) weights of the rows, where the micro-batch is all there is of a step
        documents  (B, T) int: of text that is measured, read as the model was trained
        """
        vocab = self.model.config.vocab_size
        if scale is None and shares is None and mask is None:  # measured
            return self.model.read(ids, targets, documents)
        hidden, weight = self.model(ids, mask).flatten(0, 1), self.model.head_weight
        if draw is not None:  # the seed of labels that the model draws itself; ignored positions stay so
            drawn = sample_targets(hidden, weight, draw, vocab).view(targets.shape)
            targets = torch.where(targets < 0, targets, drawn)
        flat = targets.flatten(0, 1)  # (N,), or (N, K) where targets are soft
        shares = None if shares is None else shares.flatten(0, 1)
        if scale is None:
            return token_nll(hidden, weight, flat, vocab, shares, self.terms).view(ids.shape)
        if reweight is not None:
            with torch.no_grad():
                nll = token_nll(hidden, weight, flat, vocab, shares, self.terms).view(ids.shape)
            scale = scale * reweight(nll, scale)[:, None]
        assert scale is not None
        total, nll = weighted_loss(hidden, weight, flat, scale.flatten(), vocab, shares, self.z, self.terms)
        return total, nll.view(ids.shape)
