"""What the command `rewrite` takes beside the settings."""

from typing import Any

from pydantic import Field

from ....corpus.settings import File
from ....corpus.store.errors import RequestError
from ....proxy_models.engines.options import EngineOptions, with_engine


class RewriteOptions(EngineOptions, frozen=True, extra="forbid", allow_inf_nan=False):
    """Which engine, what becomes of the new documents, and what is done instead of rewriting."""

    adopt: bool = Field(
        default=False,
        description="then take the new documents into documents/",
        json_schema_extra={"cli": {"section": True}},
    )
    language_model: File | None = Field(
        default=None,
        description="with --adopt: the model that extract was given, where it was given one",
        json_schema_extra={"cli": {"section": True}},
    )
    retry: bool = Field(
        default=False,
        description="do those shards again in which a request failed",
        json_schema_extra={"cli": {"section": True}},
    )
    recipe: str | None = Field(
        default=None, description="no rewriting: set real to synthetic tokens in this recipe, in place"
    )
    ratio: float = Field(default=1.0, description="with --recipe: synthetic tokens for each real one")


def gather(values: dict[str, Any], options: RewriteOptions) -> dict[str, Any]:
    """The settings with the engine."""
    made = with_engine(values, options)
    if made.get("engine") is None:
        raise RequestError("rewriting needs a model: --endpoint and --model, --model FOLDER, or --engine FILE")
    return made
