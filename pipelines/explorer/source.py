"""A workspace as the explorer's pages see it: its views, what `facts` made of it, and what is stale.

One connection in memory: the views of the workspace, beside them the tables of `facts` and of places on the map,
read-only, and in the schema `shown` what a page read from files that are no tables, such as the logs of runs. Nothing
else can be read through it, and nothing written. A query has a time to answer in; one of a user's own must be a
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
from ...corpus.store.shards import Shard
from ...corpus.store.workspace import Workspace
from .made.cache import cache_folder, limits
from .made.facts import Facts, facts_file, state_of
from .made.places import attached
from .made.search import MOST, Found
from .rules import TAKEN, FilterRules, filter_rules

T = TypeVar("T")

SECONDS = 30  # that a query may take
HELD = 200  # answers that are kept, of tables that do not change
TABLES = "facts ids cube passing hosts failed pairs sampled copies clusters about".split()


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

    def forget(self, name: str) -> None:
        """Drop the answers that read a table which is another one now."""
        with self.lock:
            for sql in [sql for sql in self.held if name in sql.lower()]:
                del self.held[sql]

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
        first = [*limits(cache_folder()), f"attach {literal(path)} as explorer (read_only)", *attached(workspace)]
        self.connection = open_catalog(workspace, first=first)
        held = self.connection.execute(
            "select table_catalog, table_name from information_schema.tables where table_catalog <> 'memory'"
        ).fetchall()
        self.tables = {name for catalog, name in held if catalog == "explorer"}
        self.maps = {catalog for catalog, name in held if name == "places"}  # files of places that are there
        for name in TABLES:
            if name in self.tables:
                self.connection.execute(f"create or replace view {name} as select * from explorer.{name}")
        self.connection.execute("create schema shown")
        self.answers = Answers()
        self.search_documents = MOST  # in how many documents words are looked for; 0: in all
        self.found: dict[str, Found] = {}  # by words, the last ones
        self.given: dict[str, pa.Table] = {}
        self.giving = threading.Lock()
        self.fitted: dict[int, Any] = {}  # models over the swarm, by target

    @property
    def name(self) -> str:
        return self.workspace.url.rstrip("/").rpartition("/")[2] or self.workspace.url

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
    def layout(self) -> Facts:
        """Where the rows of every table lie."""
        return Facts(self.workspace)

    @cached_property
    def shards(self) -> dict[str, Shard]:
        """Shards of the documents, by their files."""
        return {shard.file: shard for shard in self.workspace.table("documents").finished("explore").shards}

    @cached_property
    def fields(self) -> list[tuple[str, str, str]]:
        """(name, SQL, type) of the columns of `facts`; of structs each field, as `family.column`."""
        if "facts" not in self.tables:
            return []
        found: list[tuple[str, str, str]] = []
        for one in self.table("select * exclude (cell) from facts limit 0").schema:
            inner = one.type if pa.types.is_struct(one.type) else ()
            found += [(f"{one.name}.{x.name}", f"{named(one.name)}.{named(x.name)}", str(x.type)) for x in inner]
            if not inner:
                found.append((one.name, named(one.name), str(one.type)))
        return found

    @cached_property
    def columns(self) -> dict[str, str]:
        """SQL of the columns of `facts`, with how each is called."""
        return {sql: name for name, sql, _ in self.fields}

    @cached_property
    def signals(self) -> dict[str, str]:
        """Numbers that were measured of every document: `family.column` -> SQL over `facts`."""
        plain = {"bytes", "characters", "language_score", "page_type_score", "links"}
        found: dict[str, str] = {}
        for name, sql, kind in self.fields:
            numeric = kind in ("double", "float", "bool") or kind.startswith(("int", "uint", "decimal"))
            family, inside, column = name.partition(".")
            if numeric and (inside or name in plain) and family not in ("kept", "removed"):
                if inside and family.endswith("_signals") and family.removesuffix("_signals") in TAKEN:
                    name = f"{family.removesuffix('_signals')}.{column}"
                found.setdefault(name, sql)
        return found

    def give(self, name: str, table: pa.Table) -> str:
        """Put a table that a page read from elsewhere into the schema `shown`. Returns its name in SQL."""
        with self.giving:
            held = self.given.get(name)
            if held is None or not held.equals(table):
                cursor = self.connection.cursor()
                try:
                    cursor.register("given", table)
                    cursor.execute(f"create or replace table shown.{named(name)} as select * from given")
                    cursor.unregister("given")
                finally:
                    cursor.close()
                self.given[name] = table
                self.answers.forget("shown")  # however a query writes its name
                self.answers.forget("duckdb_columns")
        return f"shown.{named(name)}"

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


def named(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def double(value: float) -> str:
    """A number as SQL, whether it is finite or not."""
    return f"'{float(value)!r}'::double"


def numbers_of(ids: Sequence[str]) -> str:
    """A query of the numbers of documents by their ids, in no order."""
    return f"select number from ids where id in ({', '.join(map(literal, ids))})"


def where(conditions: Sequence[str]) -> str:
    """` where a and b`, or nothing."""
    return f" where {' and '.join(conditions)}" if conditions else ""
