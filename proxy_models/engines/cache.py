"""The request cache: replies on disk by (model, prompt, parameters), so that a crash never pays twice.

A reply is appended to a journal of its process before anything else happens to it: a write of microseconds, which
survives SIGKILL. `flush` moves what the journal holds into one SQLite file, synced, in one transaction; worker
processes of one machine share it. A journal whose process died is taken over by whoever opens the cache next.
The journal is synced once a second, so that a machine that loses power forgets at most that second.
Refuses remote workspaces, where neither files nor SQLite can be locked.
"""

import fcntl
import glob
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.workspace import Workspace

Finish = Literal["stop", "length", "error"]
Row = tuple[str, str, str, int, int]
TABLE = """create table if not exists replies (
    key text primary key, text text not null, finish text not null,
    prompt_tokens integer not null, completion_tokens integer not null) without rowid"""
EARLIER = ".earlier"  # a file of that ending holds replies that were set aside
SYNCED_EVERY = 1.0  # seconds
PAGE = 16_384  # bytes; a reply is a row of a kilobyte or two, of which a page of the usual size would hold a few


@dataclass(frozen=True)
class Reply:
    """What a model said. `error` tells why there is no text; then `finish` is "error"."""

    text: str
    finish: Finish = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None


class RequestCache:
    """Replies by request key. Use as a context manager, or call `close`. Not for several threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        self._journal: int | None = None
        self._journal_path = ""
        self._pending: list[Row] = []
        self._synced = 0.0
        self._adopt()

    def __enter__(self) -> "RequestCache":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def find(self, keys: Collection[str]) -> dict[str, Reply]:
        """The replies there are among those asked for."""
        self.flush()
        rows = self._rows(self.path, sorted(keys))
        again = self._rows(self.path + EARLIER, sorted(set(keys) - {row[0] for row in rows}))
        if again:
            self._insert(again)
        return {key: Reply(text, cast(Finish, end), asked, said) for key, text, end, asked, said in (*rows, *again)}

    def _rows(self, path: str, keys: list[str]) -> list[Row]:
        """The rows of a file with these keys; none where there is no such file."""
        found: list[Row] = []
        if not keys or not os.path.exists(path):
            return found
        connection = self._open(path)
        try:
            for start in range(0, len(keys), 500):
                some = keys[start : start + 500]
                marks = ",".join("?" * len(some))
                found += connection.execute(f"select * from replies where key in ({marks})", some)
        except sqlite3.DatabaseError as error:
            raise WorkspaceError(f"the request cache {path} cannot be read: {error}; remove it") from error
        finally:
            connection.close()
        return found

    def put(self, replies: Sequence[tuple[str, Reply]]) -> None:
        """Keep replies. When this returns, they survive the end of the process, whatever ends it."""
        if not replies:
            return
        rows = [(key, reply.text, reply.finish, reply.prompt_tokens, reply.completion_tokens) for key, reply in replies]
        try:
            journal = self._journal if self._journal is not None else self._new_journal()
            lines = memoryview("".join([json.dumps(row) + "\n" for row in rows]).encode())
            while lines:
                lines = lines[os.write(journal, lines) :]
            if time.monotonic() - self._synced > SYNCED_EVERY:
                os.fsync(journal)
                self._synced = time.monotonic()
        except OSError as error:
            raise WorkspaceError(f"the request cache {self.path} cannot be written: {error}") from error
        self._pending += rows

    def flush(self) -> None:
        """Move what was put from the journal into the shared file."""
        if self._journal is None:
            return
        self._insert(self._pending)
        self._pending = []
        os.unlink(self._journal_path)
        os.close(self._journal)
        self._journal = None

    def close(self) -> None:
        self.flush()

    def _open(self, path: str | None = None) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(path or self.path, timeout=60)
            connection.execute("pragma synchronous = full")
            connection.execute(f"pragma page_size = {PAGE}")  # of a new file; an old one keeps its own
        except sqlite3.DatabaseError as error:
            raise WorkspaceError(f"the request cache {self.path} cannot be opened: {error}; remove it") from error
        return connection

    def _insert(self, rows: Iterable[Row]) -> None:
        connection = self._open()
        try:
            with connection:
                connection.execute("begin immediate")
                connection.execute(TABLE)
                connection.executemany("insert or ignore into replies values (?, ?, ?, ?, ?)", sorted(rows))
        except sqlite3.Error as error:
            raise WorkspaceError(f"the request cache {self.path} cannot be written: {error}") from error
        finally:
            connection.close()

    def _new_journal(self) -> int:
        """A journal that is ours: locked as long as this process lives."""
        while True:
            path = f"{self.path}.{uuid.uuid4().hex}.journal"
            journal = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
            fcntl.flock(journal, fcntl.LOCK_EX)
            if os.path.exists(path):  # nobody took it for an abandoned one before it was locked
                self._journal, self._journal_path, self._synced = journal, path, time.monotonic()
                return journal
            os.close(journal)

    def _adopt(self) -> None:
        """Move the journals of processes that died into the shared file."""
        for path in sorted(glob.glob(f"{glob.escape(self.path)}.*.journal")):
            try:
                file = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115
            except FileNotFoundError:
                continue
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # its process lives
                if os.path.exists(path):  # and nobody adopted it meanwhile
                    whole = [line for line in file if line.endswith("\n")]  # the last one may be torn
                    self._insert([tuple(json.loads(line)) for line in whole])
                    os.unlink(path)


def set_aside(path: str) -> None:
    """Begin a cache that keeps only what is asked for from now on: what there is answers, and is kept when it does."""
    if os.path.exists(path) and not os.path.exists(path + EARLIER):
        RequestCache(path).close()  # takes over what killed processes left
        os.replace(path, path + EARLIER)


def drop_aside(path: str) -> None:
    """Forget what was set aside and not asked for."""
    if os.path.exists(path + EARLIER):
        os.unlink(path + EARLIER)


def cache_path(workspace: Workspace, chosen: str | None) -> str:
    """Where the cache of a workspace lives; a remote workspace needs a local path of its own."""
    if chosen:
        return chosen
    if not workspace.is_local:
        raise RequestError(f"{workspace.url} cannot hold a request cache; name a local file with --request-cache")
    return workspace.path("requests", "replies.sqlite")
