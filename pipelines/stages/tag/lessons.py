"""What tagging learns before it tags: labels from an engine, labellers distilled from them, clusters.

Three stages. `labels/`: a sample drawn by id hash, each document of it labelled by the engine in every taxonomy.
`labellers/`: one small model a taxonomy, trained on those labels, with its agreement. `clusters/`: centres found in a
sample of texts. Each is one table, made once; a document that the engine could not label is a row of failures/label.
"""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field

from ....corpus.store import fate
from ....corpus.store.calls import File
from ....corpus.store.errors import RequestError
from ....corpus.store.schema import FAILURES
from ....corpus.store.shards import committed, fingerprint, open_shard
from ....corpus.store.workspace import Workspace
from ....proxy_models.engines.cache import RequestCache, cache_path
from ....proxy_models.engines.engine import Request, answer
from ....proxy_models.engines.open import engine_settings, open_engine
from ....proxy_models.rewriting.clusters import find_clusters, to_bytes
from ....proxy_models.rewriting.tagging import Learner, learn
from ....proxy_models.rewriting.taxonomy import Taxonomy, excerpt, load_taxonomies
from ...engine.stage import Plan, Report, Stage, shard_graph
from ..columns import VECTORS, read_vectors, vectors_for, vectors_made

TAG = "tag"  # place in the chain: what these stages read is what entered the tag stage
LABELS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # what the engine saw
        pa.field("taxonomy", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
    ]
)
LABELLERS = pa.schema(
    [
        pa.field("taxonomy", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # linear or fasttext
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("model", pa.binary(), nullable=False),
        ("held_back", pa.int64()),  # labelled documents on which agreement was measured
        ("agreement", pa.float64()),
        ("kappa", pa.float64()),
        ("commonest_agreement", pa.float64()),  # of always saying the commonest label
    ]
)
CLUSTERS = pa.schema(
    [
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),  # of the sample
        pa.field("words", pa.string(), nullable=False),
        ("model", pa.binary()),  # of all clusters, on the first row
    ]
)


def drawn(id: str, seed: int, share: float) -> bool:
    """Whether a document belongs to a share of all, by a hash of its id."""
    return int(fingerprint("tag", seed, id)[:13], 16) < share * (1 << 52)


def entering(workspace: Workspace) -> int:
    """How many documents enter the tag stage."""
    stages = fate.deciding(workspace, TAG)
    if stages:
        return workspace.table(f"decisions/{stages[-1]}").finished(TAG).counts["kept"]
    return sum(shard.rows for shard in workspace.table(fate.BEFORE).finished(TAG).shards)


def _documents(workspace: Workspace, settings: BaseModel) -> dict[str, str]:
    return fate.inputs(workspace, TAG, until=TAG)


def _shards(workspace: Workspace) -> list[str]:
    return [shard.name for shard in workspace.table(fate.BEFORE).finished(TAG).shards]


# ---- labels


class LabelSettings(BaseModel, frozen=True, extra="forbid"):
    """Which engine labels how many documents in which taxonomies."""

    engine: dict[str, Any]
    taxonomies: tuple[str, ...]
    taxonomies_file: File | None = None
    sample: int = Field(2000, ge=10)
    seed: int = 0
    request_cache: str | None = None

    def loaded(self) -> dict[str, Taxonomy]:
        return load_taxonomies(self.taxonomies, self.taxonomies_file)


def label_recorded(settings: LabelSettings) -> dict[str, Any]:
    taxonomies = {name: taxonomy.model_dump(mode="json") for name, taxonomy in settings.loaded().items()}
    engine = engine_settings(settings.engine).recorded()
    return {"taxonomies": taxonomies, "engine": engine, "sample": settings.sample, "seed": settings.seed}


def label_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    share = min(1.0, plan.settings.sample / max(1, entering(plan.workspace)))
    work = [(shard, share) for shard in _shards(plan.workspace)]
    return shard_graph(pipeline, plan, work, label_shard, tables=("labels", "failures/label"))


def label_shard(plan: Plan, item: tuple[str, float]) -> Iterator[Report]:
    """The sampled documents of a shard, labelled; `labels/`, which marks it as done, is written last."""
    shard, share = item
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    urls = {table: plan.workspace.table(table).shard_url(shard) for table in ("labels", "failures/label")}
    present = {table: committed(url, stamp) for table, url in urls.items()}
    if all(present.values()):
        yield from present.items()
        return
    documents = [
        row
        for batch in fate.read_kept(plan.workspace, shard, ["id", "text", "origin"], until=TAG)
        for row in batch.to_pylist()
        if drawn(row["id"], plan.settings.seed, share)
    ]
    taxonomies = plan.settings.loaded()
    asked: list[tuple[dict[str, Any], str, Request]] = [
        (document, name, taxonomy.request(document["text"]))
        for document in documents
        for name, taxonomy in taxonomies.items()
    ]
    engine = open_engine(engine_settings(plan.settings.engine))
    with RequestCache(cache_path(plan.workspace, plan.settings.request_cache)) as cache:
        replies, spending = answer(engine, [request for *_, request in asked], cache)
    labels, failures = [], []
    for (document, name, _), reply in zip(asked, replies, strict=True):
        if reply.error is None:
            text = excerpt(document["text"])
            labels.append({"id": document["id"], "text": text, "taxonomy": name, "label": reply.text})
        else:
            error = " ".join(f"{name}: {reply.error}".split())
            told = {"origin": document["origin"], "stage": "label", "error": error, "excerpt": document["text"][:200]}
            failures.append(told)
    counts = {"in": len(asked), "kept": len(labels), "dropped": 0, "failed": len(failures), **spending.counts()}
    with open_shard(urls["failures/label"], FAILURES, stamp) as out:
        out.write_rows(failures)
        out.counts = {"failed": len(failures)}
    with open_shard(urls["labels"], LABELS, stamp) as out:
        out.write_rows(labels)
        out.counts = counts
    for table, url in urls.items():
        yield table, committed(url, stamp)


LABEL: Stage[LabelSettings] = Stage(
    name="label",
    version=1,
    tables=("labels", "failures/label"),
    inputs=_documents,
    graph=label_graph,
    work=lambda workspace, settings: len(_shards(workspace)),
    recorded=label_recorded,
)


# ---- labellers


class LearnSettings(BaseModel, frozen=True, extra="forbid"):
    """How to distil."""

    learner: Learner = "linear"
    seed: int = 0


def learn_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    taxonomies = plan.workspace.table("labels").finished("learn").settings["taxonomies"]
    return shard_graph(pipeline, plan, sorted(taxonomies), learn_taxonomy, tables=("labellers",))


def learn_taxonomy(plan: Plan, taxonomy: str) -> Iterator[Report]:
    """One labeller, trained on all labels of its taxonomy."""
    url = plan.workspace.table("labellers").shard_url(f"{taxonomy}.parquet")
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, taxonomy)
    if committed(url, stamp) is None:
        rows = [
            (row["id"], row["text"], row["label"])
            for batch in plan.workspace.table("labels").read()
            for row in batch.to_pylist()
            if row["taxonomy"] == taxonomy
        ]
        lesson = learn(rows, taxonomy, plan.settings.learner, plan.settings.seed)
        measured = {name: lesson.agreement.get(name) for name in LABELLERS.names[4:]}
        row = {"taxonomy": taxonomy, "kind": lesson.kind, "labels": list(lesson.labels), "model": lesson.model}
        with open_shard(url, LABELLERS, stamp) as out:
            out.write_rows([row | measured])
            out.counts = {"labellers": 1}
    yield "labellers", committed(url, stamp)


LEARN: Stage[LearnSettings] = Stage(
    name="learn",
    version=1,
    tables=("labellers",),
    inputs=lambda workspace, settings: {"labels": workspace.table("labels").finished("learn").fingerprint},
    graph=learn_graph,
    redecides=True,
)


# ---- clusters


class ClusterSettings(BaseModel, frozen=True, extra="forbid"):
    """How many clusters, from how many documents, by their words or by stored vectors: TABLE or TABLE:COLUMN."""

    clusters: int = Field(ge=2, le=1000)
    vectors: str | None = None
    sample: int = Field(20_000, ge=10)
    seed: int = 0


def cluster_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    return shard_graph(pipeline, plan, ["clusters.parquet"], cluster_sample, tables=("clusters",))


def cluster_sample(plan: Plan, name: str) -> Iterator[Report]:
    """Centres from the sampled texts or their vectors, which one worker reads, in the order of their ids."""
    url = plan.workspace.table("clusters").shard_url(name)
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs)
    settings = plan.settings
    if committed(url, stamp) is None:
        sampled, points = _sampled(plan)
        found = find_clusters([text for _, text in sampled], settings.clusters, settings.seed, points)
        rows = [
            {"cluster": name, "documents": int(size), "words": words, "model": None}
            for name, size, words in zip(found.names(), found.sizes, found.words, strict=True)
        ]
        rows[0]["model"] = to_bytes(found)
        with open_shard(url, CLUSTERS, stamp) as out:
            out.write_rows(rows)
            out.counts = {"clusters": len(rows), "sampled": len(sampled)}
    yield "clusters", committed(url, stamp)


def _sampled(plan: Plan) -> tuple[list[tuple[str, str]], np.ndarray | None]:
    """(id, excerpt) of the sample, in the order of the ids, and the vectors of these; those without one stay out."""
    settings = plan.settings
    share = min(1.0, settings.sample / max(1, entering(plan.workspace)))
    sampled: list[tuple[str, str]] = []
    points: list[np.ndarray] = []
    for shard in _shards(plan.workspace):
        own = [
            (row["id"], excerpt(row["text"]))
            for batch in fate.read_kept(plan.workspace, shard, ["id", "text"], until=TAG)
            for row in batch.to_pylist()
            if drawn(row["id"], settings.seed, share)
        ]
        if settings.vectors is not None:
            known, vectors = read_vectors(plan.workspace, *vectors_named(settings.vectors), shard, TAG)
            present, found = vectors_for(pa.array([id for id, _ in own], pa.string()), known, vectors)
            own = [row for row, there in zip(own, present.tolist(), strict=True) if there]
            points += list(found)
        sampled += own
    order = sorted(range(len(sampled)), key=lambda at: sampled[at])
    if points and len({len(point) for point in points}) > 1:
        raise RequestError(f"--vectors {settings.vectors}: vectors differ in length")
    given = np.stack([points[at] for at in order]) if points else np.zeros((0, 0), np.float32)
    return [sampled[at] for at in order], None if settings.vectors is None else given


def vectors_named(given: str) -> tuple[str, str]:
    """(table, column) of --vectors."""
    table, _, column = given.partition(":")
    return table, column or VECTORS


def vectors_input(workspace: Workspace, given: str | None) -> dict[str, str]:
    """The table of the vectors and its fingerprint; refuses one that is not there or is of other documents."""
    if given is None:
        return {}
    table, column = vectors_named(given)
    return {table: vectors_made(workspace, table, column, TAG, "--vectors").fingerprint}


CLUSTER: Stage[ClusterSettings] = Stage(
    name="cluster",
    version=1,
    tables=("clusters",),
    inputs=lambda workspace, settings: _documents(workspace, settings) | vectors_input(workspace, settings.vectors),
    graph=cluster_graph,
    redecides=True,
    recorded=lambda settings: settings.model_dump(mode="json", exclude_none=True),
)
