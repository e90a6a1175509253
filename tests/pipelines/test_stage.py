"""The driver, held to the stage contract with the smallest stage there can be: it counts the rows of each shard."""

import subprocess
import sys

import pyarrow as pa
import pytest
from pydantic import BaseModel

from gristmill.corpus.store import schema
from gristmill.corpus.store.commits import MANIFEST
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.fate import ShardSource, sources
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.graph import Work, commit, map_shards
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
