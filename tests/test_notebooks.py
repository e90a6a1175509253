"""The notebooks run on a workspace that the real stages made, and are stored with outputs fit for publication."""

import re
from pathlib import Path

import nbformat
import pytest

from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.settings import DedupSettings
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.mix.stage import MIXTURE_TABLE

from .loading import module_of
from .pipelines.small_crawl import write_small_crawl

FOLDER = Path(__file__).parents[1] / "notebooks"
FIRST_LOOK = FOLDER / "first_look.ipynb"
PICTURES = {"first_look": 2, "own_filter": 2, "tables_to_recipe": 2}
MOST_BYTES = 120_000  # of a stored notebook


executor = module_of(FOLDER / "execute.py")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """The small crawl extracted, filtered and deduplicated; a mixture of its domains written by hand."""
    folder = tmp_path_factory.mktemp("first_look")
    space = Workspace(str(folder / "w"))
    crawl = write_small_crawl(folder / "crawl")
    run_extract(space, ExtractSettings.model_validate({"inputs": crawl}), RunnerOptions(), quiet=True)
    run_filter(space, FilterSettings(rules="gopher"), RunnerOptions(), quiet=True)
    deduplicate(space, DedupSettings(), RunnerOptions(), quiet=True)
    write_mixture(space, [entry["domain"] for entry in crawl])
    return folder / "w"


def write_mixture(space: Workspace, domains: list[str]) -> None:
    rows = [
        {"mixture": mixture, "domain": domain, "share": share, "tokens": int(1000 * share), "tokens_available": 500,
         "epochs": 2 * share, "bits_per_byte": 2.0, "target_bits_per_byte": 2 - share, "target_spread": 0.01}
        for mixture, shares in (("natural", (1, 2, 3, 4)), ("uniform", (1, 1, 1, 1)), ("fitted", (4, 3, 2, 1)))
        for domain, share in zip(domains, (part / sum(shares) for part in shares), strict=True)
    ]  # fmt: skip
    put_table(space, "mixture", MIXTURE_TABLE, {"table.parquet": rows}, stage="mix")


def printed(content: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in content.cells for output in cell.get("outputs", ()))


def pictures(content: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for cell in content.cells for output in cell.get("outputs", ()))


def test_the_first_look_runs_on_a_small_workspace_and_shows_its_funnel_and_mixture(workspace):
    before = FIRST_LOOK.read_bytes()
    content = executor.execute(FIRST_LOOK, workspace)
    assert list(executor.blemishes(content, workspace)) == []
    assert pictures(content) == 2
    words = printed(content).split()
    assert {"gardens", "ships", "clocks", "kitchens", "min_words", "exact", "fitted"} <= set(words)
    assert FIRST_LOOK.read_bytes() == before


@pytest.mark.slow
def test_a_filter_of_ones_own_goes_from_signal_to_evidence_in_an_empty_folder(tmp_path):
    content = executor.execute(FOLDER / "own_filter.ipynb", tmp_path)
    assert list(executor.blemishes(content, tmp_path)) == []
    told = printed(content)
    assert "keyword_list" in told
    assert told.count("bits per byte, spread over seeds") == 2
    assert "gain by the filter, seed by seed" in told


@pytest.mark.slow
def test_two_tables_become_a_recipe_that_keeps_to_its_caps_and_is_exported(tmp_path):
    content = executor.execute(FOLDER / "tables_to_recipe.ipynb", tmp_path)
    assert list(executor.blemishes(content, tmp_path)) == []
    told = printed(content)
    assert "trainer: megatron" in told
    requested = re.findall(r"requested ([\d.]+)  realised ([\d.]+)", told)
    assert len(requested) == 4
    assert all(float(asked) == pytest.approx(float(got), abs=0.001) for asked, got in requested)
    shares = dict(re.findall(r"^(books|maths) +requested ([\d.]+)", told, re.MULTILINE))
    assert float(shares["books"]) <= 0.2401
    assert float(shares["maths"]) <= 0.1601
    losses = {name.strip(): float(loss) for name, loss in re.findall(r"^(.+?)true loss ([\d.]+)$", told, re.MULTILINE)}
    assert losses["fitted, at most four epochs"] < losses["natural"]


def test_there_are_three_notebooks():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_every_stored_cell_was_executed_in_order_and_shows_nothing_private(name):
    path = FOLDER / f"{name}.ipynb"
    content = nbformat.read(path, as_version=4)
    cells = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert pictures(content) == PICTURES[name]
    assert list(executor.blemishes(content, Path("demo"))) == []
    assert "/tmp/" not in printed(content)
    assert path.stat().st_size < MOST_BYTES


def test_outputs_with_an_error_a_warning_or_a_path_of_this_machine_are_not_stored(tmp_path, capsys):
    content = nbformat.v4.new_notebook()
    sources = ("print('fine')", "import sys; print('careful', file=sys.stderr)", f"print({str(FOLDER.parent)!r})")
    content.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = tmp_path / "bad.ipynb"
    nbformat.write(content, path)
    before = path.read_bytes()
    assert executor.main(["--workspace", str(tmp_path), str(path)]) == 1
    assert path.read_bytes() == before
    said = capsys.readouterr().err
    assert "cell 0" not in said
    assert "cell 1 wrote to the error stream: careful" in said
    assert f"cell 2 shows {FOLDER.parent}" in said
