"""`gristmill balance`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...corpus.store.workspace import Workspace
from .options import ForceOption, JsonOption, WorkersOption, WorkspaceOption, runner_options, settings_of, show


def balance(
    context: typer.Context,
    workspace: WorkspaceOption,
    by: Annotated[
        str | None, typer.Option(help="column of documents/ or tags/: host, domain, language, topic, cluster …")
    ] = None,
    concepts: Annotated[
        str | None, typer.Option(help="instead: a file with one concept per line, looked for in the texts")
    ] = None,
    cap: Annotated[int | None, typer.Option(help="documents that each value keeps, in expectation")] = None,
    tail: Annotated[
        float | None, typer.Option(help="instead: share of all matches that values which are not thinned hold")
    ] = None,
    unmatched: Annotated[
        str | None, typer.Option(help="keep or drop documents without a value; default: keep; with --concepts, drop")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the draws")] = 0,
    json: JsonOption = False,
    force: ForceOption = False,
    workers: WorkersOption = 1,
) -> None:
    """Cap how many documents each host, topic, cluster or concept keeps; rare ones keep all of theirs.

    Draws depend on the id alone. A document with several values stays if any of its draws passes. Writes
    decisions/balance/ and concepts/: how many documents each value had, and has. With --concepts also matches/, from
    which another cap decides without reading texts again. Runs after tag and before select.

    Example: gristmill balance --by host --cap 1000 --workspace W
    """
    from ..stages.balance import BalanceSettings, run_balance

    settings = settings_of(
        BalanceSettings, by=by, concepts=concepts, cap=cap, tail=tail, unmatched=unmatched, seed=seed
    )
    show(run_balance(Workspace(workspace), settings, runner_options(context, workers), force, json), json)
