"""What `lengths` is asked for: plain data that imports nothing heavy."""

from pydantic import BaseModel, Field


class LengthsSettings(BaseModel, frozen=True, extra="forbid"):
    """Whatever is in here decides whether a finished table is still the one asked for."""

    strip: bool = Field(default=False, description="leave out white space at both ends")
