"""What a group of a fleet leaves behind at each evaluation, so that the same call goes on from there.

One file a group: tensors, and in its metadata the step, the measurements so far and what it was made from. It is
replaced whole. A file made from something else is not resumed from and not trusted.
"""

import json
from dataclasses import dataclass
from typing import Any, cast

import torch
from safetensors.torch import load, save_file

from ...corpus.store.shards import filesystem, replacing


@dataclass(frozen=True)
class Trail:
    """The place of one group's state; without a folder nothing is kept."""

    folder: str | None
    first: int  # index of the group's first model
    made_from: str

    @property
    def url(self) -> str:
        return f"{self.folder}/group-{self.first:05d}.safetensors"

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Tensors and notes of an earlier run of the same work, or None."""
        if self.folder is None:
            return None
        fs, path = filesystem(self.url)
        if not fs.exists(path):
            return None
        data = cast(bytes, fs.cat_file(path))
        notes = json.loads(_metadata(data)["notes"])
        return (load(data), notes) if notes["made_from"] == self.made_from else None

    def save(self, tensors: dict[str, torch.Tensor], notes: dict[str, Any]) -> None:
        if self.folder is None:
            return
        kept = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        with replacing(self.url) as scratch:
            save_file(kept, scratch, {"notes": json.dumps({**notes, "made_from": self.made_from})})


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]
