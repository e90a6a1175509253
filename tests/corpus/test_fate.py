"""The decision chain over a workspace of four documents, written by hand."""

import pyarrow as pa
import pytest

from gristmill.corpus.store import schema
from gristmill.corpus.store.catalog import open_catalog, refresh_catalog
from gristmill.corpus.store.commits import conserved
from gristmill.corpus.store.errors import WorkspaceError
from gristmill.corpus.store.fate import inputs, read_kept
from gristmill.corpus.store.made import put_shards, put_table
from gristmill.corpus.store.shards import open_shard
from gristmill.corpus.store.workspace import Workspace

IDS = [f"{n:032x}" for n in range(4)]


def put(
    workspace: Workspace, table: str, declared: pa.Schema, rows: list[dict], inputs: dict[str, str], after=()
) -> None:
    put_table(workspace, table, declared, {"s.parquet": rows}, inputs=inputs, after=after)


def decision(name: str, stage: str, rule: str | None) -> dict:
    return {"id": name, "kept": rule is None, "stage": stage, "rule": rule, "value": 1.0 if rule else None}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """0 falls at the filter, 1 is edited there, 2 falls at dedup, 3 goes through."""
    space = Workspace(str(tmp_path / "w"))
    documents = [{"id": name, "text": f"text {name[-1]}", "source": "s", "domain": "d"} for name in IDS]
    put(space, "documents", schema.DOCUMENTS, documents, {})
    chain = inputs(space, "filter", before=())
    rows = [decision(name, "filter", "short" if name == IDS[0] else None) for name in IDS]
    put(space, "edits/filter", schema.EDITS, [{"id": IDS[1], "text": "edited", "removed": []}], chain)
    put(space, "decisions/filter", schema.DECISIONS, rows, chain)
    chain = inputs(space, "dedup", before=("filter",))
    rows = [decision(name, "dedup", "minhash" if name == IDS[2] else None) for name in IDS[1:]]
    put(space, "decisions/dedup", schema.DECISIONS, rows, chain, after=("filter",))
    return space


def test_each_stage_sees_what_the_one_before_kept_and_the_text_as_it_left_it(workspace):
    def texts(before: tuple[str, ...] | None) -> list[str]:
        batches = read_kept(workspace, "s.parquet", ["id", "text"], before)
        return [text for batch in batches for text in batch["text"].to_pylist()]

    assert texts(()) == ["text 0", "text 1", "text 2", "text 3"]
    assert texts(("filter",)) == ["edited", "text 2", "text 3"]
    assert texts(None) == ["edited", "text 3"]


def test_the_catalog_has_one_fate_per_document_and_the_edited_text(workspace):
    refresh_catalog(workspace)
    connection = open_catalog(workspace)
    fates = connection.execute("select id, kept, stage, rule from decisions order by id").fetchall()
    assert fates == [
        (IDS[0], False, "filter", "short"),
        (IDS[1], True, "dedup", None),
        (IDS[2], False, "dedup", "minhash"),
        (IDS[3], True, "dedup", None),
    ]
    assert connection.execute("select text from curated order by id").fetchall() == [("edited",), ("text 3",)]
    funnel = connection.execute("select stage, rule, documents from funnel order by step, rule nulls first").fetchall()
    assert funnel == [
        ("extract", None, 4),
        ("filter", None, 3),
        ("filter", "short", 1),
        ("dedup", None, 2),
        ("dedup", "minhash", 1),
    ]


def test_the_view_of_the_mixture_is_its_table_and_not_the_other_files_beside_it(tmp_path):
    space = Workspace(str(tmp_path / "w"))
    made = []
    for name, column, kind in (("swarm.parquet", "run", pa.int64()), ("table.parquet", "share", pa.float64())):
        with open_shard(space.table("mixture").url, name, pa.schema([(column, kind)])) as out:
            out.write_rows([{"run": 7, "share": 0.5}])
        made.append(out.shard)
    put_shards(space, "mixture", made, stage="mix")
    assert open_catalog(space).execute("from mixture").fetchall() == [(0.5,)]


def test_a_stale_link_of_the_chain_is_refused_with_the_command_that_mends_it(workspace):
    documents = [{"id": name, "text": "other", "source": "s", "domain": "d"} for name in IDS]
    put(workspace, "documents", schema.DOCUMENTS, documents, {})
    with pytest.raises(WorkspaceError, match=r"decisions/filter/.*documents changed; run: gristmill filter"):
        inputs(workspace, "tokenize")


def test_a_lost_document_is_an_error():
    assert conserved({"in": 3, "kept": 1, "dropped": 2}, "x") == {"in": 3, "kept": 1, "dropped": 2}
    with pytest.raises(WorkspaceError, match="lost track"):
        conserved({"in": 3, "kept": 1, "dropped": 1}, "x")
