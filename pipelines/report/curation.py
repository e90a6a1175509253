"""The report's sections on curation: what came in, what was dropped and why, what was a duplicate, what failed.

Reads the views of the catalog only. Ids decide which documents are shown, so the same workspace gives the same page.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from ...corpus.store.catalog import files
from ...corpus.store.commands import command_for
from ...corpus.store.commits import Manifest
from ...corpus.store.fate import deciding
from ...corpus.store.workspace import Workspace
from .charts import bars, columns, legend
from .text import Html, bar, count, escape, excerpt, figure, number, paragraph, percent, size, table

SHOWN = 10  # documents kept, and as many dropped
CLUSTER_SIZES = ((2, 2), (3, 3), (4, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, 1 << 62))


@dataclass(frozen=True)
class ReportSource:
    """A workspace as the sections see it: its name for a reader, its finished tables, its views.

    The connection has the views of the catalog, and `counted`, which is `funnel` computed once.
    """

    workspace: Workspace
    manifests: dict[str, Manifest]
    connection: duckdb.DuckDBPyConnection

    @property
    def name(self) -> str:
        return os.path.basename(self.workspace.url)

    def rows(self, query: str, *values: Any) -> list[tuple]:
        return self.connection.execute(query, list(values)).fetchall()

    def has(self, name: str) -> bool:
        return name in self.manifests


@dataclass(frozen=True)
class Section:
    """One part of the page. `missing` names the command that would fill it; the body is then empty."""

    key: str
    title: str
    body: str = ""
    missing: str | None = None


def not_run(key: str, title: str, source: ReportSource, table: str) -> Section:
    """The section of a table that is not there yet."""
    return Section(key, title, missing=f"gristmill {command_for(table)} --workspace {source.name}")


@dataclass(frozen=True)
class FunnelStep:
    """One stage of the funnel in one domain, or in all of them."""

    stage: str
    kept: int
    dropped: int
    kept_bytes: int
    dropped_bytes: int


def steps(source: ReportSource) -> tuple[list[FunnelStep], dict[str, list[FunnelStep]]]:
    """The funnel over all domains, and that of each domain, stages in the order in which they ran."""
    query = (
        "select step, stage, domain, coalesce(sum(documents) filter (fate = 'kept'), 0)::bigint, "
        "coalesce(sum(documents) filter (fate = 'dropped'), 0)::bigint, "
        "coalesce(sum(bytes) filter (fate = 'kept'), 0)::bigint, "
        "coalesce(sum(bytes) filter (fate = 'dropped'), 0)::bigint "
        "from counted group by all order by step, domain"
    )
    by_domain: dict[str, dict[str, FunnelStep]] = defaultdict(dict)
    for _, stage, domain, *numbers in source.rows(query):
        by_domain[domain][stage] = FunnelStep(stage, *numbers)
    order = ["extract", *deciding(source.workspace)]
    nothing = {stage: FunnelStep(stage, 0, 0, 0, 0) for stage in order}
    whole = [
        FunnelStep(
            stage,
            *(
                sum(getattr(stages.get(stage, nothing[stage]), field) for stages in by_domain.values())
                for field in ("kept", "dropped", "kept_bytes", "dropped_bytes")
            ),
        )
        for stage in order
    ]
    each = {name: [stages.get(stage, nothing[stage]) for stage in order] for name, stages in by_domain.items()}
    return whole, each


def funnel(source: ReportSource) -> Section:
    """Documents and bytes through the stages, by rule and by domain."""
    if not source.has("documents"):
        return not_run("funnel", "Funnel", source, "documents")
    whole, each = steps(source)
    start, end = whole[0], whole[-1]
    told = (
        f"{count(start.kept)} documents ({size(start.kept_bytes)} of text) were extracted; "
        f"{count(end.kept)} are kept, {percent(end.kept, start.kept)} of the documents and "
        f"{percent(end.kept_bytes, start.kept_bytes)} of the bytes."
    )
    drawn = bars(
        [
            (step.stage, (step.kept, step.dropped), f"{count(step.kept)} kept, {percent(step.kept, start.kept)}")
            for step in whole
        ],
        ("kept", "dropped"),
        count,
        f"Documents kept and dropped by stage. {told}",
    )
    body = paragraph(told, "lead")
    body += figure(drawn, "Documents that entered each stage.", legend(("kept", "dropped"), "swatch"))
    rows = [
        (
            step.stage,
            count(step.kept + step.dropped),
            count(step.dropped),
            count(step.kept),
            percent(step.kept, start.kept),
            size(step.kept_bytes),
            percent(step.kept_bytes, start.kept_bytes),
        )
        for step in whole
    ]
    body += table(("stage", "in", "dropped", "kept", "of all", "bytes kept", "of all"), rows)
    body += "".join(eaten(whole)) + dropped_by_rule(source, whole) + cut_by_rule(source) + by_domain(each)
    waiting = [stage for stage in ("filter", "dedup") if not source.has(f"decisions/{stage}")]
    for stage in waiting:
        body += f'<p class="absent">Not run: <code>gristmill {stage} --workspace {escape(source.name)}</code></p>'
    return Section("funnel", "Funnel", body)


def eaten(whole: list[FunnelStep]) -> Iterator[str]:
    """A warning for each stage that drops nearly everything: more often a wrong column than a bad crawl."""
    for step in whole[1:]:
        entered = step.kept + step.dropped
        if entered and step.kept < 0.02 * entered:
            yield paragraph(
                f"{step.stage} dropped {percent(step.dropped, entered)} of what it saw. "
                f"Look at its rules before trusting the rest of this page.",
                "warn",
            )


def dropped_by_rule(source: ReportSource, whole: list[FunnelStep]) -> str:
    """Which rule dropped how much, the most documents first."""
    entered = {step.stage: step.kept + step.dropped for step in whole}
    found = source.rows(
        "select stage, rule, sum(documents)::bigint as documents, sum(bytes)::bigint from counted "
        "where fate = 'dropped' group by all order by documents desc, stage, rule"
    )
    if not found:
        return ""
    rows = [
        (stage, rule or "no rule named", count(documents), size(text), bar(documents / entered[stage]))
        for stage, rule, documents, text in found
    ]
    header = ("stage", "rule", "documents", "bytes", "of the stage's input")
    return "<h3>Dropped by rule</h3>" + table(header, rows, words=2, most=40)


def cut_by_rule(source: ReportSource) -> str:
    """What stages cut out of documents that they kept, by rule; nothing where no text was edited."""
    rows = []
    for stage in deciding(source.workspace):
        edits = files(source.workspace, f"edits/{stage}")
        if edits is None:
            continue
        found = source.rows(
            'select cut.rule as rule, count(distinct id) as documents, coalesce(sum(cut."end" - cut.start), 0)::bigint '
            "from (select id, unnest(case when len(removed) > 0 then removed else [null] end) as cut "
            f"from {edits}) group by rule order by documents desc, rule"
        )
        rows += [(stage, rule or "rewritten", count(documents), count(cut)) for rule, documents, cut in found]
    if not rows:
        return ""
    header = ("stage", "rule", "documents", "characters cut")
    return "<h3>Cut from documents that were kept</h3>" + table(header, rows, words=2, most=40)


def by_domain(each: dict[str, list[FunnelStep]]) -> str:
    """What every domain kept after each stage, the largest domain first."""
    ordered = sorted(each.items(), key=lambda item: (-item[1][0].kept_bytes, item[0]))
    stages = [step.stage for step in ordered[0][1]] if ordered else []
    rows = []
    for name, stage_steps in ordered:
        first, last = stage_steps[0], stage_steps[-1]
        rows.append(
            (
                name,
                *(count(step.kept) for step in stage_steps),
                size(first.kept_bytes),
                size(last.kept_bytes),
                bar(last.kept_bytes / first.kept_bytes if first.kept_bytes else 0.0),
            )
        )
    header = ("domain", *(f"after {stage}" for stage in stages), "bytes extracted", "bytes kept", "share kept")
    return "<h3>By domain</h3>" + table(header, rows)


def clusters(source: ReportSource) -> Section:
    """Sizes of the clusters of duplicates, and the largest ones with the document that survives."""
    title = "Duplicates"
    if not source.has("duplicates"):
        return not_run("duplicates", title, source, "duplicates")
    sizes = source.rows(
        "select cluster_size, count(distinct (scope, cluster)) from duplicates where cluster_size > 1 group by all"
    )
    if not sizes:
        return Section("duplicates", title, paragraph("No two documents were found to be duplicates.", "lead"))
    removed, against = source.rows(
        "select count(*) filter (not survivor), count(*) filter (method = 'against') from duplicates"
    )[0]
    total = sum(number for _, number in sizes)
    largest = max(members for members, _ in sizes)
    told = (
        f"{count(total)} clusters; {count(removed)} documents duplicate another one; "
        f"the largest cluster has {count(largest)} members."
    )
    if against:
        told += f" {count(against)} of them duplicate a document of another workspace."
    classes = []
    for low, high in CLUSTER_SIZES:
        inside = sum(number for members, number in sizes if low <= members <= high)
        name = str(low) if low == high else f"{low}–{high}" if high < 1 << 62 else f"{low}+"
        classes.append((name, inside))
    while classes and not classes[-1][1]:
        classes.pop()
    drawn = columns(classes, count, "documents in the cluster", f"Number of clusters by size. {told}")
    return Section(
        "duplicates",
        title,
        paragraph(told, "lead") + figure(drawn, "Clusters by their number of documents.") + largest_clusters(source),
    )


def largest_clusters(source: ReportSource) -> str:
    """The largest clusters: what survives, how its duplicates were found and how close the least similar one is."""
    found = source.rows(
        "with largest as (select scope, cluster, max(cluster_size) as members, min(jaccard) as closest, "
        "list_sort(list(distinct method) filter (not survivor)) as methods, "
        "min(id) filter (survivor) as survivor from duplicates where cluster_size > 1 "
        "group by scope, cluster order by members desc, cluster limit 12) "
        "select members, survivor, methods, closest, d.title, d.url, d.domain, left(d.text, 90) "
        "from largest left join documents d on d.id = survivor order by members desc, cluster"
    )
    rows = []
    for members, survivor, methods, closest, title, url, domain, text in found:
        if survivor is None:
            shown = Html("a document of another workspace")
        else:
            name = title or url or " ".join((text or "").split()) or survivor
            below = " · ".join(part for part in (survivor, url) if part and part != name)
            shown = Html(f'<span class="name">{escape(name)}<span class="sub">{escape(below)}</span></span>')
        rows.append((shown, domain or "–", ", ".join(methods or ()), count(members), number(closest)))
    return "<h3>Largest clusters</h3>" + table(
        ("survivor", "domain", "found by", "documents", "lowest Jaccard"), rows, words=3
    )


def failures(source: ReportSource) -> Section:
    """Inputs that could not be processed, by stage and kind, with one example of each kind."""
    title = "Failures"
    if not any(name.startswith("failures") for name in source.manifests):
        if not source.has("documents"):
            return not_run("failures", title, source, "documents")
        return Section("failures", title, paragraph("No stage recorded a failure.", "lead"))
    # a kind is what stands before the first colon, its numbers left out: the rest names the one input
    found = source.rows(
        "select stage, regexp_replace(split_part(error, ':', 1), '[0-9]+', '…', 'g') as kind, count(*) as n, "
        "min_by((error, origin, excerpt), (coalesce(origin.path, ''), coalesce(origin.\"offset\", 0), error)) "
        "from failures group by all order by n desc, stage, kind"
    )
    if not found:
        return Section("failures", title, paragraph("Every input was processed.", "lead"))
    rows = []
    for stage, kind, times, example in found:
        error, origin, seen = example.values() if isinstance(example, dict) else example
        where = ""
        if origin and origin["path"]:
            where = os.path.basename(origin["path"]) + (f" at {count(origin['offset'])}" if origin["offset"] else "")
        below = " · ".join(part for part in (where, " ".join((seen or "").split())[:120]) if part)
        rows.append((stage, kind, count(times), Html(f'{escape(error)}<span class="sub">{escape(below)}</span>')))
    whole = sum(row[2] for row in found)
    told = (
        f"{count(whole)} inputs could not be processed. Each has a row in failures; the rest of the input went through."
    )
    shown = [(stage, kind, example, times) for stage, kind, times, example in rows]
    return Section(
        "failures", title, paragraph(told, "lead") + table(("stage", "kind", "example", "inputs"), shown, words=3)
    )


def samples(source: ReportSource) -> Section:
    """Ten documents kept and ten dropped, drawn by a hash of the id, with the reason."""
    title = "Documents, kept and dropped"
    if not source.has("documents"):
        return not_run("samples", title, source, "documents")
    if not deciding(source.workspace):
        return not_run("samples", title, source, "decisions/filter")
    kept = _drawn(source, "kept", "curated")
    dropped = _drawn(source, "not kept", "documents")
    body = paragraph(
        "Drawn by a hash of their ids: not chosen, and the same in every report on these documents.", "lead"
    )
    body += f"<h3>{len(kept)} kept</h3>" + "".join(_shown(document, _why_kept) for document in kept)
    body += f"<h3>{len(dropped)} dropped</h3>" + "".join(_shown(document, _why_dropped) for document in dropped)
    return Section("samples", title, body)


def _drawn(source: ReportSource, which: str, view: str) -> list[dict[str, Any]]:
    """Documents with their decisions. Ids are drawn first, so that no other text is read."""
    drawn = source.rows(
        "select id, stage, rule, value, threshold, duplicate_of from decisions "
        f"where {which} order by md5(id), id limit {SHOWN}"
    )
    marks = ", ".join("?" * len(drawn)) or "null"
    answer = source.connection.execute(
        f"select id, text, url, domain, title, origin from {view} where id in ({marks})", [row[0] for row in drawn]
    )
    documents = {row[0]: row[1:] for row in answer.fetchall()}
    names = ("id", "stage", "rule", "value", "threshold", "duplicate_of", "text", "url", "domain", "title", "origin")
    return [dict(zip(names, (*row, *documents[row[0]]), strict=True)) for row in drawn]


def _shown(document: dict[str, Any], why: Callable[[dict[str, Any]], str]) -> str:
    """One document, folded: its first words and the reason, then where it is from and how its text begins."""
    first = document["title"] or " ".join(document["text"][:200].split()) or document["id"]
    origin = document["origin"]
    facts = {
        "id": document["id"],
        "domain": document["domain"],
        "url": document["url"],
        "origin": f"{os.path.basename(origin['path'])} at {count(origin['offset'] or 0)}"
        if origin and origin["path"]
        else None,
        "length": f"{count(len(document['text']))} characters",
        "duplicate of": document["duplicate_of"],
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return (
        f'<details><summary><span class="what">{escape(first)}</span><span class="why">{why(document)}</span></summary>'
        f'<dl>{listed}</dl><pre class="text">{excerpt(document["text"])}</pre></details>'
    )


def _why_kept(document: dict[str, Any]) -> str:
    return escape(document["domain"])


def _why_dropped(document: dict[str, Any]) -> str:
    """`filter: short_lines 0.91, threshold 0.67`; a rule whose value is absent says so."""
    said = f"{escape(document['stage'])}: <b>{escape(document['rule'])}</b>"
    value, threshold = document["value"], document["threshold"]
    if document["duplicate_of"]:
        similarity = f", similarity {number(value)}" if value is not None else ""
        return f"{said} of {escape(document['duplicate_of'][:8])}{similarity}"
    limit = f", threshold {number(threshold)}" if threshold is not None else ""
    return f"{said} {number(value) if value is not None else 'absent'}{limit}"
