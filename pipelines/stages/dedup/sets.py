"""Shards of `signatures/` as tables, and of `shingles/` as Arrow IPC files, so that verification can pick documents out
of them."""

from typing import Any

import numpy as np
import pyarrow as pa

from ....dedup.verification import ROWS, SHINGLES


def signature_schema(exact: int, num_perm: int) -> pa.Schema:
    """Columns of signatures/: one `key_<n>` for each exact key."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            *((f"key_{n}", pa.binary(16)) for n in range(exact)),
            ("date", pa.timestamp("s", tz="UTC")),
            pa.field("length", pa.int64(), nullable=False),  # bytes of text
            ("source", pa.string()),
            ("domain", pa.string()),
            ("crawl", pa.string()),
            pa.field("shingles", pa.int64(), nullable=False),
            pa.field("signature", pa.list_(pa.uint32(), num_perm), nullable=False),
        ]
    )


def shingles_name(shard: str) -> str:
    """Name of the shard of shingles/ that belongs to a shard of documents/."""
    return shard.removesuffix(".parquet") + ".arrow"


class SetWriter:
    """Write shingle sets as Arrow IPC record batches of exactly `ROWS` documents (the last one has the rest)."""

    def __init__(self, path: str) -> None:
        self._file = pa.OSFile(path, "wb")
        self._writer = pa.ipc.new_file(self._file, SHINGLES)
        self._ranks: list[np.ndarray] = []
        self._sizes: list[np.ndarray] = []
        self._hashes: list[np.ndarray] = []
        self._rows = 0

    def __enter__(self) -> "SetWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._flush(self._rows)
        self._writer.close()
        self._file.close()

    def write(self, rank: np.ndarray, offsets: np.ndarray, hashes: np.ndarray) -> None:
        """Append D sets: rank (D,) uint64, offsets (D+1,) int64 from 0, hashes (H,) uint64."""
        start = 0
        while start < len(offsets) - 1:
            end = min(len(offsets) - 1, start + ROWS - self._rows)
            self._ranks.append(rank[start:end])
            self._sizes.append(np.diff(offsets[start : end + 1]))
            self._hashes.append(hashes[offsets[start] : offsets[end]])
            self._rows += end - start
            start = end
            if self._rows == ROWS:
                self._flush(ROWS)

    def _flush(self, rows: int) -> None:
        if rows:
            ends = np.r_[0, np.cumsum(np.concatenate(self._sizes))]
            lists = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(np.concatenate(self._hashes)))
            self._writer.write_batch(pa.record_batch([pa.array(np.concatenate(self._ranks)), lists], schema=SHINGLES))
        self._ranks, self._sizes, self._hashes, self._rows = [], [], [], 0
