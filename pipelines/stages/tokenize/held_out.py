"""Held out means unseen: which documents belong together, so that all of them are trained on or none is.

A document, its rewritings (by `lineage/`) and its near-duplicates, in whatever source or domain, are one group, and a
group is held out or not by one draw: the hash of its smallest id. Near-duplicates are looked for where they may be: not
where `dedup` has compared every document with every other and left none that are as alike. They share a band of MinHash
(14 bands of 8 rows over words in fives, as in FineWeb: 0.97 of the pairs at a Jaccard similarity of 0.85), and are not
verified, since a group too large costs nothing. A group that would take more than half of what is held out is trained
on.

`groups/` holds id -> group of the documents that are not alone; a document on its own is drawn by its own id. Refuses
nothing.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ....corpus.store import fate
from ....corpus.store.shards import filesystem
from ....corpus.store.soundness import opened
from ....corpus.store.workspace import Workspace
from ....dedup.minhash import preset, signatures
from ....dedup.shingles import shingle
from ....training.data.shards import held_out
from ...engine.graph import Work, commit, gather, group_by_key, map_blocks
from ...engine.stage import Plan, Stage
from .settings import TokenizeSettings

if TYPE_CHECKING:
    import apache_beam as beam

LINEAGE, GROUPS, FILE = "lineage", "groups", "groups.parquet"
BANDS = preset("fineweb")
SEED = 1
COMPARED = 0.8  # Jaccard similarity from which dedup must have joined documents for nothing to be looked for here
LEAST = 16  # documents that a group may always have
SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("group", pa.string(), nullable=False)])


def groups_inputs(workspace: Workspace, settings: TokenizeSettings) -> dict[str, str]:
    found = fate.inputs(workspace, "tokenize")
    lineage = workspace.table(LINEAGE).manifest()
    return found if lineage is None else found | {LINEAGE: lineage.fingerprint}


def compared(workspace: Workspace) -> bool:
    """Whether the surviving documents have all been compared with each other."""
    manifest = workspace.table("decisions/dedup").manifest()
    if manifest is None:
        return False
    told = manifest.settings
    alike = told.get("threshold", 1.0) <= COMPARED and told.get("measure", "jaccard") == "jaccard"
    return told.get("scope") == "global" and bool(told.get("minhash")) and alike


def groups_graph(pipeline: "beam.Pipeline", plan: Plan[TokenizeSettings]) -> "beam.PCollection":
    """Documents -> keys that belong together share -> links -> one table."""
    linked = group_by_key(map_blocks(pipeline, plan, keys_of_shard), "links", links)
    return commit(gather(linked, "groups", make_groups, plan.bare), plan)


def keys_of_shard(work: Work, plan: Plan[TokenizeSettings]) -> Iterator[tuple[bytes, str]]:
    """(key, id): documents of one key are near-duplicates."""
    if not plan.settings.heldout or compared(plan.workspace):
        return
    for batch in work.documents.read(["id", "text"]):
        sets = shingle(batch["text"], BANDS.unit, BANDS.size, BANDS.fold)
        rows = signatures(sets.hashes, sets.offsets, BANDS.num_perm, SEED)
        sizes = sets.offsets[1:] - sets.offsets[:-1]
        for id, size, row in zip(batch["id"].to_pylist(), sizes.tolist(), rows, strict=True):
            for band in range(BANDS.bands) if size else ():
                own = row[band * BANDS.rows : (band + 1) * BANDS.rows].tobytes()
                yield hashlib.blake2b(own, digest_size=12, salt=band.to_bytes(2, "big")).digest(), id


def links(group: tuple[bytes, Iterable[str]]) -> Iterator[list[str]]:
    """The documents of a key that several have."""
    ids = sorted(set(group[1]))
    if len(ids) > 1:
        yield ids


def make_groups(linked: Iterator[list[str]], plan: Plan[TokenizeSettings]) -> Iterator[Any]:
    """Write id -> group of every document that is not alone."""
    root: dict[str, str] = {}

    def find(id: str) -> str:
        while (above := root.setdefault(id, id)) != id:
            root[id] = root[above]
            id = above
        return id

    for ids in (*linked, *_rewritings(plan)):
        for other in ids[1:]:
            a, b = find(ids[0]), find(other)
            root[max(a, b)] = min(a, b)
    ids = sorted(root)
    table = pa.table([pa.array(ids, pa.string()), pa.array([find(id) for id in ids], pa.string())], schema=SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    yield plan.put(GROUPS, FILE, sink.getvalue(), len(ids), grouped=len(ids))


def _rewritings(plan: Plan[TokenizeSettings]) -> Iterator[list[str]]:
    table = plan.workspace.table(LINEAGE)
    if plan.settings.heldout and table.manifest() is not None:
        for batch in table.read(["id", "parent"]):
            for id, parent in zip(batch["id"].to_pylist(), batch["parent"].to_pylist(), strict=True):
                yield [parent, id]


GROUPS_STAGE: Stage[TokenizeSettings] = Stage(
    name=GROUPS,
    command="tokenize",
    version=2,  # near-duplicates that dedup left are looked for
    tables=(GROUPS,),
    inputs=groups_inputs,
    graph=groups_graph,
    items=lambda plan: (Work.of(source) for source in fate.sources(plan.workspace, "tokenize").values()),
    whole=True,
    recorded=lambda settings: {"grouped": settings.heldout > 0},
)


def drawn(url: str, share: float, documents: int) -> Callable[[str], bool]:
    """id -> whether the document is held out. url: of `groups.parquet`; documents: of the corpus."""
    groups, most = _groups(url), max(LEAST, int(0.5 * share * documents))

    def draw(id: str) -> bool:
        group, size = groups.get(id, (id, 1))
        return size <= most and held_out(group, share)

    return draw


@lru_cache(maxsize=1)
def _groups(url: str) -> dict[str, tuple[str, int]]:
    """id -> its group and the size of that. Files of a table bear names of their own, so a URL stands for its bytes."""
    with opened(*filesystem(url)) as file:
        table = pq.read_table(file)
    counts = pc.value_counts(table["group"])
    sizes = dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))
    return {
        id: (group, sizes[group]) for id, group in zip(table["id"].to_pylist(), table["group"].to_pylist(), strict=True)
    }
