"""What of `export` can be refused before anything runs."""

from ....corpus.store.errors import unknown_name
from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """A trainer that there is not, and a recipe that is not there."""
    from ....mixing.exporters.registry import exporters

    known = exporters()
    if asked.settings.to not in known:
        raise unknown_name("trainer", asked.settings.to, known, where="to")
    asked.file("recipe", asked.settings.recipe)
