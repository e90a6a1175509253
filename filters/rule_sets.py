"""Rule sets: YAML files of named SQL predicates over signals, checked before a run, evaluated by DuckDB on batches.

A rule measures nothing and a signal decides nothing. The first rule that is not true drops the document, and its
value and threshold go on record; null and NaN are absent values and never pass. A rule reads signals as
`family.column` (`gopher@dolma.word_count` needs no quotes here) and the columns of `documents` in `DOCUMENT_COLUMNS`.
Refused: an unknown family or column, a sub-query, an aggregate, a threshold that is not a number.
"""

import json
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import yaml
from pydantic import ValidationError

from ..corpus.extensions import added
from ..corpus.plain_yaml import load_yaml
from ..corpus.sql import LatestRows, literal
from ..corpus.store.errors import RequestError, unknown_name
from ..corpus.store.schema import DECISIONS
from .rule_files import bundled as bundled
from .rule_files import rule_text as rule_text
from .settings import LineRules as LineRules
from .settings import Rule as Rule
from .settings import RuleSet as RuleSet
from .signals.families import EXTRA, Family, all_families
from .signals.lines import LINE_COLUMNS

_DOCUMENT_NAMES = ("id", "url", "host", "source", "domain", "title", "language", "license", "license_class")
DOCUMENT_COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(_DOCUMENT_NAMES, pa.string()),
    "language_score": pa.float64(),
}
KEPT = pa.struct([(name, pa.int64()) for name in ("lines", "words", "chars", "sentences")])
_FAILING = "struct(rule varchar, value double, threshold double)"
_DIALECT = re.compile(r"""("[^"]*"|'[^']*')|\b([a-z][a-z0-9_]*@[a-z0-9_]+)\b""")


def load_rules(name: str | RuleSet) -> RuleSet:
    """A bundled rule set by name, or a YAML file by path; a RequestError says what is wrong with it and where.

    A rule set that stands in a settings file is one already.
    """
    if isinstance(name, RuleSet):
        return name
    text = rule_text(name)
    try:
        rules = RuleSet.model_validate(load_yaml(text))
    except yaml.YAMLError as error:
        raise RequestError(f"{name}: not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RequestError(f"{name}: {place or 'rule set'}: {first['msg']}") from error
    return rules


def quoted(sql: str) -> str:
    """The SQL with names of dialects (`gopher@dolma`) in double quotes; text in quotes is left alone."""
    return _DIALECT.sub(lambda match: match[1] or f'"{match[2]}"', sql)


@dataclass(frozen=True)
class RuleFunction:
    """A function that rules may call, of another package or a plug-in file: the entry's name is its name in SQL.

    call        Arrow arrays of the parameters to one Arrow array, a value a row
    parameters  DuckDB types, for example ("VARCHAR", "DOUBLE"); returns is one
    """

    call: Callable[..., pa.Array]
    parameters: tuple[str, ...]
    returns: str


def add_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the functions of other packages and plug-in files known to a connection."""
    for name, function in added("rules", ()).items():
        if not isinstance(function, RuleFunction):
            raise RequestError(f"the function {name!r} of a plug-in is no RuleFunction")
        kind: Any = "arrow"  # a string is accepted, though the stub wants an enumeration
        connection.create_function(name, function.call, list(function.parameters), function.returns, type=kind)


class Compiled:
    """Rules checked against the columns that exist: what they need to read, and the query that decides."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        families: Mapping[str, pa.StructType],
        plain: Mapping[str, pa.DataType],
        where: str = "rules",
    ) -> None:
        self.rules = rules
        self._families, self._plain = families, plain
        self._connection = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
        weakref.finalize(self, self._connection.close)  # what DuckDB's binding finds open at the end, it lists
        add_functions(self._connection)
        self.signals: dict[str, list[str]] = {}  # family -> columns
        self.columns: set[str] = set()  # plain columns
        self._sql = [self._rule_sql(place, rule, where) for place, rule in enumerate(rules)]
        self._now = LatestRows(self.schema)
        self._connection.register("now", self._now)
        self._prepared: dict[tuple[str, bool], str] = {}  # (stage, every) -> its statement

    @property
    def schema(self) -> pa.Schema:
        """The columns a batch must have, beside `id`."""
        fields: list[pa.Field] = [pa.field("id", pa.string())]
        fields += [pa.field(name, self._plain[name]) for name in sorted(self.columns - {"id"})]
        for family, columns in sorted(self.signals.items()):
            fields.append(pa.field(family, pa.struct([self._families[family].field(name) for name in columns])))
        return pa.schema(fields)

    @property
    def sql(self) -> list[tuple[str, str, str]]:
        """Of each rule, over rows with the columns of `schema`: its value as a column `value_N`, N its place; what has
        to be true of a row that stays, over such columns; and its threshold."""
        return list(self._sql)

    def first_failing(self, batch: pa.Table) -> np.ndarray:
        """(rows,) int64: the place of the first rule that is not true of a row, -1 where all are."""
        self._connection.register("batch", batch)
        inner = ", ".join(value for value, _, _ in self._sql)
        cases = " ".join(f"when ({keep}) is not true then {n}" for n, (_, keep, _) in enumerate(self._sql))
        query = f"select case {cases} else -1 end::bigint as first from (select *, {inner} from batch)"
        first = self._connection.sql(query).to_arrow_table()["first"].to_numpy()
        self._connection.unregister("batch")
        return first

    def decide(self, batch: pa.RecordBatch | pa.Table, stage: str, every: bool = True) -> pa.Table:
        """One row of `DECIDED` per row of the batch, in its order; `failing` is empty unless `every` is asked for."""
        if (stage, every) not in self._prepared:
            name = self._prepared[stage, every] = f"decide_{len(self._prepared)}"
            self._connection.execute(f"prepare {name} as {self.query('now', stage, every)}")
        self._now.rows = pa.table(batch).select(self._now.schema.names).cast(self._now.schema)
        return self._connection.sql(f"execute {self._prepared[stage, every]}").to_arrow_table()

    def query(self, relation: str, stage: str, every: bool = True) -> str:
        """The SQL that decides the rows of a relation with the columns of `schema`."""
        if not self._sql:
            return (
                f"select id, true as kept, '{stage}' as stage, null::varchar as rule, null::double as value, "
                f"null::double as threshold, null::varchar as duplicate_of, "
                f"[]::{_FAILING}[] as failing from {relation}"
            )
        inner = ", ".join(value for value, _, _ in self._sql)
        fails, limits = zip(*((f"({keep}) is not true", limit) for _, keep, limit in self._sql), strict=True)
        structs = [
            f"{{rule: '{rule.rule}', value: value_{place}, threshold: ({limits[place]})::double}}"
            for place, rule in enumerate(self.rules)
        ]
        cases = " ".join(f"when {fail} then {struct}" for fail, struct in zip(fails, structs, strict=True))
        each = ", ".join(f"case when {fail} then {struct} end" for fail, struct in zip(fails, structs, strict=True))
        failing = f"list_filter([{each}], lambda x: x is not null)" if every else f"[]::{_FAILING}[]"
        return (
            f"select id, first is null as kept, '{stage}' as stage, first.rule as rule, first.value as value, "
            f"first.threshold as threshold, null::varchar as duplicate_of, "
            f"failing "
            f"from (select id, case {cases} end as first, {failing} as failing from "
            f"(select *, {inner} from {relation}))"
        )

    def _rule_sql(self, place: int, rule: Rule, where: str) -> tuple[str, str, str]:
        """value column, keep predicate and threshold of one rule as SQL over the batch."""
        where = f"{where}: rule {rule.rule}"
        value, keep = quoted(rule.value), quoted(rule.keep)
        for text, own in ((value, set()), (keep, {"value", "threshold"})):
            self._check_names(text, own, where)
        limit = threshold_sql(rule.threshold)
        if isinstance(rule.threshold, dict):
            self.columns.add("language")
        names = {"value": f"value_{place}", "threshold": f"({limit})"}
        keep = _replaced(keep, [(ref, names[ref["column_names"][0]]) for ref in self._columns(keep, where)
                                if len(ref["column_names"]) == 1 and ref["column_names"][0] in names])  # fmt: skip
        column = f"case when isnan(({value})::double) then null else ({value})::double end as value_{place}"
        self._connection.register("nothing", self.schema.empty_table())
        try:
            self._connection.execute(f"select 1 from nothing where ({value})::double is null").fetchall()
            kind = self._connection.execute(
                f"describe select ({keep}) as keep from (select *, {column} from nothing) where value_{place} > 0"
            ).fetchall()[0][1]
        except duckdb.Error as error:
            raise RequestError(f"{where}: {str(error).splitlines()[0]}") from error
        finally:
            self._connection.unregister("nothing")
        if kind != "BOOLEAN":
            raise RequestError(f"{where}: keep is to be true or false, such as value >= threshold, and not {kind}")
        return column, keep, limit

    def _check_names(self, sql: str, own: set[str], where: str) -> None:
        for ref in self._columns(sql, where):
            names = ref["column_names"]
            if len(names) == 1 and names[0] in own:
                continue
            if len(names) == 1 and names[0] in self._plain:
                self.columns.add(names[0])
                continue
            if names[0] not in self._families:
                raise unknown_name("signal family", names[0], {*self._families, *self._plain}, where)
            known = [field.name for field in self._families[names[0]]]
            if len(names) < 2 or names[1] not in known or (len(names) > 2 and names[0] != EXTRA):
                asked = ".".join(names)
                raise unknown_name("signal", asked, [f"{names[0]}.{name}" for name in known], where)
            columns = self.signals.setdefault(names[0], [])
            if names[1] not in columns:
                columns.append(names[1])
                columns.sort()

    def _columns(self, sql: str, where: str) -> list[dict[str, Any]]:
        """Every column reference of an expression; sub-queries and windows are refused."""
        answer = self._connection.execute("select json_serialize_sql(?)", [f"select ({sql})"]).fetchall()
        parsed = json.loads(answer[0][0])
        if parsed["error"]:
            raise RequestError(f"{where}: {sql!r} is not SQL: {parsed['error_message']}")
        if len(parsed["statements"]) != 1 or len(parsed["statements"][0]["node"]["select_list"]) != 1:
            raise RequestError(f"{where}: {sql!r} is not one SQL expression")
        if parsed["statements"][0]["node"]["from_table"]["type"] != "EMPTY":
            raise RequestError(f"{where}: {sql!r} is not one SQL expression")
        found: list[dict[str, Any]] = []
        _walk(parsed["statements"][0]["node"]["select_list"], found, f"{where}: {sql!r}")
        return found


def compiled(
    rules: RuleSet, where: str = "", families: Mapping[str, Family] | None = None
) -> tuple[Compiled, Compiled | None]:
    """The document rules, and the line rules where there are any, checked against everything that can be measured.

    Kept by the thread that asked: to check takes longer than to decide a shard of 50,000 documents.
    """
    known = {name: family.type for name, family in (all_families() if families is None else families).items()}
    key = (where, rules.model_dump_json(), str(sorted(known.items())))
    if key not in _kept.compiled:
        while len(_kept.compiled) >= 8:
            del _kept.compiled[next(iter(_kept.compiled))]
        _kept.compiled[key] = _compiled(rules, where or rules.name, known)
    return _kept.compiled[key]


class _Kept(threading.local):
    """What this thread has compiled so far; a connection to DuckDB is for one thread at a time."""

    def __init__(self) -> None:
        self.compiled: dict[tuple[str, str, str], tuple[Compiled, Compiled | None]] = {}


_kept = _Kept()


def _compiled(rules: RuleSet, where: str, known: dict[str, pa.StructType]) -> tuple[Compiled, Compiled | None]:
    lines = None
    if rules.lines:
        lines = Compiled(rules.lines.rules, {}, LINE_COLUMNS, f"{where}: lines")
        counts = [(rule.rule, pa.int64()) for rule in rules.lines.rules]
        known |= {"kept": KEPT, "removed": pa.struct([*counts, ("words_ratio", pa.float64())])}
    return Compiled(rules.rules, known, DOCUMENT_COLUMNS, where), lines


def _walk(node: Any, found: list[dict[str, Any]], where: str) -> None:
    if isinstance(node, list):
        for child in node:
            _walk(child, found, where)
    elif isinstance(node, dict):
        kind = node.get("class")
        if kind in ("SUBQUERY", "WINDOW", "STAR", "PARAMETER"):
            raise RequestError(f"{where} holds a {kind.lower()}; a rule is one expression over the row's signals")
        if kind == "COLUMN_REF":
            found.append(node)
        for child in node.values():
            _walk(child, found, where)


def _replaced(sql: str, refs: Iterable[tuple[dict[str, Any], str]]) -> str:
    """The SQL with column references replaced where the parser saw them, last first."""
    shift = len("select (")
    for ref, text in sorted(refs, key=lambda pair: -pair[0]["query_location"]):
        begin = ref["query_location"] - shift
        sql = sql[:begin] + text + sql[begin + ref["query_location_length"] :]
    return sql


def threshold_sql(threshold: float | dict[str, float]) -> str:
    """A literal, or a choice by `language`."""
    if not isinstance(threshold, dict):
        return repr(float(threshold))
    cases = " ".join(
        f"when {literal(language)} then {float(number)!r}"
        for language, number in sorted(threshold.items())
        if language != "default"
    )
    otherwise = repr(float(threshold["default"]))
    return f"case language {cases} else {otherwise} end" if cases else otherwise


DECIDED = pa.schema(
    [
        *DECISIONS,
        ("failing", pa.list_(pa.struct([("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())]))),
    ]
)
