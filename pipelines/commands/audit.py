"""`gristmill audit`."""

import json as json_format
from typing import Annotated

import typer

from ...corpus.store.errors import RequestError
from .options import JsonOption, WorkspaceOption, open_workspace

Targets = Annotated[
    list[str] | None,
    typer.Option("--target", help="file of a target task: how much of it is trained on; may be repeated"),
]


def audit(
    workspace: WorkspaceOption,
    target: Targets = None,
    removed: Annotated[
        bool, typer.Option("--removed", help="prove instead that nothing of what was removed on request is left")
    ] = False,
    signer: Annotated[
        str | None,
        typer.Option(help="--removed: public SSH or minisign key that has to have signed the log"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Prove that a workspace is whole.

    Recomputes every checksum, compares the fingerprints that stages recorded with what is there, counts documents
    in and out of every stage, checks that every cluster has one survivor, and looks for held-out documents, and for
    items of --target files, in what is trained on. Exit 1 where anything is found.
    With --removed it proves absence: no table, text, reply or stray file holds what was removed, and the log of
    removals is whole and signed; runs and recipes that had read it are named.

    Example: gristmill audit --workspace W
    """
    if signer is not None and not removed:
        raise RequestError("--signer goes with --removed")
    place = open_workspace(workspace)
    if removed:
        from ..removals.absence import prove_absence

        result = prove_absence(place, signer)
    else:
        from ..audit import audit as run_audit

        result = run_audit(place, target or ())
    if json:
        typer.echo(json_format.dumps(result))
    else:
        for finding in result["findings"]:
            typer.echo(f"{finding['check']}: {finding['where']}: {finding['message']}")
        for one in result.get("trained", ()):
            exactly = "read" if one["exact"] else "may have read"
            typer.echo(f"audit: the {one['kind']} {one['name']} {exactly} what was removed, and keeps what it learnt")
        for note in result.get("notes", ()):
            typer.echo(f"audit: note: {note}")
        looked = ", ".join(f"{count:,} {what}" for what, count in result["checked"].items())
        typer.echo(f"audit: {len(result['findings'])} findings; looked at {looked}")
    if result["findings"]:
        raise typer.Exit(1)
