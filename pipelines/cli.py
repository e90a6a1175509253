"""The command line: names the commands, splits off Beam's options, and turns errors into exit codes.

Exit 0: done. 1: the work failed. 2: the request was wrong. What follows `--` goes to Beam unchanged.
"""

import importlib
import sys
from importlib import metadata
from typing import Annotated

import typer

from ..corpus.store.errors import RequestError, WorkspaceError

app = typer.Typer(
    name="gristmill",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Raw web crawl in, a data mixture proven to train a better model out.",
)


# command -> module of commands/ that holds the function of that name, in the order in which a crawl meets them
COMMANDS = {
    "demo": "demo",
    "run": "run",
    "extract": "extract",
    "opt-out": "optout",
    "language-model": "optout",
    "filter": "filter",
    "decontaminate": "decontaminate",
    "refine": "refine",
    "dedup": "dedup",
    "semantic": "semantic",
    "refilter": "refilter",
    "score": "score",
    "select": "select",
    "tag": "tag",
    "balance": "balance",
    "rewrite": "rewrite",
    "tokenize": "tokenize",
    "mix": "mix",
    "train": "train",
    "checkpoints": "checkpoints",
    "recipe": "recipe",
    "sql": "sql",
    "report": "report",
    "audit": "audit",
}


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"gristmill {metadata.version('gristmill')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Raw web crawl in, a data mixture proven to train a better model out."""


def register(only: str | None = None) -> None:
    """Add the commands to the app: all of them, or the one asked for, whose imports are then the only ones paid."""
    for name in [only] if only in COMMANDS else COMMANDS:
        module = importlib.import_module(f".commands.{COMMANDS[name]}", __package__)
        command = getattr(module, name.replace("-", "_"))
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `gristmill` script."""
    arguments = sys.argv[1:] if arguments is None else arguments
    beam: list[str] = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, beam = arguments[:cut], arguments[cut + 1 :]
    register(arguments[0] if arguments else None)
    try:
        app(args=arguments, obj={"beam": beam}, prog_name="gristmill")
    except RequestError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except WorkspaceError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
