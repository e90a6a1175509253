"""Soft labels from a teacher for the first part of a run (SALT, arXiv 2410.18779).

The data order is known, so the teacher runs once, over the first steps of the very run: its k most likely tokens of
every target and their probabilities are stored per step. Refuses a cache that was made for another stream.
"""

import json
import os

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..corpus.refusal import RequestError
from .checkpoint import sync
from .loader import Loader
from .loss import rows_per_chunk
from .transformer import Transformer


@torch.no_grad()
def write_cache(folder: str, teacher: Transformer, loader: Loader, steps: int, k: int = 8) -> None:
    """Store the teacher's top k for the first `steps` steps of `loader`; a step that is there is not redone."""
    os.makedirs(folder, exist_ok=True)
    device = next(teacher.parameters()).device
    for step in range(steps):
        name = f"{folder}/{step:08d}.safetensors"
        if os.path.exists(name):
            continue
        ids = torch.from_numpy(loader.batch(step).ids)
        hidden = teacher.forward(ids.to(device)).flatten(0, 1)
        weight = teacher.head_weight[: teacher.config.vocab_size].to(hidden.dtype)
        tops = [
            torch.softmax((part @ weight.T).float(), -1).topk(k)
            for part in hidden.split(rows_per_chunk(len(weight), device.type))
        ]
        shape = (*ids.shape, k)
        shares = torch.cat([top.values for top in tops]).view(shape).half().cpu()
        chosen = torch.cat([top.indices for top in tops]).view(shape).int().cpu()
        save_file({"ids": chosen, "shares": shares}, name + ".tmp")
        sync(name + ".tmp")
        os.rename(name + ".tmp", name)
    with open(f"{folder}/cache.json", "w", encoding="utf-8") as file:
        json.dump({"stream": loader.fingerprint, "steps": steps, "k": k}, file)


class Cache:
    """A stored cache, checked against the stream that it is for."""

    def __init__(self, folder: str, loader: Loader) -> None:
        try:
            with open(f"{folder}/cache.json", encoding="utf-8") as file:
                told = json.load(file)
        except FileNotFoundError as error:
            raise RequestError(f"{folder} holds no finished teacher cache; make one with write_cache") from error
        if told["stream"] != loader.fingerprint:
            raise RequestError(
                f"{folder} was made for another stream of data (recipe, seed, shards or batch); make it anew"
            )
        self.folder, self.steps = folder, int(told["steps"])

    def read(self, step: int, rank: int = 0, world: int = 1) -> tuple[Tensor, Tensor]:
        """ids (R, T, K) int64 and shares (R, T, K) float32 of a rank's rows."""
        found = load_file(f"{self.folder}/{step:08d}.safetensors")
        rows = len(found["ids"]) // world
        mine = slice(rank * rows, (rank + 1) * rows)
        return found["ids"][mine].long(), found["shares"][mine].float()


def soft_targets(targets: Tensor, ids: Tensor, shares: Tensor, omega: float) -> tuple[Tensor, Tensor]:
    """The label with weight 1 - omega and the teacher's tokens, renormalised, with weight omega.

    targets (...), ids and shares (..., K) -> ids and shares (..., K + 1); an ignored target stays negative
    """
    teacher = shares / shares.sum(-1, keepdim=True) * omega
    label = torch.full_like(teacher[..., :1], 1.0 - omega)
    return torch.cat((targets[..., None], ids), -1), torch.cat((label, teacher), -1)
