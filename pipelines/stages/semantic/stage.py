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
that hardly tell documents apart do that. What was decided before stays then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ....corpus.store import fate
from ....corpus.store.commits import total
from ....corpus.store.errors import RequestError
from ....corpus.store.schema import DECISIONS
from ....corpus.store.shards import Shard, read_batches
from ....corpus.store.workspace import Workspace
from ....dedup.keys import ranks
from ....dedup.semantic import Frame, assign, fit_centroids, fit_frame, prune, semdedup
from ....dedup.settings import SemanticSettings
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, gather, group_by_key, map_blocks
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..columns import vectors_for, vectors_identity, vectors_in, vectors_made
from ..listed import list_at, put_list
from .embeddings import EMBED, EmbedSettings
from .embeddings import TABLE as EMBEDDINGS

if TYPE_CHECKING:
    import apache_beam as beam

CENTROIDS = pa.schema(
    [
        pa.field("role", pa.string(), nullable=False),  # mean, direction or centroid
        pa.field("vector", pa.list_(pa.float32()), nullable=False),
    ]
)
NAME, DECIDED, FITTED_FILE = "semantic", "decisions/semantic", "centroids.parquet"


def semantic(
    workspace: Workspace, settings: SemanticSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Make the vectors, fit the centroids, decide. Returns the summary of the deciding stage."""
    settings.check()
    if settings.model is not None:
        asked = EmbedSettings(model=settings.model, tokenizer=settings.tokenizer)
        run_stage(EMBED, workspace, asked, options, force=force, quiet=quiet)
    elif settings.table == EMBEDDINGS and workspace.table(EMBEDDINGS).manifest() is None:
        raise RequestError("semantic needs vectors: give --model FILE, which makes them, or --table where they are")
    run_stage(CENTROIDS_OF, workspace, settings, options, force=force, quiet=quiet)
    summary = run_stage(DECIDE, workspace, settings, options, force=force, quiet=quiet)
    _refuse_most(settings, summary["tables"][DECIDED]["in"], summary["details"]["semdedup"])
    return summary


def _refuse_most(settings: SemanticSettings, entered: int, repeated: int) -> None:
    """RequestError where more documents count as duplicates than the settings allow."""
    if repeated > settings.most * entered:
        raise RequestError(
            f"semantic: {repeated:,} of {entered:,} documents have a cosine above {1 - (settings.epsilon or 0):g} "
            f"with one that is kept, and at most a share of {settings.most:g} may go; vectors that hardly tell "
            f"documents apart do this: take a smaller --epsilon, more --components or better vectors, or set --most; "
            f"nothing was decided anew"
        )


def centroid_inputs(workspace: Workspace, settings: SemanticSettings) -> dict[str, str]:
    """The documents that are left and their vectors; centroids of one model's vectors do not fit another's."""
    vectors = vectors_made(workspace, settings.table, settings.column, NAME)
    found = {settings.table: vectors.fingerprint, "made:vectors": vectors_identity(vectors)}
    return fate.inputs(workspace, NAME, chain_before(NAME)) | found


def decide_inputs(workspace: Workspace, settings: SemanticSettings) -> dict[str, str]:
    return centroid_inputs(workspace, settings) | {NAME: workspace.table(NAME).finished(NAME).fingerprint}


@dataclass(frozen=True)
class Entering:
    """One shard: its number, the URL of its vectors, None where it has none, and that of the centroids."""

    number: int
    vectors: str | None
    centroids: str | None


def items(plan: Plan[SemanticSettings]) -> list[Work]:
    """Every shard with its vectors, and with the centroids once there are any."""
    table = plan.workspace.table(plan.settings.table)
    made = table.finished(NAME).by_name
    centroids = plan.workspace.table(NAME).shard_url(FITTED_FILE) if plan.stage == NAME else None
    work = []
    for number, source in enumerate(fate.sources(plan.workspace, NAME, chain_before(NAME)).values()):
        shard = made.get(source.shard)
        more = {f"{table.name}/{source.shard}": shard.content} if shard else {}
        load = Entering(number, table.file_url(shard) if shard else None, centroids)
        work.append(Work.of(source, load, **more))
    return work


def vectors_of(work: Work, plan: Plan) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """ids of the documents that came in, which of them have a vector (N,) bool, and those vectors (M, d) float32."""
    settings: SemanticSettings = plan.settings
    batches = list(work.documents.read(["id"]))
    ids = pa.concat_arrays([batch["id"] for batch in batches]) if batches else pa.array([], pa.string())
    known, vectors = vectors_in(work.load.vectors, f"{settings.table}.{settings.column}", NAME)
    present, found = vectors_for(ids, known, vectors)
    return ids, present, found


def centroid_graph(pipeline: "beam.Pipeline", plan: Plan) -> "beam.PCollection":
    """A sample of vectors from each shard -> one table of centroids."""
    return commit(gather(map_blocks(pipeline, plan, sample), "fit", fit, plan.bare), plan)


def sample(work: Work, plan: Plan) -> Iterator[Any]:
    """(rank, vectors, documents) of the documents of the smallest rank of one shard."""
    ids, present, vectors = vectors_of(work, plan)
    rank = ranks(ids)[present]
    first = np.argsort(rank)[: plan.settings.sample]
    yield rank[first], vectors[first], len(rank)


def fit(found: Iterator[Any], plan: Plan) -> Iterator[Report]:
    """Fit the centroids and write them."""
    blocks = [block for block in found if len(block[0])]
    documents = sum(block[2] for block in blocks)
    rows, roles = np.zeros((0, 1), np.float32), []
    if blocks:
        rank = np.concatenate([block[0] for block in blocks])
        first = np.argsort(rank)[: plan.settings.sample]
        vectors = np.concatenate([block[1] for block in blocks])[first]
        clusters = plan.settings.clusters or max(1, round(documents**0.5))
        frame = fit_frame(vectors, rank[first], plan.settings)
        middle = fit_centroids(frame.apply(vectors), rank[first], clusters, plan.settings.seed)
        rows = np.concatenate([frame.mean[None], frame.directions, middle])
        roles = ["mean"] + ["direction"] * len(frame.directions) + ["centroid"] * len(middle)
    with plan.writer(NAME, FITTED_FILE, CENTROIDS, False) as out:
        ends = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1])
        lists = pa.ListArray.from_arrays(ends, pa.array(rows.reshape(-1)))
        out.write_batch(pa.record_batch([pa.array(roles, pa.string()), lists], schema=CENTROIDS))
        out.counts.update({"documents": documents, "centroids": roles.count("centroid")})
    yield NAME, out.shard


def read_centroids(url: str) -> tuple[Frame, np.ndarray]:
    """What all vectors share, and the centroids of the rest, (K, d) float32."""
    rows = [row for batch in read_batches(url) for row in batch.to_pylist()]
    width = len(rows[0]["vector"]) if rows else 1

    def of(role: str) -> np.ndarray:
        return np.array([row["vector"] for row in rows if row["role"] == role], np.float32).reshape(-1, width)

    return Frame(of("mean").sum(axis=0), of("direction")), of("centroid")


def decide_graph(pipeline: "beam.Pipeline", plan: Plan) -> "beam.PCollection":
    """Vectors by cluster -> survivors of SemDeDup -> pruned -> decisions by shard."""
    listed = put_list(plan, plan.work)
    assigned = map_blocks(pipeline, plan, assign_shard)
    compared = group_by_key(assigned, "compare", compare_cluster, plan.bare)
    pruned = gather(compared, "prune", prune_all, plan.bare, listed)
    return commit(group_by_key(pruned, "write", write_decisions, plan.bare, listed), plan)


def assign_shard(work: Work, plan: Plan) -> Iterator[tuple[int, Any]]:
    """(cluster, (shard, ids, rank, distance, vectors)) of one shard."""
    frame, middle = read_centroids(work.load.centroids)
    ids, present, vectors = vectors_of(work, plan)
    ids = ids.filter(pa.array(present))
    if not len(ids):
        return
    vectors = frame.apply(vectors)
    cluster, distance = assign(vectors, middle)
    rank = ranks(ids)
    for k in np.unique(cluster).tolist():
        own = cluster == k
        yield int(k), (work.load.number, ids.filter(pa.array(own)), rank[own], distance[own], vectors[own])


def compare_cluster(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[Any]:
    """(cluster, shard (N,), ids, rank, distance, match ids or null, cosine) of one cluster."""
    cluster = group[0]
    blocks = sorted(group[1], key=lambda block: block[0])
    shard = np.repeat([block[0] for block in blocks], [len(block[1]) for block in blocks])
    ids = pa.concat_arrays([block[1] for block in blocks])
    rank, distance, vectors = (np.concatenate([block[i] for block in blocks]) for i in (2, 3, 4))
    match, cosine = np.full(len(ids), -1), np.full(len(ids), np.nan)
    if plan.settings.epsilon is not None:
        match, cosine = semdedup(vectors, distance, rank, plan.settings.epsilon, plan.settings.order)
    yield cluster, shard, ids, rank, distance, ids.take(pa.array(match, mask=match < 0)), cosine


def prune_all(found: Iterator[Any], plan: Plan, listed: str) -> Iterator[tuple[int, Any]]:
    """(shard, rows of what is dropped); key -1 has the findings."""
    settings: SemanticSettings = plan.settings
    blocks = sorted(found, key=lambda block: block[0])
    findings: dict[str, Any] = {"clusters": len(blocks), "semdedup": 0, "pruned": 0}
    for number in range(len(list_at(listed))):
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
                _, middle = read_centroids(list_at(listed)[0].load.centroids)
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


def write_decisions(group: tuple[int, Iterable[Any]], plan: Plan, listed: str) -> Iterator[Any]:
    """Decisions of one shard; the findings pass through."""
    number, blocks = group[0], [block for block in group[1] if block is not None]
    if number < 0:
        yield from blocks
        return
    work: Work = list_at(listed)[number]
    ids, present, _ = vectors_of(work, plan)
    lost: dict[str, tuple] = dict.fromkeys(ids.filter(pa.array(~present)).to_pylist(), ("vector", None, None, None))
    for names, rule, value, threshold, match in blocks:
        for row in zip(names.to_pylist(), rule, value, threshold, match.to_pylist(), strict=True):
            lost[row[0]] = (row[1], float(row[2]), None if np.isnan(row[3]) else float(row[3]), row[4])
    rows = []
    for name in ids.to_pylist():
        rule, value, threshold, match = lost.get(name, (None, None, None, None))
        decided = {"rule": rule, "value": value, "threshold": threshold, "duplicate_of": match}
        rows.append({"id": name, "kept": name not in lost, "stage": NAME, **decided})
    with plan.writer(DECIDED, work.name, DECISIONS) as out:
        out.write_rows(rows)
        out.counts.update({"in": len(rows), "kept": len(rows) - len(lost), "dropped": len(lost), "failed": 0})
    yield DECIDED, out.shard


def details(
    plan: Plan[SemanticSettings], shards: Mapping[str, Sequence[Shard]], findings: list[dict[str, Any]]
) -> dict[str, Any]:
    """What was found; a RequestError, before anything is committed, where it is too much."""
    found = findings[0]
    _refuse_most(plan.settings, total(shards[DECIDED])["in"], found["semdedup"])
    return found


FITTED = ("table", "column", "centre", "components", "clusters", "sample", "seed")
CENTROIDS_OF: Stage[SemanticSettings] = Stage(
    name="centroids",
    command=NAME,
    version=1,
    tables=(NAME,),
    inputs=centroid_inputs,
    graph=centroid_graph,
    items=items,
    whole=True,
    fitted=True,
    redecides=True,
    recorded=lambda settings: settings.model_dump(mode="json", include=set(FITTED)),
)
DECIDE: Stage[SemanticSettings] = Stage(
    name=NAME,
    version=1,
    tables=(DECIDED,),
    inputs=decide_inputs,
    graph=decide_graph,
    items=items,
    whole=True,
    details=details,
    before=chain_before(NAME),
    redecides=True,
    recorded=lambda settings: settings.model_dump(mode="json", exclude={"model", "tokenizer", "most"}),
)
