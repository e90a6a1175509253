"""Calls that can be made again: settings as data, with the files and folders that they name.

A setting that may name a file or a folder is marked in its type: `File`, `Folder` or `Elsewhere`. `call_of` keeps all
settings, such names as absolute paths, and what lay there; `asked_again` gives the settings back and refuses where
something is gone or another. Names of what lies in the workspace itself move with it and may change.
"""

import os
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from ..settings import Elsewhere as Elsewhere
from ..settings import File as File
from ..settings import Folder as Folder
from ..settings import Outside as Outside
from .errors import WorkspaceError
from .shards import checksum, filesystem, fingerprint

HERE = "{workspace}"  # stands for the workspace's own URL
M = TypeVar("M", bound=BaseModel)


class Call(BaseModel, frozen=True, extra="forbid"):
    """How a stage was asked for."""

    settings: dict[str, Any]  # all of them, as JSON
    places: dict[str, str] = {}  # what they name outside of the workspace -> its content then, "" where that is free


def call_of(settings: BaseModel, workspace: str) -> Call:
    """The call that these settings were, for a workspace of that URL."""
    places: dict[str, str] = {}

    def anchored(text: str, mark: Outside) -> str:
        place = text if "://" in text else os.path.abspath(os.path.expanduser(text))
        if place == workspace or place.startswith(workspace + "/"):
            return HERE + place.removeprefix(workspace)
        content = content_of(place, mark.folder)
        if content is None:
            return text  # a name of something else: a bundled rule set, a domain
        places[place] = content if mark.content else ""
        return place

    return Call(settings=_changed(settings, None, (), anchored), places=places)


def asked_again(call: Call | None, model: type[M], workspace: str) -> M:
    """The settings of a call. WorkspaceError where it was not recorded, or what it names is gone or another."""
    if call is None:
        raise WorkspaceError("how it was asked for is not recorded")
    for place, content in sorted(call.places.items()):
        now = content_of(place)
        if now is None:
            raise WorkspaceError(f"{place}, which it was made with, is gone")
        if content and now != content:
            raise WorkspaceError(f"{place}, which it was made with, was changed since")
    return model.model_validate(_located(call.settings, workspace))


def content_of(place: str, folder: bool = True) -> str | None:
    """A file's checksum, a folder's names and sizes as a fingerprint, None where there is neither."""
    fs, path = filesystem(place)
    if fs.isfile(path):
        return checksum(place)
    if not folder or not fs.isdir(path):
        return None
    found = cast(dict[str, Any], fs.find(path, detail=True))
    return fingerprint(sorted((name.removeprefix(path), entry["size"]) for name, entry in found.items()))


def _changed(value: Any, kind: Any, marks: tuple[Any, ...], change: Callable[[str, Outside], str]) -> Any:
    """A value as JSON, the marked texts in it changed; `kind` and `marks` are its type and that type's metadata."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        return {name: _changed(getattr(value, name), f.annotation, tuple(f.metadata), change) for name, f in fields}
    arms = _arms(kind, marks)
    if isinstance(value, str):
        mark = next((mark for _, own in arms for mark in own if isinstance(mark, Outside)), None)
        return change(value, mark) if mark is not None else value
    if isinstance(value, dict):
        inner = next((get_args(arm)[1] for arm, _ in arms if get_origin(arm) is dict), None)
        return {name: _changed(one, inner, (), change) for name, one in value.items()}
    if isinstance(value, list | tuple):
        inner = next((get_args(arm)[0] for arm, _ in arms if get_origin(arm) in (list, tuple)), None)
        return [_changed(one, inner, (), change) for one in value]
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def _arms(kind: Any, marks: tuple[Any, ...]) -> list[tuple[Any, tuple[Any, ...]]]:
    """(type, metadata) of each alternative of a type."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        return _arms(inner, (*marks, *more))
    arms = [arm for arm in get_args(kind) if arm is not type(None)]
    if get_origin(kind) in (None, dict, list, tuple) or not arms:
        return [(kind, marks)]
    return [found for arm in arms for found in _arms(arm, marks)]


def _located(value: Any, workspace: str) -> Any:
    """Settings with the workspace's own URL where it is stood for."""
    if isinstance(value, dict):
        return {name: _located(one, workspace) for name, one in value.items()}
    if isinstance(value, list):
        return [_located(one, workspace) for one in value]
    return workspace + value.removeprefix(HERE) if isinstance(value, str) and value.startswith(HERE) else value
