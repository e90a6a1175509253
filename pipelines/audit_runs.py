"""Checkpoints of runs held against the checksums that they bear. Looks at nothing where no run has any."""

import os
from collections.abc import Iterator

from ..corpus.store.errors import WorkspaceError
from ..corpus.store.workspace import Workspace
from ..training.run_folder import CHECKPOINTS, RUNS
from .audit_shards import Found


def damaged_checkpoints(workspace: Workspace) -> Iterator[Found]:
    """Checkpoints that are not what was written."""
    home = workspace.path(RUNS)
    for run in sorted(os.listdir(home)) if workspace.is_local and os.path.isdir(home) else ():
        folder = f"{home}/{run}/{CHECKPOINTS}"
        if not os.path.isdir(folder):
            continue
        from ..training import checkpoint  # brings torch

        for step in checkpoint.steps(folder):
            place = checkpoint.path(folder, step)
            where = f"{RUNS}/{run}/{CHECKPOINTS}/{os.path.basename(place)}"
            try:
                for why in checkpoint.damage(place, checkpoint.load_state(place)):
                    yield "checkpoint", where, why
            except WorkspaceError as error:
                yield "checkpoint", where, str(error)
