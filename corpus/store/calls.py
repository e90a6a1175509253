"""Calls that can be made again: settings as data, with the files and folders that they name.

A setting that may name a file or a folder is marked in its type: `File`, `Folder` or `Elsewhere`. `call_of` keeps all
settings, with what stands for such a file and what lay there; where it lies stands in `plans/places.json` alone, so
that equal calls in two folders are equal. `asked_again` gives the settings back and refuses where something is gone or
another. Names of what lies in the workspace itself move with it and may change.
"""

import json
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from ..settings import Elsewhere as Elsewhere
from ..settings import File as File
from ..settings import Folder as Folder
from ..settings import Outside as Outside
from .errors import WorkspaceError
from .shards import checksum, filesystem, fingerprint, replacing

HERE = "{workspace}"  # stands for the workspace's own URL
ELSEWHERE = "{elsewhere}"  # begins what stands for a place outside of it
PLACES = "plans/places.json"  # what it stands for: the one file that knows absolute places of settings
M = TypeVar("M", bound=BaseModel)


class Call(BaseModel, frozen=True, extra="forbid"):
    """How a stage was asked for, the same wherever the files lie that it names."""

    settings: dict[str, Any]  # all of them, as JSON; `{elsewhere}/KEY/NAME` for what lies outside of the workspace
    places: dict[str, str] = {}  # what they name outside of the workspace -> its content then, "" where that is free


def call_of(settings: BaseModel, workspace: str) -> tuple[Call, dict[str, str]]:
    """(the call that these settings were, where what it names outside of the workspace lies)."""
    found: list[tuple[str, str, str]] = []  # what stands for it meanwhile, place, its content or ""

    def named(text: str, mark: Outside) -> str:
        place = text if "://" in text else os.path.abspath(os.path.expanduser(text))
        if place == workspace or place.startswith(workspace + "/"):
            return HERE + place.removeprefix(workspace)
        content = content_of(place, mark.folder)
        if content is None:
            return text  # a name of something else: a bundled rule set, a domain
        found.append((f"{ELSEWHERE}/{len(found)}", place, content if mark.content else ""))
        return found[-1][0]

    told = _changed(settings, None, (), named)
    marks = {}
    for stand_in, place, content in found:
        key = fingerprint(content or [type(settings).__name__, told, stand_in])[:16]
        marks[stand_in] = f"{ELSEWHERE}/{key}/{os.path.basename(place.rstrip('/'))}"
    call = Call(settings=renamed(told, marks), places={marks[name]: content for name, _, content in found})
    return call, {marks[name]: place for name, place, _ in found}


def named_places(settings: BaseModel, workspace: str) -> dict[str, str]:
    """What settings name -> what is recorded of it: inside the workspace its place there, outside its name alone."""
    names: dict[str, str] = {}

    def noted(text: str, mark: Outside) -> str:
        place = text if "://" in text else os.path.abspath(os.path.expanduser(text))
        if place == workspace or place.startswith(workspace + "/"):
            names[text] = HERE + place.removeprefix(workspace)
        elif mark.content and _lies(place, mark.folder):
            names[text] = f"{ELSEWHERE}/{os.path.basename(place.rstrip('/'))}"
        return text

    _changed(settings, None, (), noted)
    return names


def _lies(place: str, folder: bool) -> bool:
    fs, path = filesystem(place)
    return bool(fs.isfile(path)) or (folder and bool(fs.isdir(path)))


def keep_places(workspace: str, places: Mapping[str, str]) -> None:
    """Write down where things lie outside of the workspace; whoever holds it does."""
    known = _places(workspace)
    told = {mark: list(dict.fromkeys([place, *known.get(mark, [])])) for mark, place in places.items()}
    if any(known.get(mark) != own for mark, own in told.items()):
        data = {"workspace": workspace, "places": known | told}
        with replacing(f"{workspace}/{PLACES}") as scratch, open(scratch, "w", encoding="utf-8") as file:
            file.write(json.dumps(data, indent=1, sort_keys=True) + "\n")


def _places(workspace: str) -> dict[str, list[str]]:
    """What stands for a place -> where that was, the last one first; beside a workspace that moved, where it is now."""
    fs, path = filesystem(f"{workspace}/{PLACES}")
    try:
        told = json.loads(fs.cat_file(path))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise WorkspaceError(
            f"{workspace}/{PLACES} is damaged; remove it and run the stages with their files"
        ) from error
    before = told["workspace"]
    return {
        mark: list(dict.fromkeys(relocated(p, before, workspace) for p in own)) for mark, own in told["places"].items()
    }


def relocated(place: str, before: str, workspace: str) -> str:
    """Where a place is, by the workspace that it was written down in and where that is now: beside it as before, where
    something is there, else where it was."""
    if before == workspace or "://" in before + workspace + place:
        return place
    beside = os.path.normpath(os.path.join(workspace, os.path.relpath(place, before)))
    return beside if os.path.lexists(beside) else place


def asked_again(call: Call | None, model: type[M], workspace: str) -> M:
    """The settings of a call. WorkspaceError where it was not recorded, or what it names is gone or another."""
    if call is None:
        raise WorkspaceError("how it was asked for is not recorded")
    known = _places(workspace) if call.places else {}
    names = {}
    for mark, content in sorted(call.places.items()):
        candidates = known.get(mark, [])
        now = {place: there for place in candidates if (there := content_of(place)) is not None}
        right = [place for place, there in now.items() if not content or there == content]
        if right:
            names[mark] = right[0]
            continue
        told = next(iter(now), candidates[0] if candidates else os.path.basename(mark))
        raise WorkspaceError(f"{told}, which it was made with, {'was changed since' if now else 'is gone'}")
    return model.model_validate(_located(renamed(call.settings, names), workspace))


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


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Settings with texts replaced by what they stand for."""
    if isinstance(value, dict):
        return {name: renamed(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [renamed(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


def _located(value: Any, workspace: str) -> Any:
    """Settings with the workspace's own URL where it is stood for."""
    if isinstance(value, dict):
        return {name: _located(one, workspace) for name, one in value.items()}
    if isinstance(value, list):
        return [_located(one, workspace) for one in value]
    return workspace + value.removeprefix(HERE) if isinstance(value, str) and value.startswith(HERE) else value
