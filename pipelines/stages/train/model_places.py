"""Where a model and its tokenizer lie: as given, beside the model, or in the workspace. Refuses what is not there."""

from ....corpus.store.errors import RequestError
from ....corpus.store.shards import checksum, filesystem
from ....corpus.store.soundness import opened
from ....corpus.store.workspace import Workspace
from ....proxy_models.model_files import find_model


def tokenizer_of(workspace: Workspace, model: str, given: str | None, stage: str) -> str:
    """The place of a model's tokenizer.json: the one given, else the one beside the model, else the workspace's own."""
    folder = find_model(model, stage).rpartition("/")[0] or "."
    beside = [f"{folder}/tokenizer.json", *([f"{model.rstrip('/')}/tokenizer.json"] if is_folder(model) else [])]
    beside += [workspace.path("tokenizer", "tokenizer.json")]
    places = [given] if given is not None else beside
    for place in places:
        fs, path = filesystem(place)
        if fs.exists(path):
            return place
    raise RequestError(
        f"{stage}: model {model} needs its tokenizer.json, not in {' nor '.join(places)}; give --tokenizer"
    )


def model_inputs(workspace: Workspace, model: str, given: str | None, stage: str) -> dict[str, str]:
    """Checksums of the model (a file, a checkpoint or a run: the weights in it) and of its tokenizer."""
    found = find_model(model, stage)
    return {"model": checksum(found), "tokenizer": checksum(tokenizer_of(workspace, model, given, stage))}


def is_folder(place: str) -> bool:
    fs, path = filesystem(place)
    return bool(fs.isdir(path))


def read_file(place: str) -> bytes:
    """The bytes of a file of any file system."""
    with opened(*filesystem(place)) as file:
        return bytes(file.read())
