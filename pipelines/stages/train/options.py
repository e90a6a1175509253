"""What the command `train` takes beside the settings."""

from pydantic import BaseModel, Field


class TrainOptions(BaseModel, frozen=True, extra="forbid"):
    """How a run begins."""

    resume: bool = Field(default=False, description="refuse to start anew: there must be a checkpoint")
