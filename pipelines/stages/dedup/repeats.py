"""Cut repeated text out of the documents that deduplication kept: `edits/dedup/` out.

    lines    `repeats/lines/`    lines or paragraphs that many documents contain
    seeds    `repeats/seeds/`    short windows of words that two documents share
    windows  `repeats/windows/`  windows of the asked length that two documents share, looked for around seeds only
    edit     `edits/dedup/`      the new text of each document that something was cut from, and what was cut

Each is a stage of its own: a shard counts, a partition of the key space decides what is frequent, every shard reads
the frequent keys (16 bytes and a count each). The document with the smallest rank keeps its copy.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from ....corpus.store.fate import CHAIN, inputs, read_kept
from ....corpus.store.schema import EDITS
from ....corpus.store.shards import committed, fingerprint, open_shard
from ....corpus.store.workspace import Workspace
from ....dedup.cuts import Cut, apply_cuts, choose_cuts, merged
from ....dedup.keys import ranks
from ....dedup.repeats import Pieces, Words, places, repeated, seeds, segments, windows, words
from ....dedup.settings import RepeatSettings
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Report, Stage, commit, run_stage, shard_graph

REPEATS = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("first", pa.uint64(), nullable=False),  # smallest rank of a document that contains it
    ]
)
NEXT = CHAIN[CHAIN.index("dedup") + 1]  # the stage that sees what dedup kept
KEYS = 4_000_000  # occurrences that one worker counts at a time
OCCURRENCES = {"lines": 30, "seeds": 60, "windows": 60}  # per document, to choose the number of partitions


def cut_repeats(
    workspace: Workspace, settings: RepeatSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Find repeats and cut them. Returns the summary of the editing stage."""
    settings.check()
    kinds = (["lines"] if settings.lines else []) + (["seeds", "windows"] if settings.substrings else [])
    for kind in kinds:
        run_stage(COUNTING[kind], workspace, settings, options, force=force, quiet=quiet)
    return run_stage(edit, workspace, settings, options, force=force, quiet=quiet)


def kept_inputs(workspace: Workspace) -> dict[str, str]:
    """The documents that dedup kept, in the text that stages before it left."""
    found = inputs(workspace, "dedup", until=NEXT)
    found.pop("edits/dedup", None)
    return found


def kept(workspace: Workspace, shard: str) -> Iterator[pa.RecordBatch]:
    """Surviving documents of one shard: id and text before any cut of this stage."""
    surviving = {i for batch in read_kept(workspace, shard, ["id"], until=NEXT) for i in batch["id"].to_pylist()}
    for batch in read_kept(workspace, shard, ["id", "text"], until="dedup"):
        chosen = batch.filter(pa.array([i in surviving for i in batch["id"].to_pylist()], pa.bool_()))
        if chosen.num_rows:
            yield chosen


def pieces_of(kind: str, batch: pa.RecordBatch, plan: Plan) -> tuple[Pieces, Words | None]:
    """What a batch contains that may repeat."""
    settings: RepeatSettings = plan.settings
    if kind == "lines":
        return segments(batch["text"], settings.unit), None
    assert settings.substrings is not None
    found = words(batch["text"])
    chosen = seeds(found, settings.substrings)
    if kind == "seeds":
        return chosen, found
    known, _, _ = frequent(plan.workspace, "seeds")
    shared = _among(known, chosen.key)
    here = Pieces(*(column[shared] for column in (chosen.key, chosen.document, chosen.start, chosen.end)))
    return windows(found, settings.substrings, places(found, here)), found


@lru_cache(maxsize=4)
def _frequent(workspace: Workspace, kind: str, made: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = pa.Table.from_batches(list(workspace.table(f"repeats/{kind}").read()), REPEATS)
    order = np.argsort(table["key"].to_numpy())
    return tuple(table[name].to_numpy()[order] for name in REPEATS.names)  # type: ignore[return-value]


def frequent(workspace: Workspace, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys that repeat, ascending, with how many documents contain them and the smallest rank."""
    return _frequent(workspace, kind, workspace.table(f"repeats/{kind}").finished("dedup").fingerprint)


def _among(known: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Which keys are among the known ones, which are ascending: (N,) bool."""
    if not len(known):
        return np.zeros(len(key), np.bool_)
    return known[np.minimum(np.searchsorted(known, key), len(known) - 1)] == key


def _partitions(plan: Plan) -> int:
    documents = workspace_documents(plan.workspace)
    return max(1, -(-documents * OCCURRENCES[plan.stage] // KEYS))


def workspace_documents(workspace: Workspace) -> int:
    return sum(shard.rows for shard in workspace.table("documents").finished("dedup").shards)


def counting_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """Shards -> keys by partition -> what is frequent."""
    shards = [shard.name for shard in plan.workspace.table("documents").finished("dedup").shards]
    partitions = _partitions(plan)
    return (
        pipeline
        | "shards" >> beam.Create([*shards, None])
        | "spread" >> beam.Reshuffle()
        | f"keys {plan.stage}" >> beam.FlatMap(keys_of, plan, partitions)
        | "partitions" >> beam.GroupByKey()
        | f"count {plan.stage}" >> beam.FlatMap(count, plan)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit, plan, (f"repeats/{plan.stage}",))
    )


def keys_of(shard: str | None, plan: Plan, partitions: int) -> Iterator[tuple[int, Any]]:
    """(partition, (key, rank)) of one shard."""
    if shard is None:
        for partition in range(partitions):
            yield partition, None
        return
    for batch in kept(plan.workspace, shard):
        found, _ = pieces_of(plan.stage, batch, plan)
        rank = ranks(batch["id"])[found.document]
        place = found.key % np.uint64(partitions)
        for partition in np.unique(place).tolist():
            own = place == partition
            yield int(partition), (found.key[own], rank[own])


def count(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[Report]:
    """Write the keys of one partition that enough documents contain."""
    blocks = [block for block in group[1] if block is not None]
    least = plan.settings.lines if plan.stage == "lines" else 2
    none = np.zeros(0, np.uint64)
    key, rank = (np.concatenate([none, *(block[i] for block in blocks)]) for i in range(2))
    found = repeated(key, rank, least)
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, group[0])
    url = plan.workspace.table(f"repeats/{plan.stage}").shard_url(f"part-{group[0]:05d}.parquet")
    if committed(url, stamp) is None:
        with open_shard(url, REPEATS, stamp, dictionary=False) as out:
            out.write_batch(pa.record_batch(list(map(pa.array, found)), schema=REPEATS))
            out.counts.update({"occurrences": len(key), "repeated": len(found[0])})
    done = committed(url, stamp)
    assert done is not None
    yield f"repeats/{plan.stage}", done


def edit_shard(plan: Plan, item: tuple[str, str]) -> Iterator[Report]:
    """Write the documents of one shard that something is cut from."""
    shard, _ = item
    settings: RepeatSettings = plan.settings
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    url = plan.workspace.table("edits/dedup").shard_url(shard)
    if committed(url, stamp) is None:
        with open_shard(url, EDITS, stamp) as out:
            told = {"documents": 0, "edited": 0, "characters_cut": 0}
            for batch in kept(plan.workspace, shard):
                rows = []
                texts, ids = batch["text"].to_pylist(), batch["id"].to_pylist()
                for document, cuts in sorted(cuts_of(batch, plan).items()):
                    size = len(texts[document].encode())
                    chosen = choose_cuts(merged(cuts), size, settings.protected)
                    if chosen:
                        text, removed = apply_cuts(texts[document], chosen)
                        rows.append({"id": ids[document], "text": text, "removed": removed})
                        told["characters_cut"] += len(texts[document]) - len(text)
                out.write_rows(rows)
                told["documents"] += batch.num_rows
                told["edited"] += len(rows)
            out.counts.update(told)
    done = committed(url, stamp)
    assert done is not None
    yield "edits/dedup", done


def cuts_of(batch: pa.RecordBatch, plan: Plan) -> dict[int, list[Cut]]:
    """Everything that repeats in each document of a batch and whose first copy is elsewhere."""
    settings: RepeatSettings = plan.settings
    rank = ranks(batch["id"])
    cuts: dict[int, list[Cut]] = {}
    kinds = ([("lines", settings.unit)] if settings.lines else []) + (
        [("windows", "substring")] if settings.substrings else []
    )
    for kind, rule in kinds:
        found, _ = pieces_of(kind, batch, plan)
        known, documents, first = frequent(plan.workspace, kind)
        hit = _among(known, found.key)
        if not hit.any():
            continue
        place = np.minimum(np.searchsorted(known, found.key), len(known) - 1)
        if kind == "windows" or settings.keep_first:
            hit &= first[place] != rank[found.document]
        for i in np.flatnonzero(hit).tolist():
            cut = Cut(int(found.start[i]), int(found.end[i]), rule, int(documents[place[i]]))
            cuts.setdefault(int(found.document[i]), []).append(cut)
    return cuts


def edit_inputs(workspace: Workspace, settings: RepeatSettings) -> dict[str, str]:
    found = kept_inputs(workspace)
    for kind, asked in (("lines", settings.lines), ("windows", settings.substrings)):
        if asked:
            found[f"repeats/{kind}"] = workspace.table(f"repeats/{kind}").finished("dedup").fingerprint
    return found


def window_inputs(workspace: Workspace, settings: RepeatSettings) -> dict[str, str]:
    seeds_made = workspace.table("repeats/seeds").finished("dedup").fingerprint
    return {**kept_inputs(workspace), "repeats/seeds": seeds_made}


def edit_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """documents/ -> edits/dedup/, shard by shard."""
    items = [(shard.name, shard.checksum) for shard in plan.workspace.table("documents").finished("dedup").shards]
    return shard_graph(pipeline, plan, items, edit_shard, tables=("edits/dedup",))


COUNTING = {
    kind: Stage(
        name=kind,
        version=1,
        tables=(f"repeats/{kind}",),
        inputs=window_inputs if kind == "windows" else lambda workspace, settings: kept_inputs(workspace),
        graph=counting_graph,
        redecides=True,
        recorded=recorded,
    )
    for kind, recorded in (
        ("lines", lambda settings: {"lines": settings.lines, "unit": settings.unit}),
        ("seeds", lambda settings: {"substrings": settings.substrings}),
        ("windows", lambda settings: {"substrings": settings.substrings}),
    )
}
edit = Stage(
    name="edits",
    version=1,
    tables=("edits/dedup",),
    inputs=edit_inputs,
    graph=edit_graph,
    work=lambda workspace, settings: len(workspace.table("documents").finished("dedup").shards),
    redecides=True,
)
