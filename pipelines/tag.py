"""The tag stage: what each surviving document is, as columns, and mixture units made of them.

Writes `tags/` (URL tags, a label and its confidence for each taxonomy, a cluster, and who assigned them),
`decisions/tag/` (documents for which a `--keep` predicate over the tags is not true are dropped; without one all are
kept), and `domains/` where mixture units are asked for, which from then on replace the column `domain`.
Refuses a predicate or a unit that names no tag before anything runs.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import apache_beam as beam
import duckdb
import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field

from ..corpus import fate
from ..corpus.refusal import RequestError, unknown_name
from ..corpus.schema import DECISIONS, DOMAINS
from ..corpus.shards import committed, fingerprint, open_shard
from ..corpus.workspace import Workspace
from ..proxy_models.clusters import Clusters, from_bytes, unit
from ..proxy_models.tagging import FastTextLabeller, Labeller, Learner, domain_name, open_labeller
from ..proxy_models.tagging_urls import url_tags
from ..proxy_models.taxonomy import excerpt
from .columns import read_vectors, vectors_for
from .runner import RunnerOptions
from .stage import Plan, Report, Stage, run_stage, shard_graph
from .tag_lessons import (
    CLUSTER,
    LABEL,
    LEARN,
    TAG,
    ClusterSettings,
    LabelSettings,
    LearnSettings,
    one_row,
    vectors_input,
    vectors_named,
)

BUNDLED = ("format", "quality_label", "topic")
READ = ["id", "text", "url", "host", "source", "domain", "language"]
BESIDE = ("domain", "host", "source", "language")  # columns of documents that predicates and units may name, too
Rows = list[dict[str, Any]]


class TagSettings(BaseModel, frozen=True, extra="forbid"):
    """What to tag, who teaches it, what to keep, what makes a mixture unit."""

    taxonomies: tuple[str, ...] = BUNDLED
    taxonomies_file: str | None = None
    engine: dict[str, Any] | None = None  # labels a sample; without one, labellers already there are used
    sample: int = Field(2000, ge=10, description="documents that the engine labels")
    learner: Learner = "linear"
    models: dict[str, str] = {}  # taxonomy -> a fastText model of the user's own
    clusters: int = Field(0, ge=0, le=1000)
    cluster_sample: int = Field(20_000, ge=10)
    vectors: str | None = None  # TABLE or TABLE:COLUMN, to be clustered instead of words
    keep: tuple[str, ...] = ()  # SQL over the tags
    domain: tuple[str, ...] = ()  # columns whose values make the mixture unit
    seed: int = 0
    request_cache: str | None = None


class ApplySettings(BaseModel, frozen=True, extra="forbid"):
    """What the tag stage itself does, once everything is learnt."""

    taxonomies: tuple[str, ...]  # by the workspace's labellers
    models: dict[str, str] = {}
    clusters: bool = False
    vectors: str | None = None
    keep: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()


def run_tag(
    workspace: Workspace, settings: TagSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Label, distil, cluster as far as asked, then tag. The summary of all; details tell the agreements."""
    fate.inputs(workspace, TAG, until=TAG)
    labelled = settings.engine is not None or workspace.table("labellers").manifest() is not None
    named = tuple(sorted({*settings.taxonomies, *settings.models}))
    if settings.clusters == 1:
        raise RequestError("--clusters 1 would put every document into one; ask for 2 or more, or for none")
    if settings.vectors is not None and not settings.clusters:
        raise RequestError("--vectors are for finding clusters; say how many: --clusters N")
    check_names(settings, named)
    vectors_input(workspace, settings.vectors)
    tables: dict[str, Any] = {}
    if settings.engine is not None:
        label = LabelSettings(
            engine=settings.engine,
            taxonomies=tuple(name for name in settings.taxonomies if name not in settings.models),
            taxonomies_file=settings.taxonomies_file,
            sample=settings.sample,
            seed=settings.seed,
            request_cache=settings.request_cache,
        )
        tables |= run_stage(LABEL, workspace, label, options, force, quiet)["tables"]
        learning = LearnSettings(learner=settings.learner, seed=settings.seed)
        tables |= run_stage(LEARN, workspace, learning, options, force, quiet)["tables"]
    if settings.clusters:
        found = ClusterSettings(
            clusters=settings.clusters, vectors=settings.vectors, sample=settings.cluster_sample, seed=settings.seed
        )
        tables |= run_stage(CLUSTER, workspace, found, options, force, quiet)["tables"]
    applied = ApplySettings(
        taxonomies=tuple(sorted(_learnt(workspace) & set(named) - set(settings.models))) if labelled else (),
        models=settings.models,
        clusters=bool(settings.clusters),
        vectors=settings.vectors,
        keep=settings.keep,
        domain=settings.domain,
    )
    if not settings.domain:
        workspace.table(fate.DOMAINS).remove_manifest()  # units that an earlier call asked for
    summary = run_stage(tag_stage(applied), workspace, applied, options, force, quiet)
    return summary | {"tables": tables | summary["tables"], "details": {"agreement": agreements(workspace)}}


def agreements(workspace: Workspace) -> dict[str, Any]:
    """How well each labeller agrees with the engine that taught it, on labels it did not see."""
    told = {}
    for name in sorted(_learnt(workspace)):
        row = one_row(workspace, "labellers", f"{name}.parquet")
        told[name] = {key: row[key] for key in ("held_back", "agreement", "kappa", "commonest_agreement")}
    return told


def _learnt(workspace: Workspace) -> set[str]:
    manifest = workspace.table("labellers").manifest()
    return {shard.name.removesuffix(".parquet") for shard in manifest.shards} if manifest else set()


def columns(taxonomies: tuple[str, ...]) -> pa.Schema:
    """Schema of `tags/`: the bundled taxonomies are always there, null where nobody assigned them."""
    fields = [
        pa.field("id", pa.string(), nullable=False),
        ("registered_domain", pa.string()),
        ("suffix", pa.string()),
        ("path_words", pa.list_(pa.string())),
    ]
    for name in sorted({*BUNDLED, *taxonomies}):
        fields += [(name, pa.string()), (f"{name}_confidence", pa.float32())]
    return pa.schema([*fields, ("cluster", pa.string()), ("assigned_by", pa.string())])


def check_names(settings: TagSettings, named: tuple[str, ...]) -> None:
    """Refuse units and predicates that name no tag."""
    schema = columns(named)
    known = {*schema.names, *BESIDE} - {"id", "path_words"}
    for name in settings.domain:
        if name not in known:
            raise unknown_name("tag", name, known, "--domain")
    empty = _beside(schema).empty_table()
    for predicate in settings.keep:
        try:
            _kept(empty, predicate)
        except duckdb.Error as error:
            raise RequestError(f"--keep {predicate!r}: {str(error).splitlines()[0]}") from error


def _beside(schema: pa.Schema) -> pa.Schema:
    return pa.schema([*schema, *((name, pa.string()) for name in BESIDE)])


def _kept(rows: pa.Table, predicate: str) -> list[bool]:
    """Whether the predicate is true, row by row; null is not true."""
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        connection.register("tags", rows)
        found = connection.execute(f"select ({predicate}) is true from tags").fetchall()
    return [bool(row[0]) for row in found]


# ---- the stage


def tag_stage(settings: ApplySettings) -> Stage[ApplySettings]:
    """The stage for these settings; `domains/` is one of its tables where mixture units are asked for."""
    tables = ("decisions/tag", "tags", *((fate.DOMAINS,) if settings.domain else ()))
    return Stage(
        name=TAG,
        version=1,
        tables=tables,
        inputs=tag_inputs,
        graph=_TagGraph(tables),
        work=lambda workspace, settings: len(workspace.table(fate.BEFORE).finished(TAG).shards),
        redecides=True,
        recorded=tag_recorded,
    )


class _TagGraph:
    """The graph of a stage whose tables depend on its settings."""

    def __init__(self, tables: tuple[str, ...]) -> None:
        self.tables = tables

    def __call__(self, pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
        shards = plan.workspace.table(fate.BEFORE).finished(TAG).shards
        return shard_graph(pipeline, plan, [shard.name for shard in shards], tag_shard, tables=self.tables)


def tag_inputs(workspace: Workspace, settings: ApplySettings) -> dict[str, str]:
    found = fate.inputs(workspace, TAG, until=TAG)
    for table in (("labellers",) if settings.taxonomies else ()) + (("clusters",) if settings.clusters else ()):
        found[table] = workspace.table(table).finished(TAG).fingerprint
    return found | vectors_input(workspace, settings.vectors)


def tag_recorded(settings: ApplySettings) -> dict[str, Any]:
    told = settings.model_dump(mode="json", exclude={"vectors"} if settings.vectors is None else None)
    return told | {"models": {name: _file(path) for name, path in sorted(settings.models.items())}}


def _file(path: str) -> str:
    from ..corpus.shards import checksum

    try:
        return checksum(path)
    except FileNotFoundError as error:
        raise RequestError(f"--labeller {path} is not a file") from error


def tag_shard(plan: Plan, shard: str) -> Iterator[Report]:
    """One shard of documents -> its tags, units and decisions; the decisions last, for they mark it as done."""
    settings = plan.settings
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    schema = columns((*settings.taxonomies, *settings.models))
    tables = [*((fate.DOMAINS,) if settings.domain else ()), "tags", "decisions/tag"]
    urls = {table: plan.workspace.table(table).shard_url(shard) for table in tables}
    present = {table: committed(url, stamp) for table, url in urls.items()}
    if all(present.values()):
        yield from present.items()
        return
    tags: Rows = []
    units: Rows = []
    decisions: Rows = []
    vectors = None
    if settings.vectors is not None:
        vectors = read_vectors(plan.workspace, *vectors_named(settings.vectors), shard, TAG)
    for batch in fate.read_kept(plan.workspace, shard, READ, until=TAG):
        documents = batch.to_pylist()
        rows = tagged(plan, documents, vectors)
        tags += rows
        beside = [{**row, **{name: doc[name] for name in BESIDE}} for row, doc in zip(rows, documents, strict=True)]
        failed = _first_failed(pa.Table.from_pylist(beside, _beside(schema)), settings.keep)
        for row, rule in zip(beside, failed, strict=True):
            decisions.append({"id": row["id"], "kept": rule is None, "stage": TAG, "rule": rule})
            units.append({"id": row["id"], "domain": domain_name([row[name] for name in settings.domain])})
    kept = sum(row["kept"] for row in decisions)
    counts = {"in": len(decisions), "kept": kept, "dropped": len(decisions) - kept, "failed": 0}
    for table, declared, rows in (
        (fate.DOMAINS, DOMAINS, units),
        ("tags", schema, tags),
        ("decisions/tag", DECISIONS, decisions),
    ):
        if table in urls:
            with open_shard(urls[table], declared, stamp) as out:
                out.write_rows(rows)
                out.counts = counts if table == "decisions/tag" else {"rows": len(rows)}
            yield table, committed(urls[table], stamp)


def tagged(plan: Plan, documents: Rows, vectors: tuple[pa.Array, np.ndarray] | None = None) -> Rows:
    """The row of tags of each document.

    vectors  ids (N,) and their vectors (N, width), where clusters were found in such; a document without has no cluster
    """
    settings = plan.settings
    texts = [excerpt(document["text"]) for document in documents]
    rows: Rows = []
    for document in documents:
        told = url_tags(document["url"])
        found = {
            "registered_domain": told.registered_domain,
            "suffix": told.suffix,
            "path_words": list(told.path_words),
        }
        rows.append({"id": document["id"], **found, "cluster": None, "assigned_by": None})
    who = []
    for name in (*settings.taxonomies, *settings.models):
        labeller, kind = _labeller(plan, name)
        who.append(f"{name}: {kind}")
        for row, (label, confidence) in zip(rows, labeller.label(texts), strict=True):
            row[name], row[f"{name}_confidence"] = label, confidence
    if settings.clusters and texts:
        clusters = _clusters(plan.workspace, plan.inputs["clusters"])
        names = clusters.names()
        if vectors is None:
            placed, found = rows, clusters.assign(texts)
        else:
            present, points = vectors_for(pa.array([row["id"] for row in rows]), *vectors)
            placed = [row for row, there in zip(rows, present.tolist(), strict=True) if there]
            found = clusters.place(unit(points)) if placed else np.zeros(0, np.int64)
        for row, at in zip(placed, found.tolist(), strict=True):
            row["cluster"] = names[at]
    for row in rows:
        row["assigned_by"] = "; ".join(who) or None
    return rows


def _first_failed(rows: pa.Table, predicates: tuple[str, ...]) -> list[str | None]:
    """The first predicate that is not true of each row."""
    failed: list[str | None] = [None] * rows.num_rows
    for predicate in predicates:
        for at, true in enumerate(_kept(rows, predicate)):
            if not true and failed[at] is None:
                failed[at] = predicate
    return failed


def _labeller(plan: Plan, name: str) -> tuple[Labeller, str]:
    if name in plan.settings.models:
        return _given(plan.settings.models[name], plan.recorded["models"][name]), "fasttext, given"
    return _distilled(plan.workspace, name, plan.inputs["labellers"])


@lru_cache(maxsize=8)
def _given(path: str, checksum: str) -> Labeller:
    return FastTextLabeller(path)


@lru_cache(maxsize=8)
def _distilled(workspace: Workspace, name: str, fingerprint: str) -> tuple[Labeller, str]:
    row = one_row(workspace, "labellers", f"{name}.parquet")
    return open_labeller(row["kind"], row["labels"], row["model"]), f"{row['kind']}, distilled"


@lru_cache(maxsize=2)
def _clusters(workspace: Workspace, fingerprint: str) -> Clusters:
    return from_bytes(one_row(workspace, "clusters", "clusters.parquet")["model"])
