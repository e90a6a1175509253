"""One trainer to export the recipe to."""

from pydantic import BaseModel, Field

from ....corpus.settings import File


class ExportSettings(BaseModel, frozen=True, extra="forbid"):
    """One trainer to export the recipe to."""

    to: str = Field(description="trainer: megatron, hf, olmo, torchtitan, nanotron, …")
    output: str = Field(description="folder to write into")
    recipe: File | None = Field(default=None, description="a recipe.yaml; default: the workspace's own")
    data: bool = Field(default=True, description="write the token or text files too")
    batch: int = Field(default=256, ge=1, description="sequences per optimiser step; turns tokens into steps")
    dialect: str | None = Field(default=None, description="which version's syntax, where a trainer has several")
