"""One shard: an immutable file of a table, whose name bears its checksum.

A shard is written under a temporary name, synced, and put in place under `<stem>.<checksum>.<suffix>`, so a reader sees
all of it or nothing and can tell whether it was changed, and nothing is ever overwritten. Its fingerprint (`content`)
covers rows and schema, not the footer. Works on any fsspec file system.
"""

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import IO, Any, cast
from urllib.parse import quote_from_bytes, unquote_to_bytes

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from .soundness import FileDigest, digest_of, is_sound, known_sound, opened

BATCH_BYTES = 16 << 20  # a batch is cut here, whatever its rows: peak memory follows bytes, not documents
COMPRESSED = 1 << 15  # bytes of a first batch from which on a shard is compressed: less is not worth the beginning
PARQUET_TAIL = 8  # bytes after the footer: its length and the magic number
STORES = ("s3://", "s3a://", "gs://", "gcs://")


@dataclass(frozen=True)
class Shard:
    """A file of a table.

    name      what readers call it: `web-0001.parquet` of every table belongs to `documents/web-0001.parquet`
    file      where it lies in the table's folder
    rows      of a table; what else it counts for other files
    checksum  `FileDigest` of the file, hex
    content   `FileDigest` of the schema and of what the bytes before the footer hash to, hex: what stages that read it
              record
    counts    what the work that made it counted
    item      the work item that made it
    """

    name: str
    file: str
    rows: int
    bytes: int
    checksum: str
    content: str
    counts: Mapping[str, int] = field(default_factory=dict)
    item: str = ""


def fingerprint(*parts: Any) -> str:
    """32 hex digits of blake2b over the JSON of the parts (sorted keys). Equal parts, equal digits, on any machine."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec file system of a path or URL, and the path on it. Stores are always asked what they hold: another
    process may have written since. A path without `://` is local to its last character, whatever that is."""
    if "://" not in url:
        local = os.path.abspath(os.path.expanduser(unspelled(url)))
        return _local_files(), local
    fresh = {"use_listings_cache": False} if url.startswith(STORES) else {}
    return cast(tuple[fsspec.AbstractFileSystem, str], fsspec.core.url_to_fs(url, **fresh))


@cache
def _local_files() -> fsspec.AbstractFileSystem:
    """The local file system; it is asked for ten times a shard, and fsspec takes its time to look one up."""
    return fsspec.filesystem("file")


SPELLED = "bytes:"


def spelled(path: str) -> str:
    """A local path as text that any file can hold: one with bytes that are no UTF-8 is `bytes:` and percent-encoded."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return SPELLED + quote_from_bytes(os.fsencode(os.path.abspath(path)))
    return path


def unspelled(path: str) -> str:
    """The path that `spelled` was given."""
    return os.fsdecode(unquote_to_bytes(path.removeprefix(SPELLED))) if path.startswith(SPELLED) else path


def checksum(url: str) -> str:
    """The `FileDigest` of a file's bytes, hex."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        return digest_of(cast(IO[bytes], file))


@contextmanager
def replacing(url: str, durable: bool = True) -> Generator[str, None, None]:
    """Yield a local temporary path; on success what was written there becomes `url`, in one step.

    On a local disk: sync, then rename within the folder, and sync that; without `durable` a power cut may take it.
    Elsewhere: upload, which object stores show whole or not at all. On an exception nothing appears under `url`.
    """
    fs, path = filesystem(url)
    folder, name = os.path.split(path)
    fs.makedirs(folder, exist_ok=True)
    scratch = _scratch(fs, folder, name)
    try:
        yield scratch
        _put(fs, scratch, path, durable, durable)
    finally:
        if os.path.exists(scratch):
            os.remove(scratch)


def _scratch(fs: fsspec.AbstractFileSystem, folder: str, name: str) -> str:
    home = folder if isinstance(fs, LocalFileSystem) else tempfile.gettempdir()
    return os.path.join(home, f".{name[:100]}.{uuid.uuid4().hex}.tmp")


def _put(fs: fsspec.AbstractFileSystem, scratch: str, path: str, bytes_last: bool, name_lasts: bool) -> None:
    """Move a finished local file to its place; what lasts outlives a power cut."""
    if bytes_last:
        with open(scratch, "rb+") as written:
            os.fsync(written.fileno())
    if not isinstance(fs, LocalFileSystem):
        fs.put_file(scratch, path)
        return
    move_into_place(scratch, path, name_lasts)


def move_into_place(scratch: str, path: str, durable: bool = True) -> None:
    """Rename a finished file within its folder and, where it is to outlive a power cut, sync the folder."""
    os.replace(scratch, path)
    if durable:
        sync(os.path.dirname(path))


def sync(path: str) -> None:
    """Have the disk hold a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Output:
    """A file on its way into a table: write `path`, say `rows` and `counts`; `shard` is there after the block."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows = 0
        self.counts: dict[str, int] = {}
        self.made: Shard | None = None

    @property
    def shard(self) -> Shard:
        """The shard that the block wrote."""
        assert self.made is not None, "the block that writes it has not ended"
        return self.made


@contextmanager
def open_file(folder: str, name: str) -> Generator[Output, None, None]:
    """Write a file that is no Parquet table into a table's folder; whole after the block, or not at all."""
    fs, home = filesystem(folder)
    fs.makedirs(home, exist_ok=True)
    out = Output(_scratch(fs, home, name))
    try:
        yield out
        out.made = _settled(fs, home, name, out, 0)
    finally:
        if os.path.exists(out.path):
            os.remove(out.path)


def _settled(
    fs: fsspec.AbstractFileSystem, home: str, name: str, out: Output, footer: int, schema: bytes = b""
) -> Shard:
    """Put a finished file in place under the name that bears its checksum."""
    size = os.path.getsize(out.path)
    whole, left = FileDigest(), size - footer
    with open(out.path, "rb") as file:
        while block := file.read(min(left, 1 << 20)):
            whole.update(block)
            left -= len(block)
        rows = whole.digest()  # hashed once for both: reading costs less than hashing
        content = FileDigest(schema + rows) if footer else whole
        whole.update(file.read())
    stem, dot, suffix = name.rpartition(".")
    file_name = f"{stem or suffix}.{whole.hex()[:16]}{dot if stem else ''}{suffix if stem else ''}"
    path = f"{home}/{file_name}"
    if not fs.exists(path) or not is_sound(fs, path):  # one that was damaged is put right
        _put(fs, out.path, path, True, False)  # the folder is synced once, before the commit that names the file
        known_sound(fs, path)
    return Shard(name, file_name, out.rows, size, whole.hex(), content.hex(), dict(out.counts))


class ShardWriter(Output):
    """Rows into one Parquet shard; `counts` may be filled in until the end. Use through `open_shard`."""

    def __init__(self, path: str, schema: pa.Schema, dictionary: bool | list[str] = True) -> None:
        super().__init__(path)
        self.schema = schema
        self._dictionary = dictionary
        self._parquet: pq.ParquetWriter | None = None

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append a batch of the declared schema; an empty batch leaves no trace in the bytes."""
        if batch.num_rows:
            if self._parquet is None:
                self._parquet = self._opened("zstd" if batch.nbytes >= COMPRESSED else "none")
            self._parquet.write_batch(batch)
            self.rows += batch.num_rows

    def _opened(self, compression: str) -> pq.ParquetWriter:
        statistics: Any = ["id"]  # a list of columns is accepted, though the stub says bool
        coded: Any = self._dictionary
        return pq.ParquetWriter(
            self.path, self.schema, compression=compression, use_dictionary=coded, write_statistics=statistics
        )

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

    def close(self) -> None:
        (self._parquet or self._opened("none")).close()


@contextmanager
def open_shard(
    folder: str, name: str, schema: pa.Schema, dictionary: bool | list[str] = True
) -> Generator[ShardWriter, None, None]:
    """Write one Parquet shard into a table's folder; whole after the block, or not at all.

    `dictionary` names the columns worth a dictionary, where that is not all of them (hashes never repeat).
    """
    fs, home = filesystem(folder)
    fs.makedirs(home, exist_ok=True)
    writer = ShardWriter(_scratch(fs, home, name), schema, dictionary)
    try:
        try:
            yield writer
        finally:
            writer.close()
        with open(writer.path, "rb") as file:
            file.seek(-PARQUET_TAIL, os.SEEK_END)
            footer = int.from_bytes(file.read(4), "little") + PARQUET_TAIL
        described = schema.remove_metadata().serialize().to_pybytes()
        writer.made = _settled(fs, home, name, writer, footer, described)
    finally:
        if os.path.exists(writer.path):
            os.remove(writer.path)


def read_batches(url: str, columns: list[str] | None = None, rows: int = 4096) -> Iterator[pa.RecordBatch]:
    """Batches of a Parquet file in file order, at most `rows` rows each, one row group in memory at a time.

    WorkspaceError where it is a file of a table and is not what was put there.
    """
    with opened(*filesystem(url)) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)  # the bytes are near: asking for them ahead costs more
        several = parquet.metadata.num_rows > rows  # threads cost more than a single batch
        yield from parquet.iter_batches(batch_size=rows, columns=columns, use_threads=several)


def parquet_schema(url: str) -> pa.Schema:
    """The Arrow schema of a Parquet file, with what its footer tells beside."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        return pq.ParquetFile(file).schema_arrow
