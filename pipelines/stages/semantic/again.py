"""How `semantic` is run again as it was asked for."""

from ....dedup.settings import SemanticSettings
from ...engine.replay import Again
from .embeddings import EMBED, EmbedSettings
from .stage import semantic


def embed(asked: Again) -> None:
    """As it was asked for."""
    asked.run(EMBED, EmbedSettings)


def decide(asked: Again) -> None:
    """As it was asked for."""
    semantic(asked.workspace, asked.settings(SemanticSettings), asked.options, force=True, quiet=asked.quiet)
