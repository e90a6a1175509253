"""Lengths: how long every surviving document is. Refuses a workspace in which a decision is stale."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.store import fate
from gristmill.pipelines.engine.graph import Report, Work, commit, map_shards
from gristmill.pipelines.engine.stage import Plan, Stage

from .settings import LengthsSettings

TABLE = "lengths"
SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), ("characters", pa.int64()), ("bytes", pa.int64())])


def lengths_items(plan: Plan[LengthsSettings]) -> Iterable[Work]:
    """One work item a shard of documents/, with what decides its documents and their texts."""
    return (Work.of(source) for source in fate.sources(plan.workspace, "lengths").values())


def measure_shard(plan: Plan[LengthsSettings], work: Work) -> Iterator[Report]:
    """Write the shard of the same name."""
    with plan.writer(TABLE, work.name, SCHEMA) as out:
        for batch in work.documents.read(["id", "text"]):
            text = pc.utf8_trim_whitespace(batch["text"]) if plan.settings.strip else batch["text"]
            columns = [batch["id"], pc.utf8_length(text).cast("int64"), pc.binary_length(text).cast("int64")]
            out.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
        out.counts["documents"] = out.rows
    yield TABLE, out.shard


LENGTHS = Stage(
    "lengths",
    1,
    (TABLE,),
    inputs=lambda workspace, settings: {},
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, measure_shard), plan),
    items=lengths_items,
)
