"""What settings may name outside of a workspace, and what an input is: plain data that imports nothing heavy.

A setting that may name a file or a folder bears the mark `File`, `Folder` or `Elsewhere` in its type, so that a
call can be recorded with what lay there.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field

OWN = "gristmill"  # names our language model where a path would name another


@dataclass(frozen=True)
class Outside:
    """Marks a setting whose text may name a file. `content`: what lies there decides the result."""

    folder: bool = False  # or a folder
    content: bool = True


File = Annotated[str, Outside()]

Folder = Annotated[str, Outside(folder=True)]

Elsewhere = Annotated[str, Outside(folder=True, content=False)]


# kinds of sources, as the public summary of training content tells them apart; a Common Crawl release is a dataset
Section = Literal["public-dataset", "licensed", "private", "crawl", "user", "synthetic", "other"]


class Input(BaseModel, frozen=True, extra="forbid"):
    """Some files that belong together: one source, one domain."""

    paths: tuple[str, ...] = Field(description="files, folders, globs, fsspec URLs, or lists of paths (warc.paths.gz)")
    source: str | None = Field(default=None, description="name of the input; default: of its file or folder")
    domain: str | None = Field(default=None, description="mixture unit of its documents; default: the source")
    format: str = Field(default="auto", description="warc, jsonl, parquet, arrow, html or text; auto goes by the name")
    section: Section | None = Field(
        default=None,
        description="kind of source: public-dataset, licensed, private (of third parties), crawl (of one's own), user, "
        "synthetic, other; default: not declared",
    )
