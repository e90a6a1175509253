"""What `report` is asked for."""

from pydantic import BaseModel, Field


class ReportSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the command."""

    output: str | None = Field(
        default=None,
        description="the page; default: report.html in the workspace",
        json_schema_extra={"cli": {"short": "-o"}},
    )
