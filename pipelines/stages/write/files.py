"""Rows into files of one format, cut where they are full: Parquet, Arrow IPC, or lines of JSON.

Every file appears whole or not at all. Refuses a column whose type the format has no form for.
"""

import gzip
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from ....corpus.store.errors import RequestError
from ....corpus.store.shards import replacing

ENDS = {"parquet": "parquet", "hf": "parquet", "arrow": "arrow"}


class Files:
    """Files `NAME.END`, `NAME-0001.END`, ... below a place; `made` tells (name, rows, bytes of rows) of each."""

    def __init__(self, place: str, name: str, format: str, limit: int) -> None:
        self._place, self._name, self._format, self._limit = place, name, format, limit
        self._stack = ExitStack()
        self._out: Any = None
        self._rows = self._size = 0
        self.made: list[tuple[str, int, int]] = []

    def _path(self) -> str:
        number = f"-{len(self.made):04d}" if self.made else ""
        return f"{self._name}{number}.{ENDS.get(self._format, self._format)}"

    def _open(self, schema: pa.Schema | None) -> None:
        if self._out is not None:
            return
        scratch = self._stack.enter_context(replacing(f"{self._place}/{self._path()}"))
        if schema is None:
            self._out = self._stack.enter_context(opened(scratch, self._format))
        elif self._format == "arrow":
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._out = self._stack.enter_context(pa.ipc.new_file(scratch, schema, options=options))
        else:
            try:
                self._out = self._stack.enter_context(pq.ParquetWriter(scratch, schema, compression="zstd"))
            except pa.ArrowNotImplementedError as error:
                raise RequestError(f"Parquet has no form for these columns ({error}); --format arrow has") from error

    def batch(self, batch: pa.RecordBatch) -> None:
        """Rows of one schema."""
        if not batch.num_rows:
            return
        self._open(batch.schema)
        try:
            self._out.write_batch(batch)
        except pa.ArrowNotImplementedError as error:
            raise RequestError(f"{self._format} has no form for these columns ({error}); --format arrow has") from error
        self._grown(batch.num_rows, batch.nbytes)

    def lines(self, lines: Iterable[str]) -> None:
        """Lines of JSON."""
        for line in lines:
            self._open(None)
            data = line.encode() + b"\n"
            self._out.write(data)
            self._grown(1, len(data))

    def _grown(self, rows: int, size: int) -> None:
        self._rows, self._size = self._rows + rows, self._size + size
        if self._size >= self._limit:
            self.close()

    def close(self) -> None:
        """End the file that is open."""
        if self._out is not None:
            path = self._path()
            self._stack.close()
            self.made.append((path, self._rows, self._size))
            self._out, self._rows, self._size = None, 0, 0

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self.close()
        else:
            self._stack.__exit__(*error)


class Gzip(gzip.GzipFile):
    """A gzip file whose header has neither a time nor the name under which it is written."""

    def __init__(self, path: str) -> None:
        self._raw = open(path, "wb")  # noqa: SIM115
        super().__init__(filename="", mode="wb", compresslevel=6, fileobj=self._raw, mtime=0)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._raw.close()


def opened(path: str, format: str) -> Any:
    """A file for lines, compressed as the format says; equal lines, equal bytes."""
    if format == "jsonl.gz":
        return Gzip(path)
    if format == "jsonl.zst":
        return cast(Any, zstandard.open(path, "wb", cctx=zstandard.ZstdCompressor(level=3)))
    return open(path, "wb")
