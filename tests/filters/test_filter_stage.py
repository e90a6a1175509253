"""The filter stage: what it writes, what it does not do twice, and what it refuses."""

import os
import re
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.filter import stage as stage

ONE = RunnerOptions()


def run(workspace: Workspace, rules, **settings):
    return stage.run_filter(workspace, stage.FilterSettings(rules=str(rules), **settings), ONE, quiet=True)


def fates(workspace: Workspace) -> dict[str, str | None]:
    rows = open_catalog(workspace).execute("select title, rule from decisions join documents using (id)").fetchall()
    return dict(rows)


@pytest.fixture
def rules(tmp_path):
    """Writes a rule file and returns its path."""

    def write(*lines: str):
        path = tmp_path / "mine.yaml"
        path.write_text("name: mine\nrules:\n" + "".join(f"  - {{{line}}}\n" for line in lines))
        return path

    return write


def test_each_document_falls_to_the_first_rule_it_fails(workspace):
    summary = run(workspace, "gopher")
    assert fates(workspace) == {
        "prose": None,
        "repeats": "duplicate_5gram",
        "list": "bullet_lines",
        "short": "min_words",
        "empty": "min_words",
        "numbers": "alpha_words",
    }
    assert summary["tables"]["decisions/filter"] == {"in": 6, "kept": 1, "dropped": 5, "failed": 0}


def test_the_query_in_the_documentation_says_what_another_threshold_would_change(workspace):
    run(workspace, "gopher")
    page = (Path(__file__).parents[2] / "docs" / "measured.md").read_text(encoding="utf-8")
    query = next(text for text in re.findall(r"gristmill sql '([^']+)'", page) if "word_count < 80" in text)
    assert open_catalog(workspace).execute(query).fetchall() == [(1,)]  # the prose that was kept has 64 words


def test_the_value_and_threshold_that_decided_are_on_record(workspace):
    run(workspace, "gopher")
    query = "select rule, value, threshold from decisions join documents using (id) where title = 'short'"
    assert open_catalog(workspace).execute(query).fetchall() == [("min_words", 6.0, 50.0)]


def test_other_rules_decide_without_reading_text(workspace, rules, monkeypatch):
    run(workspace, "gopher")
    monkeypatch.setattr(stage, "measure_batch", lambda *_: pytest.fail("the text was measured again"))
    run(workspace, rules("rule: words, value: gopher@paper.word_count, threshold: 7, keep: value >= threshold"))
    assert {title for title, rule in fates(workspace).items() if rule} == {"short", "empty"}


def test_only_the_family_that_is_missing_is_measured(workspace, rules):
    run(workspace, "gopher")
    before = workspace.table("signals/gopher@paper").manifest()
    line = (
        "rule: words, value: gopher@dolma.word_count + gopher@paper.stop_words, threshold: 7, keep: value >= threshold"
    )
    summary = run(workspace, rules(line))
    assert "signals/gopher@dolma" in summary["tables"]
    assert "signals/gopher@paper" not in summary["tables"]
    assert workspace.table("signals/gopher@paper").manifest() == before


def test_the_signals_view_has_one_struct_a_family(workspace):
    run(workspace, "gopher", families=("gopher@dolma",))
    query = 'select s."gopher@paper".word_count, s."gopher@dolma".word_count from signals s order by id'
    assert [row[0] == row[1] for row in open_catalog(workspace).execute(query).fetchall()] == [True] * 6
    with duckdb.connect(workspace.path("catalog.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from signals").fetchone() == (6,)


def test_every_failing_rule_is_recorded_where_it_is_asked_for(workspace):
    run(workspace, "gopher", all_failing=True)
    query = "select title, list_transform(failing, lambda f: f.rule) from failing_rules join documents using (id)"
    failing = dict(open_catalog(workspace).execute(query).fetchall())
    assert failing["prose"] == []
    assert failing["short"] == ["min_words"]
    assert failing["numbers"] == ["alpha_words", "stop_words"]


def test_an_absent_value_drops_and_is_absent_on_record(workspace, rules):
    run(workspace, rules("rule: mean, value: gopher@paper.mean_word_length, threshold: 0, keep: value >= threshold"))
    query = "select kept, rule, value from decisions join documents using (id) where title = 'empty'"
    assert open_catalog(workspace).execute(query).fetchall() == [(False, "mean", None)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "rule: a, value: gopher@paper.word_cout, threshold: 1, keep: value > threshold",
            "did you mean gopher@paper.word_count",
        ),
        ("rule: a, value: gopher@papr.word_count, threshold: 1, keep: value > threshold", "did you mean gopher@paper"),
        ("rule: a, value: gopher@paper.word_count, threshold: 1, keep: valu > threshold", "valu"),
        ("rule: a, value: gopher@paper.word_count, threshold: 1, keep: lower(value)", "lower"),
        ("rule: a, value: (select 1), threshold: 1, keep: value > threshold", "subquery"),
        ("rule: a, value: sum(gopher@paper.word_count), threshold: 1, keep: value > threshold", "aggregates"),
        ("rule: a, value: '1; drop table x', threshold: 1, keep: value > threshold", "not SQL"),
        ("rule: a, value: '1 from signals', threshold: 1, keep: value > threshold", "not SQL"),
        ("rule: a, value: gopher@paper.word_count, threshold: .nan, keep: value > threshold", "finite"),
        ("rule: a, value: gopher@paper.word_count, treshold: 1, keep: value > threshold", "threshold"),
    ],
)
def test_a_wrong_rule_is_refused_before_anything_runs(workspace, rules, line, message):
    with pytest.raises(RequestError, match=message):
        run(workspace, rules(line))
    assert [table.name for table in workspace.tables()] == ["documents"]


def test_an_unknown_rule_set_names_the_nearest(workspace):
    with pytest.raises(RequestError, match="did you mean gopher"):
        run(workspace, "gofer")


def test_a_threshold_may_depend_on_the_language(workspace, rules):
    run(
        workspace,
        rules("rule: words, value: gopher@paper.word_count, threshold: {default: 7, de: 1}, keep: value >= threshold"),
    )
    assert fates(workspace)["short"] == "words"


@pytest.mark.slow
def test_workers_shards_and_order_do_not_change_the_bytes(workspace, tmp_path):
    run(workspace, "gopher")
    other = Workspace(str(tmp_path / "other"))
    shutil.copytree(workspace.path("documents"), other.path("documents"))
    os.makedirs(other.path("commits"))
    shutil.copy(workspace.path("commits", "extract.json"), other.path("commits"))
    settings = stage.FilterSettings(rules="gopher")
    stage.run_filter(other, settings, RunnerOptions(workers=2), quiet=True)
    for name in ("signals/gopher@paper", "decisions/filter"):
        mine, theirs = workspace.table(name).manifest(), other.table(name).manifest()
        assert mine is not None
        assert theirs is not None
        assert mine.shards == theirs.shards


def test_a_shard_lost_between_signals_and_decisions_is_made_again(workspace):
    run(workspace, "gopher")
    before = workspace.table("decisions/filter").manifest()
    os.remove(workspace.table("decisions/filter").shard_url(before.shards[0].name))
    run(workspace, "gopher")
    assert workspace.table("decisions/filter").manifest().shards == before.shards
    assert os.path.exists(workspace.table("decisions/filter").shard_url(before.shards[0].name))


def test_tables_of_different_batches_are_walked_together():
    whole = pa.record_batch({"id": [str(n) for n in range(10)]})
    sources = [iter([whole[:3], whole[3:]]), iter([whole[:7], whole[7:7], whole[7:]])]
    rows = [[part["id"].to_pylist() for part in parts] for parts in stage.aligned(sources)]
    assert all(left == right for left, right in rows)
    assert [name for left, _ in rows for name in left] == whole["id"].to_pylist()


def test_line_rules_and_masks_edit_the_text_and_record_what_they_took(tmp_path, document_writer):
    space = Workspace(str(tmp_path / "w"))
    text = "Write to jane@example.org, please.\n3 likes\nThe second line has 8.8.4.4 in it."
    document_writer(
        space, [{"id": "0" * 32, "text": text}, {"id": "1" * 32, "text": "Nothing to take here."}], shards=1
    )
    path = tmp_path / "mask.yaml"
    path.write_text(
        "name: m\nmask: [email, ip]\nlines:\n  rules:\n"
        "    - {rule: counter, value: counter, threshold: 0, keep: value <= threshold}\n"
        "rules:\n  - {rule: lines, value: kept.lines, threshold: 1, keep: value >= threshold}\n"
    )
    run(space, path)
    texts = dict(open_catalog(space).execute("select id, text from curated").fetchall())
    assert texts["0" * 32] == "Write to <EMAIL>, please.\nThe second line has <IP> in it."
    assert texts["1" * 32] == "Nothing to take here."
    (edit,) = [row for batch in space.table("edits/filter").read() for row in batch.to_pylist()]
    assert [text[span["start"] : span["end"]] for span in edit["removed"]] == [
        "jane@example.org",
        "3 likes\n",
        "8.8.4.4",
    ]
    run(space, "gopher")
    assert space.table("edits/filter").manifest() is None


@pytest.mark.slow
def test_masked_texts_are_the_same_for_any_shards_workers_and_order(tmp_path, document_writer):
    path = tmp_path / "mask.yaml"
    path.write_text("name: m\nmask: [email, ip, phone]\nmask_key: a secret\nrules: []\n")
    rows = [
        {"id": f"{n:032x}", "text": f"Ask p{n % 3}@example.org or +33 1 23 45 67 {n:02d} at 8.8.4.{n % 2}."}
        for n in range(12)
    ]
    found = []
    for name, order, shards, workers in (("a", 1, 1, 1), ("b", -1, 3, 1), ("c", 1, 5, 2)):
        space = Workspace(str(tmp_path / name))
        document_writer(space, rows[::order], shards=shards)
        stage.run_filter(space, stage.FilterSettings(rules=str(path)), RunnerOptions(workers=workers), quiet=True)
        found.append(dict(open_catalog(space).execute("select id, text from curated").fetchall()))
    assert found[0] == found[1] == found[2]
    tokens = [text.split()[1] for text in found[0].values()]
    assert len(set(tokens)) == 3
    assert all(token.startswith("<EMAIL:") for token in tokens)
