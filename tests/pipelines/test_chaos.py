"""Killed at any put of a commit, a re-run leaves the old result in force or the new one whole."""

import json
import os
import shutil
from pathlib import Path

import pytest

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.commits import UNFINISHED, Commit
from gristmill.corpus.store.lease import LEASE
from gristmill.corpus.store.shards import filesystem
from gristmill.corpus.store.soundness import demand_sound
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine import graph
from gristmill.pipelines.engine.replay import Again, replays
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.status import status_of

from .short_road import OPTIONS
from .test_rebuild import passage

MADE = ("filter", "decontaminate", "dedup", "tag", "tokenize")  # stages of the short road
WITHOUT = ("contamination_audit", "labels", "labellers", "clusters")  # it asks for none of these
CHAIN = [one.table for one in replays() if one.name in MADE and one.table not in WITHOUT]


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(scope="module")
def grown(short_road: Path, tmp_path_factory) -> Path:
    """A finished workspace to which a file was added: every stage has something to do."""
    folder = tmp_path_factory.mktemp("chaos")
    space = Workspace(str(folder / "w"))
    shutil.copytree(short_road / "w", space.url)
    rows = [{"text": passage(n), "url": f"https://h{n}.example.org/{n}"} for n in range(30, 34)]
    (folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = Input(paths=(str(folder / "b.jsonl"),), source="web", domain="web")
    run_extract(space, ExtractSettings(inputs=(given,), shard_bytes=6000), OPTIONS, quiet=True)
    return folder


def again(space: Workspace, table: str) -> None:
    """Run the stage that makes a table as it was asked for."""
    step = next(step for step in replays() if step.table == table)
    own = next(t for t in space.tables() if t.name == table or (table.endswith("/") and t.name.startswith(table)))
    step.again(Again(space, own.finished("test").call, OPTIONS, True))


class Death:
    """After `left` more puts or removals once a graph has ended, nothing that this process does reaches the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left, self.armed, self.calls = left, False, 0
        real = graph.handed_over
        monkeypatch.setattr(graph, "handed_over", lambda *a: (setattr(self, "armed", True), real(*a))[1])
        for name in ("replace", "remove"):
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, real):
        def call(*arguments, **named):
            if self.armed:
                self.calls += 1
                if self.calls > self.left:
                    raise Killed
            return real(*arguments, **named)

        return call


def sound(space: Workspace, commit: Commit) -> None:
    for file in commit.files:
        demand_sound(*filesystem(space.path(file)))


@pytest.mark.parametrize(
    "table", [CHAIN[3], *(pytest.param(name, marks=pytest.mark.slow) for name in (CHAIN[2], *CHAIN[4:]))]
)
def test_a_run_that_is_killed_at_any_put_of_its_commit_leaves_a_whole_result(grown, tmp_path, monkeypatch, table):
    before = Workspace(str(tmp_path / "before"))
    shutil.copytree(grown / "w", before.url)
    for earlier in CHAIN[: CHAIN.index(table)]:
        again(before, earlier)
    right = Workspace(str(tmp_path / "right"))
    shutil.copytree(before.url, right.url)
    with monkeypatch.context() as counting:
        puts = Death(counting, 10**9)
        again(right, table)
    assert puts.calls >= 4
    every = sorted({0, 1, puts.calls // 2})
    for left in every if table == "decisions/dedup" else every[1:2]:
        space = Workspace(str(tmp_path / f"killed{left}"))
        shutil.copytree(before.url, space.url)
        old = space.commits()
        with monkeypatch.context() as dying:
            Death(dying, left)
            with pytest.raises(Killed):
                again(space, table)
        (Path(space.url) / LEASE).unlink(missing_ok=True)  # its holder is dead; the tests of leases say what that means
        for stage, commit in space.commits().items():
            assert commit.generation in (old[stage].generation, old[stage].generation + 1)
            sound(space, commit)
        begun = (Path(space.url) / UNFINISHED).exists() and os.listdir(Path(space.url) / UNFINISHED)
        told = {finding["check"] for finding in audit(space)["findings"]}
        assert not told & {"checksum", "counts", "commit", "ids", "decisions", "lost", "tokens"}
        if begun:
            assert "unfinished" in told
            assert status_of(space)["unfinished"]
        again(space, table)
        assert {n: c.tables for n, c in space.commits().items()} == {n: c.tables for n, c in right.commits().items()}
        assert {str(p.relative_to(space.url)) for p in Path(space.url).rglob("*.parquet")} == {
            str(p.relative_to(right.url)) for p in Path(right.url).rglob("*.parquet")
        }
