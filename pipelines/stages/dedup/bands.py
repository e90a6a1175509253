"""Entries of buckets: `bands/`, shard for shard beside `signatures/`.

An entry is the key of a bucket and a row of signatures. A shard is an Arrow IPC file of record batches, sorted by key,
so that any part of the key space is found in it without reading the rest: batch 0 has the band keys, batch 1 + 2n the
n-th exact key and batch 2 + 2n its second half. Another workspace's signatures have theirs made when they are read.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ....dedup.keys import bucket_of, scope_hashes, split_key
from ....dedup.minhash import band_keys
from ....dedup.settings import DedupSettings
from ....dedup.verification import ipc_batches
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.stage import Plan, Stage
from .reading import read_columns
from .signatures import STAGE, shingles_name

TABLE = "bands"
BANDS = pa.schema([pa.field("key", pa.uint64(), nullable=False), pa.field("row", pa.uint32(), nullable=False)])
Entries = list[tuple[int, np.ndarray, np.ndarray, np.ndarray | None]]  # kind, key, row, second half of the key


def recorded(settings: DedupSettings) -> dict[str, Any]:
    """The settings that entries depend on beyond the signatures."""
    asked = settings.deciding()
    return {name: asked[name] for name in ("minhash", "scope", "bands", "rows")} | {"exact": list(settings.exact)}


def items(plan: Plan[DedupSettings]) -> list[Work]:
    """Every shard of signatures."""
    table = plan.workspace.table("signatures")
    shards = table.finished(STAGE).shards
    return [Work(s.name, {f"signatures/{s.name}": s.content}, load=table.file_url(s)) for s in shards]


def band(plan: Plan[DedupSettings], work: Work) -> Iterator[Report]:
    """Write the entries of one shard."""
    with plan.file(TABLE, shingles_name(work.name)) as out:
        with pa.OSFile(out.path, "wb") as file, pa.ipc.new_file(file, BANDS) as writer:
            for _, key, row, check in entries_of(work.load, plan.settings):
                writer.write_batch(pa.record_batch([key, row], schema=BANDS))
                if check is not None:
                    writer.write_batch(pa.record_batch([check, row], schema=BANDS))
                out.rows += len(key)
    yield TABLE, out.shard


def entries_of(url: str, settings: DedupSettings) -> Entries:
    """Entries of a shard of signatures, by key."""
    resolved = settings.resolved()
    scope_column = None if settings.scope == "global" else settings.scope
    names = ["shingles", *(f"key_{n}" for n in range(len(settings.exact)))]
    names += [scope_column] if scope_column else []
    names += ["signature"] if settings.minhash else []
    table = read_columns(url, names)
    rows = np.arange(len(table), dtype=np.uint32)
    scope = scope_hashes(table[scope_column] if scope_column else None, len(table))
    none = np.zeros(0, np.uint64)
    found: Entries = []
    if settings.minhash and len(table):
        own = table["shingles"].to_numpy() > 0
        signature = table["signature"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)[own]
        keys = band_keys(signature, resolved["bands"], resolved["rows"], scope[own]).T.reshape(-1)
        found.append((0, *_sorted(keys, np.tile(rows[own], resolved["bands"])), None))
    else:
        found.append((0, none, rows[:0], None))
    for n in range(len(settings.exact)):
        keys = table[f"key_{n}"].combine_chunks()
        present = keys.is_valid().to_numpy(zero_copy_only=False)
        halves = split_key(keys.drop_null())
        key = bucket_of(halves, scope[present], n)
        order = np.argsort(key, kind="stable")
        found.append((1 + n, key[order], rows[present][order], halves[:, 1][order]))
    return found


def _sorted(key: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both by key, equal keys in the order in which they came."""
    order = np.argsort(key)  # faster than a stable one; the few that are equal are put in order afterwards
    key = key[order]
    same = key[1:] == key[:-1]
    tied = np.flatnonzero(np.r_[same, False] | np.r_[False, same]) if len(key) else order
    order[tied] = order[tied][np.lexsort((order[tied], key[tied]))]
    return key, row[order]


def read_entries(url: str) -> Entries:
    """Entries of a shard of bands/."""
    file = ipc_batches(url)
    columns = [[file.get_batch(at).column(i).to_numpy() for i in range(2)] for at in range(file.num_record_batches)]
    found: Entries = [(0, columns[0][0], columns[0][1], None)]
    for n, at in enumerate(range(1, len(columns), 2)):
        found.append((1 + n, columns[at][0], columns[at][1], columns[at + 1][0]))
    return found


BAND: Stage[DedupSettings] = Stage(
    name=TABLE,
    command=STAGE,
    version=1,
    tables=(TABLE,),
    inputs=lambda workspace, settings: {},
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, band), plan),
    items=items,
    redecides=True,
    recorded=recorded,
)
