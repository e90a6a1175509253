"""What makes a result stale: also what was decided, edited or regrouped for the first time behind it."""

import pytest

from gristmill.corpus.store import freshness
from gristmill.corpus.store.commits import Commit, TableRecord
from gristmill.corpus.store.lists import work as lists
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.schema import DECISIONS, DOCUMENTS
from gristmill.corpus.store.workspace import Workspace

SHARDS = ("a.parquet", "b.parquet")


def rows(shard, **more):
    return [{"id": f"{shard[0]}{number}", **more} for number in range(3)]


def put(workspace, table, stage=None, empty=(), **told):
    schema = DOCUMENTS if table == "documents" else DECISIONS
    more = {"kept": True, "stage": "x"} if table != "documents" else {"text": "t", "source": "s", "domain": "d"}
    put_table(workspace, table, schema, {s: [] if s in empty else rows(s, **more) for s in SHARDS}, stage=stage, **told)


def contents(workspace, *tables):
    return {f"{t}/{s.name}": s.content for t in tables for s in workspace.table(t).manifest().shards}


def result(workspace, table, tables, after=(), whole=False):
    """Commit a table that was made from these, shard by shard or as a whole; it is returned as it is read again."""
    put(workspace, table)
    held = workspace.commit_of(table.rsplit("/", 1)[-1])
    made = contents(workspace, *tables)
    work = {} if whole else {
        shard: lists.Made("0" * 32, {place: content for place, content in made.items() if place.endswith(shard)})
        for shard in SHARDS
    }  # fmt: skip
    inputs = {t: workspace.table(t).finished("test").fingerprint for t in tables} if whole else {}
    told = held.model_dump(exclude={"work", "inputs", "after", "generation", "previous", "tables"})
    workspace.put_commit(
        Commit(
            **told,
            generation=held.generation + 1,
            previous=held.fingerprint,
            tables={name: TableRecord(**record.model_dump()) for name, record in held.tables.items()},
            work=lists.worked(work),
            inputs=inputs,
            after=after,
        )
    )
    return lambda: freshness.reasons(workspace, workspace.commit_of(held.stage))


@pytest.fixture(params=["few", "many"])
def workspace(tmp_path, request, monkeypatch):
    if request.param == "many":  # work items in columns
        monkeypatch.setattr(lists, "INLINE", 1)
    made = Workspace(str(tmp_path))
    made.create()
    put(made, "documents", stage="extract")
    return made


@pytest.mark.parametrize("table", ["tokens/web", "written/0123"])
@pytest.mark.parametrize(
    ("link", "stage"), [("decisions/filter", "filter"), ("decisions/select", "select"), ("domains", "tag")]
)
def test_what_follows_from_the_whole_chain_is_stale_once_a_stage_speaks_for_the_first_time(
    workspace, table, link, stage
):
    stale = result(workspace, table, ["documents"])
    assert stale() == []
    put(workspace, link, stage=stage)
    assert stale() == [link]


def test_a_first_edit_that_drops_nothing_makes_tokens_stale_and_one_of_nothing_does_not(workspace):
    put(workspace, "decisions/filter")
    stale = result(workspace, "tokens/web", ["documents", "decisions/filter"])
    put(workspace, "edits/filter", stage="filter", empty=SHARDS)
    assert stale() == []
    put(workspace, "edits/filter", stage="filter", empty=SHARDS[:1])
    assert stale() == ["edits/filter"]


@pytest.mark.parametrize("whole", [False, True])
def test_a_decision_is_stale_once_a_stage_before_it_decides_and_not_by_one_behind_it(workspace, whole):
    stale = result(workspace, "decisions/dedup", ["documents"], after=("filter",), whole=whole)
    put(workspace, "decisions/select", after=("filter", "dedup"))
    put(workspace, "domains", stage="tag")
    assert stale() == []
    put(workspace, "decisions/filter")
    assert stale() == ["decisions/filter"]


@pytest.mark.parametrize("table", ["signals/c4", "scores/dsir", "tags", "rewrites"])
def test_what_holds_by_document_stays_fresh_whoever_decides(workspace, table):
    stale = result(workspace, table, ["documents"])
    put(workspace, "decisions/filter")
    assert stale() == []
