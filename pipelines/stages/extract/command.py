"""`extract` as a command: the stage, and what became of each input that this call named.

Refuses to look like success where inputs that hold bytes gave no document at all.
"""

from collections.abc import Iterator
from typing import Any

from ....corpus.store.errors import WorkspaceError
from ...engine.invocation import Invocation

TOLD_INPUTS = 20  # lines of a call; the rest are counted


def act(asked: Invocation) -> Iterator[dict[str, Any]]:
    """Run it and tell of the call; WorkspaceError, once that is told, where nothing came."""
    from .planned import planned
    from .stage import run_asked
    from .taken import advice, nothing_came, taken

    settings = asked.settings()
    call = planned(asked.workspace, settings)
    summary = run_asked(asked.workspace, settings, call, asked.runner, asked.force, asked.quiet)
    found = taken(asked.workspace, call)
    told = [
        {"input": one.named, "files": one.files, **one.counts, "reasons": one.reasons, "replaced": len(one.replaced)}
        for one in found
    ]
    yield summary | {"call": told, "lines": [*(one.line() for one in found), *advice(call)]}
    if nothing_came(found):
        raise WorkspaceError("no document came out of the inputs; failures/ says why")


def lines(summary: dict[str, Any]) -> str:
    """One line for each input of the call; the first ones and the last where there are many."""
    told = summary["lines"]
    if len(told) > TOLD_INPUTS:
        told = [*told[: TOLD_INPUTS - 1], f"and {len(told) - TOLD_INPUTS:,} inputs more", told[-1]]
    return "".join(f"  {line}\n" for line in ("this call:", *(f"  {line}" for line in told)))
