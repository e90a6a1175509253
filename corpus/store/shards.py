"""One shard: an immutable Parquet file that describes itself.

A shard is written under a temporary name, synced and renamed, so a reader sees all of it or nothing. Its Parquet
metadata carry a `stamp` (what it was made from and how) and the counts of the work that made it; a restarted stage
therefore recognises a committed shard without any other record. Works on any fsspec file system.
"""

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

STAMP, COUNTS = b"gristmill.stamp", b"gristmill.counts"
BATCH_BYTES = 16 << 20  # a batch is cut here, whatever its rows: peak memory follows bytes, not documents
STORES = ("s3://", "s3a://", "gs://", "gcs://")


@dataclass(frozen=True)
class Shard:
    """A committed file of a table."""

    name: str
    rows: int
    bytes: int
    checksum: str  # blake2b-128 of the file, hex
    counts: Mapping[str, int] = field(default_factory=dict)


def fingerprint(*parts: Any) -> str:
    """32 hex digits of blake2b over the JSON of the parts (sorted keys). Equal parts, equal digits, on any machine."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec file system of a path or URL, and the path on it. Stores are always asked what they hold: another
    process may have written since."""
    fresh = {"use_listings_cache": False} if url.startswith(STORES) else {}
    return cast(tuple[fsspec.AbstractFileSystem, str], fsspec.core.url_to_fs(url, **fresh))


def checksum(url: str) -> str:
    """blake2b-128 of a file's bytes, hex."""
    fs, path = filesystem(url)
    digest = hashlib.blake2b(digest_size=16)
    with fs.open(path, "rb") as file:
        while block := cast(bytes, file.read(1 << 20)):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def replacing(url: str) -> Iterator[str]:
    """Yield a local temporary path; on success what was written there becomes `url`, in one step.

    On a local disk: sync, then rename within the folder. Elsewhere: upload, which object stores show whole or not
    at all. On an exception nothing appears under `url`.
    """
    fs, path = filesystem(url)
    local = isinstance(fs, LocalFileSystem)
    folder, name = os.path.split(path)
    fs.makedirs(folder, exist_ok=True)
    scratch = os.path.join(folder if local else tempfile.gettempdir(), f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        yield scratch
        with open(scratch, "rb+") as written:
            os.fsync(written.fileno())
        if local:
            os.replace(scratch, path)
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        else:
            fs.put_file(scratch, path)
    finally:
        if os.path.exists(scratch):
            os.remove(scratch)


class ShardWriter:
    """Rows into one shard; `counts` may be filled in until the end. Use through `open_shard`."""

    def __init__(self, path: str, schema: pa.Schema, dictionary: bool | list[str] = True) -> None:
        self.schema = schema
        self.rows = 0
        self.counts: dict[str, int] = {}
        statistics: Any = ["id"]  # a list of columns is accepted, though the stub says bool
        coded: Any = dictionary
        self._parquet = pq.ParquetWriter(
            path, schema, compression="zstd", use_dictionary=coded, write_statistics=statistics
        )

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append a batch of the declared schema; an empty batch leaves no trace in the bytes."""
        if batch.num_rows:
            self._parquet.write_batch(batch)
            self.rows += batch.num_rows

    def write_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows given as mappings, cut into batches of about `BATCH_BYTES`."""
        pending: list[Mapping[str, Any]] = []
        size = 0
        for row in rows:
            pending.append(row)
            size += 200 + len(row.get("text") or "")
            if size >= BATCH_BYTES:
                self.write_batch(pa.RecordBatch.from_pylist(pending, schema=self.schema))
                pending, size = [], 0
        self.write_batch(pa.RecordBatch.from_pylist(pending, schema=self.schema))

    def close(self, stamp: str) -> None:
        counts = json.dumps(self.counts, sort_keys=True)
        self._parquet.add_key_value_metadata({STAMP: stamp.encode(), COUNTS: counts.encode()})
        self._parquet.close()


@contextmanager
def open_shard(url: str, schema: pa.Schema, stamp: str, dictionary: bool | list[str] = True) -> Iterator[ShardWriter]:
    """Write one shard at `url`; it appears there whole, after the block, or not at all.

    `dictionary` names the columns worth a dictionary, where that is not all of them (hashes never repeat).
    """
    with replacing(url) as scratch:
        writer = ShardWriter(scratch, schema, dictionary)
        try:
            yield writer
        finally:
            writer.close(stamp)


def committed(url: str, stamp: str) -> Shard | None:
    """The shard at `url` if it is there and carries this stamp, else None."""
    fs, path = filesystem(url)
    if not fs.exists(path):
        return None
    with fs.open(path, "rb") as file:
        metadata = pq.read_metadata(file)
    own = metadata.metadata or {}
    if own.get(STAMP, b"").decode() != stamp:
        return None
    counts = json.loads(own[COUNTS])
    return Shard(os.path.basename(path), metadata.num_rows, int(fs.size(path) or 0), checksum(url), counts)


def read_batches(url: str, columns: list[str] | None = None, rows: int = 4096) -> Iterator[pa.RecordBatch]:
    """Batches of a Parquet shard in file order, at most `rows` rows each, one row group in memory at a time."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        yield from pq.ParquetFile(file).iter_batches(batch_size=rows, columns=columns)
