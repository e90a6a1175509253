"""What of `extract` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """What is not there or not installed: inputs, columns that were named, an engine, a repair, a language model."""
    from ....corpus.languages.identification import check_model
    from ....corpus.readers.first_rows import check_columns
    from ....corpus.readers.inputs import resolve
    from ....corpus.text.extraction import check_engine
    from ....corpus.text.normalising import check_repair

    settings = asked.settings
    check_engine(settings.engine)
    if settings.repair_mojibake:
        check_repair()
    if settings.language_model is not None:
        check_model(settings.language_model)
    check_columns(resolve(settings.inputs), settings.naming(), settings.max_page_bytes)
