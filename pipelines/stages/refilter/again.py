"""How `refilter` is run again as it was asked for."""

from ...engine.replay import Again
from .stage import MEASURE, REFILTER, RefilterCall


def decide(asked: Again) -> None:
    """As it was asked for."""
    asked.run(MEASURE, RefilterCall)
    asked.run(REFILTER, RefilterCall)
