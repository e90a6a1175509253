"""What of `rewrite` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """Styles, an engine and a tokenizer that are not there."""
    from ....proxy_models.engines.open import engine_settings
    from ....proxy_models.rewriting.rephrase import load_styles

    engine_settings(asked.settings.engine)
    load_styles(asked.settings.styles, asked.settings.styles_file)
    asked.file("tokenizer", asked.settings.tokenizer)
