"""One page under way: what its address asked for, the queries that it ran, and what it drew.

The state of a page is its address: everything that can be chosen is a parameter, so that a link shows the same again.
Each query has a name and is shown as it ran; the same address with `export=NAME&format=csv` gives its rows, and with
`format=svg` a drawing. Refuses a parameter that is no number where one is needed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa

from ...corpus.sql import literal
from ...corpus.store.errors import RequestError
from ..report.text import escape
from .source import OpenWorkspace

FIGURE = re.compile(r'<figure>(.*?)(<svg [^>]*role="img".*?</svg>)<figcaption>(.*?)</figcaption></figure>', re.DOTALL)


class Reopened(Exception):
    """A page made something that the workspace has to be opened anew for."""


class Exported(Exception):
    """What was asked for instead of the page: the SQL of a query, or a drawing."""

    def __init__(self, name: str, sql: str = "", drawing: str = "") -> None:
        super().__init__(name)
        self.name, self.sql, self.drawing = name, sql, drawing


@dataclass
class View:
    """A page as it is put together."""

    source: OpenWorkspace
    path: str  # below the token: `documents`, `document/ID`
    params: Mapping[str, Sequence[str]]
    queries: list[tuple[str, str]] = field(default_factory=list)
    drawings: list[str] = field(default_factory=list)
    static: bool = False  # a page that is written, where nothing can be asked for
    kept: str = ""  # HTML of the page that is shown above what went wrong: forms, with what was typed
    title: str = ""  # of the page, where it is not that of its tab
    frame: dict[str, str] = field(default_factory=dict)  # what the frame of the page is made with

    def one(self, name: str, default: str = "") -> str:
        """The last value of a parameter."""
        values = self.params.get(name) or ()
        return values[-1] if values else default

    def all(self, name: str) -> list[str]:
        return list(self.params.get(name) or ())

    def number(self, name: str, default: float, low: float = -math.inf, high: float = math.inf) -> float:
        """A parameter that is a number within bounds."""
        told = self.one(name)
        if not told:
            return default
        try:
            value = float(told)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise RequestError(f"{name} in the address must be a number, and {told!r} is none that can be taken")
        return value

    def count(self, name: str, default: int, low: int = 0, high: int = 1_000_000_000) -> int:
        return int(self.number(name, default, low, high))

    def choice(self, name: str, known: Sequence[str], default: str = "") -> str:
        """A parameter that is one of these names."""
        told = self.one(name, default)
        if told and told not in known:
            raise RequestError(f"{name} in the address is {told!r}; there are: {', '.join(known)}")
        return told

    def link(self, path: str | None = None, **params: Any) -> str:
        """The address of a page, relative to the root of the pages, escaped; None takes a parameter away."""
        return escape(self.address(path, **params))

    def address(self, path: str | None = None, **params: Any) -> str:
        """The same, not escaped. Without a path it is this page's with other parameters."""
        asked: dict[str, Any] = {} if path is not None else dict(self.params)
        asked |= params
        pairs = []
        for name, value in asked.items():
            if name in ("export", "format", "part") and path is None and name not in params:
                continue
            for one in value if isinstance(value, list | tuple) else [value]:
                if one is not None and one != "":
                    pairs.append((name, str(one)))
        return (self.path if path is None else path) + (f"?{urlencode(pairs)}" if pairs else "")

    def rows(self, name: str, sql: str) -> list[tuple]:
        """The rows of a query, which is shown on the page; instead of the page, where it is to be exported."""
        self._exported(name, sql)
        if (name, sql) not in self.queries:
            self.queries.append((name, sql))
        return self.source.rows(sql)[1]

    def offer(self, name: str, sql: str) -> None:
        """A query that the page does not run itself: its rows, all of them, are given as a file."""
        self._exported(name, sql)
        self.queries.append((name, sql))

    def given(self, name: str, table: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> None:
        """Rows that were read from files and not by a query, as a table that SQL can read and that can be taken."""
        if rows or schema is not None:
            held = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
            self.offer(name, f"select * from {self.source.give(table, held)}")

    def named(self, name: str, sql: str) -> tuple[list[str], list[tuple]]:
        """The same with the names of the columns."""
        rows = self.rows(name, sql)
        return self.source.rows(sql)[0], rows

    def records(self, name: str, sql: str) -> list[dict[str, Any]]:
        """The same as dictionaries."""
        names, rows = self.named(name, sql)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _exported(self, name: str, sql: str) -> None:
        if self.one("export") == name and self.one("format") in ("csv", "parquet"):
            raise Exported(name, sql=sql)

    def figure(self, name: str, svg: str, caption: str, above: str = "") -> str:
        """A drawing with its caption, and links that give it as a file."""
        if self.one("export") == name and self.one("format") == "svg":
            raise Exported(name, drawing=svg)
        self.drawings.append(name)
        links = ""
        if not self.static:
            links = (
                f' <span class="files"><a href="{self.link(None, export=name, format="svg")}" download>SVG</a> '
                f'<button type="button" class="png" data-name="{escape(name)}">PNG</button></span>'
            )
        return f"<figure>{above}{svg}<figcaption>{escape(caption)}{links}</figcaption></figure>"

    def figures(self, name: str, html: str) -> str:
        """HTML of the report, each of its drawings with the links that give it as a file."""

        def linked(match: re.Match[str]) -> str:
            caption = unescape(match[3])
            return self.figure(f"{name}, drawing {len(self.drawings) + 1}", match[2], caption, match[1])

        return FIGURE.sub(linked, html)


def equals(column: str, value: str) -> str:
    """SQL: a column is this text; what is absent goes by the empty text."""
    return f"{column} = {literal(value)}" if value else f"({column} is null or {column} = '')"
