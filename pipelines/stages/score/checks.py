"""What of `score` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """A method without what it needs; targets, models and a tokenizer that are not there."""
    from ....proxy_models.scoring.sampling import is_file

    settings = asked.settings.checked()
    for target in settings.targets:
        if is_file(target):
            asked.file("targets", target)
    for name, model in settings.models.items():
        asked.file(f"models.{name}", model)
    asked.file("tokenizer", settings.tokenizer)
