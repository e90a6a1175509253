"""A lasting LSH index for services that ask "have I seen this?": datasketch's, in memory, Redis or Cassandra.

Filled from `signatures/`, so no text is read; asked with a text, which is shingled and signed as the workspace was.
Answers are candidates by shared bands, not verified: the index holds band keys and ids only. Refuses a workspace
whose signatures were made otherwise.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from datasketch import MinHashLSH

from ..corpus.store.errors import MissingExtra, RequestError
from ..corpus.store.workspace import Workspace
from .minhash import signatures
from .settings import DedupSettings
from .shingles import shingle


class SeenIndex:
    """Documents by their bands.

    settings  as for `gristmill dedup`
    storage   datasketch's storage_config, e.g. {"type": "redis", "basename": b"crawl", "redis": {"host": "…"}}
    """

    def __init__(self, settings: DedupSettings, storage: dict[str, Any] | None = None) -> None:
        settings.check()
        self.settings, self.made = settings, settings.resolved()
        if storage and storage.get("type") == "redis":
            try:
                import redis  # noqa: F401  # pyright: ignore
            except ImportError:
                raise MissingExtra("redis", "redis") from None
        self._index = MinHashLSH(
            num_perm=self.made["num_perm"],
            params=(self.made["bands"], self.made["rows"]),
            storage_config=storage,
            prepickle=False if storage is None else None,
        )

    def fill(self, workspace: Workspace) -> int:
        """Add every document that a workspace has signed; ids that are there already stay. Returns how many came."""
        manifest = workspace.table("signatures").finished("the index")
        if manifest.settings != self.settings.signing():
            raise RequestError(f"signatures/ in {workspace.url} were made with other settings than the index's")
        columns = ["id", "shingles", "signature"]
        return sum(self.add(batch) for batch in workspace.table("signatures").read(columns))

    def add(self, batch: pa.RecordBatch) -> int:
        """Add a batch of signatures/: columns id, shingles, signature. Documents without a shingle stay out."""
        rows = batch["signature"].flatten().to_numpy().reshape(batch.num_rows, -1)
        added = 0
        with self._index.insertion_session() as session:
            for name, own, row in zip(batch["id"].to_pylist(), batch["shingles"].to_pylist(), rows, strict=True):
                if own and name not in self._index:
                    session.insert(name, self._sketch(row))
                    added += 1
        return added

    def seen(self, texts: Iterable[str]) -> list[list[str]]:
        """For each text the ids that share a band with it, sorted; none for a blank text."""
        sets = shingle(pa.array(list(texts), pa.string()), *(self.made[name] for name in ("unit", "size", "fold")))
        rows = signatures(sets.hashes, sets.offsets, self.made["num_perm"], self.settings.seed)
        own = np.diff(sets.offsets) > 0
        return [
            sorted(map(str, self._index.query(self._sketch(row)))) if has else []
            for row, has in zip(rows, own, strict=True)
        ]

    def _sketch(self, row: np.ndarray) -> Any:
        return _Sketch(row.astype(np.uint64))


class _Sketch:
    """What datasketch's index asks of a MinHash. Not one of its own: those name the permutations that made them."""

    def __init__(self, hashvalues: np.ndarray) -> None:
        self.hashvalues = hashvalues

    def __len__(self) -> int:
        return len(self.hashvalues)
