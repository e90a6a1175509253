"""Clusters found in vectors that are stored, instead of in words."""

import numpy as np
import pyarrow as pa
import pytest

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.fate import inputs
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.shards import read_batches
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.tag.stage import TagSettings, run_tag


def documents():
    """(id, text): words say nothing about the groups that the vectors make."""
    return [(f"{at:032x}", f"some words about number {at} of the list, and {at * 7919}") for at in range(120)]


@pytest.fixture
def workspace(make_documents):
    made = [{"id": id, "text": text} for id, text in documents()]
    return make_documents({"a.parquet": made[:70], "b.parquet": made[70:]})


def run(workspace, **settings):
    return run_tag(workspace, TagSettings(**settings), RunnerOptions(), quiet=True)


def rows_of(workspace, table):
    rows = [row for batch in workspace.table(table).read() for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["id"])


def store_vectors(workspace, vectors, inputs, kind=None):
    """`scores/rds/` with these vectors (id -> list), in the shards of `documents/`."""
    kind = kind or pa.list_(pa.float32(), 3)
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), ("embedding", kind)])
    made = {}
    for shard in workspace.table("documents").finished("test").shards:
        ids = [
            id for batch in read_batches(workspace.table("documents").shard_url(shard.name), ["id"]) for id in batch[0]
        ]
        rows = [{"id": str(id), "embedding": vectors[str(id)]} for id in reversed(ids) if str(id) in vectors]
        made[shard.name] = rows
    put_table(workspace, "scores/rds", schema, made, inputs=inputs, command="score")


def directions(rows):
    """Vectors that group documents by their place, whatever their words: near one of three axes, of any length."""
    draw = np.random.default_rng(0)
    axes = np.eye(3)
    return {
        id: ((axes[at % 7 % 3] + draw.normal(0, 0.05, 3)) * draw.uniform(0.1, 9)).tolist()
        for at, (id, *_) in enumerate(rows)
    }


def test_stored_vectors_are_clustered_instead_of_words(workspace):
    rows = documents()
    vectors = directions(rows)
    bare = {rows[at][0] for at in (3, 50, 119)}  # one has no row, the others a null
    stored = {id: None if id in bare else vector for id, vector in vectors.items() if id != rows[3][0]}
    made = {"documents": inputs(workspace, "test")["documents"]}
    store_vectors(workspace, stored, made, pa.list_(pa.float32()))
    summary = run(workspace, clusters=3, vectors="scores/rds", domain=("cluster",))
    assert summary["tables"]["clusters"] == {"clusters": 3, "sampled": 117}
    found = {row["id"]: row["cluster"] for row in rows_of(workspace, "tags")}
    assert {id for id, cluster in found.items() if cluster is None} == bare
    groups = [{found[id] for at, (id, *_) in enumerate(rows) if at % 7 % 3 == axis} - {None} for axis in range(3)]
    assert sorted(map(len, groups)) == [1, 1, 1]
    assert set.union(*groups) == {"cluster-00", "cluster-01", "cluster-02"}
    assert {row["domain"] for row in rows_of(workspace, "domains") if row["id"] in bare} == {"none"}
    vectors = workspace.table("scores/rds").finished("test")
    assert workspace.table("clusters").finished("test").inputs["scores/rds"] == vectors.fingerprint
    made_from = {k: v for made in workspace.commit_of("tags").work.values() for k, v in made.made_from.items()}
    assert {f"scores/rds/{s.name}": s.content for s in vectors.shards}.items() <= made_from.items()
    assert run(workspace, clusters=3, vectors="scores/rds:embedding", domain=("cluster",))["tables"]["tags"]
    assert {row["id"]: row["cluster"] for row in rows_of(workspace, "tags")} == found


def test_other_vectors_make_other_clusters(workspace):
    rows = documents()
    made = {"documents": inputs(workspace, "test")["documents"]}
    store_vectors(workspace, directions(rows), made)
    run(workspace, clusters=3, vectors="scores/rds")
    before = rows_of(workspace, "tags")
    store_vectors(workspace, directions(rows[1:] + rows[:1]), made)
    assert not run(workspace, clusters=3, vectors="scores/rds")["skipped"]
    assert rows_of(workspace, "tags") != before
    run(workspace, clusters=3)  # words again
    assert "scores/rds" not in workspace.table("tags").finished("test").inputs


def test_vectors_that_cannot_be_clustered_are_refused(workspace):
    made = {"documents": inputs(workspace, "test")["documents"]}
    vectors = directions(documents())
    with pytest.raises(RequestError, match="no table 'scores/rds'"):
        run(workspace, clusters=3, vectors="scores/rds")
    store_vectors(workspace, vectors, made)
    with pytest.raises(RequestError, match="did you mean embedding"):
        run(workspace, clusters=3, vectors="scores/rds:embeding")
    with pytest.raises(RequestError, match="holds string, not vectors"):
        run(workspace, clusters=3, vectors="scores/rds:id")
    with pytest.raises(RequestError, match="--clusters N"):
        run(workspace, vectors="scores/rds")
    store_vectors(workspace, vectors | {documents()[5][0]: [1.0, 2.0]}, made, pa.list_(pa.float32()))
    with pytest.raises(RequestError, match="differ in length"):
        run(workspace, clusters=3, vectors="scores/rds")
    store_vectors(workspace, vectors, {"documents": "of another corpus"})
    with pytest.raises(WorkspaceError, match="made before documents changed"):
        run(workspace, clusters=3, vectors="scores/rds")
