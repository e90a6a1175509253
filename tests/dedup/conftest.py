"""A small corpus on disk, with as many shards and in whatever order a test asks for."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from gristmill.corpus.store.schema import DOCUMENTS
from gristmill.corpus.store.shards import committed, open_shard
from gristmill.corpus.store.workspace import Manifest, Workspace, total

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
            with open(workspace.table(table).shard_url(shard.name), "rb") as file:
                found[table, shard.name] = file.read()
    return found


@pytest.fixture
def crashing(monkeypatch):
    """crashing(n): a block in which the file after the n-th to be put in place never is."""
    import gristmill.corpus.store.shards as shards

    replace = os.replace

    @contextmanager
    def block(after: int) -> Iterator[None]:
        left = [after]

        def failing(source, target):
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
        made = []
        for n in range(shards):
            url = workspace.table("documents").shard_url(f"part-{n}.parquet")
            part = full[n::shards]
            with open_shard(url, DOCUMENTS, "test") as out:
                out.write_rows(part)
                out.counts.update({"in": len(part), "kept": len(part), "dropped": 0, "failed": 0})
            made.append(committed(url, "test"))
        workspace.table("documents").write_manifest(
            Manifest(
                table="documents", stage="extract", version=1, settings={}, inputs={}, shards=made, counts=total(made)
            )
        )
        return workspace

    return build
