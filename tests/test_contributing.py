"""The worked examples of CONTRIBUTING.md run as they stand there, and the files that they touch exist."""

import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.signals.families import FAMILIES, Family
from gristmill.filters.words.layout import Layout
from gristmill.mixing.exporters.frame import Job
from gristmill.mixing.exporters.registry import EXPORTERS, export_recipe
from gristmill.mixing.recipe import Phase, make_recipe
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.extract import EXTRACT, ExtractSettings
from gristmill.pipelines.stages.filter import FilterSettings, run_filter
from gristmill.proxy_models.scoring.sampling import Samples

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|yaml)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def block_of(file: str) -> str:
    (found,) = [code for _, code in BLOCKS if code.startswith(f"# {file}\n")]
    return found


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Load the example of a file as the module that it would be there."""

    def load(file: str) -> ModuleType:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block_of(file), encoding="utf-8")
        name = "gristmill." + file.removesuffix(".py").replace("/", ".")
        specification = importlib.util.spec_from_file_location(name, path)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        monkeypatch.setitem(sys.modules, name, module)
        package, _, last = name.rpartition(".")
        monkeypatch.setattr(importlib.import_module(package), last, module, raising=False)
        specification.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Three documents, extracted from files."""
    texts = {"loud": "Buy!\nNow!\nOr not.", "prose": "  Because it is so.  ", "short": "Go!"}
    (tmp_path / "in").mkdir()
    for name, text in texts.items():
        (tmp_path / "in" / f"{name}.txt").write_text(text)
    space = Workspace(str(tmp_path / "w"))
    inputs = [{"paths": [str(tmp_path / "in")], "source": "test", "domain": "test"}]
    run_stage(EXTRACT, space, ExtractSettings.model_validate({"inputs": inputs}), RunnerOptions(), quiet=True)
    return space


def rows(space: Workspace, table: str) -> list[dict]:
    return [row for batch in space.table(table).read() for row in batch.to_pylist()]


def test_the_signal_is_measured_alone_and_its_rule_decides(example, workspace, tmp_path, monkeypatch):
    shouting = example("filters/shouting.py")
    assert "shouting" not in FAMILIES
    (line,) = [code for _, code in BLOCKS if code.startswith("Family(")]
    family = eval(line.strip().rstrip(","), {"Family": Family, "shouting": shouting})
    monkeypatch.setitem(FAMILIES, family.name, family)
    (rules,) = [code for kind, code in BLOCKS if kind == "yaml"]
    (tmp_path / "calm.yaml").write_text(rules, encoding="utf-8")
    run_filter(workspace, FilterSettings(rules=str(tmp_path / "calm.yaml")), RunnerOptions(), quiet=True)
    assert [table.name for table in workspace.tables() if table.name.startswith("signals/")] == ["signals/shouting"]
    fates = {row["id"]: (row["kept"], row["rule"]) for row in rows(workspace, "decisions/filter")}
    by_text = {row["text"].split()[0]: fates[row["id"]] for row in rows(workspace, "documents")}
    assert by_text == {"Buy!": (False, "loud_pages"), "Because": (True, None), "Go!": (False, "loud_pages")}


def test_the_test_of_the_signal_passes(example):
    example("filters/shouting.py")
    names: dict = {}
    exec(block_of("tests/filters/test_shouting.py"), names)
    names["test_empty_lines_neither_shout_nor_count"]()


def test_the_stage_measures_every_document_and_is_skipped_when_it_is_up_to_date(example, workspace):
    stage = example("pipelines/lengths.py")
    first = run_stage(stage.lengths, workspace, stage.LengthsSettings(), RunnerOptions(), quiet=True)
    assert first["tables"] == {"lengths": {"documents": 3}}
    measured = rows(workspace, "lengths")
    texts = {row["id"]: row["text"] for row in rows(workspace, "documents")}
    assert {row["id"]: row["characters"] for row in measured} == {name: len(text) for name, text in texts.items()}
    assert run_stage(stage.lengths, workspace, stage.LengthsSettings(), RunnerOptions(), quiet=True)["skipped"]
    with open_catalog(workspace) as catalog:
        assert catalog.execute("select count(*) from lengths").fetchone() == (3,)


def test_the_command_of_the_stage_runs_it_and_its_help_has_the_example(example, workspace):
    example("pipelines/lengths.py")
    command = example("pipelines/commands/lengths.py")
    app = typer.Typer()
    app.command("lengths")(command.lengths)
    assert "Example: gristmill lengths" in CliRunner().invoke(app, ["--help"]).output
    done = CliRunner().invoke(app, ["--workspace", workspace.url, "--strip", "--json"])
    assert json.loads(done.output)["tables"] == {"lengths": {"documents": 3}}
    assert workspace.table("lengths").finished("test").settings == {"strip": True}


def test_the_scoring_method_prefers_what_is_wanted(example):
    overlap = example("proxy_models/overlap.py")
    artefacts = overlap.fit_overlap(Samples(["any text"], {"law": ["the court shall", "the law"]}))
    assert artefacts == {"words.txt": b"court\nlaw\nshall\nthe"}
    (batch,) = overlap.open_overlap(artefacts).score(["a", "b", "c"], ["the court rose", "a cat", ""])
    assert batch.to_pydict() == {"id": ["a", "b", "c"], "score": [pytest.approx(2 / 3), 0.0, None]}
    assert batch.schema == overlap.SCHEMA
    with pytest.raises(ValueError, match="needs a --target"):
        overlap.fit_overlap(Samples(["any text"], {}))


def test_the_exporter_writes_its_settings_and_reports_what_it_realises(example, tmp_path, monkeypatch):
    example("mixing/exporters/shares.py")
    monkeypatch.setitem(EXPORTERS, "shares", ("shares", "export"))
    facts = {"tokens_available": 10**6, "mean_tokens_per_document": 100.0, "bytes_per_token": 4.0}
    phases = [Phase(until=1.0, seq_len=64, shares={"a": 0.25, "b": 0.75, "none": 0.0})]
    recipe = make_recipe(total_tokens=64 * 32 * 10, domains=dict.fromkeys(("a", "b", "none"), facts), phases=phases)
    made = export_recipe("shares", Job(recipe, str(tmp_path / "out"), batch=32))
    assert json.loads((tmp_path / "out" / "shares.json").read_text())["phases"] == [
        {"steps": 10, "seq_len": 64, "weights": {"a": 0.25, "b": 0.75}}
    ]
    assert (made.dropped, made.realised) == (["none"], [{"a": 0.25, "b": 0.75}])


def test_no_example_stands_in_the_way_of_a_file_that_exists():
    examples = {code.partition("\n")[0].removeprefix("# ") for _, code in BLOCKS if code.startswith("# ")}
    assert len(examples) == 6
    assert sorted(name for name in examples if (ROOT / name).exists()) == []


def test_every_file_that_the_page_names_exists_unless_it_is_an_example():
    named = set(re.findall(r"`((?:[a-z_.]+/)+[a-z_]+\.(?:py|yaml|md))`(?! \(new\))", PAGE))
    assert len(named) >= 8
    examples = {code.partition("\n")[0].removeprefix("# ") for _, code in BLOCKS}
    assert sorted(name for name in named - examples if not (ROOT / name).is_file()) == []


def test_signals_of_the_example_do_not_depend_on_the_batch(example):
    shouting = example("filters/shouting.py")
    texts = pa.array(["Buy!\nSo.", None, "", "One!\n\nTwo!"])
    whole = shouting.shouting(Layout(texts))["exclamation_lines"].to_pylist()
    parts = [shouting.shouting(Layout(texts[n : n + 1]))["exclamation_lines"].to_pylist()[0] for n in range(4)]
    assert whole == parts == [0.5, None, None, 1.0]
