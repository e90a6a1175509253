"""The progress of long work, read off the records of what is done: the same for every runner and any worker count.

On a terminal one line that is rewritten (shards, documents, MB/s, time left); elsewhere a plain line at most every
ten seconds. Reads only the records that it has not seen yet; and, where one worker works long
without finishing an item, the `Note` that it leaves beside them.
"""

import json
import os
import sys
import threading
import time
from typing import cast

from ...corpus.store.shards import filesystem
from ...corpus.store.workspace import Workspace
from .graph import REPORTS, folder_of

SESSIONS = f"{(__package__ or '').rpartition('.')[0]}.clusters.sessions"  # loaded only where there are some
NOTE, EVERY = "_note", 2.0


class Note:
    """What a worker says of work that fills no shards: one line in a file, gone when the block ends."""

    def __init__(self, workspace: Workspace, stage: str) -> None:
        self.fs, folder = filesystem(workspace.path(folder_of(stage)))
        self.fs.makedirs(folder, exist_ok=True)
        self.path, self._last = f"{folder}/{NOTE}", -EVERY

    def __enter__(self) -> "Note":
        return self

    def __exit__(self, *error: object) -> None:
        if self.fs.exists(self.path):
            self.fs.rm(self.path)

    def __call__(self, text: str) -> None:
        """Say it, unless something was said a moment ago."""
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            self.fs.pipe_file(self.path, text.encode())


class Progress:
    """Watch the work of a stage while the block runs. `total` is the number of items to come, None if unknown."""

    def __init__(self, name: str, workspace: Workspace, stage: str, total: int | None, quiet: bool = False) -> None:
        self.name, self.total, self.quiet = name, total, quiet
        self.folder = workspace.path(folder_of(stage))
        self.terminal = sys.stderr.isatty()
        self.began = time.monotonic()
        self._sizes: dict[str, tuple[int, int]] = {}  # record -> (rows, bytes)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._printed = False

    def __enter__(self) -> "Progress":
        if not self.quiet:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.terminal and self._printed:
            sys.stderr.write("\n")

    def _watch(self) -> None:
        while not self._stop.wait(1.0 if self.terminal else 10.0):
            line = self.line()
            sys.stderr.write(f"\r\x1b[2K{line}" if self.terminal else line + "\n")
            sys.stderr.flush()
            self._printed = True

    def line(self) -> str:
        """The progress as one line of text."""
        fs, path = filesystem(self.folder)
        for entry in fs.ls(path, detail=False) if fs.exists(path) else ():
            name = os.path.basename(entry)
            if entry in self._sizes or name.startswith((".", "_")) or not name.endswith(".json") or name == REPORTS:
                continue
            with fs.open(entry, "rb") as file:
                shards = [shard for _, shard in json.loads(file.read())]
            rows = shards[0]["rows"] if shards else 0
            self._sizes[entry] = (rows, sum(shard["bytes"] for shard in shards))
        if fs.exists(f"{path}/{NOTE}") and not self._sizes:
            try:
                return f"{self.name}: {cast(bytes, fs.cat_file(f'{path}/{NOTE}')).decode()}"
            except FileNotFoundError:  # the work has just ended
                pass
        elapsed = time.monotonic() - self.began
        shards = len(self._sizes)
        rows = sum(size[0] for size in self._sizes.values())
        written = sum(size[1] for size in self._sizes.values())
        parts = [f"{self.name}: {shards}{f'/{self.total}' if self.total else ''} shards", f"{rows:,} rows"]
        if written >= 5e4 * elapsed and elapsed > 1:  # stages that write next to nothing are not measured in megabytes
            parts.append(f"{written / elapsed / 1e6:.1f} MB/s")
        if self.total and 0 < shards < self.total:
            left = elapsed / shards * (self.total - shards)
            parts.append(f"{int(left // 60)}:{int(left % 60):02d} left")
        if workers := _workers():
            parts.append(workers)
        return ", ".join(parts)


def _workers() -> str:
    """What is known of workers that this process started elsewhere."""
    sessions = sys.modules.get(SESSIONS)
    return sessions.at_work() if sessions is not None else ""
