"""After an opt-out every stage is run again as it was: the same as if the documents had never been there."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.removals import add_optout, parse
from gristmill.corpus.store.errors import WorkspaceError
from gristmill.corpus.store.fate import inputs
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.settings import DedupSettings, RepeatSettings, SemanticSettings
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.rebuild import holding
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.balance.stage import BalanceSettings, run_balance
from gristmill.pipelines.stages.decontaminate.exposure import ExposureSettings, exposure
from gristmill.pipelines.stages.decontaminate.stage import DecontaminateSettings, decontaminate
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.opt_out import opt_out
from gristmill.pipelines.stages.refilter.stage import RefilterSettings, refilter
from gristmill.pipelines.stages.refine.stage import REFINE, RefineSettings
from gristmill.pipelines.stages.rewrite.stage import RewriteSettings, adopt, run_rewrite
from gristmill.pipelines.stages.score.stage import score
from gristmill.pipelines.stages.select.stage import SelectSettings, select
from gristmill.pipelines.stages.semantic.stage import semantic
from gristmill.pipelines.stages.tag.stage import TagSettings, run_tag
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.proxy_models.scoring.scorers import ScoreSettings

RULE = "{{rule: words, value: gopher@paper.word_count, threshold: {least}, keep: value >= threshold}}"
RULES = f"name: few\nrules:\n  - {RULE}\n"
LIST = parse(["h1.example"], "list")


def passage(n: int) -> str:
    """Ordinary prose of about ninety words, of which no two share much."""
    draw = random.Random(n)
    words = ["the", "miller", "of", "the", "valley", "ground", "his", "grain", "and", "sold", "it", "to", "a", "baker"]
    names = [f"{draw.choice('bdfgklmnprst')}{draw.choice('aeiou')}{draw.choice('lmnrst')}{k}" for k in range(40)]
    told = " ".join(draw.choice(words) if k % 3 else names[k % 40] for k in range(90))
    return f"In {1000 + n} {told.capitalize()}.\nIt was a good year for the whole of the valley {n}."


def speak(prompt: str) -> str:
    """A label where one is asked for, otherwise a rewriting that every check takes."""
    if "Which" in prompt:
        return ("plain", "other")[sum(prompt.encode()) % 2]
    return " ".join(reversed(prompt.split("\n\n", 1)[1].split())).rstrip(".") + "."


class Road:
    """Every stage that can be rebuilt, each as small as it can be."""

    def __init__(self, folder: Path, server, model: str):
        self.folder, self.model = folder, model
        rows = [{"text": passage(n), "url": f"https://h{n % 4}.example/{n}"} for n in range(40)]
        rows += [{"text": passage(1), "url": "https://h2.example/copy"}]
        (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "early.yaml").write_text(RULES.format(least=9))
        (folder / "late.yaml").write_text(RULES.format(least=10))
        (folder / "concepts.txt").write_text("miller\nbaker\n")
        (folder / "exam.jsonl").write_text(json.dumps({"text": " ".join(passage(5).split()[:30])}) + "\n")
        (folder / "wanted.jsonl").write_text("".join(json.dumps({"text": passage(n)}) + "\n" for n in (3, 7)))
        (folder / "tone.yaml").write_text("tone: {question: Which, labels: {plain: x, other: y}}")
        self.engine = {"kind": "endpoint", "url": server.url, "model": "m", "choices_by": "text"}
        server.say = speak

    def extracted(self, name: str) -> Workspace:
        space = Workspace(str(self.folder / name))
        asked = ExtractSettings(inputs=(Input(paths=(str(self.folder / "a.jsonl"),), source="web", domain="web"),))
        run_extract(space, asked, RunnerOptions(), quiet=True)
        return space

    def run(self, space: Workspace) -> None:
        place, options = str(self.folder), RunnerOptions()
        run_filter(space, FilterSettings(rules=f"{place}/early.yaml", families=("c4@dolma",)), options, quiet=True)
        run_stage(REFINE, space, RefineSettings(), options, quiet=True)
        exam = {"exam": f"{place}/exam.jsonl"}
        run_stage(decontaminate, space, DecontaminateSettings(sets=exam, action="mask"), options, quiet=True)
        run_stage(exposure, space, ExposureSettings(sets=exam, model=self.model), options, quiet=True)
        near = DedupSettings(threshold=0.9, num_perm=64, size=3, repeats=RepeatSettings(lines=3))
        deduplicate(space, near, options, quiet=True)
        semantic(space, SemanticSettings(model=self.model, epsilon=1e-6, clusters=2, most=1.0), options, quiet=True)
        refilter(space, RefilterSettings(rules=f"{place}/late.yaml"), options, quiet=True)
        tags = TagSettings(
            taxonomies=("tone",), taxonomies_file=f"{place}/tone.yaml", engine=self.engine, sample=1000, clusters=2
        )
        run_tag(space, tags, options, quiet=True)
        run_balance(space, BalanceSettings(concepts=f"{place}/concepts.txt", cap=20), options, quiet=True)
        score(space, ScoreSettings(method="dsir", targets=(f"{place}/wanted.jsonl",)), options, quiet=True)
        run_stage(select, space, SelectSettings(by=("dsir",), share=0.8), options, quiet=True)
        run_rewrite(space, RewriteSettings(engine=self.engine, share=0.5), options, quiet=True)
        tokenize(space, TokenizeSettings(vocab_size=300, heldout=0.25), options, quiet=True)


def tables(space: Workspace) -> dict[str, list[tuple[str, str]]]:
    """Every table but the log: its shards with their checksums."""
    return {
        table.name: [(shard.name, shard.checksum) for shard in table.finished("test").shards]
        for table in space.tables()
        if table.name != "removed"
    }


def replies(space: Workspace) -> set[str]:
    with closing(sqlite3.connect(space.path("requests", "replies.sqlite"))) as connection:
        return {text for (text,) in connection.execute("select text from replies")}


def ids(space: Workspace, table: str = "documents") -> set[str]:
    return {row for batch in space.table(table).read(["id"]) for row in batch["id"].to_pylist()}


@pytest.fixture
def road(tmp_path: Path, chat_server, tiny_model: str) -> Road:
    (tmp_path / "road").mkdir()
    return Road(tmp_path / "road", chat_server, tiny_model)


@pytest.mark.slow
def test_every_stage_is_run_again_and_the_result_is_that_of_a_corpus_without_the_host(road: Road):
    space, without = road.extracted("space"), Workspace(str(road.folder / "without"))
    road.run(space)
    before, gone = set(tables(space)), ids(space)
    summary = opt_out(space, LIST, RunnerOptions(), quiet=True)
    assert (summary["removed"], summary["left"], summary["holding"]) == (10, {}, {})
    chain = ["filter", "refine", "decontaminate", "dedup", "semantic", "refilter", "tag", "balance"]
    assert summary["rebuilt"] == [*chain, "score", "select", "rewrite", "tokenize"]
    gone -= ids(space)
    assert holding(space, pa.array(sorted(gone))) == {}
    assert audit(space)["findings"] == []
    without.create()
    add_optout(without, LIST)
    road.extracted("without")
    road.run(without)
    assert tables(space) == tables(without)
    assert set(tables(space)) == before
    assert replies(space) == replies(without)
    again = opt_out(space, LIST, RunnerOptions(), quiet=True)
    assert (again["removed"], again["rebuilt"]) == (0, [])


@pytest.mark.slow
def test_what_was_rewritten_from_a_removed_document_goes_with_it_and_no_engine_is_asked_again(road: Road, chat_server):
    space = road.extracted("space")
    run_rewrite(space, RewriteSettings(engine=road.engine), RunnerOptions(), quiet=True)
    adopt(space, RunnerOptions(), quiet=True)
    run_filter(space, FilterSettings(rules=str(road.folder / "early.yaml")), RunnerOptions(), quiet=True)
    lineage = {row["parent"]: row["id"] for batch in space.table("lineage").read() for row in batch.to_pylist()}
    parent, asked = sorted(lineage)[0], len(chat_server.bodies)
    summary = opt_out(space, parse([parent], "list"), RunnerOptions(), quiet=True)
    assert (summary["removed"], summary["left"], summary["holding"]) == (2, {}, {})
    assert len(chat_server.bodies) == asked
    assert len(ids(space)) == 2 * (len(lineage) - 1)
    assert not {parent, lineage[parent]} & (ids(space) | ids(space, "decisions/filter") | ids(space, "rewrites"))
    assert {row["entry"] for batch in space.table("removed").read() for row in batch.to_pylist()} == {parent}
    assert audit(space)["findings"] == []


@pytest.mark.slow
def test_a_rebuilding_that_was_killed_is_completed_by_the_next_opt_out(road: Road, monkeypatch: pytest.MonkeyPatch):
    space = road.extracted("space")
    run_filter(space, FilterSettings(rules=str(road.folder / "early.yaml")), RunnerOptions(), quiet=True)
    deduplicate(space, DedupSettings(threshold=0.9, num_perm=64, size=3), RunnerOptions(), quiet=True)
    tokenize(space, TokenizeSettings(vocab_size=300), RunnerOptions(), quiet=True)
    with monkeypatch.context() as killed:
        killed.setattr("gristmill.pipelines.stages.dedup.stage.write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            opt_out(space, LIST, RunnerOptions(), quiet=True)
    with pytest.raises(WorkspaceError, match="run: gristmill dedup"):  # what is in force is of documents that are gone
        inputs(space, "tokenize")
    summary = opt_out(space, parse(["h7.example"], "list"), RunnerOptions(), quiet=True)
    assert (summary["removed"], summary["rebuilt"]) == (0, ["filter", "dedup", "tokenize"])
    assert audit(space)["findings"] == []
    assert holding(space, pa.array(sorted(ids(space, "removed")))) == {}


@pytest.mark.parametrize(
    ("change", "why"), [pytest.param("gone", "is gone", marks=pytest.mark.slow), ("other", "was changed since")]
)
def test_a_file_that_is_gone_or_another_is_named_and_what_follows_is_left(road: Road, change: str, why: str):
    space, exam = road.extracted("space"), road.folder / "exam.jsonl"
    run_filter(space, FilterSettings(rules=str(road.folder / "early.yaml")), RunnerOptions(), quiet=True)
    asked = DecontaminateSettings(sets={"exam": str(exam)})
    run_stage(decontaminate, space, asked, RunnerOptions(), quiet=True)
    deduplicate(space, DedupSettings(threshold=0.9, num_perm=64, size=3), RunnerOptions(), quiet=True)
    text = exam.read_text()
    exam.unlink() if change == "gone" else exam.write_text(text + text)
    summary = opt_out(space, LIST, RunnerOptions(), quiet=True)
    assert summary["rebuilt"] == ["filter"]
    assert summary["left"] == {
        "decontaminate": f"{exam}, which it was made with, {why}",
        "dedup": "comes after decontaminate",
    }
    assert set(summary["holding"]) >= {"decisions/decontaminate", "decisions/dedup", "signatures"}
    exam.write_text(text)
    assert opt_out(space, LIST, RunnerOptions(), quiet=True)["rebuilt"] == ["filter", "decontaminate", "dedup"]
    assert holding(space, pa.array(sorted(ids(space, "removed")))) == {}
