"""The driver, held to the stage contract with the smallest stage there can be: it counts the rows of each shard."""

import pyarrow as pa
import pytest
from pydantic import BaseModel

from gristmill.corpus.store import schema
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.shards import committed, fingerprint, open_shard, read_batches
from gristmill.corpus.store.workspace import MANIFEST, Manifest, Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import Stage, run_stage, shard_graph

COUNTED = pa.schema([("id", pa.string()), ("n", pa.int64())])


class CountSettings(BaseModel, frozen=True, extra="forbid"):
    factor: int = 1
    lose: bool = False


def process(plan, shard):
    url = plan.workspace.table("counted").shard_url(shard)
    stamp = fingerprint(plan.recorded, plan.inputs)
    done = committed(url, stamp)
    if done is None:
        rows = sum(batch.num_rows for batch in read_batches(plan.workspace.table("documents").shard_url(shard), ["id"]))
        with open_shard(url, COUNTED, stamp) as out:
            out.write_rows([{"id": shard, "n": rows * plan.settings.factor}])
            out.counts.update({"in": rows, "kept": rows - plan.settings.lose})
        done = committed(url, stamp)
    yield "counted", done


def graph(pipeline, plan):
    shards = [shard.name for shard in plan.workspace.table("documents").finished("count").shards]
    return shard_graph(pipeline, plan, shards, process, tables=("counted",))


def inputs(workspace, settings):
    return {"documents": workspace.table("documents").finished("count").fingerprint}


COUNT = Stage("count", 1, ("counted",), inputs, graph)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    space = Workspace(str(tmp_path / "w"))
    put_documents(space, {"a.parquet": 2, "b.parquet": 3})
    return space


def put_documents(space: Workspace, shards: dict[str, int]) -> None:
    table, listed = space.table("documents"), []
    for name, rows in shards.items():
        with open_shard(table.shard_url(name), schema.DOCUMENTS, name) as out:
            out.write_rows({"id": f"{name}{n}", "text": "x", "source": "s", "domain": "d"} for n in range(rows))
        listed.append(committed(table.shard_url(name), name))
    manifest = Manifest(
        table="documents", stage="extract", version=1, settings={}, inputs={}, shards=tuple(listed), counts={}
    )
    table.write_manifest(manifest)


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


def test_an_unfinished_stage_keeps_the_shards_that_were_committed(workspace, tmp_path):
    run(workspace)
    folder = tmp_path / "w" / "counted"
    before = (folder / "a.parquet").stat().st_mtime_ns
    (folder / MANIFEST).unlink()
    (folder / "b.parquet").unlink()
    (folder / ".b.parquet.0.tmp").write_bytes(b"left by a killed writer")
    run(workspace)
    assert numbers(workspace) == [2, 3]
    assert (folder / "a.parquet").stat().st_mtime_ns == before
    assert sorted(entry.name for entry in folder.iterdir()) == [MANIFEST, "a.parquet", "b.parquet"]


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
    with workspace.locked():
        with pytest.raises(RequestError, match="another gristmill is at work"):
            run(workspace)
    assert run(workspace)["skipped"] is False
