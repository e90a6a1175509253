"""How `filter` is run again as it was asked for."""

from ...engine.replay import Again
from ...engine.stage import run_stage
from .stage import DecideSettings, FilterSettings, MeasureSettings, measure_stage, run_filter


def measure(asked: Again) -> None:
    """Measure what was measured."""
    own = asked.settings(MeasureSettings)
    run_stage(
        measure_stage(own.families, own.known(asked.workspace)), asked.workspace, own, asked.options, True, asked.quiet
    )


def decide(asked: Again) -> None:
    """As it was asked for."""
    own = asked.settings(DecideSettings)
    settings = FilterSettings(**{name: getattr(own, name) for name in DecideSettings.model_fields})
    run_filter(asked.workspace, settings, asked.options, force=True, quiet=asked.quiet)
