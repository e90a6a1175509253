"""The decontaminate stage: documents that hold pieces of evaluation sets are dropped, or the pieces are cut out.

Reads what the filter kept, writes `decisions/decontaminate/`, `contamination/` (every hit: which task and example, and
where in the document) and, where pieces are cut, `edits/decontaminate/`. The index is built by each worker from the
files, which must be readable there; a changed file is another input.
"""

from collections.abc import Iterator

import pyarrow as pa

from ....corpus.store import fate
from ....corpus.store.schema import DECISIONS, EDITS
from ....corpus.store.shards import checksum
from ....corpus.store.workspace import Workspace
from ....filters.decontamination import masked, read_examples, search
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.stage import Plan, Stage
from .settings import DecontaminateSettings as DecontaminateSettings

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


def _inputs(workspace: Workspace, settings: DecontaminateSettings) -> dict[str, str]:
    for path in settings.sets.values():
        read_examples(path)  # refuses a file that cannot be read before anything runs
    found = {f"set:{task}": checksum(path) for task, path in sorted(settings.sets.items())}
    return found | ({"repair": "mojibake"} if _repaired(workspace) else {})


def _repaired(workspace: Workspace) -> bool:
    """Whether mojibake was mended in the documents; then it is in the sets as well."""
    documents = workspace.table("documents").manifest()
    return documents is not None and bool(documents.settings.get("repair_mojibake"))


decontaminate: Stage[DecontaminateSettings] = Stage(
    name=STAGE,
    version=4,
    tables=(DECISIONS_TABLE, HITS_TABLE, EDITS_TABLE),
    inputs=_inputs,
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, decontaminate_shard), plan),
    items=lambda plan: (Work.of(s) for s in fate.sources(plan.workspace, STAGE, chain_before(STAGE)).values()),
    before=chain_before(STAGE),
    redecides=True,
    recorded=lambda settings: settings.model_dump(mode="json", exclude={"sets"}) | {"sets": sorted(settings.sets)},
)


def decontaminate_shard(plan: Plan[DecontaminateSettings], work: Work) -> Iterator[Report]:
    """Hits, edits and decisions of one shard."""
    index, mask = plan.settings.index("repair" in plan.inputs), plan.settings.action == "mask"
    hits, edits, decisions = [], [], []
    for batch in work.documents.read(["id", "text"]):
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
    with plan.writer(HITS_TABLE, work.name, HITS) as out:
        out.write_rows(hits)
        out.counts["hits"] = len(hits)
    yield HITS_TABLE, out.shard
    with plan.writer(EDITS_TABLE, work.name, EDITS) as out:
        out.write_rows(edits)
        out.counts["documents"] = len(edits)
    yield EDITS_TABLE, out.shard
    with plan.writer(DECISIONS_TABLE, work.name, DECISIONS) as out:
        out.write_rows(decisions)
        kept = sum(row["kept"] for row in decisions)
        out.counts |= {"in": len(decisions), "kept": kept, "dropped": len(decisions) - kept, "failed": 0}
    yield DECISIONS_TABLE, out.shard
