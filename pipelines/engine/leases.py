"""Who writes: one process at a time holds a workspace."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from ...corpus.store.errors import RequestError
from ...corpus.store.workspace import Workspace


@contextmanager
def writing(workspace: Workspace, command: str) -> Iterator[None]:
    """Hold the workspace for writing; a RequestError where another process does."""
    if not workspace.is_local:
        yield
        return
    with open(workspace.path(".lock"), "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(f"another gristmill is at work in {workspace.url}; wait for it to end") from None
        yield
