"""`gristmill list` and `gristmill show`: what there is, of this package, of others and of plug-in files."""

import builtins
import json as json_format
from typing import Annotated, Literal

import typer

from .options import JsonOption

What = Literal["stages", "signals", "rules", "scores", "exporters", "readers"]


def list(what: Annotated[What, typer.Argument(help="what to list")], json: JsonOption = False) -> None:
    """List the stages, signals, rule sets, scores, exporters or readers there are.

    Example: gristmill list stages
    """
    from ..engine.listing import listed

    rows = listed(what)
    if json:
        typer.echo(json_format.dumps(rows))
        return
    width = max((len(name) for name in rows), default=0)
    for name, about in rows.items():
        typer.echo(f"{name.ljust(width)}  {about}".rstrip())


def _rule_names(incomplete: str) -> "builtins.list[str]":
    from ..engine.listing import names

    return names("rules", incomplete)


def show(
    what: Annotated[Literal["rules"], typer.Argument(help="what to show")],
    name: Annotated[str, typer.Argument(help="a bundled rule set, or a YAML file", autocompletion=_rule_names)],
) -> None:
    """Show a rule set as it stands.

    Example: gristmill show rules fineweb
    """
    from ...filters.rule_sets import rule_text

    typer.echo(rule_text(name), nl=False)
