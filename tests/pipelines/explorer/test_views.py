"""What the explorer's pages show is what SQL over the workspace says, whatever is chosen."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.schema import DECISIONS
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.rule_sets import compiled
from gristmill.pipelines.explorer.made import facts, summaries
from gristmill.pipelines.explorer.made.summaries import GROUPS
from gristmill.pipelines.explorer.rules import rules_as_yaml
from gristmill.pipelines.explorer.server import Explorer
from gristmill.pipelines.explorer.tabs.documents import documents
from gristmill.pipelines.explorer.tabs.mixture import with_models
from gristmill.pipelines.explorer.view import Exported, View

from ..test_report import modelled
from .conftest import FAMILY, name_of, small_workspace

EVERY = ("funnel", "signals", "documents", "duplicates", "mixture", "runs", "map", "sql")


def shown(explorer: Explorer, path: str, **params: str | list[str]) -> str:
    asked = {name: value if isinstance(value, list) else [value] for name, value in params.items()}
    answer = explorer.answer(path, asked)
    assert answer.status == 200, answer.body.decode()
    return answer.body.decode()


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def asked(space: Workspace, sql: str) -> list[tuple]:
    with open_catalog(space) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("tab", EVERY)
def test_every_tab_answers_on_a_workspace_where_some_stages_never_ran(small, tab):
    assert "<h1>" in shown(small, tab)


def test_the_funnel_shows_what_the_view_funnel_counts(small):
    page = words(shown(small, "funnel"))
    for stage, entered, dropped in asked(
        small.workspace,
        "select stage, sum(documents)::int, (coalesce(sum(documents) filter (fate = 'dropped'), 0))::int from funnel "
        "where stage <> 'extract' group by stage",
    ):
        assert f"{stage} {entered} {dropped} {entered - dropped} " in page


def test_rules_are_counted_alone_and_together_as_a_recount_says(small):
    rules = small.source().rules
    rows = small.source().table(f"select * from {rules.relation()}")
    decided = rules.compiled.decide(rows, "filter").to_pylist()
    page = words(shown(small, "funnel"))
    for rule in rules.rules:
        failing = [[one["rule"] for one in row["failing"]] for row in decided]
        fails, alone = sum(rule.rule in one for one in failing), sum(one == [rule.rule] for one in failing)
        assert re.search(rf"filter {rule.rule} .*? {fails} {alone} ", page)


def test_a_list_holds_just_the_documents_of_its_facets(small):
    (expected,) = asked(
        small.workspace,
        "select count(*) from decisions join documents using (id) where not kept and rule = 'min_words' and "
        "domain = 'web'",
    )
    view = View(small.source(), "documents", {"rule": ["min_words"], "domain": ["web"], "fate": ["dropped"]})
    assert f"<b>{expected[0]}</b> documents" in documents(view)
    listed = small.source().rows(dict(view.queries)["documents"])[1]
    assert len(listed) == min(expected[0], 25)


@settings(max_examples=8, deadline=None)
@given(st.fixed_dictionaries({}, optional={"fate": st.sampled_from(["kept", "dropped"]),
                                           "language": st.sampled_from(["en", "–none–"]),
                                           "rule": st.sampled_from(["min_words", "–none–"])}))  # fmt: skip
def test_facets_under_a_condition_on_each_document_are_those_of_the_summary(small, chosen):
    found = []
    for more in ({}, {"where": ["true"]}, {"where": ["bytes >= 0"]}):
        view = View(small.source(), "documents", {name: [value] for name, value in chosen.items()} | more)
        documents(view)
        queries = dict(view.queries)
        assert ("from cube" in queries["facets"]) == (not more)
        found.append([small.source().rows(queries[name])[1] for name in ("facets", "documents")])
    assert found[0] == found[1] == found[2]


def test_each_document_is_found_by_its_id_and_in_its_row_of_the_summary(small):
    source = small.source()
    assert source.rows("select id, number from ids")[1] == source.rows("select id, number from facts order by id")[1]
    named = ", ".join(GROUPS)
    by_cell = source.rows(f"select c.* from facts f join (select cell, {named} from cube) c using (cell) order by all")
    assert by_cell[1] == source.rows(f"select cell, {named} from facts order by all")[1]
    passing = "select unit, documents, bytes from passing order by all"
    assert (
        source.rows(passing)[1]
        == source.rows(
            "select domain as unit, count(*), sum(bytes)::bigint from facts where sole = -1 group by all order by all"
        )[1]
    )


@pytest.mark.parametrize("block", [9, 1000])
def test_tokens_that_were_not_counted_are_estimated_by_those_of_the_domain(own_cache, tmp_path, monkeypatch, block):
    counted = {name_of(n): 3 + n for n in range(0, 120, 2) if n % 3}  # domains books and code

    def counts(space: Workspace, split: str):
        if split == "train":
            yield pa.record_batch([list(counted), ["web"] * len(counted), list(counted.values())],
                                  ["id", "domain", "tokens"])  # fmt: skip

    monkeypatch.setattr(facts, "tokens_by_document", counts)
    monkeypatch.setattr(summaries, "BLOCK", block)
    source = Explorer(small_workspace(tmp_path)).source()
    rows = source.rows("select id, domain, bytes, tokens, about_tokens from facts")[1]
    assert {one: tokens for one, *_, tokens, _ in rows if tokens is not None} == counted
    told = [(domain, bytes, tokens) for _, domain, bytes, tokens, _ in rows if tokens]
    for _, domain, size, tokens, about in rows:
        alike = [one for one in told if one[0] == domain] or told
        ratio = sum(size for _, size, _ in alike) / sum(tokens for *_, tokens in alike)
        assert about == pytest.approx(size / ratio if tokens is None else tokens)
    ((whole,),) = source.rows("select sum(about_tokens) from cube")[1]
    assert whole == pytest.approx(sum(row[-1] for row in rows))
    assert not [one for one in (own_cache / "gristmill" / "explore").iterdir() if "-rows" in one.name]


@pytest.mark.parametrize("block", [1, 7, 60, 61, 1000])
def test_blocks_of_numbers_hold_every_document_once_whatever_their_size(small, monkeypatch, block):
    monkeypatch.setattr(summaries, "BLOCK", block)
    cursor = small.source().connection.cursor()
    bounds = summaries._bounds(cursor, "facts")
    numbers = [number for (number,) in cursor.execute("select number from facts order by number").fetchall()]
    assert bounds == sorted(set(bounds))
    assert bounds[0] <= numbers[0]
    parts = [sum(low <= one < high for one in numbers) for low, high in pairwise([*bounds, 1 << 62])]
    assert sum(parts) == len(numbers)
    assert max(parts) <= block


def test_facets_by_any_column_count_what_sql_counts(small):
    page = words(shown(small, "documents", facet='"host"', fate="kept"))
    for host, n in asked(
        small.workspace, "select host, count(*) from decisions join documents using (id) where kept group by host"
    ):
        assert f"{host} {n}" in page


def test_a_condition_that_is_no_expression_is_refused_with_what_is_wrong(small):
    for condition in ("bytes >", "1) ; drop table facts --", "select"):
        answer = small.answer("documents", {"where": [condition]})
        assert answer.status == 409
        assert b'role="alert"' in answer.body


@settings(max_examples=8, deadline=None)
@given(rule=st.sampled_from(["min_words", "long_words", "alpha"]), at=st.floats(-5, 130, allow_nan=False))
def test_a_moved_threshold_is_counted_exactly_after_all_rules_of_the_set(small, rule, at):
    source = small.source()
    moved = source.rules.moved(rule, at)
    counted = dict(source.rows(f"select side, count(*) from {moved.sides()} group by side")[1])
    rows = source.table(f"select * from {source.rules.relation()}")
    before = dict(
        zip(*source.rules.compiled.decide(rows, "filter").select(["id", "kept"]).to_pydict().values(), strict=True)
    )
    after = dict(
        zip(*compiled(moved.rules)[0].decide(rows, "filter").select(["id", "kept"]).to_pydict().values(), strict=True)
    )
    assert counted.get("falls", 0) == sum(before[one] and not after[one] for one in before)
    assert counted.get("comes back", 0) == sum(after[one] and not before[one] for one in before)


def test_a_threshold_by_language_moves_in_all_languages_by_as_much(small):
    moved = small.source().rules.moved("long_words", 7)
    assert moved.rules.rules[1].threshold == {"default": 7, "de": 9}


def test_the_signal_page_shows_the_exact_change_and_documents_on_both_sides_of_the_line(small):
    page = shown(small, "signals", rule="min_words", t="80")
    source = small.source()
    ((falls,),) = source.rows(f"select count(*) from {source.rules.moved('min_words', 80).sides()}")[1]
    assert f"fall {falls} " in words(page)
    kept, _, dropped = page.partition("Just dropped")
    assert [float(one) for one in re.findall(r'measured">([0-9.]+)', kept)] >= [80.0]
    assert all(float(one) < 80 for one in re.findall(r'measured">([0-9.]+)', dropped))


def test_a_histogram_counts_every_document_that_has_a_value(small):
    view = View(small.source(), "signals", {"signal": [f"{FAMILY}.word_count"], "rule": ["min_words"]})
    from gristmill.pipelines.explorer.tabs.signals import signals

    signals(view)
    counted = sum(row[2] for row in small.source().rows(dict(view.queries)["histogram"])[1])
    (whole,) = small.source().rows(f'select count("{FAMILY}".word_count) from facts')[1]
    assert counted >= 0.97 * whole[0]


def test_a_rule_set_is_written_as_yaml_that_reads_back_the_same(small):
    made = small.source().rules.moved("min_words", 61.5).rules
    assert "threshold: 61.5" in rules_as_yaml(made)


def test_a_document_shows_its_way_its_cuts_and_its_values_beside_the_thresholds(small):
    (kept,) = asked(small.workspace, "select min(id) from decisions where kept")
    page = shown(small, f"document/{kept[0]}")
    assert "cut by a stage: dedup: lines" in page
    for rule in ("min_words", "long_words", "alpha"):
        assert f">{rule}</a>" in page
    assert "passes" in page
    assert "crawl.warc.gz at byte" in page


def test_personal_data_and_repeated_words_are_marked(small):
    page = shown(small, f"document/{name_of(0)}")
    assert '<mark class="personal" title="personal data: email">me@example.org</mark>' in page


@pytest.mark.parametrize("path", ["document/zz", f"document/{'0' * 32}", "pair/a/b", "cluster/0", "document/../../x"])
def test_an_address_of_something_that_is_not_there_says_so(small, path):
    assert small.answer(path, {}).status == 409


def test_exports_hold_the_rows_of_the_query_that_the_page_shows(small):
    answer = small.answer("funnel", {"export": ["stages"], "format": ["csv"]})
    assert answer.name == "w-stages.csv"
    whole = sum(int(line.split(",")[2]) for line in answer.body.decode().splitlines()[1:])
    assert whole == 120
    parquet = small.answer("funnel", {"export": ["stages"], "format": ["parquet"]})
    assert parquet.body[:4] == b"PAR1"
    drawing = small.answer("funnel", {"export": ["stages drawn"], "format": ["svg"]})
    assert drawing.body.startswith(b'<svg xmlns="http://www.w3.org/2000/svg"')


def test_the_rule_file_of_a_moved_threshold_can_be_taken_away(small):
    answer = small.answer("signals", {"rule": ["min_words"], "t": ["77"], "export": ["rules"], "format": ["yaml"]})
    assert b"threshold: 77.0" in answer.body


@pytest.mark.parametrize(
    "sql",
    [
        "drop view documents",
        "create table x as select 1",
        "select 1; select 2",
        "copy documents to '/tmp/x.csv'",
        "attach '/tmp/x.db'",
        "set memory_limit = '1TB'",
        "pragma version",
        "insert into facts select * from facts",
        "select * from read_text('/etc/hostname')",
        "select * from read_csv('/etc/passwd')",
        "from '/etc/passwd'",
        "load httpfs",
        "call pragma_version()",
    ],
)
def test_the_sql_tab_answers_selects_over_the_workspace_and_nothing_else(small, sql):
    answer = small.answer("sql", {"sql": [sql]})
    assert answer.status == 409
    assert small.source().rows("select count(*) from documents")[1] == [(120,)]


def test_the_sql_tab_answers_at_most_as_many_rows_as_are_asked_for(small):
    page = shown(small, "sql", sql="select id from documents order by id -- all of them", limit="100")
    assert "100 rows. There may be more" in page


def test_a_query_of_the_page_runs_in_the_sql_tab_as_it_is_shown(small):
    view = View(small.source(), "funnel", {})
    from gristmill.pipelines.explorer.tabs.funnel import funnel

    funnel(view)
    assert view.queries
    for _, sql in view.queries:
        assert "rows." in shown(small, "sql", sql=sql)


def test_a_stale_table_is_left_out_and_the_page_names_the_command(own_cache, tmp_path):
    space = small_workspace(tmp_path)
    explorer = Explorer(space)
    assert "dropped" in shown(explorer, "funnel")
    rows = [{"id": name_of(n), "kept": True, "stage": "filter"} for n in range(120)]
    settings = space.table("decisions/filter").finished("test").settings
    put_table(space, "decisions/filter", DECISIONS, {"a.parquet": rows[:60], "b.parquet": rows[60:]}, settings=settings)
    page = shown(explorer, "funnel")
    assert "run: gristmill dedup" in page
    assert "Fates cannot be shown" in page
    answer = explorer.answer("sql", {"sql": ["select * from decisions"]})
    assert answer.status == 409
    assert b"run: gristmill dedup" in answer.body


def test_a_workspace_without_documents_names_the_command_that_begins(own_cache, tmp_path):
    put_table(Workspace(str(tmp_path / "w")), "decisions/none", DECISIONS, {})
    assert "gristmill extract INPUT" in shown(Explorer(Workspace(str(tmp_path / "w"))), "funnel")


@pytest.mark.slow
def test_nothing_is_written_to_the_workspace_by_looking_at_it(own_cache, tmp_path):
    space = small_workspace(tmp_path)

    def state() -> dict[str, float]:
        return {str(p): p.stat().st_mtime_ns for p in sorted((tmp_path / "w").rglob("*"))}

    before = state()
    explorer = Explorer(space)
    for tab in EVERY:
        shown(explorer, tab)
    assert state() == before


def test_an_export_is_asked_for_by_the_name_of_a_query(small):
    view = View(small.source(), "funnel", {"export": ["x"], "format": ["csv"]})
    with pytest.raises(Exported) as found:
        view.rows("x", "select 1")
    assert found.value.sql == "select 1"


@pytest.mark.slow
def test_the_mixture_tab_tells_which_loss_falls_when_a_share_rises(own_cache, tmp_path):
    space = modelled(small_workspace(tmp_path))
    path = space.path("mixture", "swarm.parquet")
    first = pq.read_table(path).to_pylist()[0]
    names = sorted(first["losses"])
    runs = []
    for n in range(12):
        share = n / 11
        losses = {name: (3 - share if place == 0 else 2 + share) for place, name in enumerate(names)}
        weights = {names[0]: share, names[1]: 1 - share}
        runs.append(first | {"mixture": f"m{n}", "seed": 0, "losses": losses, "weights": weights, "alive": True})
    pq.write_table(pa.Table.from_pylist(runs), path)
    page = words(shown(Explorer(space), "mixture", domain=names[0]))
    assert re.search(rf"{names[0]} -[01]\.\d+ \S+ to \S+ falls", page)
    assert re.search(rf"{names[1]} \+[01]\.\d+ \S+ to \S+ rises", page)


@pytest.mark.slow
def test_the_runs_of_another_workspace_are_drawn_beside_those_of_this_one(own_cache, tmp_path):
    space, other = modelled(small_workspace(tmp_path)), modelled(Workspace(str(tmp_path / "other")))
    page = shown(Explorer(space, (other,)), "runs")
    names = set(re.findall(r'name="run" value="([^"]*)"', page))
    assert {name.removeprefix("other/") for name in names} < names
    assert "Training loss." in page


def test_a_part_of_a_page_that_needs_an_extra_says_which_in_a_sentence():
    def needing() -> str:
        raise ModuleNotFoundError("No module named 'threadpoolctl'", name="threadpoolctl")

    said = words(with_models("Responses", needing))
    assert "Responses are not shown: threadpoolctl is not installed" in said
    assert "gristmill[train]" in said


def test_scores_of_targets_have_curves_and_a_table(own_cache, tmp_path):
    space = modelled(small_workspace(tmp_path))
    log = [{"step": n, "tokens": n * 1000, "loss": 8 - n / 10, "tokens_per_second": 500.0,
            "targets": {"arc": {"accuracy": 0.2 + n / 10, "bits_per_byte": 2.0}}} for n in (1, 2, 3)]  # fmt: skip
    Path(space.path("runs", "base", "metrics.jsonl")).write_text("".join(json.dumps(line) + "\n" for line in log))
    explorer = Explorer(space)
    assert "Accuracy, on targets" in words(shown(explorer, "runs", by="hours"))
    rows = shown(explorer, "sql", sql="select name, value from shown.measures where measure = 'targets: accuracy'")
    assert "3 rows." in words(rows)


def test_metrics_that_grew_are_shown_and_not_those_of_the_page_before(own_cache, tmp_path):
    space = modelled(small_workspace(tmp_path))
    explorer = Explorer(space)
    shown(explorer, "runs")
    asked_sql = "select max(step) as last from shown.metrics"
    assert "last 4 " in words(shown(explorer, "sql", sql=asked_sql))
    log = Path(space.path("runs", "base", "metrics.jsonl"))
    whole = log.read_text().rpartition("\n")[0]  # its last line is one that a kill cut short
    log.write_text(f"{whole}\n{json.dumps({'step': 777, 'tokens': 777_000, 'loss': 1.0})}\n")
    shown(explorer, "runs")
    assert "last 777 " in words(shown(explorer, "sql", sql=asked_sql))


def test_a_query_that_is_refused_stays_in_its_box(small):
    answer = small.answer("sql", {"sql": ["selec 1 as wrong"]})
    assert answer.status == 409
    assert "selec 1 as wrong</textarea>" in answer.body.decode()
