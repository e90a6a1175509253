"""What settings may name outside of a workspace, and what an input is: plain data that imports nothing heavy.

A setting that may name a file or a folder bears the mark `File`, `Folder` or `Elsewhere` in its type, so that a
call can be recorded with what lay there.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

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


def truths_for_numbers(annotation: Any, value: Any, place: str = "") -> Iterator[str]:
    """Places at which a value says true or false and the annotation wants a number: pydantic takes them for 1 and 0."""
    arms = _arms(annotation)
    if isinstance(value, bool):
        if {int, float} & {*arms} and not {bool, Any} & {*arms}:
            yield place
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            there = f"{place}.{key}" if place else str(key)
            for arm in arms:
                if get_origin(arm) is dict:
                    yield from truths_for_numbers(get_args(arm)[1], inner, there)
                elif isinstance(arm, type) and issubclass(arm, BaseModel) and key in arm.model_fields:
                    yield from truths_for_numbers(arm.model_fields[key].annotation, inner, there)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            for arm in arms:
                if get_origin(arm) in (tuple, list):
                    yield from truths_for_numbers(get_args(arm)[0], inner, f"{place}.{number}")


def _arms(annotation: Any) -> list[Any]:
    """The types that a value may have."""
    if get_origin(annotation) is Annotated:
        return _arms(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [one for arm in get_args(annotation) for one in _arms(arm)]
    return [annotation]
