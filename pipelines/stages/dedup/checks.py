"""What of `dedup` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """What does not fit together, and workspaces that are not there."""
    asked.settings.check()
    for other in asked.settings.against:
        asked.file("against", other)
