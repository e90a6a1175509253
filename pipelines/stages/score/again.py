"""How `score` is run again as it was asked for."""

from ....proxy_models.scoring.scorers import ScoreSettings
from ...engine.replay import Again
from .stage import score


def score_again(asked: Again) -> None:
    """As it was asked for."""
    score(asked.workspace, asked.settings(ScoreSettings), asked.options, force=True, quiet=asked.quiet)
