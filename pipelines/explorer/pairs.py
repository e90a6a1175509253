"""What another threshold or a narrower scope would make of the pairs that deduplication compared.

Reads `edges/`, every pair that was verified with its exact similarity. Only what is narrower than the last run can be
told: a lower threshold or a wider scope asks for pairs that were never compared. A run of its own would compare some
more pairs of a bucket, so that the number of dropped documents is the least that it can be. Refuses nothing; says why.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from ...corpus.store.shards import read_batches
from ...corpus.store.workspace import Workspace
from ...dedup.clusters import components
from ...dedup.growth import coded
from ...dedup.settings import DedupSettings
from .view import View

SCOPES = ("global", "source", "domain")


@dataclass(frozen=True)
class Recount:
    """The answer, or why there is none."""

    threshold: float  # of the last run
    asked: float
    scope: str
    clusters: int = 0
    dropped: int = 0
    now: int = 0
    why: str = ""


def dedup_settings(workspace: Workspace) -> dict[str, Any]:
    """How the last run told duplicates: unit, size, fold, threshold, scope, measure."""
    found: dict[str, Any] = {"scope": "global", "measure": "jaccard", **DedupSettings().resolved()}
    for table in ("signatures", "duplicates"):
        manifest = workspace.table(table).manifest()
        if manifest is not None:
            found |= {name: value for name, value in manifest.settings.items() if value is not None}
    return found


@lru_cache(maxsize=2)
def _pairs(workspace: Workspace, state: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, pa.Table]:
    """a, b (E,) places of documents, similarity and kind (E,), and the documents' ids, sources and domains."""
    edges = workspace.table("edges").finished("explore")
    names: dict[str, int] = {}
    parts: list[list[np.ndarray]] = []
    for shard in edges.shards:
        batches = list(read_batches(workspace.table("edges").file_url(shard), None))
        rows = pa.Table.from_batches(batches) if batches else None
        if rows is None or not rows.num_rows:
            continue
        ends = []
        for end in ("a", "b"):
            held = rows[f"shard_{end}"]
            known, index = coded(held if pa.types.is_dictionary(held.type) else held.dictionary_encode())
            number = np.array([names.setdefault(name, len(names)) for name in known], np.uint64)[index]
            ends.append((number << np.uint64(32)) | rows[f"row_{end}"].to_numpy().astype(np.uint64))
        joined = rows["joined"].to_numpy(zero_copy_only=False)
        similar = np.nan_to_num(rows["similarity"].to_numpy(), nan=1.0)
        parts.append([ends[0][joined], ends[1][joined], similar[joined], rows["kind"].to_numpy()[joined]])
    empty = [np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0), np.zeros(0, np.uint8)]
    a, b, similar, kind = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    handles = np.unique(np.concatenate([a, b]))
    table = _named(workspace, names, handles)
    return np.searchsorted(handles, a), np.searchsorted(handles, b), similar, kind, table


def _named(workspace: Workspace, names: dict[str, int], handles: np.ndarray) -> pa.Table:
    """id, source and domain of each handle, in order; null for a document of another workspace."""
    columns: dict[str, list[Any]] = {"id": [], "source": [], "domain": []}
    own = workspace.table("signatures").finished("explore").by_name
    shards = {number: name for name, number in names.items()}
    owner = (handles >> np.uint64(32)).astype(np.int64)
    for number in np.unique(owner).tolist():
        rows = (handles[owner == number] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        shard = own.get(shards[number])
        if shard is None:
            for column in columns.values():
                column += [None] * len(rows)
            continue
        batches = list(read_batches(workspace.table("signatures").file_url(shard), ["id", "source", "domain"], 1 << 16))
        taken = pa.Table.from_batches(batches).take(pa.array(rows))
        for name, column in columns.items():
            column += taken[name].to_pylist()
    return pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()})


def recount(view: View) -> Recount:
    """Clusters and dropped documents at the threshold and scope that the address asks for."""
    workspace = view.source.workspace
    settings = dedup_settings(workspace)
    now, scope = float(settings["threshold"]), str(settings["scope"])
    asked = view.number("threshold", now, 0.0, 1.0)
    wanted = view.choice("scope", SCOPES) or scope
    told = Recount(now, asked, wanted)
    if not workspace.is_local:
        return Recount(now, asked, wanted, why="The pairs that were compared are read from a local disk alone.")
    if workspace.table("edges").manifest() is None or "edges" in view.source.stale:
        return Recount(now, asked, wanted, why="The pairs that were compared are not there any more.")
    if asked < now:
        return Recount(
            now,
            asked,
            wanted,
            why=f"Below {now:g} pairs were not kept: run gristmill dedup with --threshold {asked:g}.",
        )
    if wanted != scope and scope != "global":
        return Recount(
            now,
            asked,
            wanted,
            why=f"Pairs were compared within the scope {scope} alone; run gristmill dedup with --scope {wanted}.",
        )
    a, b, similar, kind, documents = _pairs(workspace, view.source.state)
    stays = (similar >= asked) | (kind > 0)
    if wanted != "global":
        codes = documents[wanted].dictionary_encode().combine_chunks().indices.fill_null(-1).to_numpy()
        stays &= codes[a] == codes[b]
    before = components(a.astype(np.uint64), b.astype(np.uint64))
    after = components(a[stays].astype(np.uint64), b[stays].astype(np.uint64))
    counted = [(len(np.unique(of)), len(nodes) - len(np.unique(of))) for nodes, of in (before, after)]
    return Recount(told.threshold, asked, wanted, counted[1][0], counted[1][1], counted[0][1])
