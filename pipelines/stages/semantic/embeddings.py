"""Embeddings: the documents that enter the semantic stage as vectors of a proxy model, `embeddings/` out.

Shard by shard; the model is loaded once a worker. Vectors depend on what stages before `semantic` decided and on
nothing after it, so scores, tags and selections may come and go without making them stale. A document without a token
has no row. Refuses a model without the tokenizer that it reads.
"""

from collections.abc import Iterator
from functools import lru_cache

import apache_beam as beam
import pyarrow as pa
from pydantic import BaseModel

from ....corpus.store.calls import File, Folder
from ....corpus.store.fate import inputs, read_kept
from ....corpus.store.shards import committed, fingerprint, open_shard
from ....corpus.store.workspace import Workspace
from ....proxy_models.model_files import ProxyModel, read_model
from ....proxy_models.scoring.embeddings import Embedder, vector_array
from ....proxy_models.scoring.token_losses import threads
from ...engine.stage import Plan, Report, Stage, shard_graph
from ..columns import VECTORS
from ..train.model_places import model_inputs, read_file, tokenizer_of

TABLE, BEFORE = "embeddings", "semantic"


class EmbedSettings(BaseModel, frozen=True, extra="forbid"):
    """Which model (a file that `score` wrote, a checkpoint or a run), and its tokenizer.json where it is not found.

    Where it is looked for: `tokenizer_of`.
    """

    model: Folder
    tokenizer: File | None = None


def embed_inputs(workspace: Workspace, settings: EmbedSettings) -> dict[str, str]:
    files = model_inputs(workspace, settings.model, settings.tokenizer, "semantic")
    return inputs(workspace, BEFORE, BEFORE) | {f"file:{name}": found for name, found in files.items()}


@lru_cache(maxsize=1)
def _embedder(model: str, tokenizer: str, made: str) -> Embedder:
    return Embedder(read_file(tokenizer).decode(), ProxyModel.from_bytes(read_model(model, model), model))


def embed_shard(plan: Plan[EmbedSettings], shard: str) -> Iterator[Report]:
    """Write the vectors of one shard of documents, unless they are there."""
    url = plan.workspace.table(TABLE).shard_url(shard)
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    if committed(url, stamp) is None:
        made = fingerprint(*(plan.inputs[name] for name in ("file:model", "file:tokenizer")))
        model = plan.settings.model
        embedder = _embedder(model, tokenizer_of(plan.workspace, model, plan.settings.tokenizer, "semantic"), made)
        schema = pa.schema(
            [pa.field("id", pa.string(), nullable=False), (VECTORS, pa.list_(pa.float32(), embedder.width))]
        )
        with open_shard(url, schema, stamp) as out, threads(1):
            counts = {"documents": 0, "absent": 0}
            for batch in read_kept(plan.workspace, shard, ["id", "text"], until=BEFORE):
                vectors = embedder.embed(batch["text"].to_pylist())
                present = vectors.any(axis=1)
                ids = batch["id"].filter(pa.array(present))
                out.write_batch(pa.record_batch([ids, vector_array(vectors[present])], schema=schema))
                counts["documents"] += batch.num_rows
                counts["absent"] += int((~present).sum())
            out.counts.update(counts)
    done = committed(url, stamp)
    assert done is not None
    yield TABLE, done


def embed_graph(pipeline: beam.Pipeline, plan: Plan[EmbedSettings]) -> beam.PCollection:
    """documents/ -> embeddings/, shard by shard."""
    shards = [shard.name for shard in plan.workspace.table("documents").finished(BEFORE).shards]
    return shard_graph(pipeline, plan, shards, embed_shard, tables=(TABLE,))


embed = Stage[EmbedSettings](
    name="embed",
    version=1,
    tables=(TABLE,),
    inputs=embed_inputs,
    graph=embed_graph,
    work=lambda workspace, settings: len(workspace.table("documents").finished(BEFORE).shards),
    recorded=lambda settings: {},  # what matters is in the files, whose checksums are inputs
)
