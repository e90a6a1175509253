"""What tagging learns before it tags: labels from an engine, labellers distilled from them, clusters.

Three stages. `labels/`: a sample drawn by id hash, each document of it labelled by the engine in every taxonomy.
`labellers/`: one small model a taxonomy, trained on those labels, with its agreement. `clusters/`: centres found in a
sample of texts. Each is one table, made once; a document that the engine could not label is a row of failures/label.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ....corpus.store import fate
from ....corpus.store.errors import RequestError
from ....corpus.store.schema import FAILURES
from ....corpus.store.shards import fingerprint
from ....corpus.store.workspace import Workspace
from ....proxy_models.engines.cache import RequestCache, cache_path
from ....proxy_models.engines.engine import Request, answer
from ....proxy_models.engines.open import engine_settings, open_engine
from ....proxy_models.rewriting.clusters import find_clusters, to_bytes
from ....proxy_models.rewriting.tagging import learn
from ....proxy_models.rewriting.taxonomy import excerpt
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, map_blocks, map_shards, run_once
from ...engine.stage import Plan, Stage
from ..columns import VECTORS, read_vectors, vectors_for, vectors_made
from .settings import ClusterSettings as ClusterSettings
from .settings import LabelSettings as LabelSettings
from .settings import LearnSettings as LearnSettings

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
    stages = fate.deciding(workspace, chain_before(TAG))
    if stages:
        return workspace.table(f"decisions/{stages[-1]}").finished(TAG).counts["kept"]
    return sum(shard.rows for shard in workspace.table(fate.BEFORE).finished(TAG).shards)


def _sources(workspace: Workspace) -> Mapping[str, fate.ShardSource]:
    return fate.sources(workspace, TAG, chain_before(TAG))


def _documents(workspace: Workspace) -> dict[str, str]:
    return fate.inputs(workspace, TAG, chain_before(TAG))


# ---- labels


def label_recorded(settings: LabelSettings) -> dict[str, Any]:
    taxonomies = {name: taxonomy.model_dump(mode="json") for name, taxonomy in settings.loaded().items()}
    engine = engine_settings(settings.engine).recorded()
    return {"taxonomies": taxonomies, "engine": engine, "sample": settings.sample, "seed": settings.seed}


def label_items(plan: Plan[LabelSettings]) -> Iterable[Work]:
    share = min(1.0, plan.settings.sample / max(1, entering(plan.workspace)))
    return (Work.of(source, share) for source in _sources(plan.workspace).values())


def label_shard(plan: Plan[LabelSettings], work: Work) -> Iterator[Report]:
    """The sampled documents of a shard, labelled."""
    documents = [
        row
        for batch in work.documents.read(["id", "text", "origin"])
        for row in batch.to_pylist()
        if drawn(row["id"], plan.settings.seed, work.load)
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
    with plan.writer("failures/label", work.name, FAILURES) as out:
        out.write_rows(failures)
        out.counts = {"failed": len(failures)}
    yield "failures/label", out.shard
    with plan.writer("labels", work.name, LABELS) as out:
        out.write_rows(labels)
        out.counts = counts
    yield "labels", out.shard


LABEL: Stage[LabelSettings] = Stage(
    name="label",
    command=TAG,
    version=2,  # thoughts are known by more marks
    tables=("labels", "failures/label"),
    inputs=lambda workspace, settings: _documents(workspace),
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, label_shard), plan),
    items=label_items,
    whole=True,
    fitted=True,
    recorded=label_recorded,
)


# ---- labellers


def learn_items(plan: Plan[LearnSettings]) -> list[Work]:
    taxonomies = plan.workspace.table("labels").finished("learn").settings["taxonomies"]
    return [Work(name, {}) for name in sorted(taxonomies)]


def learn_taxonomy(work: Work, plan: Plan[LearnSettings]) -> Iterator[Report]:
    """One labeller, trained on all labels of its taxonomy."""
    rows = [
        (row["id"], row["text"], row["label"])
        for batch in plan.workspace.table("labels").read()
        for row in batch.to_pylist()
        if row["taxonomy"] == work.name
    ]
    lesson = learn(rows, work.name, plan.settings.learner, plan.settings.seed)
    measured = {name: lesson.agreement.get(name) for name in LABELLERS.names[4:]}
    row = {"taxonomy": work.name, "kind": lesson.kind, "labels": list(lesson.labels), "model": lesson.model}
    with plan.writer("labellers", f"{work.name}.parquet", LABELLERS) as out:
        out.write_rows([row | measured])
        out.counts = {"labellers": 1}
    yield "labellers", out.shard


LEARN: Stage[LearnSettings] = Stage(
    name="learn",
    command=TAG,
    version=1,
    tables=("labellers",),
    inputs=lambda workspace, settings: {"labels": workspace.table("labels").finished("learn").fingerprint},
    graph=lambda pipeline, plan: commit(map_blocks(pipeline, plan, learn_taxonomy), plan),
    items=learn_items,
    whole=True,
    redecides=True,
)


# ---- clusters


def find_all(_: Iterator[Any], plan: Plan[ClusterSettings]) -> Iterator[Report]:
    """Centres from the sampled texts or their vectors, which one worker reads, in the order of their ids."""
    sampled, points = _sampled(plan)
    found = find_clusters([text for _, text in sampled], plan.settings.clusters, plan.settings.seed, points)
    rows = [
        {"cluster": name, "documents": int(size), "words": words, "model": None}
        for name, size, words in zip(found.names(), found.sizes, found.words, strict=True)
    ]
    rows[0]["model"] = to_bytes(found)
    with plan.writer("clusters", "clusters.parquet", CLUSTERS) as out:
        out.write_rows(rows)
        out.counts = {"clusters": len(rows), "sampled": len(sampled)}
    yield "clusters", out.shard


def _sampled(plan: Plan) -> tuple[list[tuple[str, str]], np.ndarray | None]:
    """(id, excerpt) of the sample, in the order of the ids, and the vectors of these; those without one stay out."""
    settings = plan.settings
    share = min(1.0, settings.sample / max(1, entering(plan.workspace)))
    sampled: list[tuple[str, str]] = []
    points: list[np.ndarray] = []
    for shard, source in _sources(plan.workspace).items():
        own = [
            (row["id"], excerpt(row["text"]))
            for batch in source.read(["id", "text"])
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
    command=TAG,
    version=1,
    tables=("clusters",),
    inputs=lambda workspace, settings: _documents(workspace) | vectors_input(workspace, settings.vectors),
    graph=lambda pipeline, plan: commit(run_once(pipeline, "find clusters", find_all, plan), plan),
    fitted=True,
    redecides=True,
    recorded=lambda settings: settings.model_dump(mode="json", exclude_none=True),
)
