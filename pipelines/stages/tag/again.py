"""How `tag` is run again as it was asked for."""

from ...engine.replay import Again
from ...engine.stage import run_stage
from .lessons import CLUSTER, LABEL, LEARN, ClusterSettings, LabelSettings, LearnSettings
from .stage import TAGS, ApplySettings, tag_stage


def label(asked: Again) -> None:
    """As it was asked for."""
    asked.run(LABEL, LabelSettings)


def learn(asked: Again) -> None:
    """As it was asked for."""
    asked.run(LEARN, LearnSettings)


def cluster(asked: Again) -> None:
    """As it was asked for."""
    asked.run(CLUSTER, ClusterSettings)


def decide(asked: Again) -> None:
    """As it was asked for."""
    settings = asked.settings(ApplySettings)
    run_stage(TAGS, asked.workspace, settings, asked.options, True, asked.quiet)
    run_stage(tag_stage(settings), asked.workspace, settings, asked.options, True, asked.quiet)
