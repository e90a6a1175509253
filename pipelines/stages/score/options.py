"""What the command `score` takes beside the settings."""

from typing import Any

from pydantic import BaseModel, Field


class ScoreOptions(BaseModel, frozen=True, extra="forbid"):
    """The size of CoLoR-Filter's two models."""

    steps: int | None = Field(
        default=None, ge=1, description="of CoLoR-Filter's prior, 4,096 tokens each; default: 300"
    )
    width: int | None = Field(
        default=None, ge=2, description="of CoLoR-Filter's models; time grows with its square; default: 64"
    )


def gather(values: dict[str, Any], options: ScoreOptions) -> dict[str, Any]:
    """The settings with the size of the models."""
    from ....proxy_models.settings import ColorSettings

    color = {**ColorSettings().model_dump(), **(values.get("color") or {})}
    prior = {**ColorSettings().prior.model_dump(), **(color.get("prior") or {})}
    if options.steps is not None:
        prior |= {"steps": options.steps, "warmup": min(30, options.steps // 5)}
    if options.width is not None:
        prior |= {"d_model": options.width, "d_ff": 3 * options.width}
    details = {"details": values["details"]} if "details" in values else {}
    return values | {"color": color | {"prior": prior} | details}
