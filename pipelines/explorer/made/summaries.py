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
SORTED = 1_000_000  # rows of two columns that are put in order together
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
    count = _one(connection, "select count(*) from facts")
    _ids(connection, count)
    run(f"create table cube as select {', '.join(GROUPS)}, cell, s.* exclude (cell) from (select cell, {SUMS} from "
        "facts group by cell) s join cells using (cell) order by all")  # fmt: skip
    run("drop table cells")
    run(f"create table passing as select domain as unit, {SUMS} from facts where sole = -1 group by domain order by 1")
    run(f"create table hosts as select coalesce(host, '') as host, fate, {SUMS} from facts group by all "
        "order by documents desc, host")  # fmt: skip
    run(f"create table failed as {FAILED}")
    run(f"create table pairs as {PAIRS}")
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


def _ids(connection: duckdb.DuckDBPyConnection, count: int) -> None:
    """Number and cell of each document by its id, in the order of ids: one is found without a look at the others."""
    connection.execute("create table ids as select id, number, cell from facts where false")
    for within in blocks("id", count, SORTED):
        connection.execute(f"insert into ids select id, number, cell from facts where {within} order by id")


def number_cells(connection: duckdb.DuckDBPyConnection, part: str) -> str:
    """Number the combinations of values of `GROUPS` that rows bring. SQL of these rows with `cell`, that number."""
    named = ", ".join(GROUPS)
    connection.execute(f"create table if not exists cells as select 0 as cell, {named} from {part} where false")
    connection.execute(
        f"insert into cells select row_number() over (order by {named}) - 1 + (select count(*) from cells), {named} "
        f"from (select {named} from {part} except select {named} from cells)"
    )
    same = " and ".join(f"c.{name} is not distinct from p.{name}" for name in GROUPS)
    return f"select p.*, c.cell from {part} p join cells c on {same}"


def with_tokens(connection: duckdb.DuckDBPyConnection, rows: str) -> None:
    """`facts` of its rows, with the tokens of each: counted, else by the bytes per token of its domain. A table is
    written anew, a block after the other, because an update keeps what it changed in memory until its end."""
    run = connection.execute
    whole = _one(connection, f"select sum(bytes) / sum(tokens) from {rows} where tokens > 0")
    run(f"create temp table ratios as select domain, sum(bytes) / sum(tokens) as ratio from {rows} where tokens > 0 "
        "group by domain")  # fmt: skip
    about = f"coalesce(f.tokens, f.bytes / coalesce(r.ratio, {float(whole)!r}))" if whole else "null::double"
    select = f"select f.*, {about} as about_tokens from {rows} f left join ratios r on r.domain = f.domain"
    run(f"create table facts as {select} where false")
    for low, high in pairwise([*_bounds(connection, rows), 1 << 62]):
        run(f"insert into facts {select} where f.number >= {low} and f.number < {high}")


def _bounds(connection: duckdb.DuckDBPyConnection, rows: str) -> list[int]:
    """Numbers between which at most `BLOCK` of the rows lie, ascending; the last ones are above the last bound."""
    bounds: list[int] = []
    held = BLOCK
    shards = f"select number >> 32 as shard, count(*) from {rows} group by shard order by shard"
    for shard, many in connection.execute(shards).fetchall():
        held += many
        if held > BLOCK:
            lows = range(0, many, BLOCK)
            bounds += [(shard << 32) + low for low in lows]
            held = many - lows[-1]
    return bounds


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
