"""How `rewrite` is run again as it was asked for."""

from ...engine.replay import Again
from .stage import RewriteSettings, adopt, adopted, run_rewrite


def rewrite(asked: Again) -> None:
    """As it was asked for."""
    run_rewrite(asked.workspace, asked.settings(RewriteSettings), asked.options, force=True, quiet=asked.quiet)
    if adopted(asked.workspace):
        adopt(asked.workspace, asked.options, quiet=asked.quiet)
