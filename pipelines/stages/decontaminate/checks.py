"""What of `decontaminate` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """Evaluation sets that cannot be read."""
    from ....filters.decontamination import read_examples

    for path in asked.settings.sets.values():
        read_examples(path)
