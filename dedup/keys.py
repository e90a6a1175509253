"""Keys of documents: exact keys, scopes, and the rank that orders documents the same way everywhere.

An exact key is 128 bits: of the normalised text, of the URL without its fragment, or of any SQL expression over the
columns of `documents/`. A null value has no key and equals nothing. Blank texts are equal to each other.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..corpus.compiling import compiled
from ..corpus.folding import BASE, SEED, mix
from ..corpus.store.errors import RequestError
from ..corpus.store.schema import DOCUMENTS

SCOPES = ("global", "source", "domain", "crawl")
CRAWL = re.compile(r"CC-MAIN-\d{4}-\d{2}")
URL = "regexp_replace(url, '#.*$', '')"


def check_exact(expressions: Sequence[str]) -> None:
    """Refuse an expression that DuckDB cannot evaluate over `documents/`, before anything runs."""
    for expression in expressions:
        if expression not in ("text", "url"):
            _sql_key(pa.RecordBatch.from_pylist([], schema=DOCUMENTS), expression)


def columns_needed(expressions: Sequence[str]) -> list[str]:
    """Columns of `documents/` that signatures need."""
    base = ["id", "text", "source", "domain", "date", "origin"]
    if all(expression == "text" for expression in expressions):
        return base
    return DOCUMENTS.names if any(e not in ("text", "url") for e in expressions) else [*base, "url"]


def exact_keys(batch: pa.RecordBatch, expression: str, content: np.ndarray) -> pa.Array:
    """The key of each document: (D,) binary(16), null where the expression is null. content (D, 2) uint64."""
    if expression == "text":
        return pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(content), [None, pa.py_buffer(np.ascontiguousarray(content).tobytes())]
        )
    return _sql_key(batch, URL if expression == "url" else expression)


def _sql_key(batch: pa.RecordBatch, expression: str) -> pa.Array:
    with duckdb.connect() as connection:
        connection.register("documents", pa.Table.from_batches([batch]))
        try:
            answer = connection.sql(f"select ({expression})::varchar as key from documents").to_arrow_table()
        except duckdb.Error as error:
            raise RequestError(f"dedup: exact key {expression!r} is no SQL over documents: {error}") from error
    values = answer["key"].to_pylist()
    keys = [None if v is None else hashlib.blake2b(v.encode(), digest_size=16).digest() for v in values]
    return pa.array(keys, pa.binary(16))


def split_key(keys: pa.Array) -> np.ndarray:
    """(D,) binary(16) without nulls -> (D, 2) uint64."""
    data = keys.buffers()[1]
    if not len(keys):
        return np.zeros((0, 2), np.uint64)
    return np.frombuffer(data, np.uint64)[keys.offset * 2 : (keys.offset + len(keys)) * 2].reshape(-1, 2)


def crawls(batch: pa.RecordBatch) -> pa.Array:
    """The crawl of each document: the Common Crawl snapshot in its origin's path, else its source."""
    paths = batch["origin"].field("path") if isinstance(batch["origin"], pa.StructArray) else None
    sources = batch["source"].to_pylist()
    if paths is None:
        return pa.array(sources, pa.string())
    found = [_crawl(path) for path in paths.to_pylist()]
    return pa.array([a or b for a, b in zip(found, sources, strict=True)], pa.string())


@lru_cache(maxsize=4096)
def _crawl(path: str | None) -> str | None:
    match = CRAWL.search(path or "")
    return match[0] if match else None


def scope_hashes(values: pa.Array | None, rows: int) -> np.ndarray:
    """(D,) uint64: 0 for everything where the scope is global (values None), else a hash of each value."""
    if values is None:
        return np.zeros(rows, np.uint64)
    coded = pc.dictionary_encode(values.cast(pa.string()).fill_null(""))
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    hashes = [
        int.from_bytes(hashlib.blake2b(b"scope" + v.encode(), digest_size=8).digest(), "little")
        for v in coded.dictionary.to_pylist()
    ]
    return np.array(hashes, np.uint64)[coded.indices.to_numpy()] if rows else np.zeros(0, np.uint64)


def ranks(ids: pa.Array) -> np.ndarray:
    """A 64-bit hash of each id: the order of documents inside a bucket. (D,) string -> (D,) uint64."""
    ids = ids.cast(pa.large_string())
    if not len(ids):
        return np.zeros(0, np.uint64)
    ends = np.frombuffer(ids.buffers()[1], np.int64)[ids.offset : ids.offset + len(ids) + 1]
    return _ranks(np.frombuffer(ids.buffers()[2], np.uint8), ends)


@compiled
def _ranks(data, ends):  # (bytes,) uint8, (D+1,) int64 -> (D,) uint64
    out = np.empty(len(ends) - 1, np.uint64)
    for d in range(len(out)):
        h = SEED
        for i in range(ends[d], ends[d + 1]):
            h = (h ^ np.uint64(data[i])) * BASE
            h ^= h >> np.uint64(32)
        out[d] = mix(h)
    return out


def bucket_of(keys: np.ndarray, scope: np.ndarray, which: int) -> np.ndarray:
    """Where documents with this exact key meet: keys (D, 2), scope (D,) uint64 -> (D,) uint64."""
    return _bucket_of(keys, scope, np.uint64(which + 0x9000))


@compiled
def _bucket_of(keys, scope, which):
    out = np.empty(len(keys), np.uint64)
    for d in range(len(keys)):
        out[d] = mix(mix(keys[d, 0] ^ scope[d]) ^ mix(keys[d, 1] + which))
    return out
