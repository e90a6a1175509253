"""`gristmill sql`."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ...corpus.store.errors import RequestError
from .options import JsonOption, WorkspaceOption, open_workspace

if TYPE_CHECKING:
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

    with open_catalog(open_workspace(workspace)) as connection:
        try:
            answer = connection.sql(query)
            if answer is None:
                raise RequestError(f"the query returns nothing to print: {query}")
            table = answer.to_arrow_table()
        except duckdb.Error as error:
            raise RequestError(f"{error}\n  in: {query}") from error
    write(table, Format.json if json else format, output)


def write(table: "pa.Table", format: Format, output: str | None) -> None:
    """Print an Arrow table, or write it to a file."""
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
    """An array of objects, one a row."""
    import json

    return json.dumps(table.to_pylist(), default=str, ensure_ascii=False) + "\n"


def as_csv(table: "pa.Table") -> str:
    """A header and one line a row; nested values as JSON."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        writer.writerow(row.values())
    return out.getvalue()
