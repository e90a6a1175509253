"""What `extract` is asked for: plain data that imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, Field

from ....corpus.languages.tags import COVERED
from ....corpus.settings import OWN, File, Input


class ExtractSettings(BaseModel, frozen=True, extra="forbid"):
    """What to read and how."""

    inputs: tuple[Input, ...] = Field(
        default=(),
        description="files, folders, globs, URLs, or lists of paths (warc.paths.gz); none: finish what is begun",
        json_schema_extra={"cli": {"argument": True, "metavar": "INPUT..."}},
    )
    engine: Literal["resiliparse", "resiliparse-v1", "trafilatura", "trafilatura-fast", "raw"] = Field(
        default="resiliparse",
        description="resiliparse (any type of page), resiliparse-v1 (as before), trafilatura, trafilatura-fast, raw",
    )
    text_column: str = Field(default="text", description="column of JSONL, Parquet and Arrow rows that holds the text")
    shard_bytes: int = Field(default=64 << 20, gt=0, description="input bytes that make a shard")
    max_page_bytes: int = Field(default=16 << 20, gt=0, description="bytes of a record; larger ones become failures")
    max_page_seconds: float = Field(default=10, gt=0, description="CPU seconds of a page; beyond, it becomes a failure")
    output: Literal["text", "markdown"] = Field(
        default="text", description="layout of extracted pages: text or markdown"
    )
    headline: bool = Field(default=False, description="put a page's headline, its title, at the head of its text too")
    captions: bool = Field(default=False, description="keep the captions of figures in articles")
    normalise: bool = Field(default=True, description="NFC, no control characters, settled white space")
    repair_mojibake: bool = Field(default=False, description="mend wrongly decoded text with ftfy")
    language_model: File | None = Field(
        default=OWN,
        description=f"gristmill: the model that comes along, for {COVERED}, with und for a text that says too little; "
        "none; or a fastText model's path",
        json_schema_extra={"cli": {"parse": "path_or_none"}},
    )
    keep_versions: bool = Field(
        default=False, description="keep documents of an input beside those of its other bytes now; default: replace"
    )
    sandbox: bool = Field(default=True, description="extract in a child process; without it the time limit cannot hold")
