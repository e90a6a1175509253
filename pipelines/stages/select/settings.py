"""What `select` is asked for: plain data that imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator


class SelectSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What to select by, and how much: exactly one of share, tokens and threshold."""

    by: tuple[str, ...] = Field(
        min_length=1, description="a score, TABLE or TABLE.COLUMN; several are taken from in turn"
    )
    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of all tokens to keep, as 0.125 or 1/8",
        json_schema_extra={"cli": {"parse": "fraction"}},
    )
    tokens: int | None = Field(default=None, ge=1, description="a budget of tokens instead of a share")
    threshold: float | None = Field(default=None, description="the smallest score to keep, instead of a share")
    unit: Literal["documents", "chunks"] = Field(default="documents", description="documents, or chunks of them")
    draw: Literal["top", "gumbel", "random"] = Field(
        default="top", description="top, gumbel (in proportion to exp score) or random"
    )
    temperature: float = Field(default=1.0, gt=0, description="of gumbel: larger is closer to random")
    smallest: bool = Field(default=False, description="keep the smallest scores")
    compare: tuple[str, ...] = Field(
        default=(), description="another score: report how far they agree; may be repeated"
    )
    seed: int = Field(default=0, description="seed of draws and ties; equal seeds give equal bytes")

    @model_validator(mode="after")
    def _one_budget(self) -> "SelectSettings":
        if sum(given is not None for given in (self.share, self.tokens, self.threshold)) != 1:
            raise ValueError("give exactly one of share, tokens and threshold")
        if self.threshold is not None and (self.draw != "top" or len(self.by) > 1):
            raise ValueError("a threshold goes with one score and no draw")
        if self.unit == "chunks" and (len(self.by) > 1 or self.compare):
            raise ValueError("chunks are selected by one score and compared with none")
        return self
