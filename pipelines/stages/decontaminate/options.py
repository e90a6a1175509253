"""What the command `decontaminate` takes beside the settings."""

from pydantic import BaseModel, Field


class ExposureOptions(BaseModel, frozen=True, extra="forbid"):
    """Which model is asked whether it has seen the examples."""

    audit: str | None = Field(
        default=None, description="also score every example with this proxy model: has it seen them?"
    )
    tokenizer: str | None = Field(default=None, description="of that model; default: tokenizer.json beside it")
