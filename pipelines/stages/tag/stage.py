"""The tag stage: what each surviving document is, as columns, and mixture units made of them.

Writes `tags/` (URL tags, a label and its confidence for each taxonomy, a cluster, and who assigned them),
`decisions/tag/` (documents for which a `--keep` predicate or a rule of `--rules` over the tags is not true are
dropped; without one all are kept), and `domains/` where mixture units are asked for, which from then on replace the
column `domain`. Other predicates, rules or units decide anew from the tags that are there.
Refuses a predicate, a rule or a unit that names no tag before anything runs.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ....corpus.store import fate
from ....corpus.store.errors import RequestError, unknown_name
from ....corpus.store.schema import DECISIONS, DOMAINS
from ....corpus.store.shards import read_batches
from ....corpus.store.workspace import Workspace
from ....filters.rule_sets import DOCUMENT_COLUMNS, Compiled, RuleSet, load_rules
from ....proxy_models.rewriting.clusters import Clusters, from_bytes, unit
from ....proxy_models.rewriting.tagging import FastTextLabeller, Labeller, domain_name
from ....proxy_models.rewriting.tagging_urls import url_tags
from ....proxy_models.rewriting.taxonomy import excerpt
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, map_shards
from ...engine.held.rows import KeepById
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..columns import read_vectors, vectors_for
from .columns import FAMILY, columns, distilled, learnt, numbered, one_row
from .lessons import (
    CLUSTER,
    LABEL,
    LEARN,
    TAG,
    ClusterSettings,
    LabelSettings,
    LearnSettings,
    vectors_input,
    vectors_named,
)
from .settings import ApplySettings as ApplySettings
from .settings import TagSettings as TagSettings

READ = ["id", "text", "url"]
BESIDE = ("domain", "host", "source", "language")  # columns of documents that predicates and units may name, too
Rows = list[dict[str, Any]]


def run_tag(
    workspace: Workspace, settings: TagSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Label, distil, cluster as far as asked, then tag. The summary of all; details tell the agreements."""
    fate.chain(workspace, TAG, chain_before(TAG))
    labelled = settings.engine is not None or workspace.table("labellers").manifest() is not None
    named = tuple(sorted({*settings.taxonomies, *settings.models}))
    if settings.clusters == 1:
        raise RequestError("--clusters 1 would put every document into one; ask for 2 or more, or for none")
    if settings.vectors is not None and not settings.clusters:
        raise RequestError("--vectors are for finding clusters; say how many: --clusters N")
    label = _label_settings(settings)
    asked = {name: tuple(taxonomy.labels) for name, taxonomy in label.loaded().items()} if label else {}
    numbers = numbered(workspace, named, settings.models, asked)
    rules = load_rules(settings.rules) if settings.rules is not None else None
    check_names(settings, columns(named, numbers), rules)
    vectors_input(workspace, settings.vectors)
    tables: dict[str, Any] = {}
    if label is not None:
        tables |= run_stage(LABEL, workspace, label, options, force, quiet)["tables"]
        learning = LearnSettings(learner=settings.learner, seed=settings.seed)
        tables |= run_stage(LEARN, workspace, learning, options, force, quiet)["tables"]
    if settings.clusters:
        found = ClusterSettings(
            clusters=settings.clusters, vectors=settings.vectors, sample=settings.cluster_sample, seed=settings.seed
        )
        tables |= run_stage(CLUSTER, workspace, found, options, force, quiet)["tables"]
    applied = ApplySettings(
        taxonomies=tuple(sorted(learnt(workspace) & set(named) - set(settings.models))) if labelled else (),
        models=settings.models,
        clusters=bool(settings.clusters),
        vectors=settings.vectors,
        numbers=numbers,
        keep=settings.keep,
        rules=rules,
        domain=settings.domain,
    )
    tables |= run_stage(TAGS, workspace, applied, options, force, quiet)["tables"]
    summary = run_stage(tag_stage(applied), workspace, applied, options, force, quiet)
    return summary | {"tables": tables | summary["tables"], "details": {"agreement": agreements(workspace)}}


def _label_settings(settings: TagSettings) -> LabelSettings | None:
    if settings.engine is None:
        return None
    return LabelSettings(
        engine=settings.engine,
        taxonomies=tuple(name for name in settings.taxonomies if name not in settings.models),
        taxonomies_file=settings.taxonomies_file,
        sample=settings.sample,
        seed=settings.seed,
        request_cache=settings.request_cache,
    )


def agreements(workspace: Workspace) -> dict[str, Any]:
    """How well each labeller agrees with the engine that taught it, on labels it did not see."""
    told = {}
    for name in sorted(learnt(workspace)):
        row = one_row(workspace, "labellers", f"{name}.parquet")
        told[name] = {key: row[key] for key in ("held_back", "agreement", "kappa", "commonest_agreement")}
    return told


def check_names(settings: TagSettings, schema: pa.Schema, rules: RuleSet | None) -> None:
    """Refuse units, predicates and rules that name no tag."""
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
    if rules is not None:
        if rules.edits:
            raise RequestError(f"--rules {settings.rules}: rules over tags drop documents; lines and mask are filter's")
        _compiled(rules, schema, f"--rules {settings.rules}")


def _compiled(rules: RuleSet, schema: pa.Schema, where: str) -> Compiled:
    tags = pa.struct([field for field in schema if field.name not in ("id", "path_words")])
    return Compiled(rules.rules, {FAMILY: tags}, DOCUMENT_COLUMNS, where)


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
    """The stage that decides from tags; `domains/` is one of its tables where mixture units are asked for."""
    return Stage(
        name=TAG,
        version=2,
        tables=("decisions/tag", *((fate.DOMAINS,) if settings.domain else ())),
        inputs=lambda workspace, settings: {},
        graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, decide_shard), plan),
        items=decide_items,
        before=chain_before(TAG),
        redecides=True,
        recorded=tag_recorded,
        by_document=True,
    )


def decide_items(plan: Plan[ApplySettings]) -> list[Work]:
    """Every shard that enters, with its tags."""
    table = plan.workspace.table("tags")
    made = table.finished(TAG).by_name
    return [
        Work.of(source, table.file_url(made[name]), **{f"tags/{name}": made[name].content})
        for name, source in fate.sources(plan.workspace, TAG, chain_before(TAG)).items()
    ]


def tag_items(plan: Plan[ApplySettings]) -> list[Work]:
    """Every shard that enters, with the shard of its vectors where clusters are of vectors."""
    vectors = plan.settings.vectors
    made = plan.workspace.table(vectors_named(vectors)[0]).finished(TAG).by_name if vectors is not None else {}
    items = []
    for name, source in fate.sources(plan.workspace, TAG, chain_before(TAG)).items():
        shard = made.get(name)
        more = {f"{vectors_named(vectors)[0]}/{name}": shard.content} if vectors is not None and shard else {}
        items.append(Work.of(source, **more))
    return items


def tag_inputs(workspace: Workspace, settings: ApplySettings) -> dict[str, str]:
    vectors_input(workspace, settings.vectors)
    found = {}
    for table in (("labellers",) if settings.taxonomies else ()) + (("clusters",) if settings.clusters else ()):
        found[table] = workspace.table(table).finished(TAG).fingerprint
    return found


def tag_recorded(settings: ApplySettings, tags: bool = False) -> dict[str, Any]:
    """What is recorded: for `tags/` what changes a tag, for the other tables what is made of them as well."""
    beyond = {"keep", "rules", "domain"} if tags else set()
    told = settings.model_dump(mode="json", exclude={*beyond, *(() if settings.vectors else ("vectors",))})
    return told | {"models": {name: _file(path) for name, path in sorted(settings.models.items())}}


def _file(path: str) -> str:
    from ....corpus.store.shards import checksum

    try:
        return checksum(path)
    except FileNotFoundError as error:
        raise RequestError(f"--labeller {path} is not a file") from error


def tag_shard(plan: Plan[ApplySettings], work: Work) -> Iterator[Report]:
    """One shard of documents -> its tags."""
    settings = plan.settings
    schema = columns((*settings.taxonomies, *settings.models), settings.numbers)
    vectors = None
    if settings.vectors is not None:
        vectors = read_vectors(plan.workspace, *vectors_named(settings.vectors), work.name, TAG)
    with plan.writer("tags", work.name, schema) as out:
        for batch in work.documents.read(READ):
            out.write_rows(tagged(plan, batch.to_pylist(), vectors))
        out.counts = {"rows": out.rows}
    yield "tags", out.shard


def _rows(rows: pa.Table, entered: int) -> dict[str, int]:
    return {"rows": len(rows)}


TAGS: Stage[ApplySettings] = Stage(
    name="tags",
    command=TAG,
    version=2,
    tables=("tags",),
    inputs=tag_inputs,
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, tag_shard), plan),
    items=tag_items,
    redecides=True,
    recorded=lambda settings: tag_recorded(settings, tags=True),
    by_document=True,
    keep=KeepById(_rows),
)


def decide_shard(plan: Plan[ApplySettings], work: Work) -> Iterator[Report]:
    """Units and decisions of a shard, from its tags and the columns of its documents."""
    settings = plan.settings
    schema = columns((*settings.taxonomies, *settings.models), settings.numbers)
    rules = _compiled(settings.rules, schema, "--rules") if settings.rules else None
    tags = pa.Table.from_batches(list(read_batches(work.load)), schema)
    wanted = sorted({"id", *BESIDE, *(rules.columns if rules else ())})
    read = pa.schema([(name, pa.string()) for name in wanted])
    documents = pa.Table.from_batches([batch.cast(read) for batch in work.documents.read(wanted)], read)
    beside = pa.table([*tags.columns, *(documents[name] for name in BESIDE)], schema=_beside(schema))
    rows = [{"id": id, "kept": True, "stage": TAG} for id in tags["id"].to_pylist()]
    for row, failed in zip(rows, _first_failed(beside, settings.keep), strict=True):
        if failed is not None:
            row |= {"kept": False, "rule": failed}
    if rules is not None:
        judged = rules.decide(_judged(rules, tags, documents), TAG, every=False).select(DECISIONS.names).to_pylist()
        rows = [row if not row["kept"] else told for row, told in zip(rows, judged, strict=True)]
    if settings.domain:
        parts = [beside[name].to_pylist() for name in settings.domain]
        units = zip(tags["id"].to_pylist(), map(domain_name, zip(*parts, strict=True)), strict=True)
        with plan.writer(fate.DOMAINS, work.name, DOMAINS) as out:
            out.write_rows({"id": id, "domain": unit} for id, unit in units)
            out.counts = {"rows": out.rows}
        yield fate.DOMAINS, out.shard
    kept = sum(row["kept"] for row in rows)
    with plan.writer("decisions/tag", work.name, DECISIONS) as out:
        out.write_rows(rows)
        out.counts = {"in": len(rows), "kept": kept, "dropped": len(rows) - kept, "failed": 0}
    yield "decisions/tag", out.shard


def _judged(rules: Compiled, tags: pa.Table, documents: pa.Table) -> pa.Table:
    """The columns that rules read, the tags as one struct."""
    found = {name: documents[name] for name in ("id", *sorted(rules.columns - {"id"}))}
    if FAMILY in rules.signals:
        fields = rules.schema.field(FAMILY).type
        parts = [tags[field.name].combine_chunks() for field in fields]
        found[FAMILY] = pa.StructArray.from_arrays(parts, fields=list(fields))
    return pa.table(found)


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
            row[name] = (int(label) if name in settings.numbers else label) if label else None
            row[f"{name}_confidence"] = confidence
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
    labeller, kind = distilled(plan.workspace, name, plan.inputs["labellers"])
    return labeller, f"{kind}, distilled"


@lru_cache(maxsize=8)
def _given(path: str, checksum: str) -> Labeller:
    return FastTextLabeller(path)


@lru_cache(maxsize=2)
def _clusters(workspace: Workspace, fingerprint: str) -> Clusters:
    return from_bytes(one_row(workspace, "clusters", "clusters.parquet")["model"])
