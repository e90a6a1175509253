"""What was made of a document stays when others go or come back: only what is new is made, and rows are the same."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus import processors
from gristmill.corpus.removals import add_optout, parse
from gristmill.corpus.settings import Input
from gristmill.corpus.store.fate import ShardSource
from gristmill.corpus.store.schema import DOCUMENTS
from gristmill.corpus.store.shards import open_shard, read_batches
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.settings import DedupSettings
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.graph import Report, Work, done_or
from gristmill.pipelines.engine.held.agreement import PLACE, Agreement, note
from gristmill.pipelines.engine.held.rows import KeepById, documents
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import Plan
from gristmill.pipelines.removals.absence import differences
from gristmill.pipelines.stages import opt_out as module
from gristmill.pipelines.stages.dedup.kept_rows import keep_signed
from gristmill.pipelines.stages.dedup.signatures import sign
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.opt_out import opt_out
from gristmill.pipelines.stages.score.stage import score
from gristmill.pipelines.stages.tokenize import stage as tokenizing
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.proxy_models.scoring.scorers import ScoreSettings
from gristmill.training.data.shards import TokenFacts, TokenRows, token_schema, write_token_table, write_tokens

from .test_rebuild import RULES, passage

ONE = RunnerOptions()
IDS = [f"{number:032x}" for number in range(12)]
ROW = pa.schema([pa.field("id", pa.string(), nullable=False), ("value", pa.int64())])
SUBSETS = st.sets(st.sampled_from(IDS)).map(sorted)


# ---- rows of one shard


def written(folder: str, name: str, ids: list[str], value: int) -> Report:
    with open_shard(f"{folder}/made", name, ROW) as out:
        out.write_rows({"id": id, "value": value} for id in ids)
    return "made", out.shard


@given(before=SUBSETS, now=SUBSETS, rows=st.integers(1, 5))
def test_rows_that_were_made_stay_and_others_are_made_in_the_order_of_documents(
    tmp_path_factory, before: list[str], now: list[str], rows: int
):
    folder = str(tmp_path_factory.mktemp("kept"))
    with open_shard(f"{folder}/documents", "a.parquet", ROW) as out:
        out.write_rows({"id": id, "value": 0} for id in now)
    source = ShardSource("a.parquet", f"{folder}/documents/{out.shard.file}")
    asked: list[str] = []

    def process(plan: Plan, item: Work) -> Iterator[Report]:
        asked.extend(id for batch in item.documents.read(["id"]) for id in batch["id"].to_pylist())
        yield written(folder, "a.parquet", asked, 2)

    plan = Plan("made", 1, Workspace(folder), None, {}, {})
    held = written(folder, "a.parquet", before, 1)
    item = Work("a.parquet", {}, source, held=(held,))
    ((table, shard),) = KeepById(documents, rows)(plan, item, process)
    found = [row for batch in read_batches(f"{folder}/{table}/{shard.file}") for row in batch.to_pylist()]
    assert found == [{"id": id, "value": 1 if id in before else 2} for id in now]
    assert asked == [id for id in now if id not in before]
    assert (shard == held[1]) == (before == now)


@pytest.mark.parametrize("damaged", [False, True])
def test_rows_are_kept_from_files_that_are_as_they_were_put(tmp_path: Path, damaged: bool):
    folder = str(tmp_path)
    held, fresh = written(folder, "a.parquet", IDS[:3], 1), written(folder, "b.parquet", IDS, 2)
    if damaged:
        Path(folder, "made", held[1].file).write_bytes(b"cut short")
    plan = Plan("made", 1, Workspace(folder), None, {}, {}, keep=lambda plan, item, process: iter(item.held))
    found = done_or(plan, Work("a.parquet", {}, stamp="0", held=(held,)), lambda plan, item: iter([fresh]))
    assert [shard.file for _, shard in found] == [(fresh if damaged else held)[1].file]


def test_a_shard_of_kept_rows_is_of_the_processors_that_computed_them_too(tmp_path: Path):
    table, held = written(str(tmp_path), "a.parquet", IDS[:3], 1)
    held = replace(held, counts={**held.counts, "processor x86_64 elder": 1})
    plan = Plan(
        "made", 1, Workspace(str(tmp_path)), None, {}, {}, keep=lambda plan, item, _: iter(item.held), models=True
    )
    ((_, shard),) = done_or(plan, Work("a.parquet", {}, stamp="0", held=((table, held),)), lambda plan, item: iter([]))
    assert processors.kinds(shard.counts) == {"x86_64 elder": 1, processors.kind(): 1}


@settings(max_examples=10)
@given(before=SUBSETS, now=SUBSETS)
def test_signatures_that_are_kept_are_those_that_signing_gives(tmp_path_factory, before: list[str], now: list[str]):
    folder = str(tmp_path_factory.mktemp("signed"))
    asked = DedupSettings(num_perm=16, bands=4)
    plan = Plan("signatures", 1, Workspace(folder), asked, asked.signing(), {})

    def work(ids: list[str], held: tuple[Report, ...] = ()) -> Work:
        with open_shard(f"{folder}/documents", "a.parquet", DOCUMENTS) as out:
            out.write_rows({"id": id, "text": passage(IDS.index(id)), "source": "s", "domain": "d"} for id in ids)
        return Work("a.parquet", {}, ShardSource("a.parquet", f"{folder}/documents/{out.shard.file}"), held=held)

    held = tuple(sign(plan, work(before)))
    kept = dict(keep_signed(plan, work(now, held), sign))
    for table, shard in sign(plan, work(now)):
        assert (kept[table].content, kept[table].rows) == (shard.content, shard.rows)
        assert dict(kept[table].counts) == dict(shard.counts)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 99), min_size=1, max_size=9), st.integers(0, 50), st.integers(0, 3)),
        max_size=12,
    )
)
def test_token_rows_as_they_lie_in_shards_are_written_as_they_were(tmp_path_factory, rows: list[tuple]):
    folder, facts = tmp_path_factory.mktemp("tokens"), TokenFacts("made up", 100, 0, None)
    given = TokenRows()
    for id, (tokens, size, prefix) in zip(IDS[::-1], rows, strict=False):
        given.append(id, np.array(tokens, np.uint16), size, prefix)
    write_tokens(str(folder / "one"), given, facts)
    with pa.memory_map(str(folder / "one")) as file, pa.ipc.open_file(file) as reader:
        table = reader.read_all().replace_schema_metadata().cast(token_schema(facts.dtype))
        order = np.arange(len(table))[::-1]  # rows lie in another order than their ids
        totals = write_token_table(str(folder / "two"), table.take(pa.array(order)), order, facts)
    assert totals == given.totals()
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


# ---- which rows may stay

THEN = {"documents/a": "d1", "decisions/filter/a": "f1", "edits/filter/a": "e1"}


@pytest.mark.parametrize(
    ("pairs", "now", "same"),
    [
        ([], THEN, True),
        ([], THEN | {"decisions/filter/a": "f2"}, True),
        ([], THEN | {"documents/a": "d2"}, False),
        ([("d1", "d2")], THEN | {"documents/a": "d2"}, True),
        ([("d2", "d1")], THEN | {"documents/a": "d2"}, False),
        ([("d1", "d2"), ("d2", "d3")], THEN | {"documents/a": "d3"}, True),
        ([("d1", "d2"), ("d2", "d1")], THEN | {"documents/a": "d3"}, False),
        ([("d1", "d2")], THEN | {"documents/a": "d2", "edits/filter/a": "e2"}, False),
        ([("d1", "d2"), ("e1", "e2")], THEN | {"documents/a": "d2", "edits/filter/a": "e2"}, True),
        ([("d1", "d2")], {"documents/a": "d2", "decisions/filter/a": "f1"}, False),
        ([("d1", "d2")], THEN | {"documents/a": "d2", "edits/dedup/a": "e9"}, False),
        ([("d1", "d2")], THEN | {"documents/a": "d2", "domains/a": "u"}, False),
    ],
)  # fmt: skip
def test_rows_stay_where_all_that_was_read_agrees_but_for_who_is_left(
    tmp_path: Path, pairs: list[tuple[str, str]], now: Mapping[str, str], same: bool
):
    space = Workspace(str(tmp_path))
    note(space, pairs, begin=True)
    assert Agreement(space).same_rows(THEN, now) == same


def test_only_a_removal_begins_what_is_known_to_agree(tmp_path: Path):
    space = Workspace(str(tmp_path))
    note(space, [("a", "b")])
    assert Agreement(space).pairs == set()
    note(space, [("a", "b"), ("c", "c")], begin=True)
    note(space, [("b", "d")])
    assert Agreement(space).pairs == {("a", "b"), ("b", "d")}


# ---- whole stages


def crawl(folder: Path) -> list[str]:
    """Two sources; the first document of each pair has a near copy in the other source."""
    copies = {n: passage(n) + " And one word more." for n in (1, 2, 3)}
    for name, texts in (("one", {n: passage(n) for n in range(8)}), ("two", copies | {n: passage(n) for n in (9, 10)})):
        rows = [{"text": text, "url": f"https://{name}.example/{n}"} for n, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rules.yaml").write_text(RULES.format(least=9))
    return [str(folder / f"{name}.jsonl") for name in ("one", "two")]


def built(folder: Path, name: str, tokenizer: str | None = None, until: str = "") -> Workspace:
    space = Workspace(str(folder / name))
    given = tuple(Input(paths=(path,)) for path in crawl(folder))
    run_extract(
        space, ExtractSettings(inputs=given, language_model=None, sandbox=False, shard_bytes=2_000), ONE, quiet=True
    )
    run_filter(space, FilterSettings(rules=str(folder / "rules.yaml")), ONE, quiet=True)
    if until != "filter":
        deduplicate(space, DedupSettings(threshold=0.8, num_perm=64, size=3), ONE, quiet=True)
        named = TokenizeSettings(tokenizer=tokenizer) if tokenizer else TokenizeSettings(vocab_size=300)
        tokenize(space, named, ONE, quiet=True)
    return space


@pytest.mark.slow
@pytest.mark.parametrize(
    "listed",
    [
        ["https://one.example/1"],
        ["https://two.example/2"],
        ["one.example"],
        ["https://one.example/1", "https://two.example/1", "https://two.example/3", "https://one.example/5"],
    ],
    ids=["a survivor or its copy", "a copy or its survivor", "a whole source", "both of a pair and one of another"],
)
def test_every_table_has_the_rows_of_a_workspace_that_never_held_what_was_removed(folder: Path, listed: list[str]):
    space = built(folder, "w")
    asked = parse(listed, "list")
    assert opt_out(space, asked, ONE, quiet=True, refit=False)["left"] == {}
    assert audit(space)["findings"] == []
    assert Agreement(space).pairs == set()
    other = Workspace(str(folder / "other"))
    other.create()
    add_optout(other, asked)
    built(folder, "other", space.table("tokenizer").shard_url("tokenizer.json"))
    assert differences(space, other) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.slow
def test_after_a_removal_only_a_copy_that_comes_back_is_tokenized(folder: Path, monkeypatch: pytest.MonkeyPatch):
    space = built(folder, "w")
    kept = {row["url"]: row["kept"] for row in _decided(space)}
    gone = next(f"https://{name}.example/1" for name in ("one", "two") if kept[f"https://{name}.example/1"])
    seen: list[str] = []
    encoded = tokenizing.encode

    def encode(tokenizer, facts, texts, prefixes):
        seen.extend(texts)
        return encoded(tokenizer, facts, texts, prefixes)

    monkeypatch.setattr(tokenizing, "encode", encode)
    opt_out(space, parse([gone], "list"), ONE, quiet=True, refit=False)
    assert len(seen) == 1
    assert seen[0].startswith(passage(1))


def _decided(space: Workspace) -> Iterator[dict]:
    kept = {row["id"]: row["kept"] for batch in space.table("decisions/dedup").read() for row in batch.to_pylist()}
    for batch in space.table("documents").read(["id", "url"]):
        for row in batch.to_pylist():
            yield row | {"kept": kept[row["id"]]}


@pytest.mark.slow
def test_a_removal_that_was_killed_before_stages_followed_is_completed_by_the_same_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    space = built(folder, "w")
    asked = parse(["https://one.example/1", "https://one.example/4"], "list")
    with monkeypatch.context() as killed:
        killed.setattr(module, "rebuild_stages", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            opt_out(space, asked, ONE, quiet=True, refit=False)
    assert Path(space.path(PLACE)).exists()
    summary = opt_out(space, asked, ONE, quiet=True, refit=False)
    assert (summary["removed"], summary["left"], summary["holding"]) == (0, {}, {})
    assert not Path(space.path(PLACE)).exists()
    assert audit(space)["findings"] == []


@pytest.mark.slow
def test_scores_of_documents_that_are_left_stay_when_another_stage_drops_some(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    space = built(folder, "w", until="filter")
    asked = ScoreSettings(method="dsir", targets=("two",))
    score(space, asked, ONE, quiet=True)
    before = _scores(space)
    deduplicate(space, DedupSettings(threshold=0.8, num_perm=64, size=3), ONE, quiet=True)
    monkeypatch.setattr("gristmill.pipelines.stages.score.stage.score_shard", lambda *_, **__: 1 / 0)
    score(space, asked, ONE, quiet=True)
    kept = {row["id"] for batch in space.table("decisions/dedup").read() for row in batch.to_pylist() if row["kept"]}
    assert len(kept) < len(before)
    assert _scores(space) == {id: value for id, value in before.items() if id in kept}


def _scores(space: Workspace) -> dict[str, float]:
    rows = (row for batch in space.table("scores/dsir").read(["id", "score"]) for row in batch.to_pylist())
    return {row["id"]: row["score"] for row in rows}
