"""What `decontaminate` is asked for: plain data that imports nothing heavy."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from ....corpus.settings import File, Folder

if TYPE_CHECKING:
    from ....filters.decontamination import Index


class DecontaminateSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings of the stage."""

    sets: dict[str, File] = Field(
        min_length=1,
        description="JSONL files of evaluation examples, PATH or NAME=PATH",
        json_schema_extra={"cli": {"argument": True, "parse": "named_sets"}},
    )
    n: int = Field(
        default=13, ge=5, description="words of an n-gram that must agree", json_schema_extra={"cli": {"option": "--n"}}
    )
    shortest: int = Field(default=8, ge=3, description="words of the shortest example that is looked for")
    tolerance: float = Field(
        default=0.15,
        ge=0,
        le=0.3,
        description="share of an example's words that a near copy may have changed; 0: exact copies only",
    )
    action: Literal["drop", "mask"] = Field(default="drop", description="drop the document, or cut the piece out")

    def index(self, repair: bool = False) -> "Index":
        """What is searched for; `repair`: with mojibake mended."""
        from ....filters.decontamination import index_of

        return index_of(tuple(sorted(self.sets.items())), self.n, self.shortest, self.tolerance, repair)


class ExposureSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Which examples, and which model."""

    sets: dict[str, File] = Field(min_length=1, description="task -> JSONL file of evaluation examples")
    model: Folder = Field(description="the proxy model that may have seen them")
    tokenizer: File | None = Field(
        default=None, description="its tokenizer.json; default: the one beside the model, or the workspace's"
    )
    chunk_tokens: int = Field(default=128, ge=2, description="tokens of an example that are read at once")
