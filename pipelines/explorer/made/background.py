"""What takes longer than a page may: made by a thread, while pages say how far it is. Refuses what is not there yet.

A file is made once, however many pages ask for it; one that failed is tried again when it is asked for again.
"""

import os
import sqlite3
import threading
from collections.abc import Callable

import duckdb

from ....corpus.store.errors import RequestError, WorkspaceError
from .cache import keep, scratch_of

WAIT = 2.0  # seconds that a page waits


class HowFar:
    """How far a file is."""

    def __init__(self) -> None:
        self.done, self.of = 0, 1

    def __str__(self) -> str:
        return f"{100 * self.done / max(1, self.of):.0f} %"


Make = Callable[[str, HowFar], None]  # writes the file at a path and tells how far it is


class _Making(threading.Thread):
    """A file that is being made."""

    def __init__(self, path: str, make: Make) -> None:
        super().__init__(daemon=True, name="explorer-making")
        self.path, self.make, self.progress, self.error = path, make, HowFar(), ""

    def run(self) -> None:
        try:
            scratch = scratch_of(self.path)
            self.make(scratch, self.progress)
            keep(scratch, self.path)
        except (OSError, sqlite3.Error, duckdb.Error, RuntimeError, ValueError, RequestError, WorkspaceError) as error:
            self.error = str(error) or repr(error)


_MAKING: dict[str, _Making] = {}
_LOCK = threading.Lock()


def made(path: str, make: Make, what: str, wait: float = WAIT) -> str:
    """The path, once the file is there. RequestError while it is being made, and where it cannot be."""
    if os.path.exists(path):
        os.utime(path)
        return path
    with _LOCK:
        making = _MAKING.get(path)
        if making is None or not making.is_alive():
            making = _MAKING[path] = _Making(path, make)
            making.start()
    making.join(wait)
    if os.path.exists(path):
        _MAKING.pop(path, None)
        return path
    if making.error:
        raise RequestError(f"{what} could not be made: {making.error}")
    raise RequestError(f"{what} is being made: {making.progress}; ask again in a moment")
