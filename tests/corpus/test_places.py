"""Calls that can be made again: what settings name is kept by content, and nothing else is touched."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gristmill.corpus.store.calls import Call, Elsewhere, File, Folder, asked_again, call_of, keep_places
from gristmill.corpus.store.errors import WorkspaceError


class Inner(BaseModel, frozen=True):
    lists: dict[str, File] = {}


class Settings(BaseModel, frozen=True):
    one: File | None = None
    many: tuple[Folder, ...] = ()
    other: tuple[Elsewhere, ...] = ()
    inner: Inner | str = "none"
    plain: dict[str, Any] = {}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part").write_text("y")
    return tmp_path


def called(settings: Settings, workspace: Path) -> Call:
    """The call, with the places that it names written down."""
    call, places = call_of(settings, str(workspace))
    keep_places(str(workspace), places)
    return call


def test_a_call_tells_no_place_and_gives_every_name_back(here: Path):
    asked = Settings(one="file", many=("folder", "books"), inner=Inner(lists={"a": "file"}), plain={"one": "file"})
    call = called(asked, here / "w")
    assert str(here) not in call.model_dump_json()
    assert call.settings["many"][1] == "books"
    assert call.settings["plain"] == {"one": "file"}
    again = asked_again(call, Settings, str(here / "w"))
    assert (again.one, again.many) == (str(here / "file"), (str(here / "folder"), "books"))
    assert again.inner == Inner(lists={"a": str(here / "file")})


def test_equal_calls_in_two_folders_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []
    for name in ("here", "there"):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")
        monkeypatch.chdir(tmp_path / name)
        asked = Settings(one="file", many=("folder",), other=("folder",))
        calls.append(called(asked, tmp_path / name / "w"))
    assert calls[0] == calls[1]


def test_a_workspace_that_moved_with_its_files_finds_them_beside_it(
    here: Path, tmp_path_factory: pytest.TempPathFactory
):
    call = called(Settings(one="file"), here / "w")
    moved = tmp_path_factory.mktemp("away") / "all"
    here.rename(moved)
    assert asked_again(call, Settings, str(moved / "w")).one == str(moved / "file")


def test_a_file_that_was_named_in_two_places_is_found_in_the_one_that_is_left(here: Path):
    (here / "copy").write_text("x")
    call = called(Settings(one="file"), here / "w")
    (here / "copy").rename(here / "folder" / "file")
    assert called(Settings(one="folder/file"), here / "w") == call
    (here / "folder" / "file").unlink()
    assert asked_again(call, Settings, str(here / "w")).one == str(here / "file")


def test_a_folder_is_no_file(here: Path):
    assert called(Settings(one="folder"), here / "w").settings["one"] == "folder"


@pytest.mark.parametrize("field", ["one", "many"])
def test_what_was_changed_is_refused_by_name(here: Path, field: str):
    call = called(Settings(one="file") if field == "one" else Settings(many=("folder",)), here / "w")
    asked_again(call, Settings, str(here / "w"))
    (here / ("file" if field == "one" else "folder/part")).write_text("longer")
    with pytest.raises(WorkspaceError, match=r"(file|folder), which it was made with, was changed since"):
        asked_again(call, Settings, str(here / "w"))


def test_another_workspace_may_grow_but_must_be_there(here: Path):
    call = called(Settings(other=("folder",)), here / "w")
    (here / "folder" / "part").write_text("longer")
    assert asked_again(call, Settings, str(here / "w")).other == (str(here / "folder"),)
    (here / "folder" / "part").unlink()
    (here / "folder").rmdir()
    with pytest.raises(WorkspaceError, match="folder, which it was made with, is gone"):
        asked_again(call, Settings, str(here / "w"))


def test_what_lies_in_the_workspace_moves_with_it_and_may_change(here: Path):
    call = called(Settings(one="folder/part"), here / "folder")
    (here / "folder" / "part").write_text("longer")
    (here / "folder").rename(here / "moved")
    assert asked_again(call, Settings, str(here / "moved")).one == str(here / "moved" / "part")


def test_a_call_that_is_not_recorded_is_refused():
    with pytest.raises(WorkspaceError, match="not recorded"):
        asked_again(None, Settings, "/w")
