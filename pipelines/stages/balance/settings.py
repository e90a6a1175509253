"""What `balance` is asked for: plain data that imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from ....corpus.settings import File


class BalanceSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What to balance by, and how far: one of by and concepts, one of cap and tail."""

    by: str | None = Field(
        default=None, description="column of documents/ or tags/: host, domain, language, topic, cluster …"
    )
    concepts: File | None = Field(
        default=None, description="instead: a file with one concept per line, looked for in the texts"
    )
    cap: int | None = Field(default=None, ge=1, description="documents that each value keeps, in expectation")
    tail: float | None = Field(
        default=None, gt=0, lt=1, description="instead: share of all matches that values which are not thinned hold"
    )
    unmatched: Literal["keep", "drop"] | None = Field(
        default=None, description="keep or drop documents without a value; default: keep with by, drop with concepts"
    )
    seed: int = Field(default=0, description="seed of the draws; equal seeds give equal bytes")

    @model_validator(mode="after")
    def _complete(self) -> "BalanceSettings":
        if (self.by is None) == (self.concepts is None):
            raise ValueError("give exactly one of by and concepts")
        if (self.cap is None) == (self.tail is None):
            raise ValueError("give exactly one of cap and tail")
        return self

    @property
    def keeps_unmatched(self) -> bool:
        return self.unmatched == "keep" or (self.unmatched is None and self.by is not None)
