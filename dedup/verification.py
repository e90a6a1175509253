"""Exact similarity of candidate pairs, from stored shingle hashes, at bounded memory.

A pair is read by handle (shard number << 32 | row), a block of pairs at a time: the shingles of at most
`BLOCK_BYTES` of documents are in memory, whatever the number of pairs. Jaccard is |A and B| / |A or B| of the two
shingle sets; containment is |A and B| / min(|A|, |B|). Two documents without shingles have similarity 0.
"""

import itertools
import mmap
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from ..corpus.compiling import compiled
from ..corpus.store.shards import filesystem
from ..corpus.store.soundness import demand_sound

ROWS = 1024  # documents a record batch: a handle's batch is row // ROWS
BLOCK_BYTES = 64 << 20
SHINGLES = pa.schema(
    [
        pa.field("rank", pa.uint64(), nullable=False),  # of the id: the order of documents inside a bucket
        pa.field("hashes", pa.large_list(pa.uint64()), nullable=False),
    ]
)


@lru_cache(maxsize=4096)
def _open(url: str) -> tuple[pa.ipc.RecordBatchFileReader, mmap.mmap | None]:
    fs, path = filesystem(url)
    if not isinstance(fs, LocalFileSystem):
        return pa.ipc.open_file(fs.open(path, "rb")), None
    demand_sound(fs, path)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped))), mapped


def ipc_batches(url: str) -> pa.ipc.RecordBatchFileReader:
    """An Arrow IPC file, memory-mapped where it is local; a content has one URL, so it stays open."""
    return _open(url)[0]


class ShingleStore:
    """The shingle sets of a list of shards, by handle. Local shards are memory-mapped, others read by record batch."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = urls
        self._read: set[str] = set()  # since `release`: a file is read through once before it is believed

    def release(self) -> None:
        """Give mapped pages back: the system keeps them in its cache, they no longer count as ours."""
        for url in self._read:
            mapped = _open(url)[1]
            if mapped is not None:
                mapped.madvise(mmap.MADV_DONTNEED)
        self._read.clear()

    def gather(self, handles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """handles (N,) uint64, ascending -> hashes (H,) uint64, offsets (N+1,) int64."""
        pieces = [np.zeros(0, np.uint64)]
        pieces += [_take(values, ends, rows) for ends, values, rows, _ in self._parts(handles)]
        return np.concatenate(pieces), np.r_[0, np.cumsum(self.sizes(handles))]

    def sizes(self, handles: np.ndarray) -> np.ndarray:
        """Shingles of each document: (N,) uint64, ascending -> (N,) int64."""
        out = np.zeros(len(handles), np.int64)
        for ends, _, rows, place in self._parts(handles):
            out[place] = ends[rows + 1] - ends[rows]
        return out

    def ranks(self, handles: np.ndarray) -> np.ndarray:
        """Rank of each document: (N,) uint64, in any order -> (N,) uint64."""
        known, place = np.unique(handles, return_inverse=True)
        out = np.zeros(len(known), np.uint64)
        for batch, rows, where in self._batches(known):
            out[where] = batch.column(0).to_numpy()[rows]
        self.release()
        return out[place]

    def _parts(self, handles: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, slice]]:
        """(offsets, hashes) of each record batch that is asked for, the rows in it, and their place in handles."""
        for batch, rows, where in self._batches(handles):
            column = batch.column(1)
            yield column.offsets.to_numpy(), column.values.to_numpy(zero_copy_only=True), rows, where

    def _batches(self, handles: np.ndarray) -> Iterator[tuple[pa.RecordBatch, np.ndarray, slice]]:
        row = handles & np.uint64(0xFFFFFFFF)
        place = (handles >> np.uint64(32)) << np.uint64(32) | row // np.uint64(ROWS)
        cuts = np.flatnonzero(np.r_[True, place[1:] != place[:-1], True]) if len(place) else np.zeros(1, np.int64)
        for start, end in itertools.pairwise(cuts.tolist()):
            shard, batch = divmod(int(place[start]), 1 << 32)
            self._read.add(self.urls[shard])
            yield _open(self.urls[shard])[0].get_batch(batch), row[start:end].astype(np.int64) % ROWS, slice(start, end)


def similarity(store: ShingleStore, a: np.ndarray, b: np.ndarray, measure: str = "jaccard") -> np.ndarray:
    """Exact similarity of pairs.

    a, b      (E,) uint64, handles of the two ends of each pair
    measure   "jaccard" or "containment"
    returns   (E,) float64 in [0, 1], in the order given
    """
    out = np.empty(len(a), np.float64)
    order = np.lexsort((b, a))
    left, right = a[order], b[order]
    handles, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    size = store.sizes(handles)[places].reshape(2, -1) * 8
    new = np.r_[True, left[1:] != left[:-1]][: len(left)]
    total = np.cumsum(size[1] + size[0] * new)
    start = 0
    while start < len(order):
        before = total[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(total, before + BLOCK_BYTES, side="right")))
        handles, places = np.unique(np.concatenate([left[start:end], right[start:end]]), return_inverse=True)
        hashes, offsets = store.gather(handles)
        ends = places.reshape(2, -1)
        out[order[start:end]] = _similarity(hashes, offsets, ends[0], ends[1], measure == "containment")
        store.release()
        start = end
    return out


def set_similarity(
    hashes: np.ndarray, offsets: np.ndarray, a: np.ndarray, b: np.ndarray, measure: str = "jaccard"
) -> np.ndarray:
    """The same of sets in memory: hashes (H,) uint64, offsets (D+1,) int64, a and b (E,) int64 places of sets."""
    found: np.ndarray = _similarity(hashes, offsets, a, b, measure == "containment")
    return found


@compiled
def _take(values, ends, rows):
    total = 0
    for row in rows:
        total += ends[row + 1] - ends[row]
    out = np.empty(total, np.uint64)
    position = 0
    for row in rows:
        n = ends[row + 1] - ends[row]
        out[position : position + n] = values[ends[row] : ends[row + 1]]
        position += n
    return out


@compiled
def _similarity(hashes, offsets, left, right, containment):
    # hashes (H,) uint64, offsets (N+1,), left and right (E,) places in offsets -> (E,) float64
    out = np.zeros(len(left), np.float64)
    for e in range(len(left)):
        i, i_end = offsets[left[e]], offsets[left[e] + 1]
        j, j_end = offsets[right[e]], offsets[right[e] + 1]
        n, m = i_end - i, j_end - j
        if n == 0 or m == 0:
            continue
        both = 0
        while i < i_end and j < j_end:
            x, y = hashes[i], hashes[j]
            both += x == y
            i += x <= y
            j += y <= x
        out[e] = both / (min(n, m) if containment else n + m - both)
    return out
