"""The driver, held to the stage contract with the smallest stage there can be: it counts the rows of each shard."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from pydantic import BaseModel

from gristmill.corpus.store import schema
from gristmill.corpus.store.commits import MANIFEST, history_url
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.fate import ShardSource, sources
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.shards import filesystem
from gristmill.corpus.store.soundness import demand_sound
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.graph import SPILLED, Pending, Work, commit, map_shards
from gristmill.pipelines.engine.room import bytes_of
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import Stage, run_stage

COUNTED = pa.schema([("id", pa.string()), ("n", pa.int64())])


class CountSettings(BaseModel, frozen=True, extra="forbid"):
    factor: int = 1
    lose: bool = False
    fail: str = ""  # the shard at which a worker fails


def process(plan, work):
    rows = sum(batch.num_rows for batch in work.documents.read(["id"]))
    with plan.writer("counted", work.name, COUNTED) as out:
        out.write_rows([{"id": work.name, "n": rows * plan.settings.factor}])
        out.counts.update({"in": rows, "kept": rows - plan.settings.lose})
    if plan.settings.fail == work.name:
        raise ValueError("this shard cannot be counted")
    yield "counted", out.shard


COUNT = Stage(
    "count",
    1,
    ("counted",),
    lambda workspace, settings: {},
    lambda pipeline, plan: commit(map_shards(pipeline, plan, process), plan),
    lambda plan: [Work.of(source) for source in sources(plan.workspace, "count").values()],
    recorded=lambda settings: settings.model_dump(exclude={"fail"}),
)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    space = Workspace(str(tmp_path / "w"))
    put_documents(space, {"a.parquet": 2, "b.parquet": 3})
    return space


def put_documents(space: Workspace, shards: dict[str, int]) -> None:
    rows = {
        name: [{"id": f"{name}{n}", "text": "x", "source": "s", "domain": "d"} for n in range(count)]
        for name, count in shards.items()
    }
    put_table(space, "documents", schema.DOCUMENTS, rows, stage="extract")


def numbers(space: Workspace) -> list[int]:
    return [n for batch in space.table("counted").read(["n"]) for n in batch["n"].to_pylist()]


def run(space: Workspace, force: bool = False, **settings) -> dict:
    return run_stage(COUNT, space, CountSettings(**settings), RunnerOptions(), force=force, quiet=True)


def test_a_finished_stage_is_skipped(workspace):
    first, second = run(workspace), run(workspace)
    assert numbers(workspace) == [2, 3]
    assert (first["skipped"], second["skipped"]) == (False, True)
    assert first["tables"] == second["tables"] == {"counted": {"in": 5, "kept": 5}}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_plan_of_several_blocks_gives_what_one_block_gives(workspace, monkeypatch, workers):
    put_documents(workspace, {f"{name}.parquet": rows for rows, name in enumerate("abcdefg", 1)})
    monkeypatch.setattr("gristmill.pipelines.engine.graph.BLOCK", 3)
    run_stage(COUNT, workspace, CountSettings(), RunnerOptions(workers=workers), quiet=True)
    assert numbers(workspace) == [1, 2, 3, 4, 5, 6, 7]


def test_other_settings_are_refused_and_the_difference_is_named(workspace):
    run(workspace)
    with pytest.raises(RequestError, match="factor: 1 there, 3 asked"):
        run(workspace, factor=3)
    assert numbers(workspace) == [2, 3]
    run(workspace, force=True, factor=3)
    assert numbers(workspace) == [6, 9]


def test_more_input_is_taken_in_without_force(workspace):
    run(workspace)
    put_documents(workspace, {"a.parquet": 2, "b.parquet": 3, "c.parquet": 1})
    assert run(workspace)["skipped"] is False
    assert numbers(workspace) == [2, 3, 1]


def test_growth_opens_no_old_shard(workspace, monkeypatch):
    run(workspace)
    before = {shard.name: shard for shard in workspace.table("counted").finished("test").shards}
    put_documents(workspace, {"a.parquet": 2, "b.parquet": 3, "c.parquet": 1})
    opened = []
    monkeypatch.setattr(ShardSource, "read", lambda self, *_: opened.append(self.shard) or iter(()))
    run(workspace)
    assert opened == ["c.parquet"]
    after = {shard.name: shard for shard in workspace.table("counted").finished("test").shards}
    assert {name: after[name] for name in before} == before


def test_a_run_that_fails_leaves_the_result_in_force_and_goes_on_where_it_was(workspace, tmp_path):
    run(workspace)
    commit = workspace.commit_of("count")
    with pytest.raises(Exception, match="cannot be counted"):
        run(workspace, force=True, factor=3, fail="b.parquet")
    assert workspace.commit_of("count") == commit
    assert numbers(workspace) == [2, 3]
    before = {entry.name: entry.stat().st_mtime_ns for entry in (tmp_path / "w" / "counted").iterdir()}
    run(workspace, force=True, factor=3)
    assert numbers(workspace) == [6, 9]
    kept = [shard.file for shard in workspace.table("counted").finished("test").shards if shard.file in before]
    assert len(kept) >= 1  # the shard that was written before the failure was not written again
    listed = {shard.file for shard in workspace.table("counted").finished("test").shards} | {MANIFEST}
    assert {entry.name for entry in (tmp_path / "w" / "counted").iterdir()} == listed
    assert not (tmp_path / "w" / "unfinished" / "count").exists()


def test_equal_rows_from_other_input_keep_their_file(workspace):
    run(workspace)
    before = workspace.table("counted").finished("test")
    rows = {"a.parquet": 2, "b.parquet": 3}
    changed = {
        n: [{"id": f"other{k}", "text": "y", "source": "s", "domain": "d"} for k in range(c)] for n, c in rows.items()
    }
    put_table(workspace, "documents", schema.DOCUMENTS, changed, stage="extract")
    assert run(workspace)["skipped"] is False
    after = workspace.table("counted").finished("test")
    assert after.shards == before.shards
    assert after.fingerprint == before.fingerprint


def test_a_stage_that_loses_a_document_commits_nothing(workspace):
    with pytest.raises(Exception, match="lost track of documents"):
        run(workspace, lose=True)
    assert workspace.table("counted").manifest() is None


def test_an_empty_table_gives_an_empty_table_with_a_manifest(tmp_path):
    space = Workspace(str(tmp_path / "w"))
    put_documents(space, {})
    run(space)
    assert numbers(space) == []
    assert space.table("counted").manifest() is not None


def test_a_missing_input_names_the_command_to_run(tmp_path):
    with pytest.raises(WorkspaceError, match="run: gristmill extract"):
        run(Workspace(str(tmp_path / "empty")))


def test_a_workspace_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written"):
        Workspace(str(tmp_path / "file" / "w")).create()


def test_a_second_writer_is_turned_away(workspace):
    program = (
        "import sys; from gristmill.corpus.store.lease import held\n"
        "with held(sys.argv[1], 'gristmill filter'): print(flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, workspace.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout.readline()
    with pytest.raises(RequestError, match="gristmill filter"):
        run(workspace)
    writer.communicate()
    assert run(workspace)["skipped"] is False


def test_audit_finds_a_manifest_that_is_not_what_the_commit_says_and_the_next_run_writes_it_anew(workspace, tmp_path):
    run(workspace)
    place = tmp_path / "w" / "counted" / MANIFEST
    true = place.read_text()
    place.write_text(true.replace('"rows": 1', '"rows": 4'))
    assert [(f["check"], f["where"]) for f in audit(workspace)["findings"] if f["check"] == "manifest"] == [
        ("manifest", "counted")
    ]
    assert run(workspace)["skipped"]
    assert place.read_text() == true


def test_earlier_generations_stay_with_their_files_as_long_as_they_are_asked_for(workspace):
    def kept(factor: int, keep: int) -> list[int]:
        run_stage(COUNT, workspace, CountSettings(factor=factor), RunnerOptions(keep=keep), force=True, quiet=True)
        assert [found for found in audit(workspace)["findings"] if found["check"] != "conservation"] == []
        for earlier in workspace.earlier("count"):
            for file in earlier.files:
                demand_sound(*filesystem(workspace.path(file)))
        return [commit.generation for commit in workspace.earlier("count")]

    assert [kept(factor, 3) for factor in (1, 2, 3, 4)] == [[], [1], [2, 1], [3, 2]]
    assert len(workspace.table("counted").listed()) == 3 * 2 + 1
    assert run(workspace, factor=4)["skipped"]
    assert kept(5, 2) == [4]
    workspace.forget_earlier()
    assert (workspace.earlier("count"), len(workspace.table("counted").listed())) == ([], 2 + 1)
    assert numbers(workspace) == [10, 15]


def test_an_earlier_generation_is_in_force_again_where_its_file_is_put_back(workspace):
    run(workspace, factor=1)
    run_stage(COUNT, workspace, CountSettings(factor=2), RunnerOptions(keep=2), force=True, quiet=True)
    (earlier,) = workspace.earlier("count")
    Path(workspace.path("commits", "count.json")).write_bytes(Path(history_url(workspace.url, earlier)).read_bytes())
    assert numbers(workspace) == [2, 3]
    assert run(workspace, factor=1)["skipped"]


def test_a_re_run_that_the_disk_has_clearly_no_room_for_is_refused_before_it_begins(workspace, monkeypatch, capsys):
    run(workspace, factor=1)
    needed = bytes_of(workspace.commits()["count"])
    for free in (needed // 3, needed):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if free < needed:
            with pytest.raises(WorkspaceError, match=r"needs about .* and .* are free"):
                run(workspace, factor=2, force=True)
            assert numbers(workspace) == [2, 3]
        else:
            run_stage(COUNT, workspace, CountSettings(factor=2), RunnerOptions(), force=True)
            assert "count needs about" in capsys.readouterr().err
    assert numbers(workspace) == [4, 6]


@pytest.mark.parametrize("count", [3, 2 * SPILLED + 700])
def test_work_that_waits_is_the_same_in_memory_and_in_a_file(count):
    items = [Work(f"item {n}", {"documents/x": str(n)}, load=n) for n in range(count)]
    waiting = Pending(items)
    assert len(waiting) == count
    assert list(waiting) == items
    assert [waiting[0], waiting[-1], waiting[count // 2]] == [items[0], items[-1], items[count // 2]]
    assert list(waiting[1:3]) == items[1:3]
    assert [item for block in waiting.blocks() for item in block] == items
