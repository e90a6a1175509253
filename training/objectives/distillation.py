"""Soft labels from a teacher for the first part of a run (SALT, arXiv 2410.18779).

The data order is known, so the teacher runs once, over the first steps of the very run: its k most likely tokens of
every target and their probabilities are stored per step, in the run's folder, every rank its part of the steps. SALT's
choice of sequences that are hard yet learnable is a subset of a first phase by a score, see `examples/salt.yaml`.
Refuses to read a cache that is not whole or was made for another stream, teacher or k.
"""

import json
import os
from collections.abc import Mapping

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import checksum, replacing
from ..checkpoint import MODEL, load_model, newest
from ..data.loader import Loader
from ..distributed import Ranks
from ..loop_settings import Teacher as Teacher
from ..transformer import Transformer, document_mask
from .loss import rows_per_chunk

TEACHER, IDENTITY = "teacher", "cache.json"


def teach(teacher: Teacher, folder: str, loader: Loader, ranks: Ranks, device: torch.device) -> "Cache":
    """The teacher's labels for the first part of a run; what is stored already is not made again."""
    model, state = load_model(teacher.checkpoint)
    tokenizer = next(iter(loader.domains.values())).facts.tokenizer
    if state.get("fingerprints", {}).get("tokenizer", tokenizer) != tokenizer:
        raise RequestError(f"the teacher {teacher.checkpoint} reads another tokenizer than this run")
    steps = max(1, round(teacher.until * loader.steps))
    said = {
        "stream": loader.fingerprint,
        "teacher": checksum(f"{newest(teacher.checkpoint)}/{MODEL}"),
        "steps": steps,
        "k": teacher.k,
        "temperature": teacher.temperature,
        **({"document_mask": True} if model.reading.document_mask else {}),
    }
    if ranks.leads:
        begin_cache(folder, said)
    ranks.barrier()
    write_cache(folder, model.to(device), loader, teacher, steps, ranks)
    ranks.barrier()
    return Cache(folder, said, teacher.share)


def begin_cache(folder: str, said: Mapping[str, object]) -> None:
    """Make the folder for labels of this identity; labels of another are removed."""
    os.makedirs(folder, exist_ok=True)
    try:
        with open(f"{folder}/{IDENTITY}", encoding="utf-8") as file:
            before = json.load(file)
    except FileNotFoundError:
        before = None
    if before == said:
        return
    for name in os.listdir(folder):
        os.remove(f"{folder}/{name}")
    with open(f"{folder}/{IDENTITY}", "w", encoding="utf-8") as file:
        json.dump(said, file)


@torch.no_grad()
def write_cache(folder: str, model: Transformer, loader: Loader, teacher: Teacher, steps: int, ranks: Ranks) -> None:
    """Store the model's top k for this rank's share of the first `steps` steps; a step that is there is not redone."""
    device = next(model.parameters()).device
    weight = model.head_weight[: model.config.vocab_size]
    for step in range(ranks.rank, steps, ranks.world):
        name = step_file(folder, step)
        if os.path.exists(name):
            continue
        masked = model.reading.document_mask  # a teacher reads as it was trained
        batch = loader.batch(step, documents=masked)
        ids = torch.from_numpy(batch.ids)
        mask = document_mask(torch.from_numpy(batch.documents).to(device)) if masked else None
        hidden = model.forward(ids.to(device), mask).flatten(0, 1)
        tops = [
            torch.softmax((part @ weight.to(part.dtype).T).float() / teacher.temperature, -1).topk(teacher.k)
            for part in hidden.split(rows_per_chunk(len(weight), device.type))
        ]
        shape = (*ids.shape, teacher.k)
        shares = torch.cat([top.values for top in tops]).view(shape).half().cpu()
        chosen = torch.cat([top.indices for top in tops]).view(shape).int().cpu()
        with replacing(name) as scratch:
            save_file({"ids": chosen, "shares": shares}, scratch)


def step_file(folder: str, step: int) -> str:
    return f"{folder}/{step:08d}.safetensors"


class Cache:
    """The stored labels of a run, checked against what they are for."""

    def __init__(self, folder: str, said: Mapping[str, object], share: float) -> None:
        try:
            with open(f"{folder}/{IDENTITY}", encoding="utf-8") as file:
                told = json.load(file)
        except FileNotFoundError as error:
            raise RequestError(f"{folder} holds no teacher's labels") from error
        differ = sorted(key for key in said if told.get(key) != said[key])
        if differ:
            raise RequestError(f"the labels in {folder} were made for another {', '.join(differ)}; remove them")
        self.folder, self.steps, self.share = folder, int(told["steps"]), share
        missing = [step for step in range(self.steps) if not os.path.exists(step_file(folder, step))]
        if missing:
            raise RequestError(f"{folder} lacks the labels of {len(missing)} steps, first {missing[0]}")

    def read(self, step: int, rank: int = 0, world: int = 1) -> tuple[Tensor, Tensor]:
        """ids (R, T, K) int64 and shares (R, T, K) float32 of a rank's rows."""
        found = load_file(step_file(self.folder, step))
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
