"""What of `tokenize` can be refused before anything runs."""

from typing import Any

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """A tokenizer that is not there, is none, or lacks the tokens that are named."""
    settings = asked.settings
    if settings.tokenizer is None or asked.inside(settings.tokenizer):
        return
    from ....corpus.store.shards import filesystem
    from ....training.data.tokenizer import token_facts

    asked.file("tokenizer", settings.tokenizer)
    files, place = filesystem(settings.tokenizer)
    with files.open(place, "rb") as file:
        content: Any = file.read()
    text = bytes(content).decode("utf-8", errors="replace")
    token_facts(text, settings.bos, settings.eos, where=settings.tokenizer)
