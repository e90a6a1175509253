"""The decontaminate stage: documents that hold pieces of evaluation sets are dropped, or the pieces are cut out.

Reads what the filter kept, writes `decisions/decontaminate/`, `contamination/` (every hit: which task and example, and
where in the document) and, where pieces are cut, `edits/decontaminate/`. The index is built by each worker from the
files, which must be readable there; a changed file is another input.
"""

from collections.abc import Iterator
from typing import Literal

import apache_beam as beam
import pyarrow as pa
from pydantic import BaseModel, Field

from ....corpus.store import fate
from ....corpus.store.calls import File
from ....corpus.store.schema import DECISIONS, EDITS
from ....corpus.store.shards import checksum, committed, fingerprint, open_shard
from ....corpus.store.workspace import Workspace
from ....filters.decontamination import Index, index_of, masked, read_examples, search
from ...engine.stage import Plan, Report, Stage, shard_graph

STAGE = "decontaminate"
DECISIONS_TABLE, HITS_TABLE, EDITS_TABLE = "decisions/decontaminate", "contamination", "edits/decontaminate"
HITS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("example", pa.int64(), nullable=False),  # its place in the file, from 0
        pa.field("start", pa.int64(), nullable=False),  # in characters of the text as the filter left it
        pa.field("end", pa.int64(), nullable=False),
        pa.field("words", pa.int64(), nullable=False),
        pa.field("edits", pa.int64(), nullable=False),  # words that differ; 0: n in a row agree
    ]
)


class DecontaminateSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage."""

    sets: dict[str, File] = Field(min_length=1)  # task -> JSONL file
    n: int = Field(13, ge=5)  # words of an n-gram
    shortest: int = Field(8, ge=3)  # words of the shortest example that is looked for
    tolerance: float = Field(0.15, ge=0, le=0.3)  # share of an example's words that a near copy may change; 0: none
    action: Literal["drop", "mask"] = "drop"

    @property
    def index(self) -> Index:
        return index_of(tuple(sorted(self.sets.items())), self.n, self.shortest, self.tolerance)


def _inputs(workspace: Workspace, settings: DecontaminateSettings) -> dict[str, str]:
    inputs = fate.inputs(workspace, STAGE, until=STAGE)
    for task, path in sorted(settings.sets.items()):
        read_examples(path)  # refuses a file that cannot be read before anything runs
        inputs[f"set {task}"] = checksum(path)
    return inputs


def _shards(workspace: Workspace) -> list[tuple[str, str]]:
    return [(shard.name, shard.checksum) for shard in workspace.table("documents").finished(STAGE).shards]


def _graph(pipeline: beam.Pipeline, plan: Plan[DecontaminateSettings]) -> beam.PCollection:
    return shard_graph(pipeline, plan, _shards(plan.workspace), decontaminate_shard, tables=decontaminate.tables)


decontaminate: Stage[DecontaminateSettings] = Stage(
    name=STAGE,
    version=2,
    tables=(DECISIONS_TABLE, HITS_TABLE, EDITS_TABLE),
    inputs=_inputs,
    graph=_graph,
    work=lambda workspace, settings: len(_shards(workspace)),
    redecides=True,
)


def decontaminate_shard(plan: Plan[DecontaminateSettings], item: tuple[str, str]) -> Iterator[Report]:
    """Hits, edits and decisions of one shard."""
    shard, digest = item
    stamp = fingerprint(STAGE, plan.version, plan.recorded, digest, sorted(plan.inputs.items()))
    urls = {name: plan.workspace.table(name).shard_url(shard) for name in decontaminate.tables}
    if any(committed(url, stamp) is None for url in urls.values()):
        _write(plan, shard, urls, stamp)
    for name in decontaminate.tables:
        yield name, committed(urls[name], stamp)


def _write(plan: Plan[DecontaminateSettings], shard: str, urls: dict[str, str], stamp: str) -> None:
    index, mask = plan.settings.index, plan.settings.action == "mask"
    hits, edits, decisions = [], [], []
    for batch in fate.read_kept(plan.workspace, shard, ["id", "text"], until=STAGE):
        for name, text, found in zip(
            batch["id"].to_pylist(), batch["text"].to_pylist(), search(batch["text"], index), strict=True
        ):
            hits += [{"id": name} | vars(hit) for hit in found]
            if found and mask:
                left, removed = masked(text, found)
                edits.append({"id": name, "text": left, "removed": removed})
            decision = {"id": name, "kept": mask or not found, "stage": STAGE}
            if found and not mask:
                longest = max(found, key=lambda hit: (hit.words, hit.task))
                decision |= {"rule": longest.task, "value": longest.words, "threshold": plan.settings.n}
            decisions.append(decision)
    with open_shard(urls[HITS_TABLE], HITS, stamp) as out:
        out.write_rows(hits)
        out.counts["hits"] = len(hits)
    with open_shard(urls[EDITS_TABLE], EDITS, stamp) as out:
        out.write_rows(edits)
        out.counts["documents"] = len(edits)
    with open_shard(urls[DECISIONS_TABLE], DECISIONS, stamp) as out:
        out.write_rows(decisions)
        kept = sum(row["kept"] for row in decisions)
        out.counts |= {"in": len(decisions), "kept": kept, "dropped": len(decisions) - kept, "failed": 0}
