"""What a changed corpus asks to be compared again: the buckets that changed, and nothing else.

What is found inside a bucket depends on its members alone. So where members came, changed or went, all that was found
in their buckets is dropped and looked for again; what was found in other buckets stays. A bucket that lost a member is
known by an edge that ends in it: every member was compared with a leader, or is counted as left over.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pyarrow as pa

STORED = pa.schema(
    [
        pa.field("kind", pa.uint8(), nullable=False),  # 0 MinHash, 1 + n the n-th exact key
        pa.field("key", pa.uint64(), nullable=False),  # of the bucket in which the pair was compared
        pa.field("shard_a", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("row_a", pa.uint32(), nullable=False),
        pa.field("shard_b", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("row_b", pa.uint32(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),  # nan where it was not verified
        pa.field("joined", pa.bool_(), nullable=False),  # verification passed
    ]
)
LEFT = pa.schema([pa.field("key", pa.uint64(), nullable=False)])  # of each member that no leader covered
LOW = np.uint64(0xFFFFFFFF)


def among(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which values are among the known ones, which ascend: (N,) bool."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    return known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values


def entries_among(key: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """Places of the entries whose key is touched; both ascend. (N,), (K,) uint64 -> (M,) int64, ascending."""
    start, end = np.searchsorted(key, touched, "left"), np.searchsorted(key, touched, "right")
    size = end - start
    found = size > 0
    start, size = start[found], size[found]
    return np.repeat(start - np.r_[0, np.cumsum(size)[:-1]][: len(size)], size) + np.arange(size.sum())


def touched(
    fresh: Sequence[np.ndarray], edges: Iterable[pa.Table], left: np.ndarray, gone: Collection[str]
) -> np.ndarray:
    """Keys of the buckets that changed, ascending.

    fresh  keys of the entries of shards that came or changed
    edges  what was found before (`STORED`)
    left   keys of buckets with members that were left over before
    gone   shards of it that changed or went
    """
    keys = [np.zeros(0, np.uint64), *fresh]
    if gone:
        keys.append(left)
        for table in edges:
            lost = np.zeros(len(table), np.bool_)
            for column in ("shard_a", "shard_b"):
                names, index = coded(table[column])
                lost |= np.array([name in gone for name in names], np.bool_)[index]
            keys.append(table["key"].to_numpy()[lost])
    return np.unique(np.concatenate(keys))


def coded(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """A dictionary column as its values and the index of each row."""
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    if not len(whole):
        return [""], np.zeros(0, np.int64)
    return whole.dictionary.to_pylist(), whole.indices.to_numpy().astype(np.int64)


def by_handle(table: pa.Table, numbers: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The ends of stored edges as handles (number of the shard << 32 | row), (E,) uint64 each."""
    ends = []
    for end in ("a", "b"):
        names, index = coded(table[f"shard_{end}"])
        number = np.array([numbers.get(name, 0) for name in names], np.uint64)[index]
        ends.append((number << np.uint64(32)) | table[f"row_{end}"].to_numpy().astype(np.uint64))
    return ends[0], ends[1]


def to_stored(
    names: Sequence[str],
    kind: np.ndarray,
    key: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    similarity: np.ndarray,
    joined: np.ndarray,
) -> pa.RecordBatch:
    """Edges between handles (E,) -> rows of `STORED`, by kind, key and ends: the same for any order of the edges."""
    order = np.lexsort((b, a, key, kind))
    columns = [pa.array(kind[order], pa.uint8()), pa.array(key[order])]
    for end in (a[order], b[order]):
        used, index = np.unique((end >> np.uint64(32)).astype(np.int64), return_inverse=True)
        own = pa.array([names[number] for number in used.tolist()], pa.string())
        columns.append(pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), own))
        columns.append(pa.array((end & LOW).astype(np.uint32)))
    columns += [pa.array(similarity[order]), pa.array(joined[order])]
    return pa.record_batch(columns, schema=STORED)


def untouched(table: pa.Table, keys: np.ndarray | None) -> pa.Table:
    """The rows of `STORED` or `LEFT` whose bucket is none of these keys; keys ascend, None is all of them."""
    return table.slice(0, 0) if keys is None else table.filter(pa.array(~among(keys, table["key"].to_numpy())))
