"""`gristmill audit`."""

import json as json_format
from typing import Annotated

import typer

from .options import JsonOption, WorkspaceOption, open_workspace

Targets = Annotated[
    list[str] | None,
    typer.Option("--target", help="file of a target task: how much of it is trained on; may be repeated"),
]


def audit(workspace: WorkspaceOption, target: Targets = None, json: JsonOption = False) -> None:
    """Prove that a workspace is whole.

    Recomputes every checksum, compares the fingerprints that stages recorded with what is there, counts documents
    in and out of every stage, checks that every cluster has one survivor, and looks for held-out documents, and for
    items of --target files, in what is trained on. Exit 1 where anything is found.

    Example: gristmill audit --workspace W
    """
    from ..audit import audit as run_audit

    result = run_audit(open_workspace(workspace), target or ())
    if json:
        typer.echo(json_format.dumps(result))
    else:
        for finding in result["findings"]:
            typer.echo(f"{finding['check']}: {finding['where']}: {finding['message']}")
        looked = ", ".join(f"{count:,} {what}" for what, count in result["checked"].items())
        typer.echo(f"audit: {len(result['findings'])} findings; looked at {looked}")
    if result["findings"]:
        raise typer.Exit(1)
