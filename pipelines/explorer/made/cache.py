"""The folder in which the explorer keeps what it made of workspaces: the user's own, a few files of each kind.

A file's name says whose it is, and by a fingerprint what it was made from, so that a changed workspace finds another.
What is being made lies under a name of its own until it is whole. Refuses nothing.
"""

import os
import time
from contextlib import suppress

from ....corpus.sql import literal
from ....corpus.store.shards import fingerprint
from ....corpus.store.workspace import Workspace

MEMORY, WORKING = "500MB", "350MB"  # of DuckDB, for answers and for what is made; Python takes 250 MB beside it
THREADS = 4  # each holds blocks of its own
KEPT = {"duckdb": 3, "words": 2, "places": 4}  # files of one workspace that stay, by their ending
LEFT = 24 * 3600  # seconds after which a file that was never finished is one of a process that died


def cache_folder() -> str:
    """Where the explorer keeps what it made: `gristmill/explore` in the user's cache folder, for the user alone."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(home, "gristmill", "explore")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def owner(workspace: Workspace) -> str:
    """How the names of a workspace's files begin."""
    return fingerprint(workspace.url)[:16]


def cached(workspace: Workspace, made: str, kind: str) -> str:
    """The path of a file: `made` is the fingerprint of what it is made from, `kind` its ending."""
    return os.path.join(cache_folder(), f"{owner(workspace)}-{made[:24]}.{kind}")


def scratch_of(path: str) -> str:
    """The path under which this process makes a file; what lay there is gone."""
    scratch = f"{path}.{os.getpid()}"
    for left in (scratch, f"{scratch}.wal"):
        with suppress(FileNotFoundError):
            os.remove(left)
    return scratch


def keep(scratch: str, path: str) -> None:
    """Put a finished file in its place; the oldest of its workspace and kind go, and what dead processes left."""
    os.replace(scratch, path)
    folder, name = os.path.split(path)
    whose, kind = name.split("-")[0], name.rpartition(".")[2]
    held = [os.path.join(folder, one) for one in os.listdir(folder) if one.startswith(f"{whose}-")]
    whole = sorted((one for one in held if one.endswith(f".{kind}")), key=os.path.getmtime)
    unfinished = [one for one in held if one.rpartition(".")[2] not in KEPT]
    dead = [one for one in unfinished if time.time() - os.path.getmtime(one) > LEFT]
    for one in [*whole[: -KEPT[kind]], *dead]:
        with suppress(FileNotFoundError):
            os.remove(one)


def limits(folder: str, memory: str = MEMORY) -> list[str]:
    """Statements that bound a connection's memory; what is more goes to the cache folder."""
    spill = literal(os.path.join(folder, "spill"))
    threads = min(THREADS, os.cpu_count() or 1)
    return [
        f"set memory_limit = '{memory}'",
        f"set temp_directory = {spill}",
        f"set threads = {threads}",
        "set preserve_insertion_order = false",
    ]
