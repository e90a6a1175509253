"""Search for words in texts: an index of SQLite's FTS5, made once for a state of the documents, in the user's cache.

It covers all documents up to `MOST`, and a sample by the beginning of the id beyond. It holds words and places alone,
no second copy of the texts. While it is made, pages say how far it is. Refuses words that no index can look for.
"""

import os
import sqlite3
import threading
from contextlib import closing, suppress
from urllib.parse import quote

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import fingerprint, read_batches
from ...corpus.store.workspace import Workspace
from .facts import cache_folder
from .source import OpenWorkspace

VERSION = 1
MOST = 1_000_000  # documents that are indexed
FOUND = 1000  # documents that a search gives
WAIT = 2.0  # seconds that a page waits for an index


class _Index(threading.Thread):
    """An index that is being made."""

    def __init__(self, workspace: Workspace, path: str) -> None:
        super().__init__(daemon=True, name="explorer-index")
        self.workspace, self.path = workspace, path
        self.done, self.of, self.error = 0, 1, ""

    def run(self) -> None:
        try:
            self._make()
        except (OSError, sqlite3.Error, RuntimeError) as error:
            self.error = str(error)

    def _make(self) -> None:
        table = self.workspace.table("documents")
        shards = table.finished("search").shards
        self.of = max(1, sum(shard.rows for shard in shards))
        share = MOST / self.of
        below = f"{min(round(share * 16**8), 16**8 - 1):08x}" if share < 1 else None
        scratch = f"{self.path}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.remove(scratch)
        with closing(sqlite3.connect(scratch)) as base:
            base.execute("pragma journal_mode = off")
            base.execute("create virtual table words using fts5(title, text, content='', tokenize='unicode61')")
            base.execute("create table ids (number integer primary key, id text)")
            base.execute("create table about (documents integer, indexed integer)")
            number = 0
            for shard in shards:
                for batch in read_batches(table.file_url(shard), ["id", "title", "text"], 1024):
                    rows = zip(*(batch[name].to_pylist() for name in ("id", "title", "text")), strict=True)
                    chosen = [row for row in rows if below is None or row[0] < below]
                    numbered = list(enumerate(chosen, number))
                    number += len(chosen)
                    base.executemany("insert into ids values (?, ?)", [(n, row[0]) for n, row in numbered])
                    base.executemany(
                        "insert into words (rowid, title, text) values (?, ?, ?)",
                        [(n, _plain(row[1]), _plain(row[2])) for n, row in numbered],
                    )
                    self.done += batch.num_rows
            base.execute("insert into about values (?, ?)", (self.of, number))
            base.commit()
        os.replace(scratch, self.path)


def _plain(text: str | None) -> str:
    """A text as SQLite takes it."""
    return (text or "").encode("utf-8", "replace").decode()


_MAKING: dict[str, _Index] = {}
_LOCK = threading.Lock()


def index_file(workspace: Workspace) -> str:
    """Where the index of the documents as they are now lies."""
    manifest = workspace.table("documents").finished("search")
    made = fingerprint("words", VERSION, manifest.fingerprint)[:24]
    return os.path.join(cache_folder(), f"{fingerprint(workspace.url)[:16]}-{made}.words")


def indexed(workspace: Workspace, wait: float = WAIT) -> str:
    """The path of the index, which is made where it is not there. RequestError while it is being made."""
    path = index_file(workspace)
    if os.path.exists(path):
        return path
    with _LOCK:
        index = _MAKING.get(path)
        if index is None or (index.error and not index.is_alive()):
            index = _MAKING[path] = _Index(workspace, path)
            index.start()
    index.join(wait)
    if os.path.exists(path):
        _MAKING.pop(path, None)
        return path
    if index.error:
        raise RequestError(f"the index of words could not be made: {index.error}")
    raise RequestError(f"the index of words is being made: {100 * index.done / index.of:.0f} %; ask again in a moment")


def found_by_words(source: OpenWorkspace, words: str) -> list[str]:
    """Ids of the documents that match best, at most `FOUND`: FTS5's syntax, or plain words that all have to occur."""
    with closing(sqlite3.connect(f"file:{quote(indexed(source.workspace))}?mode=ro", uri=True)) as base:
        query = (
            "select ids.id from words join ids on ids.number = words.rowid where words match ? order by rank limit ?"
        )
        try:
            rows = base.execute(query, (words, FOUND)).fetchall()
        except sqlite3.OperationalError:
            plain = " ".join('"' + one.replace('"', '""') + '"' for one in words.split())
            try:
                rows = base.execute(query, (plain, FOUND)).fetchall()
            except sqlite3.OperationalError as error:
                raise RequestError(f"these words cannot be looked for: {error}") from error
    return [id for (id,) in rows]
