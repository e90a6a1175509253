"""A proxy model as one file: weights, shape, which tokenizer it reads, and what it has seen of each token.

safetensors with the shape and the tokenizer's hash in its metadata; `tokens_seen` counts the training tokens by id,
which the contamination scores need. A checkpoint of `gristmill train`, or the folder of a run, is read as such a file
(its newest checkpoint; what it has seen of each token is not told there). Refuses a file without them that is asked
for them, and two models with different tokenizers where losses are to be compared token by token.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import torch
from safetensors.torch import load, save

from ..corpus.store.errors import RequestError
from ..corpus.store.shards import filesystem
from ..training.devices import pick_dtype
from ..training.transformer import Transformer, TransformerConfig

SEEN = "tokens_seen"
CHECKPOINTS, WEIGHTS, STATE = "checkpoints", "model.safetensors", "state.json"  # of a training run


def in_order(data: bytes) -> bytes:
    """A safetensors file with the keys of its header sorted: the library writes metadata in an order that changes from
    one process to the next."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


@dataclass(frozen=True)
class ProxyModel:
    """A transformer that scores; `tokens_seen` (V,) int64 or None."""

    transformer: Transformer
    tokenizer: str  # sha256 of its tokenizer.json
    tokens_seen: np.ndarray | None = None

    def placed(self) -> "ProxyModel":
        """The same model on a GPU where there is one, there with activations in bfloat16, as it was trained there:
        products in float32 run at a fifteenth of the rate."""
        if torch.cuda.is_available():
            self.transformer.to("cuda")
            self.transformer.compute_dtype = pick_dtype("auto", torch.device("cuda"))
        return self

    def to_bytes(self) -> bytes:
        tensors = {name: weight.detach().cpu().contiguous() for name, weight in self.transformer.state_dict().items()}
        if self.tokens_seen is not None:
            tensors[SEEN] = torch.from_numpy(self.tokens_seen)
        shape = json.dumps(asdict(self.transformer.config), sort_keys=True)
        return in_order(save(tensors, {"config": shape, "tokenizer": self.tokenizer}))

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "model") -> "ProxyModel":
        """Read a file of `to_bytes`; a RequestError where it is something else."""
        length = int.from_bytes(data[:8], "little")
        if not 0 < length < len(data) or data[8:9] != b"{":
            raise RequestError(f"{where} is not a safetensors file")
        told = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        if "config" not in told or "tokenizer" not in told:
            raise RequestError(f"{where} does not tell its shape and tokenizer: gristmill score did not write it")
        tensors = load(data)
        seen = tensors.pop(SEEN, None)
        model = Transformer(TransformerConfig(**json.loads(told["config"])))
        model.load_state_dict(tensors)
        model.requires_grad_(False)
        return cls(model.eval(), told["tokenizer"], None if seen is None else seen.numpy())


def find_model(path: str, name: str) -> str:
    """The file that holds the weights: `path` itself, or of a checkpoint or a run the file in it."""
    fs, place = filesystem(path)
    if fs.isdir(place):
        checkpoints = f"{place.rstrip('/')}/{CHECKPOINTS}"
        found = [str(one).rstrip("/") for one in (fs.ls(checkpoints, detail=False) if fs.isdir(checkpoints) else ())]
        steps = sorted(one for one in found if "/step-" in one and fs.exists(f"{one}/{STATE}"))
        inner = f"/{CHECKPOINTS}/{steps[-1].rsplit('/', 1)[-1]}" if steps else ""
        path = f"{path.rstrip('/')}{inner}/{WEIGHTS}"
        if not fs.exists(f"{place.rstrip('/')}{inner}/{WEIGHTS}"):
            raise RequestError(f"--model {name}: the folder {place} is neither a checkpoint nor a run with checkpoints")
    elif not fs.exists(place):
        raise RequestError(f"--model {name}={path}: there is no such file")
    return path


def read_model(path: str, name: str) -> bytes:
    """The bytes of a model as `ProxyModel.to_bytes` makes them, from anything that `find_model` finds."""
    fs, place = filesystem(find_model(path, name))
    data = cast(bytes, fs.cat_file(place))
    state = f"{place.rsplit('/', 1)[0]}/{STATE}"
    if not place.endswith(f"/{WEIGHTS}") or not fs.exists(state):
        return data
    told = json.loads(cast(bytes, fs.cat_file(state)))
    if "config" not in told or "tokenizer" not in told.get("fingerprints", {}):
        raise RequestError(f"--model {name}: {state} does not tell the model's shape and its tokenizer")
    if (told.get("reading") or {}).get("metadata"):
        raise RequestError(
            f"--model {name}: {state} says that its run ended on documents behind their metadata, and texts are read "
            f"alone here; end the run on plain ones (conditioning: cooldown)"
        )
    model = Transformer(TransformerConfig(**told["config"]))
    model.load_state_dict(load(data))
    return ProxyModel(model, told["fingerprints"]["tokenizer"]).to_bytes()


def one_tokenizer(models: Mapping[str, ProxyModel], tokenizer: str) -> None:
    """A RequestError unless all models read the tokens of this tokenizer (its sha256)."""
    for name, model in models.items():
        if model.tokenizer != tokenizer:
            raise RequestError(
                f"model {name} reads tokenizer {model.tokenizer[:12]}…, the text is cut by {tokenizer[:12]}…; "
                f"losses of different tokens cannot be compared"
            )
