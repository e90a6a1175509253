"""`gristmill sql`."""

import math
import sys
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...corpus.store.errors import RequestError
from .options import JsonOption, WorkspaceOption, open_workspace

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class Format(StrEnum):
    """How the answer is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def sql(
    query: Annotated[str, typer.Argument(help="a DuckDB query over the views of the workspace")],
    workspace: WorkspaceOption,
    format: Annotated[Format, typer.Option(help="how to print the answer")] = Format.table,
    output: Annotated[str | None, typer.Option(help="write to this file instead of the terminal")] = None,
    json: JsonOption = False,
) -> None:
    """Query a workspace with SQL.

    Views: documents, signals, duplicates, scores, tags, decisions, failures, curated (what is kept, with its signals,
    scores and tags), funnel and mixture.

    Example: gristmill sql "select stage, rule, count(*) n from decisions group by all order by n desc" --workspace W
    """
    import duckdb

    from ...corpus.store.catalog import open_catalog

    with open_catalog(open_workspace(workspace), query=query) as connection:
        try:
            refuse_writing(connection, query)
            answer = connection.sql(query)
            if answer is None:
                raise RequestError(f"the query returns nothing to print: {query}")
            table = answer.to_arrow_table()
        except duckdb.Error as error:
            raise RequestError(f"{error}\n  in: {query}") from error
    write(table, Format.json if json else format, output)


def refuse_writing(connection: "duckdb.DuckDBPyConnection", query: str) -> None:
    """RequestError for statements that write files, load programs or open other databases."""
    import duckdb

    kinds = duckdb.StatementType
    outside = {kinds.COPY, kinds.EXPORT, kinds.ATTACH, kinds.LOAD}
    if any(statement.type in outside for statement in connection.extract_statements(query)):
        raise RequestError(
            f"a query reads the workspace and nothing else; --output FILE writes the answer to a file\n  in: {query}"
        )


def write(table: "pa.Table", format: Format, output: str | None) -> None:
    """Print an Arrow table, or write it to a file."""
    table = named_apart(table)
    if format is Format.parquet:
        import pyarrow.parquet as pq

        if output is None and sys.stdout.isatty():
            raise RequestError("Parquet is binary: give --output FILE, or redirect the output to a file")
        pq.write_table(table, output or sys.stdout.buffer, compression="zstd")
        return
    from ..printing import as_table

    text = {Format.table: as_table, Format.csv: as_csv, Format.json: as_json}[format](table)
    if output:
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)


def as_json(table: "pa.Table") -> str:
    """An array of objects, one a row. What JSON has no form for becomes null, and standard error says how often."""
    import json

    lost = [0]
    columns = [column.to_pylist() for column in table.columns]
    rows = [{n: _plain(v, lost) for n, v in zip(table.column_names, row, strict=True)} for row in zip(*columns)]  # noqa: B905
    if lost[0]:
        sys.stderr.write(f"note: {lost[0]:,} values are not finite numbers (NaN, infinity); JSON has null for them\n")
    return json.dumps(rows, default=str, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any, lost: list[int]) -> Any:
    """The value in JSON's types: decimals as numbers, bytes in hexadecimal; lost[0] counts what has become null."""
    if isinstance(value, float) and not math.isfinite(value):
        lost[0] += 1
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): _plain(one, lost) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, lost) for one in value]
    return value


def named_apart(table: "pa.Table") -> "pa.Table":
    """The table with columns of one name told apart: n, n_2, n_3; standard error says so."""
    names: list[str] = []
    for name in table.column_names:
        chosen, number = name, 1
        while chosen in names or (number > 1 and chosen in table.column_names):
            number += 1
            chosen = f"{name}_{number}"
        names.append(chosen)
    if names != table.column_names:
        sys.stderr.write(f"note: columns of one name were told apart: {', '.join(names)}\n")
    return table.rename_columns(names)


def as_csv(table: "pa.Table") -> str:
    """A header and one line a row; nested values as JSON, bytes in hexadecimal."""
    import csv
    import io
    import json

    def cell(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        return json.dumps(_plain(value, [0]), default=str, ensure_ascii=False) if isinstance(value, nested) else value

    nested = (dict, list, tuple)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.column_names)
    columns = [column.to_pylist() for column in table.columns]
    writer.writerows([cell(value) for value in row] for row in zip(*columns, strict=True))
    return out.getvalue()
