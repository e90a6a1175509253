"""The stage on small workspaces: clusters, survivors, records, and sameness under everything that must not matter."""

import os
import random

import pyarrow as pa
import pytest

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.shards import open_shard
from gristmill.dedup.settings import DedupSettings
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.dedup import compare
from gristmill.pipelines.stages.dedup import rounds as dedup_rounds
from gristmill.pipelines.stages.dedup import stage as stage
from gristmill.pipelines.stages.dedup.stage import deduplicate

from .conftest import edited, files_of, name, prose, put_documents, put_table

ONE = RunnerOptions()


def family(size=4, families=6, words=300):
    """`families` texts, each with `size - 1` copies edited by 1 %; unrelated otherwise."""
    rng = random.Random(3)
    rows = []
    for _ in range(families):
        text = prose(words, rng)
        rows += [{"text": text}, *({"text": edited(text, 0.01, rng)} for _ in range(size - 1))]
    return rows


def run(workspace, options=ONE, force=False, **settings):
    return deduplicate(workspace, DedupSettings(**settings), options, force=force, quiet=True)


def rows_of(workspace, table):
    return {row["id"]: row for batch in workspace.table(table).read() for row in batch.to_pylist()}


def dropped(workspace):
    return {i for i, row in rows_of(workspace, "decisions/dedup").items() if not row["kept"]}


def test_each_family_of_edited_copies_keeps_one_document(corpus):
    workspace = corpus(family(size=4, families=6))
    summary = run(workspace)
    duplicates = rows_of(workspace, "duplicates")
    assert summary["tables"]["decisions/dedup"] == {"in": 24, "kept": 6, "dropped": 18, "failed": 0}
    assert {row["cluster_size"] for row in duplicates.values()} == {4}
    assert sum(row["survivor"] for row in duplicates.values()) == 6
    for row in duplicates.values():
        assert row["duplicate_of"] is None if row["survivor"] else duplicates[row["duplicate_of"]]["survivor"]
        assert duplicates[row["match"]]["cluster"] == row["cluster"]
        assert 0.8 <= row["jaccard"] < 1
    decision = rows_of(workspace, "decisions/dedup")[next(iter(dropped(workspace)))]
    assert decision["stage"] == "dedup"
    assert decision["rule"] == "minhash"
    assert decision["value"] >= decision["threshold"] == 0.8


def test_the_recorded_jaccard_is_that_of_the_shingle_sets(corpus):
    workspace = corpus([{"text": "a b c d e f g h i j"}, {"text": "a b c d e f g h i k"}])
    run(workspace, threshold=0.5)
    assert {row["jaccard"] for row in rows_of(workspace, "duplicates").values()} == {5 / 7}


def test_short_blank_and_wordless_documents_are_only_duplicates_of_their_equals(corpus):
    texts = ["", " \n", "cat", "dog", "Cat!", "!!!", "???", "a b", "b a", "A, B"]
    workspace = corpus([{"text": text} for text in texts])
    run(workspace)
    lost = sorted(texts.index(text) for i, text in enumerate(texts) if name(i) in dropped(workspace))
    clusters = {}
    for i, row in rows_of(workspace, "duplicates").items():
        clusters.setdefault(row["cluster"], set()).add(next(t for n, t in enumerate(texts) if name(n) == i))
    assert sorted(map(sorted, clusters.values())) == [["", " \n"], ["A, B", "a b"], ["Cat!", "cat"]]
    assert len(lost) == 3


def test_a_shared_header_never_joins_different_documents(corpus):
    rng = random.Random(5)
    header = prose(200, rng)
    workspace = corpus([{"text": header + " " + prose(110, rng)} for _ in range(150)])
    summary = run(workspace)
    assert summary["details"]["refused"] > 50  # the bands did propose them
    assert dropped(workspace) == set()
    run(workspace, verify=False)
    assert len(dropped(workspace)) > 50  # and without verification they are gone


def test_the_survivor_follows_the_declared_order(corpus):
    rows = [
        {"text": "one two three four five six", "date": 300},
        {"text": "One two three four five six", "date": 100},
        {"text": "one two three four five six!!!", "date": 200},
    ]
    workspace = corpus(rows)
    run(workspace)
    assert dropped(workspace) == {name(0), name(2)}
    run(workspace, survivors=("latest",))
    assert dropped(workspace) == {name(1), name(2)}
    run(workspace, survivors=("longest",))
    assert dropped(workspace) == {name(0), name(1)}


def test_a_quality_signal_may_choose_the_survivor(corpus):
    workspace = corpus([{"text": "one two three"}, {"text": "One two three"}, {"text": "one, two, three"}], shards=1)
    shards = workspace.table("documents").finished("test").shards
    signal = pa.struct([("score", pa.float64())])
    schema = pa.schema([pa.field("id", pa.string()), ("quality", signal)])
    with open_shard(workspace.table("signals/quality").url, shards[0].name, schema) as out:
        out.write_rows([{"id": name(i), "quality": {"score": s}} for i, s in ((2, 0.2), (1, 0.9), (0, None))])
    put_table(workspace, "signals/quality", [out.shard])
    run(workspace, survivors=("highest:quality.score",))
    assert dropped(workspace) == {name(0), name(2)}
    with pytest.raises(RequestError, match=r"did you mean quality\.score"):
        run(workspace, survivors=("highest:quality.scor",))


@pytest.mark.parametrize(("scope", "expected"), [("global", 3), ("source", 2), ("domain", 1), ("crawl", 0)])
def test_scope_says_where_duplicates_are_looked_for(corpus, scope, expected):
    def row(source, domain, crawl):
        origin = {"path": f"s3://x/CC-MAIN-2024-{crawl}/y.warc.gz", "offset": 0}
        return {"text": "one two three four five six", "source": source, "domain": domain, "origin": origin}

    workspace = corpus([row("a", "p", 10), row("a", "p", 11), row("b", "q", 12), row("a", "r", 13)])
    run(workspace, scope=scope)
    assert len(dropped(workspace)) == expected
    assert {row["scope"] for row in rows_of(workspace, "duplicates").values()} <= {scope}


def test_exact_keys_may_be_urls_or_sql(corpus):
    rows = [
        {"text": "first text", "url": "http://a/x#top", "title": "T"},
        {"text": "second text", "url": "http://a/x", "title": "U"},
        {"text": "third text", "url": None, "title": "t"},
        {"text": "fourth text", "url": None, "title": None},
    ]
    workspace = corpus(rows)
    run(workspace, exact=("url",))
    assert len(dropped(workspace)) == 1
    run(workspace, exact=("lower(title)", "url"), force=True)
    duplicates = rows_of(workspace, "duplicates")
    assert set(duplicates) == {name(0), name(1), name(2)}
    assert {row["method"] for row in duplicates.values()} == {"exact_url", "exact_sql"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exact": ("lower(titel)",)}, "no SQL over documents"),
        ({"survivors": ("earlyest",)}, "did you mean earliest"),
        ({"preset": "finewed"}, "did you mean fineweb"),
        ({"threshold": 1.5}, "lies between 0 and 1"),
        ({"bands": 14, "rows": 10}, "need 140 permutations, num_perm is 128"),
        ({"bands": 14}, "bands and rows together"),
        ({"fold": "raw"}, "raw has no words"),
        ({"exact": (), "minhash": False}, "nothing would be compared"),
    ],
)
def test_a_request_that_cannot_be_honoured_is_refused_before_anything_runs(corpus, settings, message):
    workspace = corpus([{"text": "x"}])
    with pytest.raises(RequestError, match=message):
        run(workspace, **settings)
    assert workspace.table("signatures").manifest() is None


def test_a_new_crawl_is_checked_against_an_old_one_without_its_text(corpus):
    rows = family(size=2, families=3)
    old = corpus([rows[0], rows[2]], at="old")
    run(old)
    for shard in old.table("documents").finished("test").shards:
        os.remove(old.table("documents").shard_url(shard.name))
    new = corpus([{**row, "id": name(f"new{i}")} for i, row in enumerate(rows)], at="new")
    run(new, against=(old.url,))
    lost = {i: row for i, row in rows_of(new, "decisions/dedup").items() if not row["kept"]}
    assert set(lost) == {name(f"new{i}") for i in range(4)} | (set(lost) & {name("new4"), name("new5")})
    assert len(lost) == 5
    assert {lost[name(f"new{i}")]["duplicate_of"] for i in range(4)} == {name(0), name(1)}
    assert {lost[name(f"new{i}")]["rule"] for i in range(4)} == {"against"}


def test_a_workspace_is_never_compared_against_itself_or_other_signatures(corpus):
    here, there = corpus(family(2, 2), at="here"), corpus(family(2, 2), at="there")
    run(here)
    run(there, size=4)
    with pytest.raises(RequestError, match="is the workspace itself"):
        run(here, against=(here.url,))
    with pytest.raises(RequestError, match="other settings of size"):
        run(here, against=(there.url,))


def test_another_threshold_reads_no_text(corpus, monkeypatch):
    workspace = corpus(family(4, 3))
    run(workspace)
    for shard in workspace.table("documents").finished("test").shards:
        os.remove(workspace.table("documents").shard_url(shard.name))
    monkeypatch.setattr("gristmill.pipelines.engine.stage.refresh_catalog", lambda workspace: None)
    run(workspace, threshold=0.99)
    assert dropped(workspace) == set()


def test_other_signature_settings_are_refused_unless_forced(corpus):
    workspace = corpus(family(2, 2))
    run(workspace)
    with pytest.raises(RequestError, match="size: 5 there, 7 asked"):
        run(workspace, size=7)
    run(workspace, size=7, force=True)


def test_a_new_shard_leaves_the_signatures_of_the_others_alone(corpus):
    workspace = corpus(family(4, 4), shards=2)
    run(workspace)
    url = workspace.table("signatures").shard_url("part-0.parquet")
    written = os.stat(url).st_mtime_ns
    put_documents(workspace, {"part-9.parquet": [{"id": name("x"), "text": "x"}]})
    with pytest.raises(WorkspaceError, match="signatures/, which was made before documents changed"):
        run_stage(stage.DEDUP, workspace, DedupSettings(), ONE, quiet=True)
    run(workspace)
    assert workspace.table("signatures").shard_url("part-0.parquet") == url
    assert os.stat(url).st_mtime_ns == written
    assert len(rows_of(workspace, "decisions/dedup")) == 17


@pytest.fixture
def reference(corpus):
    workspace = corpus([*family(5, 8), {"text": ""}, {"text": "short"}], shards=3, at="reference")
    run(workspace)
    return workspace


@pytest.mark.slow
def test_input_order_and_shard_size_never_change_a_decision(corpus, reference):
    rows = [*family(5, 8), {"text": ""}, {"text": "short"}]
    order = random.Random(1).sample(range(42), 42)
    for n, (shards, rule) in enumerate([(1, None), (5, order)]):
        workspace = corpus(rows, shards=shards, order=rule, at=f"other{n}")
        run(workspace)
        for table in ("decisions/dedup", "duplicates"):
            assert rows_of(workspace, table) == rows_of(reference, table)


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(corpus, reference):
    workspace = corpus([*family(5, 8), {"text": ""}, {"text": "short"}], shards=3, at="two")
    run(workspace, RunnerOptions(workers=2))
    tables = ("signatures", "shingles", "duplicates", "decisions/dedup")
    assert files_of(workspace, *tables) == files_of(reference, *tables)


@pytest.mark.parametrize("crash", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 2, 4))])
def test_a_crash_anywhere_leaves_what_the_same_command_completes(corpus, reference, crashing, crash):
    workspace = corpus([*family(5, 8), {"text": ""}, {"text": "short"}], shards=3, at="crashed")
    with crashing(crash * 2 + 1), pytest.raises(BaseException, match="killed"):
        run(workspace)
    run(workspace)
    tables = ("signatures", "shingles", "duplicates", "decisions/dedup")
    assert files_of(workspace, *tables) == files_of(reference, *tables)


def test_more_partitions_than_one_change_nothing(corpus, reference, monkeypatch):
    monkeypatch.setattr(compare, "ENTRIES", 50)
    monkeypatch.setattr(stage, "MEMBERS", 7)
    workspace = corpus([*family(5, 8), {"text": ""}, {"text": "short"}], shards=3, at="many")
    run(workspace)
    tables = ("duplicates", "decisions/dedup")
    assert files_of(workspace, *tables) == files_of(reference, *tables)


def test_components_by_rounds_are_those_found_in_memory(corpus, reference, monkeypatch):
    monkeypatch.setattr(compare, "ENTRIES", 50)
    monkeypatch.setattr(dedup_rounds, "LINKS_HELD", 5)
    rows = [*family(5, 8), {"text": ""}, {"text": "short"}]
    workspace = corpus(rows, shards=3, at="rounds")
    summary = run(workspace, edges_in_memory=1)
    for table in ("duplicates", "decisions/dedup"):
        assert rows_of(workspace, table) == rows_of(reference, table)
    assert summary["details"] == reference.table("decisions/dedup").finished("test").details
    assert run(workspace, edges_in_memory=1)["skipped"]


@pytest.mark.slow
def test_a_long_chain_is_one_cluster_by_rounds_too(corpus, monkeypatch):
    monkeypatch.setattr(dedup_rounds, "LINKS_HELD", 5)
    words = prose(260, random.Random(2)).split()
    rows = [{"text": " ".join(words[i : i + 120])} for i in range(0, 60, 4)]  # each is near its neighbours only
    one, other = corpus(rows, at="one"), corpus(rows, at="other")
    run(one, threshold=0.8, bands=25, rows=5)
    run(other, threshold=0.8, bands=25, rows=5, edges_in_memory=1)
    assert rows_of(one, "duplicates") == rows_of(other, "duplicates")
    assert {row["cluster_size"] for row in rows_of(one, "duplicates").values()} == {15}


def test_an_empty_corpus_is_committed(corpus):
    workspace = corpus([], shards=1)
    assert run(workspace)["tables"]["decisions/dedup"] == {"in": 0, "kept": 0, "dropped": 0, "failed": 0}
