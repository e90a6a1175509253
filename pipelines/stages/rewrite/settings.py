"""What `rewrite` is asked for: plain data that imports nothing heavy."""

from typing import Any

from pydantic import BaseModel, Field

from ....corpus.settings import File

CHUNK_TOKENS = 300  # longer inputs lose information


class RewriteSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """In which styles, by which model, of which documents."""

    engine: dict[str, Any] = Field(
        description="settings of the language model that rewrites", json_schema_extra={"cli": {"option": None}}
    )
    styles: tuple[str, ...] = Field(
        default=("medium",),
        min_length=1,
        description="easy, medium, hard, qa, or a style of the styles file; may be repeated",
        json_schema_extra={"cli": {"option": "--style"}},
    )
    styles_file: File | None = Field(
        default=None, description="YAML file with styles of your own", json_schema_extra={"cli": {"option": "--styles"}}
    )
    domains: tuple[str, ...] = Field(
        default=(),
        description="only documents of this domain; may be repeated; default: all",
        json_schema_extra={"cli": {"option": "--domain"}},
    )
    share: float = Field(default=1.0, gt=0, le=1, description="share of the documents to rewrite, drawn by id hash")
    chunk_tokens: int = Field(
        default=CHUNK_TOKENS, ge=16, description="most tokens of a chunk; longer ones lose information"
    )
    most_fallen: float = Field(
        default=0.25, ge=0, le=1, description="largest share of a document's chunks that may fall back"
    )
    tokenizer: File | None = Field(
        default=None, description="tokenizer.json that counts a chunk's tokens; without it they are estimated"
    )
    seed: int = Field(default=0, description="seed of the draws and requests; equal seeds give equal bytes")
    prompt_price: float = Field(default=0.0, ge=0, description="price per million prompt tokens, for the account")
    completion_price: float = Field(
        default=0.0, ge=0, description="price per million completion tokens, for the account"
    )
    request_cache: str | None = Field(
        default=None, description="file that remembers replies; default: requests/ in the workspace"
    )
