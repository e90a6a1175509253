"""What of `refilter` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """Rules that name no signal or edit texts."""
    asked.settings.check()
