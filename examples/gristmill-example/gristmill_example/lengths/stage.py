"""Lengths: how long every surviving document is. Refuses a workspace in which a decision is stale."""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.store import fate
from gristmill.corpus.store.shards import committed, fingerprint, open_shard
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.stage import Plan, Report, Stage, shard_graph

from .settings import LengthsSettings

TABLE = "lengths"
SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), ("characters", pa.int64()), ("bytes", pa.int64())])


def lengths_inputs(workspace: Workspace, settings: LengthsSettings) -> dict[str, str]:
    """What decides the surviving documents and their texts: refused where a link of that chain is stale."""
    return fate.inputs(workspace, "lengths")


def lengths_graph(pipeline: beam.Pipeline, plan: Plan[LengthsSettings]) -> beam.PCollection:
    """One work item a shard of documents/; one sink."""
    shards = [shard.name for shard in plan.workspace.table("documents").finished("lengths").shards]
    return shard_graph(pipeline, plan, shards, measure_shard, tables=(TABLE,))


def measure_shard(plan: Plan[LengthsSettings], shard: str) -> Iterator[Report]:
    """Write the shard of the same name, unless it is there and was made from the same things."""
    url = plan.workspace.table(TABLE).shard_url(shard)
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    if committed(url, stamp) is None:
        with open_shard(url, SCHEMA, stamp) as out:
            for batch in fate.read_kept(plan.workspace, shard, ["id", "text"]):
                text = pc.utf8_trim_whitespace(batch["text"]) if plan.settings.strip else batch["text"]
                columns = [batch["id"], pc.utf8_length(text).cast("int64"), pc.binary_length(text).cast("int64")]
                out.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
            out.counts["documents"] = out.rows
    yield TABLE, committed(url, stamp)


LENGTHS = Stage("lengths", 1, (TABLE,), lengths_inputs, lengths_graph)
