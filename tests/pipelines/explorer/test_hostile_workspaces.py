"""Workspaces that nobody would make on purpose: columns named like ours, signals that are no numbers, huge texts."""

import json
import re

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from gristmill.corpus.store import schema
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.rule_sets import load_rules
from gristmill.filters.signals.families import FAMILIES
from gristmill.pipelines.explorer.compare import compare
from gristmill.pipelines.explorer.made import places
from gristmill.pipelines.explorer.saving import save_rules
from gristmill.pipelines.explorer.server import Explorer
from gristmill.pipelines.explorer.static import write_pages
from gristmill.pipelines.explorer.view import View

from ...corpus.stores import s3
from .conftest import COUNT, FAMILY, name_of, put_vectors, small_workspace
from .test_views import EVERY, shown, words

NAMES = [  # of users' columns
    "fate", "number", "id", "rule", "kept", "domain", "extra", "facts", "we\"ird", "it's", "per%cent", "a/b", "a.b",
    'x"=y', "ünïcode ✓", "select", "with space", "\u202edrow", "<b>", "x" * 200, "0", "tokens", "value", "about_tokens",
]  # fmt: skip


def deep(levels: int) -> object:
    return {"x": deep(levels - 1)} if levels else [1, None, "end"]


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A workspace with extract alone: documents with strange columns, and one text of 3 million characters."""
    from gristmill import Workspace as Face

    folder = tmp_path_factory.mktemp("strange")
    rows = []
    for n in range(30):
        own = {name: (n % 3 if place % 2 else f"v'{n % 2}\"%\u2028") for place, name in enumerate(NAMES)}
        rows.append({"text": f"text number {n} of the mill" * (100_000 if n == 0 else 1), "deep": deep(40), **own})
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        Face(str(folder / "w")).extract(str(folder / "in.jsonl"), domain="it's / 100 %")
        yield Explorer(Workspace(str(folder / "w")))


@pytest.mark.slow
def test_every_tab_answers_where_extract_alone_ran(strange):
    for tab in EVERY:
        assert "<h1>" in shown(strange, tab)
    page = words(shown(strange, "funnel"))
    assert "30 documents" in page
    assert "it&#x27;s / 100 %" in page


@pytest.mark.slow
def test_every_column_of_a_user_can_be_counted_and_chosen_by_whatever_its_name(strange):
    source = strange.source()
    own = [sql for sql, name in source.columns.items() if name.startswith("extra.")]
    assert len(own) >= len(NAMES)
    for column in own:
        page = shown(strange, "documents", facet=column)
        values = re.findall(r'is=([^"&]*)"', page)
        assert values or "extra.deep" in column, column
        ((value, count),) = source.rows(
            f"select {column}::varchar as v, count(*) as n from facts group by 1 order by n desc, 1 limit 1"
        )[1]
        told = "–none–" if value is None else value
        assert f"<b>{count}</b> documents" in shown(strange, "documents", **{"is": f"{column}={told}"})


@pytest.mark.slow
def test_a_huge_text_is_shown_in_part_and_says_how_much_is_left(strange):
    ((one,),) = strange.source().rows("select id from facts order by bytes desc limit 1")[1]
    page = shown(strange, f"document/{one}")
    assert len(page) < 1_000_000
    assert "characters that are left" in page


@pytest.mark.slow
@pytest.mark.parametrize("value", ["%00", "\x00", "'", '"', "%", "\\", "\u202e", "\ud800", "a" * 5000, "); drop --"])
def test_whatever_an_address_holds_gets_an_answer_in_words(strange, value):
    for path, name in (("documents", "domain"), ("documents", "host"), ("documents", "where"), ("documents", "is"),
                       ("funnel", "domain"), ("signals", "signal"), ("sql", "sql"), ("documents", "page"),
                       ("duplicates", "host"), ("map", "lasso"), ("mixture", "domain"), ("runs", "run")):  # fmt: skip
        assert strange.answer(path, {name: [value]}).status in (200, 409), (path, name)


def test_signals_that_are_no_numbers_have_no_place_in_a_drawing_and_stop_no_page(own_cache, tmp_path):
    space = small_workspace(tmp_path)
    kinds = {field.name: None for field in FAMILIES[FAMILY].type}
    odd = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5.0, None)
    rows = [
        {"id": name_of(n), FAMILY: kinds | {"mean_word_length": odd[n % 7], "word_count": 60}} for n in range(COUNT)
    ]
    put_table(space, f"signals/{FAMILY}", FAMILIES[FAMILY].schema, {"a.parquet": rows[:60], "b.parquet": rows[60:]})
    explorer = Explorer(space)
    for path in ("funnel", "signals", "documents"):
        shown(explorer, path)
    told = words(shown(explorer, "signals", signal=f"{FAMILY}.mean_word_length"))
    assert "Distribution of" in told
    shown(explorer, "signals", signal=f"{FAMILY}.mean_word_length", by="domain")
    shown(explorer, "signals", signal=f"{FAMILY}.mean_word_length", **{"with": f"{FAMILY}.word_count"})
    for n in range(7):
        shown(explorer, f"document/{name_of(n)}")


def test_an_empty_workspace_and_one_without_any_row_answer_in_every_tab(own_cache, tmp_path):
    empty = Workspace(str(tmp_path / "empty"))
    put_table(empty, "documents", schema.DOCUMENTS, {}, stage="extract")
    for tab in EVERY:
        assert "<h1>" in shown(Explorer(empty), tab)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["w s", "w'q", "100%", "a&b", "ü✓"])
def test_a_workspace_may_lie_in_a_folder_of_any_name(own_cache, tmp_path, name):
    space = small_workspace(tmp_path / name)
    explorer = Explorer(space)
    for tab in ("funnel", "documents", "signals", "sql"):
        shown(explorer, tab)
    assert write_pages(explorer, str(tmp_path / "pages"), 2)["pages"] >= 8


@pytest.mark.slow
def test_a_workspace_in_a_store_is_shown_compared_and_written_as_a_local_one_is(own_cache, tmp_path):
    stored, local = small_workspace("memory://explored"), small_workspace(tmp_path)
    for tab in ("funnel", "documents", "signals", "duplicates", "sql"):
        there, here = (words(shown(Explorer(space), tab)) for space in (stored, local))
        if tab != "duplicates":
            assert there.replace("memory://explored", str(tmp_path)) == here
    shown(Explorer(stored), f"document/{name_of(0)}")
    shown(Explorer(stored), "signals", rule="min_words", t="80")
    assert compare(stored, local)["documents"]["changed_sides"] == 0
    assert write_pages(Explorer(stored), str(tmp_path / "pages"), 2)["pages"] >= 8


@pytest.mark.slow
def test_a_workspace_in_s3_is_shown_compared_written_and_takes_a_rule_file(own_cache, tmp_path):
    with s3() as store:
        stored, local = small_workspace(store.url), small_workspace(tmp_path)
        for space in (stored, local):
            put_vectors(space, np.random.default_rng(3).normal(5 * (np.arange(COUNT) % 2)[:, None], 1, (COUNT, 4)))
        pages: list[dict[str, str]] = []
        for space in (stored, local):
            explorer = Explorer(space)
            while b"is being made" in explorer.answer("map", {}).body:
                pass
            told = {tab: words(shown(explorer, tab)) for tab in (*EVERY, f"document/{name_of(0)}")}
            told["moved"] = words(shown(explorer, "signals", rule="min_words", t="80"))
            told["inside"] = words(shown(explorer, "map", lasso="0,-2 2,-2 2,2 0,2"))
            told["list"] = words(shown(explorer, "documents", lasso="0,-2 2,-2 2,2 0,2"))
            pages.append({name: page.replace(space.url.rpartition("/")[0], "") for name, page in told.items()})
        there, here = pages
        assert "read from a local disk alone" in there["duplicates"]
        for same in ("funnel", "signals", "documents", "map", "sql", "moved", "inside", "list"):
            assert there[same] == here[same], same
        for told in (compare(stored, local), compare(local, stored)):
            assert (told["documents"]["same_fate"], told["changed"]) == (COUNT, [])
        assert write_pages(Explorer(stored), str(tmp_path / "pages"), 3)["pages"] >= 10
        asked = View(Explorer(stored).source(), "signals", {"rule": ["min_words"], "t": ["80"], "name": ["longer"]})
        told = save_rules(asked)
        assert f"Written: {stored.path('rules', 'longer.yaml')}. To decide by it: copy it to this machine" in told
        with fsspec.open(stored.path("rules", "longer.yaml"), "rt") as file:
            (tmp_path / "longer.yaml").write_text(file.read())  # type: ignore[union-attr]
        assert load_rules(str(tmp_path / "longer.yaml")).rules[0].threshold == 80
        with pytest.raises(RequestError, match="there already"):
            save_rules(asked)


def test_vectors_of_another_length_or_of_no_numbers_have_no_place_and_are_counted(own_cache, tmp_path, monkeypatch):
    space = small_workspace(tmp_path)
    put_vectors(space, np.random.default_rng(1).normal(0, 1, (COUNT, 3)))
    rows = [{"id": name_of(n), "embedding": [1.0 * (n % 5), 2.0, float(n)]} for n in range(COUNT)]
    for n, vector in enumerate((None, [], [1.0], [float("nan")] * 3, [float("inf"), 1.0, 1.0], [0.0, 0.0, 0.0])):
        rows[n + 10]["embedding"] = vector
    kind = pa.schema([pa.field("id", pa.string(), nullable=False), ("embedding", pa.list_(pa.float32()))])
    put_table(space, "embeddings", kind, {"a.parquet": rows[:60], "b.parquet": rows[60:]}, stage="embed")
    monkeypatch.setattr(places, "DRAWN", 30)
    explorer = Explorer(space)
    while b"is being made" in explorer.answer("map", {}).body:
        pass
    page = words(shown(explorer, "map"))
    assert f"{COUNT - 5} documents by embeddings.embedding, as shades by powers of two; " in page
    assert "5 have no vector" in page
    lasso = "-2,-2 2,-2 2,2 -2,2"
    assert f"{COUNT - 5} documents inside of the line" in words(shown(explorer, "map", lasso=lasso))
