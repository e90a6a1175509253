"""Parts from outside: a package with one of each, installed and run on two workers, and plug-in files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.corpus import extensions
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "gristmill-example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """The environment of a process that sees the installed package."""
    target = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "package"
    import shutil

    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    done = subprocess.run([*pip, str(target), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])}


def gristmill(environment, *arguments, code=0) -> str:
    command = [sys.executable, "-m", "gristmill.pipelines.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout if code == 0 else done.stderr


@pytest.mark.slow
def test_the_parts_of_a_package_work_on_two_workers_like_our_own(installed, tmp_path):
    space = tmp_path / "w"
    (tmp_path / "a.paragraphs").write_text("Buy now!\nBuy!\n\nThe court shall rule on the law.\n")
    (tmp_path / "law.jsonl").write_text(json.dumps({"text": "the law of the court"}) + "\n")
    (tmp_path / "calm.yaml").write_text(
        "name: calm\nrules:\n"
        "  - {rule: loud, value: odds(shouting.exclamation_lines), threshold: 1, keep: value <= threshold}\n"
    )
    settings = tmp_path / "s.yaml"
    settings.write_text(
        f"workspace: {space}\nworkers: 2\n"
        f"extract: {{inputs: [{{paths: [{tmp_path / 'a.paragraphs'}]}}], language_model: null}}\n"
        f"filter: {{rules: {tmp_path / 'calm.yaml'}}}\nlengths: {{strip: true}}\n"
        f"score: [{{method: overlap, targets: [{tmp_path / 'law.jsonl'}]}}]\n"
    )
    summaries = json.loads(gristmill(installed, "run", settings, "--json"))
    assert [summary["stage"] for summary in summaries] == ["extract", "filter", "lengths", "score"]
    workspace = Workspace(str(space))
    (kept,) = [row for batch in workspace.table("decisions/filter").read() for row in batch.to_pylist() if row["kept"]]
    fates = [row["rule"] for batch in workspace.table("decisions/filter").read() for row in batch.to_pylist()]
    assert sorted(fates, key=str) == [None, "loud"]
    (length,) = [row for batch in workspace.table("lengths").read() for row in batch.to_pylist()]
    assert length == {"id": kept["id"], "characters": 32, "bytes": 32}
    (score,) = [row for batch in workspace.table("scores/overlap").read() for row in batch.to_pylist()]
    assert score["score"] == pytest.approx(2 / 7)
    # stamps, the refusal of other settings and the skip are those of our own stages
    assert all(one["skipped"] for one in json.loads(gristmill(installed, "run", settings, "--json")))
    refused = gristmill(installed, "lengths", "--workspace", space, code=2)
    assert "strip: True there, False asked" in refused
    told = gristmill(installed, "lengths", "--help")
    assert "leave out white space at both ends" in told
    assert "--strip / --no-strip" in told
    assert "lengths" in gristmill(installed, "--help")
    assert "added by package gristmill-example" in gristmill(installed, "list", "exporters")


def test_a_settings_file_with_a_part_that_is_not_there_is_refused(tmp_path):
    settings = tmp_path / "s.yaml"
    settings.write_text(f"workspace: {tmp_path / 'w'}\nlengths: {{}}\nexport: [{{to: shares, output: x}}]\n")
    said = gristmill(dict(os.environ), "run", settings, code=2)
    assert "no setting 'lengths'" in said


def plugin(folder, text, name="own.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.fixture
def clean(monkeypatch):
    monkeypatch.setenv(extensions.VARIABLE, "")


def test_a_file_adds_a_part_and_two_of_one_name_are_refused(tmp_path, clean):
    extensions.add_plugins([plugin(tmp_path, "EXPORTERS = {'mine': print}")])
    assert extensions.extensions("exporters")["mine"].load() is print
    extensions.add_plugins([plugin(tmp_path, "EXPORTERS = [('mine', len)]", "other.py")])
    with pytest.raises(RequestError, match="both add exporters of the name 'mine'"):
        extensions.extensions("exporters")


@pytest.mark.parametrize("group", extensions.GROUPS)
def test_a_plug_in_cannot_take_the_name_of_a_part_of_ours(tmp_path, clean, group):
    extensions.add_plugins([plugin(tmp_path, f"{group.upper()} = {{'ours': 1}}")])
    with pytest.raises(RequestError, match="gristmill's own"):
        extensions.added(group, ["ours"])


@pytest.mark.parametrize(
    ("text", "said"), [("1/0", "ZeroDivisionError"), ("import no_such_module", "ModuleNotFoundError"), ("(", "Syntax")]
)
def test_a_file_that_fails_is_named_with_its_reason(tmp_path, clean, text, said):
    extensions.add_plugins([plugin(tmp_path, text)])
    with pytest.raises(RequestError, match=said):
        extensions.extensions("stages")


def test_a_file_that_is_not_there_is_refused(clean):
    with pytest.raises(RequestError, match="there is no such file"):
        extensions.add_plugins(["/nowhere/own.py"])


@pytest.mark.slow
def test_a_file_adds_a_command_and_its_parts_reach_worker_processes(tmp_path):
    text = (PACKAGE / "gristmill_example" / "shouting.py").read_text() + "\nSIGNALS = {'shouting': SHOUTING}\n"
    own = plugin(tmp_path, text)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"Buy {n}!"}) + "\n" for n in range(3)))
    (tmp_path / "calm.yaml").write_text(
        "name: calm\nrules:\n"
        "  - {rule: loud, value: shouting.exclamation_lines, threshold: 0.5, keep: value <= threshold}\n"
    )
    space = tmp_path / "w"
    gristmill(dict(os.environ), "extract", tmp_path / "a.jsonl", "-w", space, "--language-model", "none")
    rules = ("--rules", tmp_path / "calm.yaml")
    assert "no signal" in gristmill(dict(os.environ), "filter", "-w", space, *rules, code=2)
    gristmill(dict(os.environ), "filter", "-w", space, *rules, "--workers", "2", "--plugin", own)
    assert Workspace(str(space)).table("decisions/filter").finished("test").counts["dropped"] == 3


PLUGIN = """
from dataclasses import dataclass


@dataclass
class Shout:
    mark: str

    def __call__(self, element, more):
        yield element.upper() + self.mark + more
"""


def test_a_step_brings_its_plugin_to_a_worker_that_does_not_have_the_file(tmp_path, monkeypatch):
    from gristmill.pipelines.engine.step import Step, pickler

    monkeypatch.setenv(extensions.VARIABLE, "")
    path = tmp_path / "shout.py"
    path.write_text(PLUGIN)
    extensions.add_plugins([str(path)])
    extensions.load_plugins()
    shout = sys.modules[extensions.module_name(str(path))].Shout
    packed = tmp_path / "step"
    packed.write_bytes(pickler.dumps(Step(shout("!"), "?")))
    path.unlink()
    program = (
        "import sys; from gristmill.pipelines.engine.step import pickler\n"
        "step = pickler.loads(open(sys.argv[1], 'rb').read()); print(list(step.process('a')))\n"
        "from gristmill.corpus.extensions import plugins; print(len(plugins()))\n"
        "pickler.loads(open(sys.argv[1], 'rb').read()); print(len(plugins()))"
    )
    bare = {name: value for name, value in os.environ.items() if name != extensions.VARIABLE}
    done = subprocess.run([sys.executable, "-c", program, str(packed)], capture_output=True, text=True, env=bare)
    assert done.stdout.split("\n") == ["['A!?']", "1", "1", ""], done.stderr


def test_a_step_without_plugins_travels_as_it_is(monkeypatch):
    from gristmill.pipelines.engine.step import Step, pickler

    monkeypatch.setenv(extensions.VARIABLE, "")
    step = pickler.loads(pickler.dumps(Step(lambda element, more: iter([element + more]), 2)))
    assert list(step.process(1)) == [3]
