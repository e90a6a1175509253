"""The progress of long work, read off the table that it fills: the same for every runner and any worker count.

On a terminal one line that is rewritten (shards, documents, MB/s, time left); elsewhere a plain line at most every
ten seconds. Reads only names and sizes of committed shards, and the footers of those it has not seen yet; and, where
one worker works long without writing a shard, the `Note` that it leaves in the table's folder.
"""

import os
import sys
import threading
import time

import pyarrow.parquet as pq

from ...corpus.store.shards import filesystem
from ...corpus.store.workspace import Table

NOTE, EVERY = "_note", 2.0


class Note:
    """What a worker says of work that fills no shards: one line in a file of the table, gone when the block ends."""

    def __init__(self, table: Table) -> None:
        self.fs, folder = filesystem(table.url)
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
    """Watch `table` fill up while the block runs. `total` is the number of shards to come, None if unknown."""

    def __init__(self, stage: str, table: Table, total: int | None, quiet: bool = False) -> None:
        self.stage, self.table, self.total, self.quiet = stage, table, total, quiet
        self.terminal = sys.stderr.isatty()
        self.began = time.monotonic()
        self._sizes: dict[str, tuple[int, int]] = {}  # shard -> (rows, bytes)
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
        fs, path = filesystem(self.table.url)
        for entry in fs.ls(path, detail=True) if fs.exists(path) else ():
            name = entry["name"]
            if name in self._sizes or os.path.basename(name).startswith((".", "_")):
                continue
            rows = 0
            if name.endswith(".parquet"):
                with fs.open(name, "rb") as file:
                    rows = pq.read_metadata(file).num_rows
            self._sizes[name] = (rows, entry["size"] or 0)
        if fs.exists(f"{path}/{NOTE}") and not self._sizes:
            try:
                return f"{self.stage}: {fs.cat_file(f'{path}/{NOTE}').decode()}"
            except FileNotFoundError:  # the work has just ended
                pass
        elapsed = time.monotonic() - self.began
        shards = len(self._sizes)
        rows = sum(size[0] for size in self._sizes.values())
        written = sum(size[1] for size in self._sizes.values())
        parts = [f"{self.stage}: {shards}{f'/{self.total}' if self.total else ''} shards", f"{rows:,} rows"]
        if written >= 5e4 * elapsed:  # stages that write next to nothing are not measured in megabytes
            parts.append(f"{written / elapsed / 1e6:.1f} MB/s")
        if self.total and 0 < shards < self.total:
            left = elapsed / shards * (self.total - shards)
            parts.append(f"{int(left // 60)}:{int(left % 60):02d} left")
        return ", ".join(parts)
