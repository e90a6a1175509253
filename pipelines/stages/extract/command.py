"""`extract` as a command: the stage, and what became of each input that this call named.

Refuses to look like success where inputs that hold bytes gave no document at all.
"""

from collections.abc import Iterator
from typing import Any

from ....corpus.store.errors import WorkspaceError
from ...engine.invocation import Invocation


def act(asked: Invocation) -> Iterator[dict[str, Any]]:
    """Run it and tell of the call; WorkspaceError, once that is told, where nothing came."""
    from .taken import nothing_came, taken

    summary = asked.run()
    found = taken(asked.workspace, asked.settings().inputs)
    call = [{"input": one.named, "files": one.files, **one.counts, "reasons": one.reasons} for one in found]
    yield summary | {"call": call, "lines": [one.line() for one in found]}
    if nothing_came(found):
        raise WorkspaceError("no document came out of the inputs; failures/ says why")


def lines(summary: dict[str, Any]) -> str:
    """One line for each input of the call."""
    return "".join(f"  {line}\n" for line in ("this call:", *(f"  {line}" for line in summary["lines"])))
