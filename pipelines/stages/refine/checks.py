"""What of `refine` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """A line model, an engine or a tokenizer that is not there."""
    settings = asked.settings
    asked.file("line_model", settings.line_model)
    asked.file("tokenizer", settings.tokenizer)
    if settings.engine is not None:
        from ....proxy_models.engines.open import engine_settings

        engine_settings(settings.engine)
