"""A small corpus on disk, with as many shards and in whatever order a test asks for."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from gristmill.corpus.store.commits import Commit, Made, TableRecord, total
from gristmill.corpus.store.schema import DOCUMENTS
from gristmill.corpus.store.shards import Shard, open_shard
from gristmill.corpus.store.workspace import Workspace

Corpus = Callable[..., Workspace]


def name(number: int | str) -> str:
    """The id of the n-th document of a test."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def edited(text: str, share: float, rng: random.Random) -> str:
    """The text with a share of its words replaced by words that occur nowhere else."""
    words = text.split()
    for place in rng.sample(range(len(words)), int(len(words) * share)):
        words[place] = f"new{rng.getrandbits(60)}"
    return " ".join(words)


def prose(words: int, rng: random.Random) -> str:
    return " ".join(f"w{rng.randrange(3000)}" for _ in range(words))


def files_of(workspace: Workspace, *tables: str) -> dict[tuple[str, str], bytes]:
    """The bytes of every shard of these tables."""
    found = {}
    for table in tables:
        for shard in workspace.table(table).finished("test").shards:
            with open(workspace.table(table).file_url(shard), "rb") as file:
                found[table, shard.name] = file.read()
    return found


def put_table(workspace: Workspace, table: str, shards: Sequence[Shard], stage: str = "", **more: Any) -> None:
    """Commit a table that a test wrote by hand, as the next generation of it."""
    held = workspace.commit_of(stage or table)
    record = TableRecord(settings={}, shards=tuple(shards), counts=total(shards))
    workspace.put_commit(
        Commit(
            stage=stage or table,
            command=stage or table,
            version=1,
            generation=held.generation + 1 if held else 1,
            previous=held.fingerprint if held else "",
            tables={table: record},
            inputs={},
            **more,
        )
    )


def put_documents(workspace: Workspace, parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Add shards of documents/, or replace those of these names; one without rows goes."""
    table = workspace.table("documents")
    manifest = table.manifest()
    held = dict(manifest.by_name) if manifest else {}
    for part, rows in parts.items():
        with open_shard(table.url, part, DOCUMENTS) as out:
            out.write_rows([dict.fromkeys(DOCUMENTS.names) | {"source": "s", "domain": "d"} | dict(r) for r in rows])
            out.counts.update({"in": len(rows), "kept": len(rows), "dropped": 0, "failed": 0})
        held[part] = out.shard
    made = {part: Made(shard.content, {}) for part, shard in held.items()}
    put_table(workspace, "documents", [held[part] for part in sorted(held)], "extract", work=made)


@pytest.fixture
def crashing(monkeypatch):
    """crashing(n): a block in which the file after the n-th to be put in place never is."""
    import gristmill.corpus.store.shards as shards

    replace = os.replace

    @contextmanager
    def block(after: int) -> Iterator[None]:
        left = [after]

        def failing(source, target):
            if os.path.basename(target) == "lease.json":  # the lease of a process that died is passed over: given back
                return replace(source, target)
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt("killed")
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(shards.os, "replace", failing)
            yield

    return block


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    """documents/ of a new workspace: rows need `text` and may give any other column; ids follow their places."""

    def build(rows: Sequence[Mapping[str, Any]], shards: int = 2, order: Sequence[int] | None = None, at: str = "w"):
        workspace = Workspace(str(tmp_path / at))
        full = [
            dict.fromkeys(DOCUMENTS.names) | {"id": name(i), "source": "s", "domain": "d"} | dict(row)
            for i, row in enumerate(rows)
        ]
        full = [full[i] for i in order] if order is not None else full
        put_documents(workspace, {f"part-{n}.parquet": full[n::shards] for n in range(shards)})
        return workspace

    return build
