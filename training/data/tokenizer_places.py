"""Tokenizers as people have them: a `tokenizer.json`, the folder of a Hugging Face model, or a model's id on the Hub.

Refuses a folder without a `tokenizer.json`, and an id where the Hub cannot be reached, and says what to do instead.
"""

import re

from ...corpus.store.errors import MissingExtra, RequestError
from ...corpus.store.shards import filesystem
from ...corpus.store.soundness import opened

FILE = "tokenizer.json"
ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")  # OWNER/NAME, OWNER/NAME@REVISION


def tokenizer_text(name: str, option: str = "--tokenizer") -> str:
    """The text of the tokenizer.json that a name stands for."""
    fs, place = filesystem(name)
    if fs.isdir(place):
        inner = f"{place.rstrip('/')}/{FILE}"
        if not fs.isfile(inner):
            raise RequestError(
                f"{option} {name}: the folder has no {FILE}; transformers writes one: "
                f"AutoTokenizer.from_pretrained({name!r}).save_pretrained({name!r})"
            )
        place = inner
    elif not fs.isfile(place):
        if "://" in name or not ON_THE_HUB.fullmatch(name) or name.endswith(".json"):
            raise RequestError(f"{option} {name} is no file, no folder and no OWNER/NAME of the Hugging Face Hub")
        place = _downloaded(name, option)
        fs = filesystem(place)[0]
    with opened(fs, place) as file:
        try:
            return file.read().decode()
        except UnicodeDecodeError as error:
            raise RequestError(f"{option} {name} is not UTF-8: {error.reason}") from error


def _downloaded(name: str, option: str) -> str:
    """Where the Hub's client keeps the file. RequestError where it is not to be had."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "remote") from error
    repository, _, revision = name.partition("@")
    try:
        return str(hf_hub_download(repository, FILE, revision=revision or None))
    except Exception as error:  # the client has exceptions of its own, and of the library that it speaks HTTP with
        said = " ".join(str(error).split())[:200]
        raise RequestError(
            f"{option} {name} is no file or folder here, and the Hugging Face Hub does not give {FILE} of it "
            f"({type(error).__name__}: {said}); without a network, name a {FILE} or the folder of a model"
        ) from error
