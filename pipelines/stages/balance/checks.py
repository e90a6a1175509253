"""What of `balance` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """Concepts that cannot be read."""
    if asked.settings.concepts is not None:
        from .stage import load_concepts

        load_concepts(asked.settings.concepts)
