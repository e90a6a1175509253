"""Which local model, and how it is told from another: apart from the engine, so that naming it costs no torch.

Refuses a model that is not a folder on this machine.
"""

import hashlib
import os
from typing import Any, Literal

from pydantic import BaseModel, Field

from ..corpus.refusal import RequestError
from ..corpus.shards import fingerprint


class LocalSettings(BaseModel, frozen=True, extra="forbid"):
    """A model on disk. `gristmill`: a folder that `save_own` wrote; `transformers`: what `save_pretrained` writes."""

    kind: Literal["transformers", "gristmill"]
    path: str = Field(description="folder of the model; a name on a hub is refused: fetch it first")
    device: str = Field("auto", description="auto: cuda where there is one, else cpu")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 on cuda, else float32")
    batch_tokens: int = Field(16_384, ge=1, description="prompt and reply tokens in one batch, padding included")

    def recorded(self) -> dict[str, Any]:
        """What changes an answer: the weights themselves, wherever they lie, and the arithmetic."""
        return {
            "kind": self.kind,
            "weights": weights_fingerprint(self.path),
            **self.model_dump(mode="json", include={"dtype", "batch_tokens"}),
        }


def weights_fingerprint(folder: str) -> str:
    """Names, sizes and both ends of a model's files: enough to tell two models apart, cheap for large ones."""
    if not os.path.isdir(folder):
        raise RequestError(f"the model {folder} is not a folder on this machine; fetch it and name its folder")
    told = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and name.endswith((".json", ".safetensors", ".bin", ".model", ".txt", ".jinja")):
            size = os.path.getsize(path)
            with open(path, "rb") as file:
                digest = hashlib.blake2b(file.read(1 << 16), digest_size=16)
                file.seek(max(0, size - (1 << 16)))
                digest.update(file.read())
            told.append((name, size, digest.hexdigest()))
    if not told:
        raise RequestError(f"the model folder {folder} holds no model files")
    return fingerprint("weights", told)
