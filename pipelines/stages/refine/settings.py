"""What `refine` is asked for: plain data that imports nothing heavy."""

from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from ....corpus.settings import File

Dialect = Literal["instruct", "prox"]


class RefineSettings(BaseModel, frozen=True, extra="forbid"):
    """Who writes the programs."""

    by: Literal["rules", "model", "engine"] = Field(
        default="rules", description="who writes the programs: rules, model or engine"
    )
    line_model: File | None = Field(default=None, description="a model that --learn wrote, for --by model")
    engine: dict[str, Any] | None = Field(
        default=None,
        description="settings of the engine that is asked, for --by engine",
        json_schema_extra={"cli": {"option": None}},
    )
    dialect: Dialect = Field(
        default="instruct", description="how an engine is asked: instruct, or prox for the released ProX models"
    )
    window_tokens: int = Field(default=1500, ge=50, description="most tokens of a document that an engine sees at once")
    tokenizer: File | None = Field(
        default=None, description="tokenizer.json that counts the windows' tokens; without it they are estimated"
    )
    request_cache: str | None = Field(
        default=None, description="file that remembers replies; default: requests/ in the workspace"
    )

    @model_validator(mode="after")
    def _complete(self) -> "RefineSettings":
        for who, given, option in (
            ("model", self.line_model, "--line-model"),
            ("engine", self.engine, "--endpoint, --model or --engine"),
        ):
            if (self.by == who) != (given is not None):
                raise ValueError(f"--by {who} and {option} go together")
        return self
