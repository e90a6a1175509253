"""What `extract` is asked for: plain data that imports nothing heavy."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field, model_validator

from ....corpus.languages.tags import COVERED
from ....corpus.settings import OWN, File, Input

if TYPE_CHECKING:
    from ....corpus.readers.naming import Naming

COLUMNS = ("id", "text", "url", "date", "title", "language", "license", "domain")


class ExtractSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
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
    text_column: str | None = Field(
        default=None,
        description="column of JSONL, Parquet and Arrow rows that holds the text; "
        "default: text, content, raw_content, body, else html",
    )
    id_column: str | None = Field(
        default=None,
        description="column that holds your own id of a row: kept whatever else is, and a row without one is a failure",
    )
    url_column: str | None = Field(default=None, description="column that holds the URL; default: url")
    date_column: str | None = Field(
        default=None, description="column that holds the date; default: date, timestamp, created"
    )
    title_column: str | None = Field(default=None, description="column that holds the title; default: title")
    language_column: str | None = Field(default=None, description="column that holds the language; default: language")
    license_column: str | None = Field(default=None, description="column that holds the licence; default: license")
    domain_column: str | None = Field(
        default=None, description="column that holds the domain of each row; default: that of the input"
    )
    keep_columns: tuple[str, ...] = Field(
        default=(), description="own column to keep, beside the text; may be repeated; default: all"
    )
    drop_columns: tuple[str, ...] = Field(default=(), description="own column to leave out; may be repeated")
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

    def naming(self) -> "Naming":
        """The names of columns, as readers want them."""
        from ....corpus.readers.naming import Naming

        names = {kind: getattr(self, f"{kind}_column") for kind in COLUMNS}
        return Naming(**names, keep=self.kept, drop=self.drop_columns)

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns to keep, the id of a row among them; none: all."""
        own = () if self.id_column is None or self.id_column in self.keep_columns else (self.id_column,)
        return (*self.keep_columns, *own) if self.keep_columns else ()

    @model_validator(mode="after")
    def _id_is_kept(self) -> "ExtractSettings":
        if self.id_column is not None and self.id_column in self.drop_columns:
            raise ValueError(f"column {self.id_column} is the id of a row, which is kept; leave it out of drop_columns")
        return self
