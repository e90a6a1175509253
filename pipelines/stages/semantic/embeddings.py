"""Embeddings: the documents that enter the semantic stage as vectors of a proxy model, `embeddings/` out.

Shard by shard; the model is loaded once a worker. Vectors depend on what stages before `semantic` decided and on
nothing after it, so scores, tags and selections may come and go without making them stale. A document without a token
has no row. Refuses a model without the tokenizer that it reads.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import pyarrow as pa

from ....corpus.store.fate import sources
from ....corpus.store.shards import fingerprint
from ....corpus.store.workspace import Workspace
from ....proxy_models.model_files import ProxyModel, read_model
from ....proxy_models.scoring.embeddings import Embedder, vector_array
from ....proxy_models.scoring.token_losses import threads
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.held.rows import KeepById
from ...engine.stage import Plan, Stage
from ..columns import VECTORS
from ..train.model_places import model_inputs, read_file, tokenizer_of
from .settings import EmbedSettings as EmbedSettings

TABLE, STAGE = "embeddings", "semantic"


def embed_inputs(workspace: Workspace, settings: EmbedSettings) -> dict[str, str]:
    files = model_inputs(workspace, settings.model, settings.tokenizer, STAGE)
    return {f"file:{name}": found for name, found in files.items()}


@lru_cache(maxsize=1)
def _embedder(model: str, tokenizer: str, made: str) -> Embedder:
    return Embedder(read_file(tokenizer).decode(), ProxyModel.from_bytes(read_model(model, model), model))


def items(plan: Plan[EmbedSettings]) -> Iterable[Work]:
    """What the stages before this one left, with the place of the tokenizer."""
    tokenizer = tokenizer_of(plan.workspace, plan.settings.model, plan.settings.tokenizer, STAGE)
    return (Work.of(source, tokenizer) for source in sources(plan.workspace, STAGE, chain_before(STAGE)).values())


def embed_shard(plan: Plan[EmbedSettings], work: Work) -> Iterator[Report]:
    """Write the vectors of one shard of documents."""
    made = fingerprint(plan.inputs["file:model"], plan.inputs["file:tokenizer"])
    embedder = _embedder(plan.settings.model, work.load, made)
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), (VECTORS, pa.list_(pa.float32(), embedder.width))])
    with plan.writer(TABLE, work.name, schema) as out, threads(1):
        counts = {"documents": 0, "absent": 0}
        for batch in work.documents.read(["id", "text"]):
            vectors = embedder.embed(batch["text"].to_pylist())
            present = vectors.any(axis=1)
            ids = batch["id"].filter(pa.array(present))
            out.write_batch(pa.record_batch([ids, vector_array(vectors[present])], schema=schema))
            counts["documents"] += batch.num_rows
            counts["absent"] += int((~present).sum())
        out.counts.update(counts)
    yield TABLE, out.shard


def _counted(rows: pa.Table, entered: int) -> dict[str, int]:
    return {"documents": entered, "absent": entered - len(rows)}


EMBED: Stage[EmbedSettings] = Stage(
    name="embeddings",
    command=STAGE,
    version=1,
    tables=(TABLE,),
    inputs=embed_inputs,
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, embed_shard), plan),
    items=items,
    recorded=lambda settings: {},  # what matters is in the files, whose checksums are inputs
    by_document=True,
    keep=KeepById(_counted),
)
