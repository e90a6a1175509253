"""What of `semantic` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """What does not fit together, and a model that is not there."""
    asked.settings.check()
    asked.file("model", asked.settings.model)
    asked.file("tokenizer", asked.settings.tokenizer)
