"""The pieces, without a workspace, Beam or torch: pages to text, languages, signals, rules, duplicates, mixtures.

Tables may be a pyarrow table or batch, a pandas or polars frame, a mapping of columns, or a list of texts; the column
of the text is `text`. They are usable inside `datasets.map`, a datatrove step, a Ray or Spark function. Refuses a table
without the columns that are needed.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gristmill.corpus.store.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Page:
    """What a page holds and says of itself."""

    text: str
    title: str | None
    date: datetime | None
    language: str | None
    language_score: float | None
    license: str | None
    page_type: str | None
    canonical: str | None
    robots: str | None
    links: int


def extract(
    html: str | bytes,
    url: str | None = None,
    engine: str = "resiliparse",
    output: str = "text",
    normalise: bool = True,
    charset: str | None = None,
    language_model: str | None = "gristmill",
) -> Page:
    """The main text of a page, as the command extracts it. RequestError, which says why, for a page that has none."""
    from gristmill.corpus.metadata.page import Sent
    from gristmill.corpus.text.extraction import check_engine
    from gristmill.corpus.text.pages import Job, Options, work_on

    check_engine(engine)
    options = Options(engine, output == "markdown", normalise=normalise, language_model=language_model)
    outcome = work_on(Job(html, True, charset, Sent(url, {}, None)), options)
    if outcome.error:
        raise RequestError(outcome.error)
    stated, best = outcome.stated, outcome.languages[0] if outcome.languages else (None, None)
    return Page(
        outcome.text, stated.title, stated.date, *best, stated.license, stated.page_type, stated.canonical,
        stated.robots, stated.links,
    )  # fmt: skip


def language(text: str, model: str = "gristmill") -> list[tuple[str, float]]:
    """The three likeliest languages and their scores, best first; none for a text without a letter."""
    from gristmill.corpus.languages.identification import check_model, identify

    check_model(model)
    return identify([text], model)[0]


def pii(text: str) -> list[tuple[int, int, str]]:
    """(begin, end, kind) of e-mail and IP addresses, telephone numbers, bank accounts, cards and keys, in order."""
    from gristmill.filters.pii import find

    return [(span.start, span.end, span.kind) for span in find(text)]


def signals(table: Any, families: Iterable[str]) -> "pa.Table":
    """The table with a struct column for each family of signals (`gristmill list signals`)."""
    from gristmill.filters.signals.families import families as chosen
    from gristmill.filters.signals.families import measure

    given = _table(table)
    names = [families] if isinstance(families, str) else list(families)
    wanted = chosen(names, "signals")
    for column in sorted({family.column or "text" for family in wanted} - {*given.column_names}):
        raise RequestError(f"signals: the table has no column {column}; it has: {', '.join(given.column_names)}")
    by_column: dict[str, list[Any]] = {}
    for family in wanted:
        by_column.setdefault(family.column or "text", []).append(family)
    beside = {name: given[name].combine_chunks() for name in given.column_names}
    for column, own in by_column.items():
        for name, found in measure(_strings(given, column), own, beside).items():
            given = given.append_column(name, found)
    return given


def decide(table: Any, rules: Any) -> "pa.Table":
    """The fate of each row by a rule set: a bundled name, a path, or a `RuleSet`. Columns id, kept, stage, rule, value,
    threshold, failing (every rule that it failed).

    Signals that the rules read and the table lacks are measured from its text. Rules that cut lines need a workspace.
    """
    import pyarrow as pa

    from gristmill.filters.rule_sets import compiled, load_rules

    given = _table(table)
    found, lines = compiled(load_rules(rules))
    if lines is not None:
        raise RequestError("decide: a rule set that cuts lines changes texts; gristmill filter applies it")
    given = signals(given, sorted(set(found.signals) - {*given.column_names}))
    if "id" not in given.column_names:
        given = given.append_column("id", pa.array([str(row) for row in range(len(given))], pa.string()))
    columns = []
    for one in found.schema:
        held = given[one.name].combine_chunks() if one.name in given.column_names else pa.nulls(len(given), one.type)
        if pa.types.is_struct(one.type):
            parts = [held.field(inner.name) for inner in one.type]
            held = pa.StructArray.from_arrays(parts, fields=list(one.type))
        columns.append(held.cast(one.type))
    decided = found.decide(pa.Table.from_arrays(columns, schema=found.schema), "filter")
    return decided.drop_columns(["duplicate_of"])


def duplicates(table: Any, **settings: Any) -> "pa.Table":
    """Duplicates and near-duplicates of a table in memory: for each row its cluster, and whether it survives.

    settings  those of `gristmill dedup`: threshold, scope, preset, exact, survivors, ...
    """
    import pyarrow as pa

    from gristmill.dedup.in_memory import duplicates_of
    from gristmill.dedup.settings import DedupSettings
    from gristmill.pipelines.commands.options import settings_of

    given = _table(table)
    if "id" not in given.column_names:
        given = given.append_column("id", pa.array([f"{row:012d}" for row in range(len(given))], pa.string()))
    for name in {"text", "id"} & {*given.column_names}:
        place = given.column_names.index(name)
        given = given.set_column(place, name, _strings(given, name))
    exact = settings.get("exact", ("text",))
    made = settings_of(DedupSettings, **settings | {"exact": (exact,) if isinstance(exact, str) else tuple(exact)})
    return duplicates_of(given, made)


def fit_mixture(mixtures: Any, losses: Any, target: Mapping[str, float] | None = None, **named: Any) -> dict[str, Any]:
    """Losses as functions of the mixture, and the best mixture: what `gristmill mix fit --json` prints.

    mixtures, losses  paths of CSV files, or tables, in RegMix's or Olmix's form; `named` as of `mix fit`
    """
    import tempfile

    from gristmill.mixing.standalone import fit_tables

    with tempfile.TemporaryDirectory() as folder:
        paths = [_csv(one, os.path.join(folder, f"{n}.csv")) for n, one in enumerate((mixtures, losses))]
        return fit_tables(*paths, target=target or {}, **named)


def _csv(given: Any, path: str) -> str:
    if isinstance(given, str) or hasattr(given, "__fspath__"):
        return str(given)
    import pyarrow.csv

    pyarrow.csv.write_csv(_table(given), path)
    return path


def _table(given: Any) -> "pa.Table":
    """Whatever holds columns, as an Arrow table."""
    import pyarrow as pa

    if isinstance(given, pa.Table):
        return given
    if isinstance(given, pa.RecordBatch):
        return pa.Table.from_batches([given])
    if isinstance(given, Mapping):
        return pa.table(dict(given))
    if isinstance(given, list | tuple) and all(one is None or isinstance(one, str) for one in given):
        return pa.table({"text": pa.array(given, pa.string())})
    if isinstance(given, list | tuple):
        return pa.Table.from_pylist(list(given))
    if hasattr(given, "to_arrow"):
        made: pa.Table = given.to_arrow()
        return made
    if hasattr(given, "__dataframe__") or type(given).__module__.startswith("pandas"):
        return pa.Table.from_pandas(given, preserve_index=False)
    raise RequestError(f"a table was expected, not {type(given).__name__}")


def _strings(table: "pa.Table", name: str) -> "pa.Array":
    """A column as one array of strings."""
    import pyarrow as pa

    column = table[name].cast(pa.string())
    return column.combine_chunks()
