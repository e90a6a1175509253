"""The figures of a card: each one a query over the workspace, with its SQL beside it.

All of them read the view `corpus`, a row for every document that is kept: what it is of, its bytes after every edit,
its tokens, and `drawn`, the training tokens that the recipe or run draws of it: the tokens of its domain in the stream,
in proportion to its own. `measure` is what shares are of: `drawn`, or bytes where there are no tokens. Counts of rows
and sums are rounded to whole numbers, so that a figure is equal to itself wherever its query runs.
Refuses a stale workspace, as every reader does.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from ...corpus.planning.sections import read_sections
from ...corpus.sql import literal
from ...corpus.store.catalog import files, open_catalog
from ...corpus.store.errors import MissingExtra
from ...corpus.store.fate import EDITS
from ...corpus.store.workspace import Workspace
from ...filters.urls import registered_domain
from .settings import CardSettings
from .tokens import tokens_by_document

if TYPE_CHECKING:
    from .streams import Stream

CORPUS = """
select c.id, c.source, c.domain, c.host, coalesce(s.site, c.host) as site, c.url, c.language, c.license,
    c.license_class, case when l.id is not null then 'synthetic' else d.section end as section,
    k.captured, strlen(c.text) as bytes, t.tokens, t.tokens * w.drawn / w.available as drawn,
    {measure} as measure
from curated c
left join document_tokens t on t.id = c.id
left join stream w on w.domain = t.domain
left join sections d on d.source = c.source
left join rewritten l on l.id = c.id
left join sites s on s.host = c.host
left join (select id, min(captured) as captured from captures where not revisit group by id) k on k.id = c.id
"""
DRAWN, BYTES = "coalesce(t.tokens * w.drawn / w.available, 0)", "strlen(c.text)"
COUNTS = (
    "count(*) as documents, sum(bytes)::bigint as bytes, sum(tokens)::bigint as tokens, "
    "round(sum(drawn))::bigint as drawn, round(100 * sum(measure) / (select sum(measure) from corpus), 4) as percent"
)
UTC = "captured at time zone 'UTC'"
LOW_RISK = "license_class in ('public domain', 'permissive', 'attribution')"
LISTED = {  # whether the provider is a small one -> how many domain names it lists (see template.py)
    False: "greatest(1, ceil(0.1 * count(distinct site)))::bigint",
    True: "least(1000, greatest(1, ceil(0.05 * count(distinct site))))::bigint",
}
FIGURES = {  # name -> (title, SQL)
    "size": ("Size of the corpus", f"select {COUNTS} from corpus"),
    "sources": (
        "Sources, with their kinds and the time of their captures",
        f"select source, section, {COUNTS}, sum(measure) > 0 as read, min({UTC}) as first_capture, "
        f"max({UTC}) as last_capture, count(captured) as captures from corpus "
        "group by source, section order by source, section",
    ),
    "sections": ("Kinds of sources", f"select section, {COUNTS} from corpus group by section order by section"),
    "domains": ("Mixture units", f"select domain, {COUNTS} from corpus group by domain order by domain"),
    "languages": (
        "Languages",
        f"select language, {COUNTS} from corpus group by language order by sum(measure) desc, language",
    ),
    "licences": (
        "Licences that documents state",
        f"select license, license_class, {COUNTS} from corpus group by license, license_class "
        "order by sum(measure) desc, license",
    ),
    "licence_classes": (
        "Classes of licences",
        f"select license_class, {COUNTS} from corpus group by license_class order by license_class",
    ),
    "licence_risk": (
        "Low and high risk, as SILO tells them apart",
        f"select case when {LOW_RISK} then 'low' else 'high' end as risk, {COUNTS} from corpus group by risk "
        "order by risk",
    ),
    "acquisition": (
        "First and last capture",
        f"select min({UTC}) as first, max({UTC}) as last, count(*) filter (captured is null) as without from corpus",
    ),
    "sites": (
        "Largest domain names of the provider's own crawls, by bytes",
        f"select site, {COUNTS} from corpus where section = 'crawl' and site is not null group by site "
        "order by sum(bytes) desc, site limit (select {most} from corpus where section = 'crawl')",
    ),
    "fates": (
        "What became of the documents, by stage and rule",
        "select stage, fate, rule, sum(documents)::bigint as documents, sum(bytes)::bigint as bytes from funnel "
        "group by stage, step, fate, rule order by step, fate, rule",
    ),
    "masked": (
        "What was cut from or masked in documents that are kept, by kind",
        "select stage, rule, count(*) as pieces, count(distinct id) as documents from edited "
        "where id in (select id from corpus) group by stage, rule order by stage, rule",
    ),
    "removed": (
        "Documents removed on request, by request",
        "select reason, count(*) as documents, min(removed at time zone 'UTC') as first, "
        "max(removed at time zone 'UTC') as last from removals "
        "group by reason order by reason",
    ),
    "rewritten": (
        "Documents that a model rewrote",
        f"select domain, {COUNTS} from corpus where section = 'synthetic' group by domain order by domain",
    ),
}


@dataclass(frozen=True)
class Figure:
    """One figure: its rows, and the query that gives them."""

    name: str
    title: str
    sql: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def table(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def queries(settings: CardSettings) -> dict[str, tuple[str, str]]:
    """name -> (title, SQL), with the share of domain names that a provider of its size lists."""
    title, sql = FIGURES["sites"]
    return FIGURES | {"sites": (title, sql.replace("{most}", LISTED[settings.provider.small]))}


@contextmanager
def evidence(
    workspace: Workspace, settings: CardSettings, stream: "Stream | None"
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the views of the workspace and those that the figures read beside them."""
    given = _tables(workspace, settings, stream)
    with open_catalog(workspace) as connection:
        for name, table in given.items():
            connection.register(f"given_{name}", table)
            connection.execute(f"create temp table {name} as select * from given_{name}")
        connection.execute(f"create temp view edited as {_edits(workspace)}")
        connection.execute(f"create temp view rewritten as {_rewritten(workspace)}")
        connection.execute(f"create temp view removals as {_removals(workspace)}")
        hosts = [
            row[0] for row in connection.execute("select distinct host from curated where host is not null").fetchall()
        ]
        connection.register("given_sites", _sites(hosts))
        connection.execute("create temp table sites as select * from given_sites")
        measure = DRAWN if len(given["document_tokens"]) else BYTES
        connection.execute(f"create temp table corpus as {CORPUS.format(measure=measure)}")
        yield connection


def figures(workspace: Workspace, settings: CardSettings, stream: "Stream | None") -> dict[str, Figure]:
    """Every figure, by name."""
    with evidence(workspace, settings, stream) as connection:
        return {name: asked(connection, name, *query) for name, query in queries(settings).items()}


def asked(connection: duckdb.DuckDBPyConnection, name: str, title: str, sql: str) -> Figure:
    """The figure that a query gives."""
    result = connection.execute(sql)
    columns = tuple(column[0] for column in result.description or ())
    return Figure(name, title, sql, columns, tuple(result.fetchall()))


def _tables(workspace: Workspace, settings: CardSettings, stream: "Stream | None") -> dict[str, pa.Table]:
    """What no table of the workspace holds as Parquet: tokens of documents, tokens drawn, sections."""
    counted = list(tokens_by_document(workspace)) if workspace.is_local else []
    kinds = pa.schema([("id", pa.string()), ("domain", pa.string()), ("tokens", pa.int64())])
    tokens = pa.Table.from_batches(counted, kinds) if counted else kinds.empty_table()
    sums = tokens.group_by("domain").aggregate([("tokens", "sum")]).to_pylist()
    available = {row["domain"]: row["tokens_sum"] for row in sums}
    drawn = available if stream is None else {name: stream.drawn.get(name, 0) for name in available}
    names = sorted(name for name, tokens in available.items() if tokens)
    held = read_sections(workspace) | {n: s.section for n, s in settings.sources.items() if s.section is not None}
    return {
        "document_tokens": tokens,
        "stream": pa.table(
            {
                "domain": pa.array(names, pa.string()),
                "available": pa.array([available[name] for name in names], pa.float64()),
                "drawn": pa.array([drawn[name] for name in names], pa.float64()),
            }
        ),
        "sections": pa.table(
            {
                "source": pa.array(sorted(held), pa.string()),
                "section": pa.array([held[n] for n in sorted(held)], pa.string()),
            }
        ),
    }


def _sites(hosts: list[str]) -> pa.Table:
    """The registered name of every host; the host itself where the list of public suffixes is not installed."""
    try:
        sites = [registered_domain(host) for host in hosts]
    except MissingExtra:
        sites = [host.removeprefix("www.") for host in hosts]
    return pa.table({"host": pa.array(hosts, pa.string()), "site": pa.array(sites, pa.string())})


def _edits(workspace: Workspace) -> str:
    """Every piece that a stage cut or masked: stage, id, rule."""
    parts = []
    for table in workspace.tables():
        source = files(workspace, table.name) if table.name.startswith(EDITS) else None
        if source:
            stage = literal(table.name.removeprefix(EDITS))
            parts.append(f"select {stage} as stage, id, unnest(removed).rule as rule from {source}")
    return (
        " union all ".join(parts) or "select ''::varchar as stage, ''::varchar as id, ''::varchar as rule where false"
    )


def _rewritten(workspace: Workspace) -> str:
    source = files(workspace, "lineage")
    return f"select distinct id from {source}" if source else "select ''::varchar as id where false"


def _removals(workspace: Workspace) -> str:
    source = files(workspace, "removed")
    if source is None:
        return "select ''::varchar as reason, now() as removed where false"
    known = "^(robots|content-signal|content-usage|ai\\.txt|tdm|noai|noindex|text)[ :]"
    reason = f"coalesce(nullif(regexp_extract(entry, {literal(known)}, 1), ''), 'list')"
    return f"select {reason} as reason, removed from {source}"


def recomputed(told: list[Mapping[str, Any]], found: Mapping[str, Figure]) -> list[str]:
    """Names of the figures of a card that are others by now, or that no query gives any more."""
    import json

    wrong = []
    for one in told:
        now = found.get(one["name"])
        same = (
            now is not None and json.loads(json.dumps(now.rows, default=str)) == one["rows"] and now.sql == one["sql"]
        )
        if not same:
            wrong.append(one["name"])
    return wrong
