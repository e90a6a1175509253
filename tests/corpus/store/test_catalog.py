"""`catalog.duckdb`: written once a command, whatever the command's stages and however it ends."""

import json

import duckdb
import pytest

import gristmill as gm
from gristmill.corpus.store import catalog


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """The workspaces whose views were made, one entry a time."""
    made = []
    statements = catalog.view_statements

    def noted(workspace, *more):
        made.append(workspace.url)
        return statements(workspace, *more)

    monkeypatch.setattr(catalog, "view_statements", noted)
    return made


@pytest.fixture
def space(tmp_path) -> gm.Workspace:
    lines = [json.dumps({"text": f"The mill number {n} grinds its own grist by the river."}) for n in range(6)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    made = gm.Workspace(str(tmp_path / "w"), quiet=True)
    made.extract(str(tmp_path / "a.jsonl"), language_model="none")
    return made


def rows(space: gm.Workspace, table: str) -> int:
    with duckdb.connect(f"{space.url}/catalog.duckdb", read_only=True) as connection:
        return connection.execute(f'select count(*) from "{table}"').fetchall()[0][0]


def test_a_command_of_three_stages_writes_the_catalog_once(space, written):
    space.tokenize(vocab_size=300, heldout=0)
    assert len(written) == 1


def test_the_catalog_shows_what_was_committed_before_a_later_stage_failed(space, written):
    def fails():
        with catalog.one_refresh(space.held):
            space.dedup()
            assert not written
            raise ValueError("the second stage fails")

    with pytest.raises(ValueError, match="the second stage"):
        fails()
    assert len(written) == 1
    assert rows(space, "decisions") == 6


def test_a_block_in_which_nothing_asks_for_the_catalog_writes_none(space, written):
    with catalog.one_refresh(space.held):
        pass
    assert not written
    space.dedup()
    assert len(written) == 1
