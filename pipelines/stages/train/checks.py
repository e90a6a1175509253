"""What of `train` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """A recipe, a model size, targets, a branch or a teacher that are not there."""
    from ....training.transformer import size

    settings = asked.settings
    if settings.model is not None:
        size(settings.model, 256)
    for field in ("recipe", "branch"):
        asked.file(field, getattr(settings, field))
    for target in settings.targets:
        asked.file("targets", target)
    if settings.replay is not None:
        asked.file("replay.recipe", settings.replay.recipe)
    if settings.loop.teacher is not None:
        asked.file("loop.teacher.checkpoint", settings.loop.teacher.checkpoint)
