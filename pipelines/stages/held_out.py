"""Held out means unseen: which documents belong together, so that all of them are trained on or none is.

A document, its rewritings (by `lineage/`) and its near-duplicates, in whatever source or domain, are one group, and a
group is held out or not by one draw: the hash of its smallest id. Near-duplicates are looked for where they may be: not
where `dedup` has compared every document with every other. They share a band of MinHash (14 bands of 8 rows over words
in fives, as in FineWeb: 0.97 of the pairs at a Jaccard similarity of 0.85), and are not verified, since a group too
large costs nothing. A group that would take more than half of what is held out is trained on.

The groups travel from the workers to one, which writes those of more than one document beside the tokens; a document
on its own is drawn by its own id. Refuses nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from ...corpus.store import fate
from ...corpus.store.shards import filesystem, replacing
from ...corpus.store.workspace import Workspace
from ...dedup.minhash import preset, signatures
from ...dedup.shingles import shingle
from ...training.data.shards import held_out
from ..engine.stage import Plan

LINEAGE, FILE = "lineage", "tokens/_groups.arrow"
BANDS = preset("fineweb")
SEED = 1
LEAST = 16  # documents that a group may always have
GROUPS = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("group", pa.string(), nullable=False)])


def grouping_inputs(workspace: Workspace) -> dict[str, str]:
    """What decides the groups besides the surviving documents."""
    lineage = workspace.table(LINEAGE).manifest()
    return {} if lineage is None else {LINEAGE: lineage.fingerprint}


def compared(workspace: Workspace) -> bool:
    """Whether the surviving documents have all been compared with each other."""
    manifest = workspace.table("decisions/dedup").manifest()
    if manifest is None:
        return False
    return manifest.settings.get("scope") == "global" and bool(manifest.settings.get("minhash"))


def grouped_first(shards: beam.PCollection, plan: Plan) -> beam.PCollection:
    """Shards of documents and one None -> the same, once the groups are written."""
    return (  # type: ignore[return-value]
        shards
        | "what belongs together" >> beam.FlatMap(keys_of_shard, plan)
        | "by key" >> beam.GroupByKey()
        | "links" >> beam.FlatMap(links)
        | "all links" >> beam.GroupByKey()
        | "groups" >> beam.FlatMap(write_groups, plan)
        | "spread again" >> beam.Reshuffle()
    )


def keys_of_shard(shard: str | None, plan: Plan) -> Iterator[tuple[bytes, str]]:
    """(key, id): documents of one key belong together. The empty key names shards that have to be tokenized."""
    workspace: Workspace = plan.workspace
    yield b"", shard or ""
    if not plan.settings.heldout:
        return
    if shard is None:
        if workspace.table(LINEAGE).manifest() is not None:
            for batch in workspace.table(LINEAGE).read(["id", "parent"]):
                for id, parent in zip(batch["id"].to_pylist(), batch["parent"].to_pylist(), strict=True):
                    yield b"lineage:" + parent.encode(), parent
                    yield b"lineage:" + parent.encode(), id
        return
    if compared(workspace):
        return
    for batch in fate.read_kept(workspace, shard, ["id", "text"]):
        sets = shingle(batch["text"], BANDS.unit, BANDS.size, BANDS.fold)
        rows = signatures(sets.hashes, sets.offsets, BANDS.num_perm, SEED)
        sizes = sets.offsets[1:] - sets.offsets[:-1]
        for id, size, row in zip(batch["id"].to_pylist(), sizes.tolist(), rows, strict=True):
            for band in range(BANDS.bands) if size else ():
                own = row[band * BANDS.rows : (band + 1) * BANDS.rows].tobytes()
                yield hashlib.blake2b(own, digest_size=12, salt=band.to_bytes(2, "big")).digest(), id


def links(group: tuple[bytes, Iterable[str]]) -> Iterator[tuple[int, list[str]]]:
    """The documents of a key that several have."""
    key, ids = group[0], sorted(set(group[1]))
    if key == b"":
        yield 0, ["", *ids]
    elif len(ids) > 1:
        yield 0, ids


def write_groups(group: tuple[int, Iterable[list[str]]], plan: Plan) -> Iterator[str | None]:
    """Write id -> group of every document that is not alone, then name the shards to go on with."""
    shards: list[str] = []
    root: dict[str, str] = {}

    def find(id: str) -> str:
        while (above := root.setdefault(id, id)) != id:
            root[id] = root[above]
            id = above
        return id

    for ids in group[1]:
        if ids[0] == "":
            shards = ids[1:]
            continue
        for other in ids[1:]:
            a, b = find(ids[0]), find(other)
            root[max(a, b)] = min(a, b)
    ids = sorted(root)
    table = pa.table([pa.array(ids, pa.string()), pa.array([find(id) for id in ids], pa.string())], schema=GROUPS)
    with replacing(plan.workspace.path(FILE)) as scratch, pa.OSFile(scratch, "wb") as sink:
        with pa.ipc.new_file(sink, GROUPS) as writer:
            writer.write_table(table)
    yield from (shard or None for shard in shards)


def drawn(plan: Plan, documents: int) -> Callable[[str], bool]:
    """id -> whether the document is held out. `documents`: of the corpus, a share of which is held out."""
    share = plan.settings.heldout
    groups = _groups(plan.workspace.path(FILE), plan.stage + str(sorted(plan.inputs.items())))
    most = max(LEAST, int(0.5 * share * documents))

    def draw(id: str) -> bool:
        group, size = groups.get(id, (id, 1))
        return size <= most and held_out(group, share)

    return draw


@lru_cache(maxsize=1)
def _groups(path: str, made_from: str) -> dict[str, tuple[str, int]]:
    """id -> its group and the size of that. Read once a process, for one state of the workspace."""
    fs, inner = filesystem(path)
    with fs.open(inner, "rb") as file:
        table = pa.ipc.open_file(file).read_all()
    counts = pc.value_counts(table["group"])
    sizes = dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))
    return {
        id: (group, sizes[group]) for id, group in zip(table["id"].to_pylist(), table["group"].to_pylist(), strict=True)
    }
