"""What another threshold or a narrower scope would make of the pairs that deduplication compared.

Reads `edges/`, every pair that was verified with its exact similarity. Only what is narrower than the last run can be
told: a lower threshold or a wider scope asks for pairs that were never compared. A run of its own would compare some
more pairs of a bucket, so that the number of dropped documents is the least that it can be. Refuses nothing; says why.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...corpus.store.shards import read_batches
from ...corpus.store.workspace import Workspace
from ...dedup.growth import coded
from ...dedup.settings import DedupSettings
from .view import View

SCOPES = ("global", "source", "domain")
COLUMNS = ["kind", "shard_a", "row_a", "shard_b", "row_b", "similarity", "joined"]


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


@dataclass(frozen=True)
class ComparedPairs:
    """Pairs that were joined: a, b (E,) int32 numbers of `documents` documents, similarity and kind (E,)."""

    a: np.ndarray
    b: np.ndarray
    similar: np.ndarray
    kind: np.ndarray
    documents: int
    codes: dict[str, np.ndarray]  # source and domain of each document as numbers, (D,) int32; -1 for none

    @cached_property
    def now(self) -> int:
        """Documents that are dropped by all of the pairs."""
        return self.clusters(np.ones(len(self.a), np.bool_))[1]

    def clusters(self, chosen: np.ndarray) -> tuple[int, int]:
        """Clusters that the pairs (E,) bool make, and the documents that are not the one that survives in its own."""
        if not self.documents:
            return 0, 0
        ends = self.a[chosen], self.b[chosen]
        graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(self.documents, self.documents))
        found, label = connected_components(graph, directed=False)
        return int(np.count_nonzero(np.bincount(label) > 1)), self.documents - int(found)


@lru_cache(maxsize=1)
def _pairs(workspace: Workspace, state: str) -> ComparedPairs:
    """The pairs of a state of a workspace."""
    edges = workspace.table("edges").finished("explore")
    names: dict[str, int] = {}
    parts: list[list[np.ndarray]] = []
    for shard in edges.shards:
        batches = list(read_batches(workspace.table("edges").file_url(shard), COLUMNS))
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
    left, right = (np.searchsorted(handles, end).astype(np.int32) for end in (a, b))
    return ComparedPairs(left, right, similar, kind, len(handles), _codes(workspace, names, handles))


def _codes(workspace: Workspace, names: dict[str, int], handles: np.ndarray) -> dict[str, np.ndarray]:
    """source and domain of each handle as numbers, in order; -1 for none and for a document of another workspace."""
    known: dict[str, dict[str, int]] = {name: {} for name in SCOPES[1:]}
    codes = {name: np.full(len(handles), -1, np.int32) for name in known}
    own = workspace.table("signatures").finished("explore").by_name
    shards = {number: name for name, number in names.items()}
    owner = (handles >> np.uint64(32)).astype(np.int64)
    for number in np.unique(owner).tolist():
        begins, ends = np.searchsorted(owner, [number, number + 1])  # handles ascend
        rows = (handles[begins:ends] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        shard = own.get(shards[number])
        if shard is None:
            continue
        url = workspace.table("signatures").file_url(shard)
        taken = pa.Table.from_batches(list(read_batches(url, list(codes), 1 << 16))).take(pa.array(rows))
        for name, column in codes.items():
            whole = pa.concat_arrays(taken[name].cast(pa.string()).chunks).dictionary_encode()
            told = [known[name].setdefault(value, len(known[name])) for value in whole.dictionary.to_pylist()]
            column[begins:ends] = np.array([*told, -1], np.int32)[whole.indices.fill_null(-1).to_numpy()]
    return codes


def recount(view: View, counted: bool = True) -> Recount:
    """Clusters and dropped documents at the threshold and scope that the address asks for. Reads every pair at first;
    with `counted` off it says just why there is no answer, where there is none."""
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
    if not counted:
        return told
    pairs = _pairs(workspace, view.source.state)
    stays = (pairs.similar >= asked) | (pairs.kind > 0)
    if wanted != "global":
        codes = pairs.codes[wanted]
        stays &= codes[pairs.a] == codes[pairs.b]
    clusters, dropped = pairs.clusters(stays)
    return Recount(told.threshold, asked, wanted, clusters, dropped, pairs.now)
