"""How `decontaminate` is run again as it was asked for."""

from ...engine.replay import Again
from .exposure import ExposureSettings, exposure
from .stage import DecontaminateSettings, decontaminate


def decide(asked: Again) -> None:
    """As it was asked for."""
    asked.run(decontaminate, DecontaminateSettings)


def expose(asked: Again) -> None:
    """Audit what was audited."""
    asked.run(exposure, ExposureSettings)
