"""Balancing as a stage: heads are capped, the tail stays, and neither workers nor shards matter."""

import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.fate import read_kept
from gristmill.corpus.store.made import put_shards, put_table
from gristmill.corpus.store.schema import DOCUMENTS
from gristmill.corpus.store.shards import fingerprint, open_shard
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.balance.stage import BalanceSettings, run_balance
from gristmill.pipelines.stages.tag.stage import TagSettings, run_tag

SIZES = {"head.org": 900, "middle.org": 300, "capped.org": 100, "tail.org": 7}
CAP = 100


def corpus() -> list[dict]:
    """Documents of four hosts, two of which have more than the cap, and five without a host."""
    hosts = [host for host, size in SIZES.items() for _ in range(size)] + [None] * 5
    rows = []
    for at, host in enumerate(hosts):
        text = "the lighthouse stands" if at % 4 == 0 else "a river flows" if at % 4 == 1 else "nothing of note"
        text += " by the Orrery." if at % 200 == 0 else "."
        url = f"http://www.{host}/news" if host else None
        rows.append({"id": fingerprint("document", at), "text": text, "host": host, "url": url})
    return sorted(rows, key=lambda row: row["id"])


def made(folder, shards: int = 3) -> Workspace:
    workspace = Workspace(str(folder))
    listed = []
    for number in range(shards):
        name = f"part-{number:05d}.parquet"
        rows = [{"source": "s", "domain": "web"} | row for row in corpus()[number::shards]]
        with open_shard(workspace.table("documents").url, name, DOCUMENTS) as out:
            out.write_rows(rows)
            out.counts |= {"in": len(rows), "kept": len(rows), "dropped": 0, "failed": 0}
        listed.append(out.shard)
    put_shards(workspace, "documents", listed, stage="extract")
    return workspace


def run(workspace, workers: int = 1, **settings):
    return run_balance(workspace, BalanceSettings(**settings), RunnerOptions(workers=workers), quiet=True)


def rows_of(workspace, table) -> list[dict]:
    rows = [row for batch in workspace.table(table).read() for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row.get("id") or row["key"])


def frequencies(workspace) -> dict[str, dict]:
    return {row["key"]: row for row in rows_of(workspace, "concepts")}


@pytest.fixture(scope="module")
def by_host(tmp_path_factory) -> Workspace:
    workspace = made(tmp_path_factory.mktemp("balance") / "w")
    run(workspace, by="host", cap=CAP)
    return workspace


def test_heads_keep_about_the_cap_and_the_tail_keeps_everything(by_host):
    found = frequencies(by_host)
    assert {key: row["documents"] for key, row in found.items()} == SIZES
    for host in ("head.org", "middle.org"):
        chance = CAP / SIZES[host]
        assert found[host]["chance"] == chance
        assert abs(found[host]["kept"] - CAP) < 4 * math.sqrt(SIZES[host] * chance * (1 - chance))
        assert found[host]["kept"] < SIZES[host]
    assert (found["capped.org"]["kept"], found["tail.org"]["kept"]) == (100, 7)


def test_every_document_that_enters_has_one_decision_and_the_audit_finds_nothing(by_host):
    counts = by_host.table("decisions/balance").finished("test").counts
    found = frequencies(by_host)
    assert counts["in"] == counts["kept"] + counts["dropped"] == len(corpus())
    assert counts["kept"] == sum(row["kept"] for row in found.values()) + counts["unmatched"]
    assert counts["unmatched"] == 5
    assert [row["id"] for row in rows_of(by_host, "decisions/balance")] == [row["id"] for row in corpus()]
    assert audit(by_host)["findings"] == []


def test_a_dropped_document_shows_its_draw_and_the_chance_that_it_missed(by_host):
    hosts = {row["id"]: row["host"] for row in corpus()}
    dropped = [row for row in rows_of(by_host, "decisions/balance") if not row["kept"]]
    assert dropped
    assert all(row["rule"] == "balance" and row["value"] >= row["threshold"] for row in dropped)
    assert {(hosts[row["id"]], row["threshold"]) for row in dropped} == {("head.org", 1 / 9), ("middle.org", 1 / 3)}


def test_later_stages_and_the_catalog_see_what_is_left(by_host):
    kept = {row["id"] for row in rows_of(by_host, "decisions/balance") if row["kept"]}
    shards = [shard.name for shard in by_host.table("documents").finished("test").shards]
    seen = {id for shard in shards for batch in read_kept(by_host, shard, ["id"]) for id in batch["id"].to_pylist()}
    assert seen == kept
    with open_catalog(by_host) as connection:
        assert connection.execute("select count(*) from curated").fetchall() == [(len(kept),)]
        first = connection.execute("select key, documents from concepts order by documents desc limit 1").fetchall()
        assert first == [("head.org", 900)]


@pytest.mark.parametrize(("workers", "shards"), [(2, 3), (1, 1), (1, 8)])
def test_decisions_depend_neither_on_workers_nor_on_shards(by_host, tmp_path, workers, shards):
    other = made(tmp_path / "w", shards)
    run(other, workers, by="host", cap=CAP)
    assert rows_of(other, "decisions/balance") == rows_of(by_host, "decisions/balance")
    assert rows_of(other, "concepts") == rows_of(by_host, "concepts")


def test_another_seed_draws_anew_and_a_lost_shard_comes_back_alike(tmp_path):
    workspace = made(tmp_path / "w")
    run(workspace, by="host", cap=CAP)
    before = rows_of(workspace, "decisions/balance")
    frequent = rows_of(workspace, "concepts")
    Path(workspace.table("decisions/balance").shard_url("part-00001.parquet")).unlink()
    assert not run(workspace, by="host", cap=CAP)["skipped"]
    assert (rows_of(workspace, "decisions/balance"), rows_of(workspace, "concepts")) == (before, frequent)
    assert run(workspace, by="host", cap=CAP)["skipped"]
    run(workspace, by="host", cap=CAP, seed=1)
    assert rows_of(workspace, "decisions/balance") != before


def test_concepts_are_counted_and_a_document_with_a_rare_one_always_stays(tmp_path):
    workspace = made(tmp_path / "w")
    (tmp_path / "list.txt").write_text("Lighthouse\nriver\norrery\nflow\n\n")
    summary = run(workspace, concepts=str(tmp_path / "list.txt"), cap=50)
    found = frequencies(workspace)
    texts = [row["text"] for row in corpus()]
    for concept in ("lighthouse", "river", "orrery"):
        assert found[concept]["documents"] == sum(concept in text.lower() for text in texts)
    assert (found["flow"]["documents"], found["flow"]["kept"]) == (0, 0)
    assert found["orrery"]["kept"] == found["orrery"]["documents"] == 7
    assert 20 < found["river"]["kept"] < 80
    decided = {row["id"]: row for row in rows_of(workspace, "decisions/balance")}
    rules = {decided[row["id"]]["rule"] for row in corpus() if "note." in row["text"]}
    assert rules == {"unmatched"}
    assert summary["tables"]["decisions/balance"]["in"] == len(texts)


def test_another_cap_does_not_match_texts_again_and_another_list_does(tmp_path):
    workspace = made(tmp_path / "w")
    listed = tmp_path / "list.txt"
    listed.write_text("lighthouse\nriver\n")
    run(workspace, concepts=str(listed), cap=50, unmatched="keep")
    before = workspace.table("matches").finished("test").fingerprint
    first = workspace.table("decisions/balance").finished("test").counts
    run(workspace, concepts=str(listed), cap=10, unmatched="keep")
    assert workspace.table("matches").finished("test").fingerprint == before
    assert workspace.table("decisions/balance").finished("test").counts["kept"] < first["kept"]
    listed.write_text("lighthouse\n")
    run(workspace, concepts=str(listed), cap=10, unmatched="keep")
    assert set(frequencies(workspace)) == {"lighthouse"}


def test_the_tails_share_sets_the_cap(tmp_path):
    workspace = made(tmp_path / "w")
    summary = run(workspace, by="host", tail=0.1)
    assert summary["details"] == {"cap": 100, "tail": round(107 / 1307, 6)}


def test_a_tag_is_a_key_and_so_is_each_word_of_a_path(tmp_path):
    workspace = made(tmp_path / "w")
    with pytest.raises(RequestError, match="there is no tags/ yet"):
        run(workspace, by="registered_domain", cap=CAP)
    run_tag(
        workspace, TagSettings(keep=("suffix = 'org'",), domain=("registered_domain",)), RunnerOptions(), quiet=True
    )
    summary = run(workspace, by="registered_domain", cap=CAP)
    assert summary["tables"]["decisions/balance"]["in"] == sum(SIZES.values())
    assert {key: row["documents"] for key, row in frequencies(workspace).items()} == SIZES
    run(workspace, by="path_words", cap=CAP)
    assert frequencies(workspace)["news"]["documents"] == sum(SIZES.values())
    run(workspace, by="domain", cap=CAP)  # mixture units as tagging left them
    assert frequencies(workspace)["head-org"]["documents"] == 900


def test_an_unknown_column_is_refused_with_those_that_there_are(tmp_path):
    workspace = made(tmp_path / "w")
    with pytest.raises(RequestError, match="no column 'zzz'; there are: canonical, date, domain, host, language"):
        run(workspace, by="zzz", cap=CAP)
    with pytest.raises(RequestError, match="did you mean host"):
        run(workspace, by="hosts", cap=CAP)
    with pytest.raises(RequestError, match="no column 'text'"):
        run(workspace, by="text", cap=CAP)
    with pytest.raises(RequestError, match=r"absent\.txt"):
        run(workspace, concepts=str(tmp_path / "absent.txt"), cap=CAP)
    assert workspace.table("decisions/balance").manifest() is None


def test_a_column_without_a_value_is_refused(tmp_path):
    with pytest.raises(WorkspaceError, match="no document has a value in language"):
        run(made(tmp_path / "w"), by="language", cap=CAP)


@pytest.mark.parametrize("wrong", [{"cap": 1}, {"by": "host"}, {"by": "host", "concepts": "x", "cap": 1}])
def test_half_a_request_is_refused(wrong):
    with pytest.raises(ValidationError, match="exactly one"):
        BalanceSettings(**wrong)


def test_an_empty_corpus_is_balanced(tmp_path):
    workspace = Workspace(str(tmp_path / "w"))
    put_table(workspace, "documents", DOCUMENTS, {}, stage="extract")
    run(workspace, by="host", cap=CAP)
    assert rows_of(workspace, "concepts") == []
