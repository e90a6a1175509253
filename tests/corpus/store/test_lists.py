"""Long lists of shards and of work items: the same whatever parts they lie in, refused where a part is damaged."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store import catalog
from gristmill.corpus.store import commits as held
from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.commits import Commit, Made, TableRecord, manifest_of, told_apart, without_items
from gristmill.corpus.store.errors import WorkspaceError
from gristmill.corpus.store.fate import sources
from gristmill.corpus.store.freshness import reasons
from gristmill.corpus.store.lists import rows, shards, work
from gristmill.corpus.store.lists.parts import GROWTH
from gristmill.corpus.store.lists.shards import ShardList, joined, selected
from gristmill.corpus.store.lists.work import WorkBuilder, WorkList
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.schema import DECISIONS, DOCUMENTS
from gristmill.corpus.store.shards import Shard, fingerprint
from gristmill.corpus.store.workspace import Workspace


def shard(number: int, version: int = 0, item: str | None = None) -> Shard:
    name, digest = f"s{number:05d}.parquet", fingerprint(number, version)
    file = f"s{number:05d}.{digest[:16]}.parquet"
    return Shard(name, file, number, 3, digest, digest, {"in": number % 3}, name if item is None else item)


def made(number: int, version: int = 0) -> Made:
    own = {f"documents/s{number:05d}.parquet": fingerprint(number, version), "decisions/x/other.parquet": "odd"}
    return Made(fingerprint("stamp", number, version), own if number % 3 else {})


@pytest.fixture
def long_from(monkeypatch: pytest.MonkeyPatch):
    """Lists of more than three are long."""
    for module in (rows, shards, work):
        monkeypatch.setattr(module, "INLINE", 3)


def commit_of(numbers: dict[int, int], before: Commit | None = None) -> Commit:
    own = tuple(shard(number, version) for number, version in sorted(numbers.items()))
    return Commit(
        stage="extract",
        command="extract",
        version=1,
        generation=before.generation + 1 if before else 1,
        previous=before.fingerprint if before else "",
        tables={"documents": TableRecord(settings={}, shards=own, counts=held.total(own))},
        inputs={},
        work={one.name: made(one.rows, numbers[one.rows]) for one in own},
    )


CHANGES = st.lists(st.dictionaries(st.integers(0, 30), st.sampled_from([0, 1, 2, None]), max_size=12), max_size=5)


@settings(max_examples=25, deadline=None)
@given(CHANGES)
def test_a_list_that_grew_and_shrank_is_the_list_that_was_put(tmp_path_factory, changes):
    space = Workspace(str(tmp_path_factory.mktemp("w")))
    with pytest.MonkeyPatch.context() as patch:
        for module in (rows, shards, work):
            patch.setattr(module, "INLINE", 3)
        now: dict[int, int] = dict.fromkeys(range(8), 0)
        before = None
        for change in [{}, *changes]:
            now = {n: v for n, v in (now | change).items() if v is not None}
            commit = commit_of(now, before)
            space.put_commit(commit)
            rows._READ.clear()
            held._CACHE.clear()
            before = space.commit_of("extract")
            assert before is not None
            table = before.tables["documents"]
            assert list(table.shards) == [shard(n, v) for n, v in sorted(now.items())]
            assert dict(before.work.items()) == {shard(n).name: made(n, v) for n, v in now.items()}
            assert isinstance(table.shards, ShardList) == isinstance(before.work, WorkList) == (len(now) > 3)
            assert before.fingerprint == commit.fingerprint
            assert held.total(table.shards) == held.total(list(table.shards))
            told = manifest_of(before, "documents").fingerprint
            assert told == fingerprint([(one.name, one.content) for one in table.shards])
            left = {f"commits/parts/{path.name}" for path in (Path(space.url) / "commits" / "parts").glob("*")}
            assert left == before.parts


def test_growth_adds_a_part_and_leaves_the_large_ones(long_from, tmp_path: Path):
    space = Workspace(str(tmp_path / "w"))
    numbers = dict.fromkeys(range(GROWTH * 20), 0)
    space.put_commit(commit_of(numbers))
    first = space.commit_of("extract")
    assert first is not None
    space.put_commit(commit_of(numbers | {9999: 0}, first))
    second = space.commit_of("extract")
    assert second is not None
    assert len(second.parts - first.parts) == 2  # of shards and of work items, a row each
    assert first.parts < second.parts
    assert second.files - first.files == {f"documents/{shard(9999).file}"}


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-3])])
def test_a_part_that_is_lost_or_changed_is_damage_to_the_commit(long_from, tmp_path: Path, damage):
    space = Workspace(str(tmp_path / "w"))
    space.put_commit(commit_of(dict.fromkeys(range(9), 0)))
    place = next((tmp_path / "w" / "commits" / "parts").glob("*.parquet"))
    damage(place)
    rows._READ.clear()
    held._CACHE.clear()
    assert "commits/parts/" in told_apart(space.url)[1]["extract"]
    with pytest.raises(WorkspaceError, match=r"is damaged .* make it anew: gristmill extract"):
        space.commits()


def put_chain(space: Workspace, count: int) -> None:
    documents = {
        f"s{n}.parquet": [{"id": f"{n:032x}", "text": f"text {n}", "source": "s", "domain": "d"}] for n in range(count)
    }
    decided = {name: [{"id": row["id"], "kept": n % 2 == 0, "stage": "filter"} for row in own]
               for n, (name, own) in enumerate(documents.items())}  # fmt: skip
    put_table(space, "documents", DOCUMENTS, documents, stage="extract")
    put_table(space, "decisions/filter", DECISIONS, decided, stage="filter", after=())


def test_sources_and_views_are_the_same_of_long_lists_as_of_short_ones(tmp_path: Path, monkeypatch):
    short, long = Workspace(str(tmp_path / "short")), Workspace(str(tmp_path / "long"))
    put_chain(short, 9)
    for module in (rows, shards, work):
        monkeypatch.setattr(module, "INLINE", 3)
    put_chain(long, 9)
    (Path(long.url) / "documents" / "s0.0123456789abcdef.parquet").write_bytes(b"not of the table")
    found = {}
    for space in (short, long):
        own = sources(space, "test")
        assert len(own) == 9
        plain = [replace(s, documents=s.documents[len(space.url) :], decided=None) for s in own.values()]
        kept = [id for s in own.values() for batch in s.read(["id"]) for id in batch["id"].to_pylist()]
        assert [own[s.shard] for s in own.values()] == list(own.values())
        found[space.url] = (plain, list(own), kept)
    assert found[short.url] == found[long.url]
    assert isinstance(long.table("documents").finished("test").shards, ShardList)
    (Path(long.url) / "documents" / "s0.0123456789abcdef.parquet").unlink()
    asked = "select id, text from curated order by id", "select fate, documents from funnel where step = 1 order by all"
    for query in asked:
        answers = []
        for space in (short, long):
            with open_catalog(space, query=query) as connection:
                answers.append(connection.sql(query).fetchall())
        assert answers[0] == answers[1]
        assert answers[0]


def test_a_catalog_of_more_files_than_a_client_can_list_says_what_answers_instead(tmp_path: Path, monkeypatch):
    space = Workspace(str(tmp_path / "w"))
    put_chain(space, 9)
    monkeypatch.setattr(catalog, "MOST_FILES", 8)
    catalog.refresh_catalog(space)
    with duckdb.connect(f"{space.url}/catalog.duckdb", read_only=True) as connection:
        for query in ("from documents", "select count(*) from curated"):
            with pytest.raises(duckdb.Error, match="has 9 files, more than a catalog can list; run: gristmill sql"):
                connection.sql(query).fetchall()
    with open_catalog(space, query="from documents") as connection:
        assert connection.sql("select count(distinct id) from documents").fetchall()[0][0] > 0
    monkeypatch.setattr(catalog, "MOST_FILES", 9)
    catalog.refresh_catalog(space)
    with duckdb.connect(f"{space.url}/catalog.duckdb", read_only=True) as connection:
        assert connection.sql("select count(distinct id) from documents").fetchall()[0][0] > 0


def test_what_changed_behind_a_long_list_of_work_is_told(long_from, tmp_path: Path):
    space = Workspace(str(tmp_path / "w"))
    numbers = dict.fromkeys(range(1, 9), 0)
    space.put_commit(commit_of(numbers))
    builder = WorkBuilder()
    for n in numbers:
        builder.add(shard(n).name, Made("x", {f"documents/{shard(n).name}": shard(n).content}))
    own = Commit(stage="signals/x", command="filter", version=1, generation=1, previous="", tables={}, inputs={},
                 work=builder.done())  # fmt: skip
    assert isinstance(own.work, WorkList)
    assert reasons(space, own) == []
    for change in (numbers | {5: 1}, dict.fromkeys(range(2, 9), 0), numbers | {40: 0}):
        space.put_commit(commit_of(change, space.commit_of("extract")))
        assert reasons(space, own) == ["documents"]
    again = without_items(own, {shard(3).name})
    assert again.work[shard(3).name].stamp == ""
    assert again.work[shard(4).name].stamp == "x"


def test_shards_are_chosen_by_the_items_that_made_them_and_joined_by_name(long_from):
    own = [shard(n, item=f"item{n % 2}") for n in range(8)]
    long = ShardList.of(own)
    assert list(selected(long, {"item1"})) == list(selected(own, {"item1"})) == own[1::2]
    new = [shard(3, 1), shard(90)]
    assert list(joined(long, new)) == list(joined(own, new)) == [*own[:3], shard(3, 1), *own[4:], shard(90)]
    assert selected(long, {"item0", "item1"}) is long
    with pytest.raises(ValueError, match="twice"):
        ShardList.of([own[0], own[0]])
