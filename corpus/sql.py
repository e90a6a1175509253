"""SQL for DuckDB: a text as a literal, a call that reads files by their names, which are never patterns, and rows that
prepared statements read."""

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

SIGNS = re.compile(r"[*?[]")  # what makes a name a pattern


def literal(text: str) -> str:
    """A text between quotes."""
    return "'" + text.replace("'", "''") + "'"


def no_pattern(url: str) -> str:
    """A pattern of DuckDB that a name alone matches, which may hold `*`, `?` and `[`."""
    return SIGNS.sub(r"[\g<0>]", url)


def read_files(urls: Iterable[str]) -> str:
    """SQL that reads just these Parquet files: no name is a pattern, no `k=v` in a path is a column."""
    names = literal(no_pattern("\0".join(urls))).replace("\0", "', '")  # all at once: there may be many thousands
    return f"read_parquet([{names}], hive_partitioning = false)"


class LatestRows:
    """What a prepared statement reads: the rows of a schema that were put here last. To prepare takes longer than to
    decide a small shard, and what reads a relation that is registered anew has to be prepared anew."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = schema.empty_table()

    def __arrow_c_schema__(self) -> Any:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.rows.__arrow_c_stream__(requested_schema)
