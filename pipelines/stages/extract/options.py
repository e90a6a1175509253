"""What the command `extract` takes beside the settings: how its inputs are named."""

from typing import Any

from pydantic import BaseModel, Field

from ....corpus.settings import Section


class ExtractOptions(BaseModel, frozen=True, extra="forbid"):
    """Of the one input that a command line names; a settings file lists inputs, each with these."""

    source: str | None = Field(default=None, description="name of the input; default: of its file or folder")
    domain: str | None = Field(default=None, description="mixture unit of its documents; default: the source")
    format: str = Field(default="auto", description="warc, jsonl, parquet, arrow, html, text; auto goes by the name")
    section: Section | None = Field(
        default=None, description="kind of source, for cards: public-dataset, licensed, crawl, …; default: not declared"
    )


def gather(values: dict[str, Any], options: ExtractOptions) -> dict[str, Any]:
    """The paths of a command line as one input; inputs of a file as they stand."""
    paths = values.get("inputs") or []
    if not paths or not all(isinstance(path, str) for path in paths):
        return values
    from ....corpus.store.shards import spelled

    return values | {"inputs": [{"paths": [spelled(path) for path in paths], **options.model_dump()}]}
