"""A workspace as the explorer's pages see it: its views, what `facts` made of it, and what is stale.

One connection in memory: the views of the workspace, and beside them the tables of `facts`, read-only. Nothing outside
of the two can be read through it, and nothing written. A query has a time to answer in; one of a user's own must be a
single SELECT.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from ...corpus.sql import literal
from ...corpus.store.catalog import open_catalog, stale_tables
from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.fate import deciding
from ...corpus.store.workspace import Workspace
from .facts import cache_folder, facts_file, limits, state_of
from .rules import TAKEN, FilterRules, filter_rules

T = TypeVar("T")

SECONDS = 30  # that a query may take
HELD = 200  # answers that are kept, of tables that do not change
TABLES = ("facts", "cube", "hosts", "failed", "pairs", "sampled", "copies", "clusters", "about")


@dataclass
class Answers:
    """Answers that were given, the latest ones."""

    held: OrderedDict[str, tuple[list[str], list[tuple]]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, sql: str) -> tuple[list[str], list[tuple]] | None:
        with self.lock:
            if sql in self.held:
                self.held.move_to_end(sql)
            return self.held.get(sql)

    def put(self, sql: str, answer: tuple[list[str], list[tuple]]) -> None:
        if len(answer[1]) > 5000:
            return
        with self.lock:
            self.held[sql] = answer
            while len(self.held) > HELD:
                self.held.popitem(last=False)


class OpenWorkspace:
    """A state of a workspace, opened. Not to be used once the workspace has another one."""

    def __init__(self, workspace: Workspace, beside: Sequence[Workspace] = ()) -> None:
        self.workspace, self.beside = workspace, tuple(beside)
        self.state = state_of(workspace)
        self.stale = stale_tables(workspace)
        path = facts_file(workspace)
        first = [*limits(cache_folder()), f"attach {literal(path)} as explorer (read_only)"]
        self.connection = open_catalog(workspace, first=first)
        held = self.connection.execute(
            "select distinct table_name from information_schema.tables where table_catalog = 'explorer'"
        ).fetchall()
        self.tables = {name for (name,) in held}
        for name in TABLES:
            if name in self.tables:
                self.connection.execute(f"create view {name} as select * from explorer.{name}")
        self.answers = Answers()
        self.places: dict[tuple[str, str], Any] = {}  # of documents on the map, by table and column
        self.fitted: dict[int, Any] = {}  # models over the swarm, by target

    @property
    def name(self) -> str:
        return self.workspace.url.rstrip("/").rpartition("/")[2]

    @cached_property
    def stages(self) -> list[str]:
        """The stages that decided, in order."""
        return deciding(self.workspace)

    @cached_property
    def rules(self) -> FilterRules | None:
        """The filter's rules, where its decisions hold."""
        return filter_rules(self.workspace) if not self.chain_is_stale else None

    @property
    def chain_is_stale(self) -> str:
        """Why decisions cannot be shown; "" where they can."""
        chain = (why for name, why in self.stale.items() if name.startswith(("decisions/", "edits/", "domains")))
        return next(chain, "")

    @cached_property
    def columns(self) -> dict[str, str]:
        """Columns of `facts` with their types; of structs, each field as `"family"."column"`."""
        if "facts" not in self.tables:
            return {}
        found: dict[str, str] = {}
        for one in self.table("select * from facts limit 0").schema:
            if pa.types.is_struct(one.type):
                for inner in one.type:
                    found[f'"{one.name}"."{inner.name}"'] = str(inner.type)
            else:
                found[f'"{one.name}"'] = str(one.type)
        return found

    @cached_property
    def signals(self) -> dict[str, str]:
        """Numbers that were measured of every document: `family.column` -> SQL over `facts`."""
        plain = {"bytes", "characters", "language_score", "page_type_score", "links"}
        found = {}
        for sql, kind in self.columns.items():
            numeric = kind in ("double", "float", "bool") or kind.startswith(("int", "uint", "decimal"))
            inside = '"."' in sql
            family = sql.split('"')[1]
            if numeric and (inside or sql.strip('"') in plain) and family not in ("kept", "removed"):
                name = sql.replace('"', "")
                if inside and family.removesuffix("_signals") in TAKEN:
                    name = name.replace("_signals.", ".", 1)
                found[name] = sql
        return found

    def rows(self, sql: str) -> tuple[list[str], list[tuple]]:
        """Names of columns and rows of an answer; an answer that was given before is given again."""
        held = self.answers.get(sql)
        if held is not None:
            return held

        def asked(cursor: duckdb.DuckDBPyConnection) -> tuple[list[str], list[tuple]]:
            cursor.execute(sql)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()

        answer = self._in_time(asked)
        self.answers.put(sql, answer)
        return answer

    def table(self, sql: str) -> pa.Table:
        """An answer as Arrow."""
        return self._in_time(lambda cursor: cursor.sql(sql).to_arrow_table())

    def _in_time(self, asked: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        cursor = self.connection.cursor()
        timer = threading.Timer(SECONDS, cursor.interrupt)
        timer.start()
        try:
            return asked(cursor)
        except duckdb.InterruptException as error:
            raise RequestError(f"the query took more than {SECONDS} seconds and was stopped") from error
        except duckdb.Error as error:
            said = str(error)
            if "run: gristmill" in said:  # a view of what is stale or lost
                raise WorkspaceError(said.partition("Error: ")[2] or said) from error
            raise RequestError(said) from error
        finally:
            timer.cancel()
            cursor.close()

    def own_query(self, sql: str) -> str:
        """A query that a user wrote, as one that can be put between brackets. RequestError unless it is one SELECT."""
        try:
            asked = self.connection.extract_statements(sql)
        except duckdb.Error as error:
            raise RequestError(str(error)) from error
        if len(asked) != 1 or asked[0].type != duckdb.StatementType.SELECT:
            raise RequestError("the explorer answers one SELECT at a time; everything else is for gristmill sql")
        return asked[0].query.strip().rstrip(";")

    def close(self) -> None:
        self.connection.close()


def where(conditions: Sequence[str]) -> str:
    """` where a and b`, or nothing."""
    return f" where {' and '.join(conditions)}" if conditions else ""
