"""`gristmill status`."""

import json as json_format

import typer

from .options import JsonOption, WorkspaceOption, open_workspace


def status(workspace: WorkspaceOption, json: JsonOption = False) -> None:
    """Say of each stage whether it is done, stale (and why), unfinished or was never run.

    Names the command that mends what is stale or unfinished, who writes to the workspace now, and on what each fitted
    artefact was fitted. Reads commits alone, no table.

    Example: gristmill status --workspace W
    """
    from ..status import lines, status_of

    found = status_of(open_workspace(workspace))
    typer.echo(json_format.dumps(found) if json else "\n".join(lines(found)))
