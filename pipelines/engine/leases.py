"""Who writes: one process at a time holds a workspace."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...corpus.store.lease import held
from ...corpus.store.workspace import Workspace


@contextmanager
def writing(workspace: Workspace, command: str) -> Iterator[None]:
    """Hold the workspace for writing; a RequestError names the process that does already."""
    workspace.create()
    with held(workspace.url, f"gristmill {command}"):
        yield
