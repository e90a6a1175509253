"""Calls that can be made again: what settings name is kept by content, and nothing else is touched."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gristmill.corpus.store.calls import Elsewhere, File, Folder, asked_again, call_of
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


def test_names_of_files_become_absolute_and_other_texts_stay(here: Path):
    asked = Settings(one="file", many=("folder", "books"), inner=Inner(lists={"a": "file"}), plain={"one": "file"})
    call = call_of(asked, "/w")
    assert call.settings["one"] == str(here / "file") == call.settings["inner"]["lists"]["a"]
    assert call.settings["many"] == [str(here / "folder"), "books"]
    assert call.settings["plain"] == {"one": "file"}
    again = asked_again(call, Settings, "/w")
    assert (again.many, again.inner) == ((str(here / "folder"), "books"), Inner(lists={"a": str(here / "file")}))


def test_a_folder_is_no_file(here: Path):
    assert call_of(Settings(one="folder"), "/w").settings["one"] == "folder"


@pytest.mark.parametrize("field", ["one", "many"])
def test_what_was_changed_is_refused_by_name(here: Path, field: str):
    call = call_of(Settings(one="file") if field == "one" else Settings(many=("folder",)), "/w")
    asked_again(call, Settings, "/w")
    (here / ("file" if field == "one" else "folder/part")).write_text("longer")
    with pytest.raises(WorkspaceError, match=r"(file|folder), which it was made with, was changed since"):
        asked_again(call, Settings, "/w")


def test_another_workspace_may_grow_but_must_be_there(here: Path):
    call = call_of(Settings(other=("folder",)), "/w")
    (here / "folder" / "part").write_text("longer")
    assert asked_again(call, Settings, "/w").other == (str(here / "folder"),)
    (here / "folder" / "part").unlink()
    (here / "folder").rmdir()
    with pytest.raises(WorkspaceError, match="folder, which it was made with, is gone"):
        asked_again(call, Settings, "/w")


def test_what_lies_in_the_workspace_moves_with_it_and_may_change(here: Path):
    call = call_of(Settings(one="folder/part"), str(here / "folder"))
    (here / "folder" / "part").write_text("longer")
    (here / "folder").rename(here / "moved")
    assert asked_again(call, Settings, str(here / "moved")).one == str(here / "moved" / "part")


def test_a_call_that_is_not_recorded_is_refused():
    with pytest.raises(WorkspaceError, match="not recorded"):
        asked_again(None, Settings, "/w")
