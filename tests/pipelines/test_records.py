"""Stage records: what follows from them, and that help loads nothing that only work needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from typer.main import get_command

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines import cli
from gristmill.pipelines.commands.parsing import PARSERS
from gristmill.pipelines.commands.stage_command import alternatives, cli_of, stage_options
from gristmill.pipelines.engine.record import StageRecord
from gristmill.pipelines.engine.registry import ordered, records
from gristmill.pipelines.engine.run import run_model

HEAVY = ("apache_beam", "pyarrow", "numpy", "torch", "duckdb", "scipy", "fsspec", "tokenizers")
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ImportError("loads " + name)
sys.meta_path.insert(0, Blocked())
{program}
"""


def without(heavy, program, **environment):
    """Run a program in a process that cannot import these libraries."""
    import os

    code = BLOCKED.format(heavy=tuple(heavy), program=program)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


def models():
    """Every settings model of a section, those inside of others too, and what commands take beside them."""
    found, waiting = set(), [run_model()]
    for record in records().values():
        waiting += [model for what in ("settings", "options") if (model := record.load(what)) is not None]
    while waiting:
        model = waiting.pop()
        if model in found:
            continue
        found.add(model)
        for field in model.model_fields.values():
            for kind in _inside(field.annotation):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    waiting.append(kind)
    return sorted(found, key=lambda model: model.__name__)


def _inside(annotation):
    yield annotation
    for arm in getattr(annotation, "__args__", ()):
        yield from _inside(arm)


def test_every_field_of_every_settings_model_has_help():
    silent = [
        f"{model.__name__}.{name}"
        for model in models()
        for name, field in model.model_fields.items()
        if not (field.description or "").strip()
    ]
    assert silent == []
    assert len(models()) > 30


def test_the_help_of_the_program_and_completion_load_nothing_but_the_command_line():
    heavy = (*HEAVY, "pydantic", "yaml")
    told = without(heavy, "from gristmill.pipelines.cli import main; main(['--help'])")
    assert told.returncode == 0, told.stderr
    assert all(f"\n  {name} " in told.stdout for name in ("extract", "train", "audit"))
    program = "from gristmill.pipelines.cli import main; main([])"
    asked = {"_GRISTMILL_COMPLETE": "complete_bash", "COMP_WORDS": "gristmill de", "COMP_CWORD": "1"}
    completed = without(heavy, program, **asked)
    assert {"decontaminate", "dedup", "demo"} <= {*completed.stdout.split()} | {"demo"}, completed.stderr


def test_settings_models_and_the_help_of_every_command_load_nothing_that_only_work_needs():
    program = """
from gristmill.pipelines.engine.registry import records
from gristmill.pipelines.cli import command_names, main
for record in records().values():
    record.load("settings"), record.load("options")
for name in [*command_names(), "mix ladder", "mix fit", "recipe export"]:
    try:
        main([*name.split(), "--help"])
    except SystemExit as ended:
        assert not ended.code, name
"""
    told = without(HEAVY, program)
    assert told.returncode == 0, told.stderr[-2000:]
    assert "Example: gristmill dedup" in told.stdout


def commands():
    """words -> click command, sub-commands too."""
    found = {}

    def walk(command, words):
        found[words] = command
        if hasattr(command, "list_commands"):
            context = typer.Context(command)
            for name in command.list_commands(context):
                walk(command.get_command(context, name), f"{words} {name}".strip())

    walk(get_command(cli.app), "")
    return found


def test_every_option_that_there_ever_was_still_works():
    held = json.loads((Path(__file__).parent / "options.json").read_text())
    made = commands()
    lost = []
    for words, parameters in held.items():
        if words not in made:
            lost.append(words)
            continue
        options = {flag: p for p in made[words].params for flag in (*p.opts, *p.secondary_opts)}
        for name, old in parameters.items():
            new = options.get(name)
            if new is None:
                lost.append(f"{words} {name}")
            elif old["many"] != bool(getattr(new, "multiple", False) or new.nargs == -1):
                lost.append(f"{words} {name}: repeated or not")
            elif old["flag"] != bool(getattr(new, "is_flag", False)):
                lost.append(f"{words} {name}: a flag or not")
            elif new.required and not old["required"]:
                lost.append(f"{words} {name}: required now")
    assert lost == []


def test_the_options_of_a_stage_are_the_fields_of_its_settings():
    made = commands()
    for record in records().values():
        if record.words is None:
            continue
        options = {flag: p for p in made[record.words].params for flag in (*p.opts, *p.secondary_opts)}
        for model in filter(None, (record.load("settings"), record.load("options"))):
            for option in stage_options(model):
                found = options[option.name if option.argument else option.flag]
                field = model.model_fields[option.path[0]]
                if len(option.path) == 1:
                    assert found.help.startswith(field.description), option
                    assert found.required == field.is_required() or option.argument, option


def test_every_field_is_an_option_or_says_that_it_is_none():
    for record in records().values():
        model = record.load("settings")
        offered = {option.path[0] for option in stage_options(model)}
        for name, field in model.model_fields.items():
            if name in offered:
                continue
            nested = any(isinstance(a, type) and issubclass(a, BaseModel) for a in alternatives(field.annotation))
            listed = "tuple" in str(field.annotation) or "dict" in str(field.annotation)
            assert nested or listed or cli_of(field).get("option", "") is None, f"{record.name}.{name}"


def test_every_stage_has_a_section():
    assert set(records()) <= set(run_model().model_fields)
    assert "rewrite" in run_model().model_fields


def test_stages_come_after_what_they_name_and_all_that_they_name_loads():
    seen = []
    for name, record in records().items():
        assert set(record.after) <= set(seen)
        seen.append(name)
        for what in ("settings", "run", "check", "options", "gather", "act", "show"):
            named = getattr(record, what)
            assert named is None or record.load(what) is not None


def stage(name, *after):
    return StageRecord(name=name, about=name, example="", settings=None, run=None, after=after)


@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_the_order_of_stages_does_not_depend_on_how_they_were_found(names):
    chain = {"a": ("c",), "b": (), "c": (), "d": ("a", "b"), "e": ("d",)}
    found = list(ordered(stage(name, *chain[name]) for name in names))
    assert found == list(ordered(stage(name, *chain[name]) for name in sorted(names)))
    assert all(found.index(before) < found.index(name) for name in chain for before in chain[name])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((stage("a"), stage("a")), "two stages are named 'a'"),
        ((stage("a", "b"), stage("b", "a")), "in a circle: a, b"),
        ((stage("extract"), stage("a", "extrct")), "did you mean extract"),
    ],
)
def test_stages_that_cannot_be_ordered_are_refused(given, said):
    with pytest.raises(RequestError, match=said):
        ordered(given)


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_a_value_that_an_option_cannot_read_is_refused_by_the_name_of_the_option(name):
    many, parse = PARSERS[name]
    wrong = {
        "named_files": "x",
        "shares": "x",
        "labellers": "x",
        "targets": "x=y",
        "groups": "x",
        "compared": "x",
        "fraction": "1/0",
    }
    if name in wrong:
        with pytest.raises(RequestError, match="--it"):
            parse("--it", [wrong[name]] if many else wrong[name])
    elif name in ("lists", "named_sets"):
        with pytest.raises(RequestError, match="two"):
            parse("--it", ["a/x.txt", "b/x.txt"])
    else:
        assert parse("--it", "none" if name == "path_or_none" else "") in (None, [])
