"""The tables that are counted from `facts`, each in blocks, so that what is held at once does not grow with documents.

What would have to be held whole, a join by id or distinct values of a cluster, is done for a part of the ids after the
other; a block's rows are on disk before the next begins. Refuses nothing.
"""

from itertools import pairwise
from typing import Any

import duckdb

from .sampling import sample_below

SAMPLE = 500_000  # documents from which histograms are drawn
GROUPS = "domain source language page_type license_class license fate stage rule".split()
BLOCK = 250_000  # rows that are joined or updated together
SUMS = "count(*) as documents, sum(bytes)::bigint as bytes, sum(about_tokens) as about_tokens"
COPIES = (
    "with u as materialized (select * from {source} where cluster_size > 1 and {within}), f as (select * from facts "
    "where id in (select id from u)) select u.id, u.scope, u.cluster, u.cluster_size, u.survivor, u.duplicate_of, "
    "u.match, u.jaccard, u.method, f.host, f.domain, f.source, f.bytes, f.url, f.title, f.begins from u "
    "left join f on f.id = u.id order by u.cluster, u.scope, u.id"
)
CLUSTERS = (
    "select scope, cluster, max(cluster_size) as members, min(jaccard) as lowest, "
    "string_agg(distinct method, ', ' order by method) as methods, min(id) filter (survivor) as survivor, "
    "count(distinct host) as hosts, count(distinct domain) as domains, min(host) as host, min(domain) as domain, "
    "sum(bytes)::bigint as bytes from copies where {within} group by scope, cluster"
)
PAIRS = (  # within a row: rules are in order, so that each pair is there once
    "select pair[1] as a, pair[2] as b, count(*) as documents from (select unnest(flatten(list_transform(failing, "
    "lambda x: list_transform(list_filter(failing, lambda y: y > x), lambda y: [x, y])))) as pair from facts "
    "where len(failing) > 1) group by all order by all"
)
FAILED = (
    "with one as (select unnest(failing) as place, len(failing) = 1 as alone, domain, bytes, about_tokens from facts "
    "where len(failing) > 0) select place, domain, count(*) as fails, count(*) filter (alone) as alone, "
    "coalesce(sum(bytes) filter (alone), 0)::bigint as bytes_alone, sum(about_tokens) filter (alone) as tokens_alone "
    "from one group by all order by all"
)


def summarise(connection: duckdb.DuckDBPyConnection, rules: str, duplicates: str | None) -> None:
    """Make the tables beside `facts`.

    rules       the filter's set as JSON, "" without one
    duplicates  SQL for the rows of that table, None where there are none
    """
    run = connection.execute
    _about_tokens(connection)
    run(f"create table cube as select {', '.join(GROUPS)}, {SUMS} from facts group by all order by all")
    run(f"create table hosts as select coalesce(host, '') as host, fate, {SUMS} from facts group by all "
        "order by documents desc, host")  # fmt: skip
    run(f"create table failed as {FAILED}")
    run(f"create table pairs as {PAIRS}")
    count = _one(connection, "select count(*) from facts")
    exact = count <= SAMPLE
    where = "" if exact else f" where id < '{sample_below(count, SAMPLE)}'"
    run(f"create {'view' if exact else 'table'} sampled as select * from facts{where}")
    run("update about set documents = ?, rules = ?, exact = ?", [count, rules, exact])
    if duplicates is not None:
        _copies(connection, duplicates)


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    return row[0] if row else None


def blocks(column: str, rows: int, size: int = BLOCK) -> list[str]:
    """Conditions on a column of ids of which just one holds for each row, so that about `size` of `rows` pass each."""
    parts = min(4096, max(1, -(-rows // size)))
    bounds = [f"{round(16**8 * n / parts):08x}" for n in range(1, parts)]
    if not bounds:
        return ["true"]
    between = [f"{column} >= '{low}' and {column} < '{high}'" for low, high in pairwise(bounds)]
    return [f"{column} < '{bounds[0]}'", *between, f"{column} >= '{bounds[-1]}'"]


def _about_tokens(connection: duckdb.DuckDBPyConnection) -> None:
    """Tokens of each document: counted, else by the bytes per token of its domain."""
    run = connection.execute
    whole = _one(connection, "select sum(bytes) / sum(tokens) from facts where tokens > 0")
    run("alter table facts add column about_tokens double")
    if not whole:
        return
    run("create temp table ratios as select domain, sum(bytes) / sum(tokens) as ratio from facts where tokens > 0 "
        "group by domain")  # fmt: skip
    ordered = f"select number, row_number() over (order by number) % {BLOCK} as place from facts"
    bounds = [low for (low,) in run(f"select number from ({ordered}) where place = 1 order by number").fetchall()]
    for low, high in pairwise([*bounds, 1 << 62]):  # a commit each, with what it would undo
        run("update facts set about_tokens = coalesce(tokens, bytes / coalesce((select ratio from ratios where "
            f"ratios.domain = facts.domain), {float(whole)!r})) where number >= {low} and number < {high}")  # fmt: skip


def _copies(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """Documents in clusters, beside their hosts and domains, in the order of their clusters; a row for each cluster."""
    run = connection.execute
    count = _one(connection, f"select count(*) from {source} where cluster_size > 1")
    for number, within in enumerate(blocks("cluster", count)):
        made_by = ("insert into {}", "create table {} as")[number == 0]
        run(f"{made_by.format('copies')} {COPIES.format(source=source, within=within)}")
        made_by = made_by.replace("create table", "create temp table")
        run(f"{made_by.format('grouped')} {CLUSTERS.format(within=within)}")
    run("create table clusters as select * from grouped order by members desc, cluster")
