"""What `semantic` is asked for: plain data that imports nothing heavy."""

from pydantic import BaseModel, Field

from ....corpus.settings import File, Folder
from ....dedup.settings import SemanticSettings as SemanticSettings


class EmbedSettings(BaseModel, frozen=True, extra="forbid"):
    """Which model, a file that `score` wrote, and its tokenizer.json where it is not found: see `tokenizer_of`."""

    model: Folder = Field(description="proxy model that makes the vectors")
    tokenizer: File | None = Field(
        default=None, description="its tokenizer.json; default: the one beside the model, or the workspace's"
    )
