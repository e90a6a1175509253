"""What the command `tag` takes beside the settings."""

from typing import Any

from ....proxy_models.engines.options import EngineOptions, with_engine


class TagOptions(EngineOptions, frozen=True, extra="forbid"):
    """Which engine labels the sample."""


def gather(values: dict[str, Any], options: TagOptions) -> dict[str, Any]:
    """The settings with the engine."""
    return with_engine(values, options)
