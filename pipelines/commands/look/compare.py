"""`gristmill compare`."""

import json as json_format
from typing import Annotated

import typer

from ..options import JsonOption, open_workspace


def compare(
    first: Annotated[str, typer.Argument(help="workspace: folder or fsspec URL")],
    second: Annotated[str, typer.Argument(help="the workspace that it is compared with")],
    output: Annotated[str | None, typer.Option("--output", "-o", help="write one page to this file as well")] = None,
    json: JsonOption = False,
) -> None:
    """Tell two workspaces apart: funnels, fates that changed, shares and losses.

    Documents are the same where their ids are, else where their address stands once in each. Says how many changed
    between kept and dropped, by which rules on both sides, which rules differ, the shares of domains, and the losses
    of runs and mixtures.

    Example: gristmill compare W1 W2 --output changes.html
    """
    from ...explorer.compare import compare as compared
    from ...explorer.compare import text_lines

    told = compared(open_workspace(first), open_workspace(second))
    if output is not None:
        from ...explorer.compare_page import write_comparison

        write_comparison(told, output)
    typer.echo(json_format.dumps(told, default=str) if json else "\n".join(text_lines(told)))
