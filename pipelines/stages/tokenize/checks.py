"""What of `tokenize` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """A tokenizer that is not there, is none, or lacks the tokens that are named."""
    settings = asked.settings
    if settings.tokenizer is None or asked.inside(settings.tokenizer):
        return
    from ....training.data.tokenizer import token_facts
    from ....training.data.tokenizer_places import tokenizer_text

    text = tokenizer_text(settings.tokenizer)
    token_facts(text, settings.bos, settings.eos, where=settings.tokenizer)
