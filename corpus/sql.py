"""SQL for DuckDB: a text as a literal, and a call that reads files by their names, which are never patterns."""

import re
from collections.abc import Iterable

SIGNS = re.compile(r"[*?[]")  # what makes a name a pattern


def literal(text: str) -> str:
    """A text between quotes."""
    return "'" + text.replace("'", "''") + "'"


def no_pattern(url: str) -> str:
    """A pattern of DuckDB that a name alone matches, which may hold `*`, `?` and `[`."""
    return SIGNS.sub(r"[\g<0>]", url)


def read_files(urls: Iterable[str]) -> str:
    """SQL that reads just these Parquet files: no name is a pattern, no `k=v` in a path is a column."""
    return f"read_parquet([{', '.join(literal(no_pattern(url)) for url in urls)}], hive_partitioning = false)"
