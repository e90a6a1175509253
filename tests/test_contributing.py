"""The tables of CONTRIBUTING.md are true: what each kind of part touches, and that the files which they name exist."""

import re
import tomllib
from pathlib import Path

import pytest

from gristmill.corpus.extensions import GROUPS
from gristmill.filters.rule_sets import compiled
from gristmill.filters.settings import RuleSet
from gristmill.filters.signals.families import FAMILIES
from gristmill.pipelines.engine.record import StageRecord

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "gristmill-example"


def rows(heading: str) -> list[list[str]]:
    """Cells of the table whose first line begins so."""
    lines = PAGE[PAGE.index(heading) :].split("\n\n")[0].splitlines()
    return [[cell.strip().strip("`") for cell in line.strip("| ").split("|")] for line in lines[2:]]


OUTSIDE = {row[0]: row[1:] for row in rows("| to add | files |")}
POINTS = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]


def test_each_kind_of_part_has_a_row_and_the_count_of_files_that_it_says():
    assert {name: row[0] for name, row in OUTSIDE.items()} == {
        "a rule": "0 of code", "a signal": "1", "a function for rules": "1", "a score": "1", "an exporter": "1",
        "a reader": "1", "a stage": "1 folder",
    }  # fmt: skip
    assert {row[2].split(".")[-1] for row in OUTSIDE.values() if len(row) > 2 and row[2]} == set(GROUPS)


@pytest.mark.parametrize("kind", [name for name in OUTSIDE if name != "a rule"])
def test_the_example_adds_the_part_in_just_the_files_that_the_table_names(kind):
    count, place, group, variable = OUTSIDE[kind]
    path = EXAMPLE / place
    assert path.is_dir() if "folder" in count else path.is_file()
    ((_, value),) = POINTS[group].items()
    module = value.partition(":")[0].replace(".", "/")
    assert f"{module}.py" == place or module.startswith(place.rstrip("/") + "/")
    assert variable == group.rpartition(".")[2].upper()
    others = [other[1] for name, other in OUTSIDE.items() if name not in (kind, "a rule")]
    text = "".join(file.read_text() for file in ([path] if path.is_file() else path.glob("*.py")))
    assert not any(Path(other).stem in re.findall(r"gristmill_example\.(\w+)", text) for other in others)


def test_the_example_holds_nothing_that_no_row_names():
    named = {Path(row[1]).parts[1] for name, row in OUTSIDE.items() if name != "a rule"}
    found = {path.name for path in (EXAMPLE / "gristmill_example").iterdir() if path.name != "__pycache__"}
    assert found - named == {"__init__.py"}


@pytest.mark.parametrize("row", rows("| to add | file | and"), ids=lambda row: row[0])
def test_the_places_of_our_own_parts_exist(row):
    assert (ROOT / row[1]).is_dir()
    assert len(row) < 3 or not row[2] or (ROOT / row[2]).is_file()


def test_a_stage_of_our_own_is_one_folder_with_its_record():
    folders = [path for path in (ROOT / "pipelines" / "stages").iterdir() if (path / "__init__.py").exists()]
    assert len(folders) > 15
    assert all((folder / "record.py").exists() for folder in folders)


def test_the_rule_set_on_the_page_is_one(monkeypatch):
    import yaml

    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    rules = RuleSet.model_validate(yaml.safe_load(text))
    some = FAMILIES["fineweb"]
    from dataclasses import replace

    family = replace(some, name="shouting", columns=("exclamation_lines",))
    documents, lines = compiled(rules, families={"shouting": family})
    assert lines is None
    assert documents.signals == {"shouting": ["exclamation_lines"]}


def test_every_file_that_the_page_names_exists():
    named = set(re.findall(r"`((?:corpus|filters|mixing|pipelines|proxy_models|tests)/[\w/]+\.py)`", PAGE))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_fields_of_the_example_record_are_those_of_a_record():
    text = (EXAMPLE / "gristmill_example" / "lengths" / "record.py").read_text()
    assert set(re.findall(r"^    (\w+)=", text, re.MULTILINE)) <= set(StageRecord.__dataclass_fields__)
