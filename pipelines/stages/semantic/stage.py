"""Semantic deduplication and pruning: a column of vectors in, `decisions/semantic/` out.

    vectors    `embeddings/`, where a model is given: of the documents that enter, so that no later stage makes them
               stale and scores may be made of what is left
    centroids  `semantic/`: what all vectors share, and k-means of the rest, over the documents of the smallest rank
    assign     each shard sends its vectors to their clusters
    compare    SemDeDup inside each cluster
    prune      prototypes or density over all that is left, by distance and cluster alone
    write      the decisions of each shard

A vector is a fingerprint: it crosses the shuffle, text does not. A document without a vector is dropped by the rule
`vector`, with an absent value. Refuses a result that drops more than `most` of the documents as duplicates: vectors
that hardly tell documents apart do that. Nothing is decided then.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from ....corpus.store.catalog import refresh_catalog
from ....corpus.store.errors import RequestError
from ....corpus.store.fate import inputs, read_kept
from ....corpus.store.schema import DECISIONS
from ....corpus.store.shards import committed, fingerprint, open_shard
from ....corpus.store.workspace import Workspace
from ....dedup.keys import ranks
from ....dedup.semantic import Frame, assign, fit_centroids, fit_frame, prune, semdedup
from ....dedup.settings import SemanticSettings
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, commit, run_stage
from ..columns import read_vectors, vectors_for, vectors_made
from .embeddings import TABLE as EMBEDDINGS
from .embeddings import EmbedSettings, embed

CENTROIDS = pa.schema(
    [
        pa.field("role", pa.string(), nullable=False),  # mean, direction or centroid
        pa.field("vector", pa.list_(pa.float32()), nullable=False),
    ]
)
NAME, DECIDED = "semantic", "decisions/semantic"


def semantic(
    workspace: Workspace, settings: SemanticSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Make the vectors, fit the centroids, decide. Returns the summary of the deciding stage."""
    settings.check()
    if settings.model is not None:
        asked = EmbedSettings(model=settings.model, tokenizer=settings.tokenizer)
        run_stage(embed, workspace, asked, options, force=force, quiet=quiet)
    elif settings.table == EMBEDDINGS and workspace.table(EMBEDDINGS).manifest() is None:
        raise RequestError("semantic needs vectors: give --model FILE, which makes them, or --table where they are")
    run_stage(centroids, workspace, settings, options, force=force, quiet=quiet)
    summary = run_stage(decide, workspace, settings, options, force=force, quiet=quiet)
    entered, repeated = summary["tables"][DECIDED]["in"], summary["details"]["semdedup"]
    if repeated > settings.most * entered:
        workspace.table(DECIDED).remove_manifest()
        refresh_catalog(workspace)
        raise RequestError(
            f"semantic: {repeated:,} of {entered:,} documents have a cosine above {1 - (settings.epsilon or 0):g} "
            f"with one that is kept, and at most a share of {settings.most:g} may go; vectors that hardly tell "
            f"documents apart do this: take a smaller --epsilon, more --components or better vectors, or set --most; "
            f"nothing was decided"
        )
    return summary


def _made(workspace: Workspace, settings: SemanticSettings) -> str:
    return vectors_made(workspace, settings.table, settings.column, NAME).fingerprint


def centroid_inputs(workspace: Workspace, settings: SemanticSettings) -> dict[str, str]:
    return {**inputs(workspace, NAME, NAME), settings.table: _made(workspace, settings)}


def decide_inputs(workspace: Workspace, settings: SemanticSettings) -> dict[str, str]:
    return {**centroid_inputs(workspace, settings), NAME: workspace.table(NAME).finished(NAME).fingerprint}


def vectors_of(plan: Plan, shard: str) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """ids of the documents that came in, which of them have a vector (N,) bool, and those vectors (M, d) float32."""
    settings: SemanticSettings = plan.settings
    batches = list(read_kept(plan.workspace, shard, ["id"], until=NAME))
    ids = pa.concat_arrays([batch["id"] for batch in batches]) if batches else pa.array([], pa.string())
    known, vectors = read_vectors(plan.workspace, settings.table, settings.column, shard, NAME)
    present, found = vectors_for(ids, known, vectors)
    return ids, present, found


def shards_of(plan: Plan) -> list[str]:
    return [shard.name for shard in plan.workspace.table("documents").finished(NAME).shards]


def centroid_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """A sample of vectors from each shard -> one table of centroids."""
    return (
        pipeline
        | "shards" >> beam.Create([*shards_of(plan), None])
        | "spread" >> beam.Reshuffle()
        | "sample" >> beam.FlatMap(sample, plan)
        | "samples" >> beam.GroupByKey()
        | "fit" >> beam.FlatMap(fit, plan)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit, plan, (NAME,))
    )


def sample(shard: str | None, plan: Plan) -> Iterator[tuple[int, Any]]:
    """(0, (rank, vectors, documents)) of the documents of the smallest rank of one shard."""
    if shard is None:
        yield 0, (np.zeros(0, np.uint64), np.zeros((0, 0), np.float32), 0)
        return
    ids, present, vectors = vectors_of(plan, shard)
    rank = ranks(ids)[present]
    first = np.argsort(rank)[: plan.settings.sample]
    yield 0, (rank[first], vectors[first], len(rank))


def fit(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[Any]:
    """Fit the centroids and write them."""
    blocks = [block for block in group[1] if len(block[0])]
    documents = sum(block[2] for block in blocks)
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs)
    url = plan.workspace.table(NAME).shard_url("centroids.parquet")
    if committed(url, stamp) is None:
        found, roles = np.zeros((0, 1), np.float32), []
        if blocks:
            rank = np.concatenate([block[0] for block in blocks])
            first = np.argsort(rank)[: plan.settings.sample]
            vectors = np.concatenate([block[1] for block in blocks])[first]
            clusters = plan.settings.clusters or max(1, round(documents**0.5))
            frame = fit_frame(vectors, rank[first], plan.settings)
            middle = fit_centroids(frame.apply(vectors), rank[first], clusters, plan.settings.seed)
            found = np.concatenate([frame.mean[None], frame.directions, middle])
            roles = ["mean"] + ["direction"] * len(frame.directions) + ["centroid"] * len(middle)
        with open_shard(url, CENTROIDS, stamp, dictionary=False) as out:
            rows = pa.ListArray.from_arrays(
                pa.array(np.arange(len(found) + 1, dtype=np.int32) * found.shape[1]), pa.array(found.reshape(-1))
            )
            out.write_batch(pa.record_batch([pa.array(roles, pa.string()), rows], schema=CENTROIDS))
            out.counts.update({"documents": documents, "centroids": roles.count("centroid")})
    done = committed(url, stamp)
    assert done is not None
    yield NAME, done


def read_centroids(workspace: Workspace) -> tuple[Frame, np.ndarray]:
    """What all vectors share, and the centroids of the rest, (K, d) float32."""
    rows = [row for batch in workspace.table(NAME).read() for row in batch.to_pylist()]
    width = len(rows[0]["vector"]) if rows else 1

    def of(role: str) -> np.ndarray:
        return np.array([row["vector"] for row in rows if row["role"] == role], np.float32).reshape(-1, width)

    return Frame(of("mean").sum(axis=0), of("direction")), of("centroid")


def decide_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """Vectors by cluster -> survivors of SemDeDup -> pruned -> decisions by shard."""
    shards = tuple(shards_of(plan))
    return (
        pipeline
        | "shards" >> beam.Create([*range(len(shards)), None])
        | "spread" >> beam.Reshuffle()
        | "assign" >> beam.FlatMap(assign_shard, plan, shards)
        | "clusters" >> beam.GroupByKey()
        | "compare" >> beam.FlatMap(compare_cluster, plan)
        | "left" >> beam.GroupByKey()
        | "prune" >> beam.FlatMap(prune_all, plan, shards)
        | "by shard" >> beam.GroupByKey()
        | "write" >> beam.FlatMap(write_decisions, plan, shards)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit_with_findings, plan)
    )


def assign_shard(number: int | None, plan: Plan, shards: tuple[str, ...]) -> Iterator[tuple[int, Any]]:
    """(cluster, (shard, ids, rank, distance, vectors)); cluster -1 carries nothing, so that a group always comes."""
    if number is None:
        yield -1, None
        return
    frame, middle = read_centroids(plan.workspace)
    ids, present, vectors = vectors_of(plan, shards[number])
    ids = ids.filter(pa.array(present))
    if not len(ids):
        return
    vectors = frame.apply(vectors)
    cluster, distance = assign(vectors, middle)
    rank = ranks(ids)
    for k in np.unique(cluster).tolist():
        own = cluster == k
        yield int(k), (number, ids.filter(pa.array(own)), rank[own], distance[own], vectors[own])


def compare_cluster(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[tuple[int, Any]]:
    """(0, (cluster, shard (N,), ids, rank, distance, match ids or null, cosine)) of one cluster."""
    cluster = group[0]
    blocks = sorted((block for block in group[1] if block is not None), key=lambda block: block[0])
    if not blocks:
        yield 0, None
        return
    shard = np.repeat([block[0] for block in blocks], [len(block[1]) for block in blocks])
    ids = pa.concat_arrays([block[1] for block in blocks])
    rank, distance, vectors = (np.concatenate([block[i] for block in blocks]) for i in (2, 3, 4))
    match, cosine = np.full(len(ids), -1), np.full(len(ids), np.nan)
    if plan.settings.epsilon is not None:
        match, cosine = semdedup(vectors, distance, rank, plan.settings.epsilon, plan.settings.order)
    yield 0, (cluster, shard, ids, rank, distance, ids.take(pa.array(match, mask=match < 0)), cosine)


def prune_all(group: tuple[int, Iterable[Any]], plan: Plan, shards: tuple[str, ...]) -> Iterator[tuple[int, Any]]:
    """(shard, rows of what is dropped); key -1 has the findings."""
    settings: SemanticSettings = plan.settings
    blocks = sorted((block for block in group[1] if block is not None), key=lambda block: block[0])
    findings: dict[str, Any] = {"clusters": len(blocks), "semdedup": 0, "pruned": 0}
    for number in range(len(shards)):
        yield number, None
    if blocks:
        cluster = np.repeat([block[0] for block in blocks], [len(block[2]) for block in blocks])
        shard, rank, distance, cosine = (np.concatenate([block[i] for block in blocks]) for i in (1, 3, 4, 6))
        ids, match = (pa.concat_arrays([block[i] for block in blocks]) for i in (2, 5))
        alive = ~match.is_valid().to_numpy(zero_copy_only=False)
        rule = np.where(alive, "", "semdedup").astype(object)
        value, threshold = cosine, np.full(len(ids), np.nan)
        if settings.epsilon is not None:
            threshold[~alive] = 1 - settings.epsilon
        findings["semdedup"] = int((~alive).sum())
        findings["largest_cluster"] = int(np.bincount(cluster).max())
        if settings.prune:
            left = np.flatnonzero(alive)
            keep = round(settings.share * len(ids))
            if keep < len(left):
                _, middle = read_centroids(plan.workspace)
                stays = prune(distance[left], cluster[left], rank[left], middle, settings, keep)
                gone = left[~stays]
                rule[gone], value[gone] = settings.prune, distance[gone]
                findings["pruned"] = len(gone)
                findings["kept_distance"] = round(float(distance[left[stays]].mean()), 6)
                findings["pruned_distance"] = round(float(distance[gone].mean()), 6)
        dropped = rule != ""
        for number in np.unique(shard[dropped]).tolist():
            own = dropped & (shard == number)
            chosen = pa.array(own)
            yield int(number), (ids.filter(chosen), rule[own], value[own], threshold[own], match.filter(chosen))
    yield -1, findings


def write_decisions(group: tuple[int, Iterable[Any]], plan: Plan, shards: tuple[str, ...]) -> Iterator[Any]:
    """Decisions of one shard; the findings pass through."""
    number, blocks = group[0], [block for block in group[1] if block is not None]
    if number < 0:
        yield from blocks
        return
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shards[number])
    url = plan.workspace.table(DECIDED).shard_url(shards[number])
    if committed(url, stamp) is None:
        ids, present, _ = vectors_of(plan, shards[number])
        fate: dict[str, tuple] = dict.fromkeys(ids.filter(pa.array(~present)).to_pylist(), ("vector", None, None, None))
        for names, rule, value, threshold, match in blocks:
            for row in zip(names.to_pylist(), rule, value, threshold, match.to_pylist(), strict=True):
                fate[row[0]] = (row[1], float(row[2]), None if np.isnan(row[3]) else float(row[3]), row[4])
        rows = []
        for name in ids.to_pylist():
            rule, value, threshold, match = fate.get(name, (None, None, None, None))
            rows.append(
                {
                    "id": name,
                    "kept": name not in fate,
                    "stage": NAME,
                    "rule": rule,
                    "value": value,
                    "threshold": threshold,
                    "duplicate_of": match,
                }
            )
        with open_shard(url, DECISIONS, stamp) as out:
            out.write_rows(rows)
            out.counts.update({"in": len(rows), "kept": len(rows) - len(fate), "dropped": len(fate), "failed": 0})
    done = committed(url, stamp)
    assert done is not None
    yield DECIDED, done


def commit_with_findings(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[str]:
    """Commit the decisions, with the findings of the run in the manifest."""
    reports = list(group[1])
    findings = next((report for report in reports if isinstance(report, dict)), {})
    yield from commit((0, [r for r in reports if not isinstance(r, dict)]), plan, (DECIDED,), lambda _: findings)


FITTED = ("table", "column", "centre", "components", "clusters", "sample", "seed")
centroids = Stage(
    name="centroids",
    version=1,
    tables=(NAME,),
    inputs=centroid_inputs,
    graph=centroid_graph,
    redecides=True,
    recorded=lambda settings: settings.model_dump(mode="json", include=set(FITTED)),
)
decide = Stage(
    name=NAME,
    version=1,
    tables=(DECIDED,),
    inputs=decide_inputs,
    graph=decide_graph,
    work=lambda workspace, settings: len(workspace.table("documents").finished(NAME).shards),
    redecides=True,
    recorded=lambda settings: settings.model_dump(mode="json", exclude={"model", "tokenizer", "most"}),
)
