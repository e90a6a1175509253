"""What an hour costs, from the section `prices` of a settings file."""

from pydantic import BaseModel, Field


class Prices(BaseModel, frozen=True, extra="forbid"):
    """Prices of an hour, and what a GPU does in one, for `gristmill estimate`."""

    cpu_hour: float = Field(default=0.0, ge=0, description="price of a core for an hour")
    gpu_hour: float = Field(default=0.0, ge=0, description="price of a GPU for an hour")
    gpu_flops: float = Field(
        default=2e14, gt=0, description="operations that a GPU reaches in a second; 2e14 is half of what an H100 has"
    )
    currency: str = Field(default="", description="what stands behind a sum")
