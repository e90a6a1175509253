"""Cut repeated text out of the documents that deduplication kept: `edits/dedup/` out.

    lines    `repeats/lines/`    lines or paragraphs that many documents contain
    seeds    `repeats/seeds/`    short windows of words that two documents share
    windows  `repeats/windows/`  windows of the asked length that two documents share, looked for around seeds only
    edit     `edits/dedup/`      the new text of each document that something was cut from, and what was cut

Each is a stage of its own: a shard counts, a partition of the key space decides what is frequent, every shard reads
the frequent keys (16 bytes and a count each). The document with the smallest rank keeps its copy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ....corpus.store.fate import inputs, refuse_stale, sources
from ....corpus.store.schema import EDITS
from ....corpus.store.workspace import Workspace
from ....dedup.cuts import Cut, apply_cuts, choose_cuts, merged
from ....dedup.growth import among
from ....dedup.keys import ranks
from ....dedup.repeats import Pieces, Words, places, repeated, seeds, segments, windows, words
from ....dedup.settings import RepeatSettings
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, group_by_key, map_blocks, map_shards
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from .signatures import STAGE

if TYPE_CHECKING:
    import apache_beam as beam

REPEATS = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("first", pa.uint64(), nullable=False),  # smallest rank of a document that contains it
    ]
)
DECIDED, CUT = "decisions/dedup", "edits/dedup"
MADE = (CUT, "repeats/lines", "repeats/seeds", "repeats/windows")  # the results of this module
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
    return run_stage(EDIT, workspace, settings, options, force=force, quiet=quiet)


def items(plan: Plan[RepeatSettings]) -> list[Work]:
    """The documents of each shard that deduplication kept, in the text that the stages before it left."""
    refuse_stale(plan.workspace, DECIDED, STAGE)
    table = plan.workspace.table(DECIDED)
    decided = table.finished(STAGE).by_name
    work = []
    for name, source in sources(plan.workspace, STAGE, chain_before(STAGE)).items():
        made_from = {**source.made_from, f"{DECIDED}/{name}": decided[name].content}
        work.append(Work.of(replace(source, decided=table.file_url(decided[name]), made_from=made_from)))
    return work


def kept(work: Work) -> Iterator[pa.RecordBatch]:
    """Surviving documents of one shard: id and text before any cut of this stage."""
    return work.documents.read(["id", "text"])


def kind_of(plan: Plan) -> str:
    """What a counting stage counts: the last part of its name."""
    return plan.stage.rpartition("/")[2]


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
    shared = among(known, chosen.key)
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


def _partitions(plan: Plan) -> int:
    documents = workspace_documents(plan.workspace)
    return max(1, -(-documents * OCCURRENCES[kind_of(plan)] // KEYS))


def workspace_documents(workspace: Workspace) -> int:
    return sum(shard.rows for shard in workspace.table("documents").finished(STAGE).shards)


def counting_graph(pipeline: "beam.Pipeline", plan: Plan) -> "beam.PCollection":
    """Shards -> keys by partition -> what is frequent."""
    keys = map_blocks(pipeline, plan, keys_of, _partitions(plan))
    return commit(group_by_key(keys, f"count {kind_of(plan)}", count, plan.bare), plan)


def keys_of(work: Work, plan: Plan, partitions: int) -> Iterator[tuple[int, Any]]:
    """(partition, (key, rank)) of one shard."""
    for batch in kept(work):
        found, _ = pieces_of(kind_of(plan), batch, plan)
        rank = ranks(batch["id"])[found.document]
        place = found.key % np.uint64(partitions)
        for partition in np.unique(place).tolist():
            own = place == partition
            yield int(partition), (found.key[own], rank[own])


def count(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[Report]:
    """Write the keys of one partition that enough documents contain."""
    blocks = list(group[1])
    least = plan.settings.lines if kind_of(plan) == "lines" else 2
    key, rank = (np.concatenate([block[i] for block in blocks]) for i in range(2))
    found = repeated(key, rank, least)
    with plan.writer(plan.stage, f"part-{group[0]:05d}.parquet", REPEATS, False) as out:
        out.write_batch(pa.record_batch(list(map(pa.array, found)), schema=REPEATS))
        out.counts.update({"occurrences": len(key), "repeated": len(found[0])})
    yield plan.stage, out.shard


def edit_shard(plan: Plan, work: Work) -> Iterator[Report]:
    """Write the documents of one shard that something is cut from."""
    settings: RepeatSettings = plan.settings
    told = {"documents": 0, "edited": 0, "characters_cut": 0}
    with plan.writer(CUT, work.name, EDITS) as out:
        for batch in kept(work):
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
    yield CUT, out.shard


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
        hit = among(known, found.key)
        if not hit.any():
            continue
        place = np.minimum(np.searchsorted(known, found.key), len(known) - 1)
        if kind == "windows" or settings.keep_first:
            hit &= first[place] != rank[found.document]
        for i in np.flatnonzero(hit).tolist():
            cut = Cut(int(found.start[i]), int(found.end[i]), rule, int(documents[place[i]]))
            cuts.setdefault(int(found.document[i]), []).append(cut)
    return cuts


def counting_inputs(workspace: Workspace, settings: RepeatSettings) -> dict[str, str]:
    """The documents that deduplication kept: the chain before it is among what it was made from."""
    refuse_stale(workspace, DECIDED, STAGE)
    return inputs(workspace, STAGE, chain_before(STAGE)) | {
        DECIDED: workspace.table(DECIDED).finished(STAGE).fingerprint
    }


def window_inputs(workspace: Workspace, settings: RepeatSettings) -> dict[str, str]:
    return counting_inputs(workspace, settings) | _repeats(workspace, "seeds")


def edit_inputs(workspace: Workspace, settings: RepeatSettings) -> dict[str, str]:
    """What repeats, in all documents together."""
    lines = _repeats(workspace, "lines") if settings.lines else {}
    return lines | (_repeats(workspace, "windows") if settings.substrings else {})


def _repeats(workspace: Workspace, kind: str) -> dict[str, str]:
    name = f"repeats/{kind}"
    return {name: workspace.table(name).finished(STAGE).fingerprint}


COUNTING: dict[str, Stage[RepeatSettings]] = {
    kind: Stage(
        name=f"repeats/{kind}",
        command=STAGE,
        version=2,
        tables=(f"repeats/{kind}",),
        inputs=window_inputs if kind == "windows" else counting_inputs,
        graph=counting_graph,
        items=items,
        whole=True,
        redecides=True,
        recorded=recorded,
    )
    for kind, recorded in (
        ("lines", lambda settings: {"lines": settings.lines, "unit": settings.unit}),
        ("seeds", lambda settings: {"substrings": settings.substrings}),
        ("windows", lambda settings: {"substrings": settings.substrings}),
    )
}
EDIT: Stage[RepeatSettings] = Stage(
    name=CUT,
    command=STAGE,
    version=2,
    tables=(CUT,),
    inputs=edit_inputs,
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, edit_shard), plan),
    items=items,
    redecides=True,
)
