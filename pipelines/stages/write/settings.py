"""What `write` is asked for: plain data that imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, Field

from ....corpus.settings import Elsewhere

Format = Literal["parquet", "jsonl.gz", "jsonl.zst", "jsonl", "arrow", "hf"]


class WriteSettings(BaseModel, frozen=True, extra="forbid"):
    """Which documents to write, where, and how."""

    output: Elsewhere = Field(
        description="folder or fsspec URL to write to", json_schema_extra={"cli": {"argument": True, "metavar": "OUT"}}
    )
    format: Format = Field(default="parquet", description="parquet, jsonl.gz, jsonl.zst, jsonl, arrow or hf")
    domain: tuple[str, ...] = Field(default=(), description="documents of this domain alone; may be repeated")
    dropped: bool = Field(
        default=False,
        description="write what fell instead: each row with the stage, rule, value and threshold, as `gristmill` "
        "(`gristmill_` beside a column of that name)",
    )
    columns: tuple[str, ...] = Field(
        default=(),
        description="this column alone, of the row or of documents/; may be repeated; default: the row's own",
    )
    shard_size: int = Field(default=256 << 20, gt=0, description="bytes of rows, before compression, that fill a file")
    normalised: bool = Field(
        default=False, description="write texts as extraction settled them where no stage changed them, too"
    )
    push: str | None = Field(
        default=None, description="OWNER/NAME of a dataset on the Hugging Face Hub to upload the folder to (hf)"
    )
