"""Where a model and its tokenizer lie: as given, beside the model, or in the workspace. Refuses what is not there."""

from ....corpus.store.errors import RequestError
from ....corpus.store.shards import checksum, filesystem
from ....corpus.store.workspace import Workspace


def tokenizer_of(workspace: Workspace, model: str, given: str | None, stage: str) -> str:
    """The place of a model's tokenizer.json: the one given, else the one beside the model, else the workspace's own."""
    folder = model.rpartition("/")[0] or "."
    beside = [f"{folder}/tokenizer.json", workspace.path("tokenizer", "tokenizer.json")]
    places = [given] if given is not None else beside
    for place in places:
        fs, path = filesystem(place)
        if fs.exists(path):
            return place
    raise RequestError(
        f"{stage}: model {model} needs its tokenizer.json, not in {' nor '.join(places)}; give --tokenizer"
    )


def model_inputs(workspace: Workspace, model: str, given: str | None, stage: str) -> dict[str, str]:
    """Checksums of the model and of its tokenizer."""
    fs, path = filesystem(model)
    if not fs.exists(path):
        raise RequestError(f"{stage}: --model {model}: there is no such file")
    return {"model": checksum(model), "tokenizer": checksum(tokenizer_of(workspace, model, given, stage))}


def read_file(place: str) -> bytes:
    """The bytes of a file of any file system."""
    fs, path = filesystem(place)
    with fs.open(path, "rb") as file:
        return bytes(file.read())  # type: ignore[arg-type]
