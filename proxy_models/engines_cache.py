"""The request cache: replies on disk by (model, prompt, parameters), so that a crash never pays twice.

One SQLite file in write-ahead mode, synced at each commit, which several worker processes of one machine may share.
A thread commits whatever has queued up in one transaction: a sync costs milliseconds and must not hold up the
requests in flight. A reply that was committed survives SIGKILL; at most those of the last moments are asked again.
Refuses remote workspaces, where SQLite cannot lock.
"""

import os
import queue
import sqlite3
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ..corpus.refusal import RequestError, WorkspaceError
from ..corpus.workspace import Workspace

Finish = Literal["stop", "length", "error"]
TABLE = """create table if not exists replies (
    key text primary key, text text not null, finish text not null,
    prompt_tokens integer not null, completion_tokens integer not null) without rowid"""


@dataclass(frozen=True)
class Reply:
    """What a model said. `error` tells why there is no text; then `finish` is "error"."""

    text: str
    finish: Finish = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None


class RequestCache:
    """Replies by request key. Use as a context manager, or call `close`."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        self._queue: queue.SimpleQueue[Sequence[tuple[str, Reply]] | threading.Event | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        with self._open() as reader:
            reader.execute("pragma journal_mode = wal")
            reader.execute(TABLE)
        reader.close()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def __enter__(self) -> "RequestCache":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=60)
            connection.execute("pragma synchronous = full")
        except sqlite3.DatabaseError as error:
            raise WorkspaceError(f"the request cache {self.path} cannot be opened: {error}; remove it") from error
        return connection

    def find(self, keys: Collection[str]) -> dict[str, Reply]:
        """The replies there are among those asked for."""
        found: dict[str, Reply] = {}
        ordered = sorted(keys)
        connection = self._open()
        try:
            for start in range(0, len(ordered), 500):
                some = ordered[start : start + 500]
                marks = ",".join("?" * len(some))
                for key, *columns in connection.execute(f"select * from replies where key in ({marks})", some):
                    found[key] = Reply(*columns)
        finally:
            connection.close()
        return found

    def put(self, replies: Sequence[tuple[str, Reply]]) -> None:
        """Queue replies that finished together; they are committed together."""
        self._raise()
        if replies:
            self._queue.put(replies)

    def flush(self) -> None:
        """Return once everything that was put is on disk."""
        reached = threading.Event()
        self._queue.put(reached)
        reached.wait()
        self._raise()

    def close(self) -> None:
        if self._writer.is_alive():
            self.flush()
            self._queue.put(None)
            self._writer.join()

    def _raise(self) -> None:
        if self._failure is not None:
            raise WorkspaceError(f"the request cache {self.path} cannot be written: {self._failure}") from self._failure

    def _write(self) -> None:
        connection = self._open()
        insert = "insert or ignore into replies values (?, ?, ?, ?, ?)"
        while True:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            rows = [
                (key, reply.text, reply.finish, reply.prompt_tokens, reply.completion_tokens)
                for replies in batch
                if replies is not None and not isinstance(replies, threading.Event)
                for key, reply in replies
            ]
            try:
                if rows and self._failure is None:
                    with connection:
                        connection.executemany(insert, rows)
            except sqlite3.Error as error:  # told to whoever puts or flushes next
                self._failure = error
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()
            if None in batch:
                connection.close()
                return


def cache_path(workspace: Workspace, chosen: str | None) -> str:
    """Where the cache of a workspace lives; a remote workspace needs a local path of its own."""
    if chosen:
        return chosen
    if not workspace.is_local:
        raise RequestError(f"{workspace.url} cannot hold a request cache; name a local file with --request-cache")
    return workspace.path("requests", "replies.sqlite")
