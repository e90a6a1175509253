"""Every command and option that the program names in a string or a docstring exists."""

import ast
import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from gristmill.corpus.store.commands import BY_STAGE, WRITTEN_BY, command_for
from gristmill.pipelines import cli
from gristmill.pipelines.engine.registry import records

ROOT = Path(__file__).parents[2]
ROOMS = ("corpus", "filters", "dedup", "training", "proxy_models", "mixing", "pipelines", "gristmill")
COMMAND = re.compile(r"(?<!import )gristmill ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
OPTION = re.compile(r"(?<![\w-])(--[a-z][\w-]*)")
# words that follow the program's name where it is a name: gristmill brings, gristmill wrote, ...
PROSE = {"are", "brings", "for", "is", "line", "pages", "ships", "that", "wrote"}
# options of other programs: Beam, torchrun, pip, and trainers that an exporter writes a script for
OTHERS = {"--runner", "--flink_master", "--direct_num_workers", "--direct_running_mode", "--nproc-per-node",
          "--no-deps", "--model_args", "--tasks",
          "--data-args-path", "--per-split-data-args-path", "--seq-length", "--phase-transition-iterations",
          "--global-batch-size", "--train-iters", "--tokenizer-type", "--tokenizer-model",
          "--long", "--x", "--no-x",
          *"--dask_client_address --dask_scheduler_file --scheduler-file --dask_npartitions".split(),
          *"--dask_partition_size --lifetime-stagger --local-directory --test-only".split(),
          *"--job_endpoint --prism_location --flink_job_server_jar --spark_job_server_jar --spark_rest_url".split(),
          *"--project --region --temp_location --flink_ --spark_ --nthreads --nworkers --lifetime".split(),
          *"--parsable --nnodes --rdzv-backend --rdzv-endpoint".split(),
          *"--rdzv-id --max-restarts --cpus-per-task --mem --open-mode --requeue --ntasks-per-node".split(),
          *"--kill-on-bad-exit --ntasks --signal --kill-after".split()}  # fmt: skip


def strings(path):
    """(line, text) of every string of a module; what an f-string fills in stands as {}."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def made():
    """words -> click command."""
    found = {}

    def walk(command, words):
        found[words] = command
        if hasattr(command, "list_commands"):
            context = typer.Context(command)
            for name in command.list_commands(context):
                walk(command.get_command(context, name), f"{words} {name}".strip())

    walk(get_command(cli.app), "")
    return found


def test_every_command_and_option_that_a_string_names_exists():
    commands = made()
    options = {flag for c in commands.values() for p in c.params for flag in (*p.opts, *p.secondary_opts)}
    known = options | OTHERS | {"--help"}
    wrong = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for line, text in strings(path):
                where = f"{path.relative_to(ROOT)}:{line}"
                wrong += [
                    f"{where}: {m.group(0)}"
                    for m in COMMAND.finditer(text)
                    if m.group(1) not in commands and m.group(1) not in PROSE
                ]
                wrong += [f"{where}: {flag}" for flag in OPTION.findall(text) if flag not in known and flag != "--no-"]
    assert wrong == []


def test_the_check_finds_a_command_and_an_option_that_do_not_exist(tmp_path):
    text = "run: gristmill tokenizer --workspace W --set proxy.lr=1"
    assert [m.group(1) for m in COMMAND.finditer(text)] == ["tokenizer"]
    assert OPTION.findall(text) == ["--workspace", "--set"]


def test_the_command_that_a_message_names_for_a_table_is_that_of_the_stage_which_writes_it():
    for record in records().values():
        for table in record.writes:
            assert command_for(table) == record.words, table


@pytest.mark.parametrize("table", sorted(WRITTEN_BY))
def test_a_message_names_a_command_that_exists(table):
    assert command_for(table) in made()
    assert command_for(f"{table}/part") in made() or table in BY_STAGE


def test_the_table_of_a_plug_in_names_its_own_stage():
    assert command_for("lengths") == "lengths"
    assert command_for("decisions/lengths") == "lengths"
