"""Search for words in texts: an index of SQLite's FTS5, made once for a state of the documents, in the user's cache.

It covers all documents up to as many as are asked for (`MOST` where nothing is said), and a sample by the beginning of
the id beyond, which every answer says. It holds words and places alone, no second copy of the texts. While it is made,
pages say how far it is. Refuses words that no index can look for.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote

from ....corpus.store.errors import RequestError
from ....corpus.store.shards import fingerprint, read_batches
from ....corpus.store.workspace import Workspace
from .background import WAIT, HowFar, made
from .cache import cached
from .sampling import sample_below

VERSION = 2
MOST = 1_000_000  # documents that are indexed
FOUND = 1000  # documents that a search gives


@dataclass(frozen=True)
class Found:
    """Ids of the documents that match best, how many match, and how many of all were looked in."""

    ids: list[str]
    matches: int
    indexed: int
    documents: int

    @property
    def said(self) -> str:
        """What a page says of it."""
        best = f"the best {len(self.ids):,} of " if self.matches > len(self.ids) else ""
        told = f"{best}{self.matches:,} documents that match the words"
        if self.indexed < self.documents:
            return (
                f"{told}, looked for in a sample of {self.indexed:,} of {self.documents:,} documents; "
                "gristmill explore --search-documents 0 looks in all."
            )
        return f"{told}, looked for in all {self.documents:,} documents."


def index_of(workspace: Workspace, most: int, path: str, progress: HowFar) -> None:
    """Write the index of the words of up to `most` documents, 0: of all."""
    table = workspace.table("documents")
    shards = table.finished("search").shards
    progress.of = max(1, sum(shard.rows for shard in shards))
    below = sample_below(progress.of, most or progress.of)
    with closing(sqlite3.connect(path)) as base:
        base.execute("pragma journal_mode = off")
        base.execute("create virtual table words using fts5(title, text, content='', tokenize='unicode61')")
        base.execute("create table ids (number integer primary key, id text)")
        base.execute("create table about (documents integer, indexed integer)")
        number = 0
        for shard in shards:
            for batch in read_batches(table.file_url(shard), ["id", "title", "text"], 1024):
                rows = zip(*(batch[name].to_pylist() for name in ("id", "title", "text")), strict=True)
                chosen = [row for row in rows if row[0] < below]
                numbered = list(enumerate(chosen, number))
                number += len(chosen)
                base.executemany("insert into ids values (?, ?)", [(n, row[0]) for n, row in numbered])
                base.executemany(
                    "insert into words (rowid, title, text) values (?, ?, ?)",
                    [(n, _plain(row[1]), _plain(row[2])) for n, row in numbered],
                )
                progress.done += batch.num_rows
        base.execute("insert into about values (?, ?)", (progress.done, number))
        base.commit()


def _plain(text: str | None) -> str:
    """A text as SQLite takes it."""
    return (text or "").encode("utf-8", "replace").decode()


def indexed(workspace: Workspace, most: int = MOST, wait: float = WAIT) -> str:
    """The path of the index, which is made where it is not there. RequestError while it is being made."""
    manifest = workspace.table("documents").finished("search")
    if most and sum(shard.rows for shard in manifest.shards) <= most:
        most = 0  # all of them, whatever was asked for: one index
    path = cached(workspace, fingerprint("words", VERSION, manifest.fingerprint, most), "words")
    return made(path, lambda scratch, told: index_of(workspace, most, scratch, told), "the index of words", wait)


def found_by_words(workspace: Workspace, words: str, most: int = MOST) -> Found:
    """The documents that match best, at most `FOUND`: FTS5's syntax, or plain words that all have to occur."""
    with closing(sqlite3.connect(f"file:{quote(indexed(workspace, most))}?mode=ro", uri=True)) as base:
        try:
            return _found(base, words)
        except sqlite3.OperationalError:
            plain = " ".join('"' + one.replace('"', '""') + '"' for one in words.split())
            try:
                return _found(base, plain)
            except sqlite3.OperationalError as error:
                raise RequestError(f"these words cannot be looked for: {error}") from error


def _found(base: sqlite3.Connection, words: str) -> Found:
    query = "select ids.id from words join ids on ids.number = words.rowid where words match ? order by rank limit ?"
    ids = [id for (id,) in base.execute(query, (words, FOUND))]
    matches = len(ids)
    if matches == FOUND:
        (matches,) = base.execute("select count(*) from words where words match ?", (words,)).fetchone()
    documents, looked = base.execute("select documents, indexed from about").fetchone()
    return Found(ids, matches, looked, documents)
