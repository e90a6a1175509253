"""What the command `refine` takes beside the settings."""

from typing import Any

from pydantic import Field

from ....proxy_models.engines.options import EngineOptions, with_engine


class RefineOptions(EngineOptions, frozen=True, extra="forbid"):
    """Which engine, and what is done instead of refining."""

    dry_run: int = Field(default=0, ge=0, description="show what would change in so many documents; decide nothing")
    learn: str | None = Field(default=None, description="train a line model on the stored programs, write it here")


def gather(values: dict[str, Any], options: RefineOptions) -> dict[str, Any]:
    """The settings with the engine."""
    return with_engine(values, options)
