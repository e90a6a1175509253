"""Who writes: one process at a time holds a workspace."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...corpus.store.lease import held
from ...corpus.store.workspace import Workspace


@contextmanager
def writing(workspace: Workspace, command: str) -> Iterator[None]:
    """Hold the workspace for writing; a RequestError names the process that does already."""
    workspace.create()
    job = os.environ.get("GRISTMILL_JOB")  # a submitted run says as what
    with held(workspace.url, f"gristmill {command}" + (f" ({job})" if job else "")):
        yield
