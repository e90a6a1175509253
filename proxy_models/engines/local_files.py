"""Which local model, and how it is told from another: apart from the engine, so that naming it costs no torch.

Refuses a model that is not a folder on this machine.
"""

import hashlib
import os
from dataclasses import dataclass

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import fingerprint

OWN_CONFIG, OWN_WEIGHTS, OWN_TOKENIZER = "gristmill.json", "model.safetensors", "tokenizer.json"


@dataclass(frozen=True)
class OwnFiles:
    """Where the parts of a model of ours lie."""

    config: str  # JSON that holds its shape
    weights: str
    tokenizer: str


def own_files(folder: str) -> OwnFiles | None:
    """The files of a folder that `save_own` wrote, or of a run of `gristmill train` (its last checkpoint)."""
    if os.path.exists(f"{folder}/{OWN_CONFIG}"):
        return OwnFiles(f"{folder}/{OWN_CONFIG}", f"{folder}/{OWN_WEIGHTS}", f"{folder}/{OWN_TOKENIZER}")
    checkpoints = f"{folder}/checkpoints"
    steps = sorted(os.listdir(checkpoints)) if os.path.isdir(checkpoints) else []
    steps = [name for name in steps if name.startswith("step-")]
    if not steps or not os.path.exists(f"{folder}/settings.json"):
        return None
    workspace = os.path.dirname(os.path.dirname(os.path.abspath(folder)))
    weights = f"{checkpoints}/{steps[-1]}/model.safetensors"
    return OwnFiles(f"{folder}/settings.json", weights, f"{workspace}/tokenizer/tokenizer.json")


def weights_fingerprint(folder: str) -> str:
    """Names, sizes and both ends of a model's files: enough to tell two models apart, cheap for large ones."""
    if not os.path.isdir(folder):
        raise RequestError(f"the model {folder} is not a folder on this machine; fetch it and name its folder")
    own = own_files(folder)
    if own is not None:
        paths = [own.config, own.weights, own.tokenizer]
    else:
        ends = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja")
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(ends)]
    told = [_ends(path) for path in paths if os.path.isfile(path)]
    if not told:
        raise RequestError(f"the model folder {folder} holds no model files")
    return fingerprint("weights", told)


def _ends(path: str) -> tuple[str, int, str]:
    """Name, size and digest of both ends of a file."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        digest = hashlib.blake2b(file.read(1 << 16), digest_size=16)
        file.seek(max(0, size - (1 << 16)))
        digest.update(file.read())
    return os.path.basename(path), size, digest.hexdigest()
