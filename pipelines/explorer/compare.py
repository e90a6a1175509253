"""Two workspaces side by side: their funnels, the documents whose fate changed and why, shares of domains, and losses.

Documents are the same where their ids are, which follow from their files' content; else where their address is the
same and stands once in each, as in the crawls of two months. Reads `facts` of both, writes nothing to either.
Refuses a workspace without documents, and one whose decisions are stale.
"""

import os
import statistics
from dataclasses import dataclass
from typing import Any

import duckdb

from ...corpus.sql import literal
from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.fate import deciding
from ...corpus.store.workspace import Workspace
from ...mixing.recipe import load_recipe
from ..report import models
from ..report.curation import ReportSource
from .made.cache import cache_folder, limits
from .made.facts import facts_file
from .rules import filter_rules
from .source import OpenWorkspace

SAMPLES = 3  # documents that are named for each change
CHANGES = 60  # kinds of change that are told
SAME = "a.fate = b.fate and a.stage is not distinct from b.stage and a.rule is not distinct from b.rule"
MATCHED = """
create temp table matched as with
same as (select id as a, id as b, 'id' as how from a.facts semi join b.facts using (id)),
left_a as (select url, min(id) as id from a.facts anti join b.facts using (id) where url is not null
    group by url having count(*) = 1),
left_b as (select url, min(id) as id from b.facts anti join a.facts using (id) where url is not null
    group by url having count(*) = 1)
select * from same union all select left_a.id, left_b.id, 'address' from left_a join left_b using (url)
"""


@dataclass(frozen=True)
class Side:
    """One of the two."""

    workspace: Workspace
    stages: list[str]

    @property
    def name(self) -> str:
        return self.workspace.url.rstrip("/").rpartition("/")[2]


def compare(first: Workspace, second: Workspace) -> dict[str, Any]:
    """{workspaces, funnel, documents, changed, rules, domains, recipes, losses}: every number that the page shows."""
    sides = []
    for workspace in (first, second):
        opened = OpenWorkspace(workspace)  # refuses what is lost or damaged
        try:
            if "facts" not in opened.tables:
                raise RequestError(f"{workspace.url} has no documents to compare")
            if opened.chain_is_stale:
                raise WorkspaceError(opened.chain_is_stale)
        finally:
            opened.close()
        sides.append(Side(workspace, deciding(workspace)))
    with duckdb.connect() as connection:
        for statement in limits(cache_folder()):
            connection.execute(statement)
        for name, side in zip("ab", sides, strict=True):
            connection.execute(f"attach {literal(facts_file(side.workspace))} as {name} (read_only)")
        connection.execute("set enable_external_access = false")
        connection.execute(MATCHED)
        return {
            "workspaces": [side.workspace.url for side in sides],
            "names": [side.name for side in sides],
            "funnel": _funnel(connection, sides),
            "documents": _documents(connection),
            "changed": _changed(connection),
            "rules": _rules(sides),
            "domains": _domains(connection),
            "recipes": _recipes(sides),
            "losses": _losses(sides),
        }


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    result = connection.execute(sql)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _funnel(connection: duckdb.DuckDBPyConnection, sides: list[Side]) -> list[dict[str, Any]]:
    """{stage, a: {in, dropped, kept}, b: …}; None where a stage did not run in one of them."""
    found: dict[str, dict[str, Any]] = {}
    for name, side in zip("ab", sides, strict=True):
        rows = _rows(connection, f"select fate, stage, sum(documents)::bigint as n from {name}.cube group by all")
        left = sum(row["n"] for row in rows)
        for stage in ["extract", *side.stages]:
            gone = sum(row["n"] for row in rows if row["fate"] == "dropped" and row["stage"] == stage)
            found.setdefault(stage, {"stage": stage, "a": None, "b": None})
            found[stage][name] = {"in": left, "dropped": gone, "kept": left - gone}
            left -= gone
    return list(found.values())


def _documents(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    told = _rows(
        connection,
        "select count(*) as both, count(*) filter (how = 'id') as by_id, count(*) filter (how = 'address') "
        "as by_address "
        "from matched",
    )[0]
    for name in "ab":
        told |= _rows(connection, f"select count(*) - {told['both']} as only_{name} from {name}.facts")[0]
    same = _rows(
        connection,
        f"select count(*) filter ({SAME}) as same_fate, count(*) filter (a.fate <> b.fate) as changed_sides, "
        "count(*) filter (a.bytes <> b.bytes) as other_length from matched m join a.facts a on a.id = m.a "
        "join b.facts b on b.id = m.b",
    )[0]
    return told | same


def _changed(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Kinds of change, the most documents first: from and to, the thresholds, the text, and a few of the documents."""
    rows = _rows(
        connection,
        "select a.fate as fate_a, a.stage as stage_a, a.rule as rule_a, b.fate as fate_b, b.stage as stage_b, "
        "b.rule as rule_b, count(*) as documents, sum(a.bytes)::bigint as bytes, "
        "count(*) filter (a.bytes <> b.bytes) as other_length, "
        f"min(b.id, {SAMPLES}) as examples from matched m join a.facts a on a.id = m.a join b.facts b on b.id = m.b "
        f"where not ({SAME}) group by all order by documents desc, fate_a, stage_a, rule_a, fate_b, stage_b, rule_b "
        f"limit {CHANGES}",
    )
    for row in rows:
        row["why"] = _why(row)
    return rows


def _why(row: dict[str, Any]) -> str:
    """What decided on both sides, in words."""
    told = []
    for name in "ab":
        fate, stage, rule = row[f"fate_{name}"], row[f"stage_{name}"], row[f"rule_{name}"]
        told.append(fate if fate != "dropped" else f"dropped by {rule or 'no rule named'} ({stage})")
    said = f"{told[0]}, then {told[1]}"
    if told[0] == told[1]:
        said = f"{told[0]} in both, by another stage"
    if row["other_length"]:
        said += f"; {row['other_length']:,} have another text"
    return said


def _rules(sides: list[Side]) -> list[dict[str, Any]]:
    """Filter rules that are not the same in both."""
    held = []
    for side in sides:
        rules = filter_rules(side.workspace)
        held.append({rule.rule: rule.model_dump(mode="json") for rule in rules.rules} if rules else {})
    names = list(dict.fromkeys([*held[0], *held[1]]))
    return [
        {"rule": name, "a": held[0].get(name), "b": held[1].get(name)}
        for name in names
        if held[0].get(name) != held[1].get(name)
    ]


def _domains(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Kept documents, bytes and share of bytes by domain."""
    part = (
        "select domain, sum(documents)::bigint as documents, sum(bytes)::bigint as bytes, "
        "sum(bytes) / sum(sum(bytes)) over () as share from {}.cube where fate = 'kept' group by domain"
    )
    return _rows(
        connection,
        "select coalesce(a.domain, b.domain) as domain, coalesce(a.documents, 0) as documents_a, "
        "coalesce(b.documents, 0) as documents_b, coalesce(a.bytes, 0) as bytes_a, coalesce(b.bytes, 0) as bytes_b, "
        "coalesce(a.share, 0) as share_a, coalesce(b.share, 0) as share_b "
        f"from ({part.format('a')}) a full join ({part.format('b')}) b on a.domain = b.domain "
        "order by greatest(bytes_a, bytes_b) desc, 1",
    )


def _recipes(sides: list[Side]) -> list[dict[str, Any]]:
    """Shares of the recipes' phases, by domain, where both have one."""
    held = []
    for side in sides:
        try:
            recipe = load_recipe(side.workspace.path("mixture", "recipe.yaml"))
        except (RequestError, OSError):
            return []
        held.append({phase.until: phase.shares for phase in recipe.phases})
    names = sorted({name for phases in held for shares in phases.values() for name in shares})
    return [
        {"domain": name, "a": [own.get(name, 0.0) for own in held[0].values()],
         "b": [own.get(name, 0.0) for own in held[1].values()]}
        for name in names
    ]  # fmt: skip


def _losses(sides: list[Side]) -> list[dict[str, Any]]:
    """The last loss and held-out bits per byte of each run, and what the validation of each mixture measured."""
    found = []
    with duckdb.connect() as nothing:
        for which, side in zip("ab", sides, strict=True):
            source = ReportSource(
                side.workspace, {one.name: one.finished("compare") for one in side.workspace.tables()}, nothing
            )
            for name, log in models.metrics(source).items():
                held = [line["bits_per_byte"] for line in log if line.get("bits_per_byte")]
                losses = [line["loss"] for line in log if line.get("loss") is not None]
                found.append({"workspace": which, "kind": "run", "name": name, "tokens": log[-1]["tokens"],
                              "loss": losses[-1] if losses else None,
                              "bits_per_byte": statistics.fmean(held[-1].values()) if held else None,
                              "domains": held[-1] if held else {}})  # fmt: skip
            validated = models.read_fit(source).get("validation", {}).get("mixtures", {})
            for name, row in sorted(validated.items()):
                found.append({"workspace": which, "kind": "mixture", "name": name, "tokens": None, "loss": None,
                              "bits_per_byte": row["bits_per_byte"], "domains": row.get("domains", {})})  # fmt: skip
    return found


def text_lines(told: dict[str, Any]) -> list[str]:
    """The comparison for a person, a line a fact."""
    first, second = told["names"]
    if first == second:
        first, second = (os.path.normpath(url) for url in told["workspaces"])
    documents = told["documents"]
    said = [
        f"{first} and {second}: {documents['both']:,} documents in both ({documents['by_id']:,} by id, "
        f"{documents['by_address']:,} by address), {documents['only_a']:,} only in {first}, "
        f"{documents['only_b']:,} only in {second}",
        f"of those in both {documents['changed_sides']:,} changed between kept and dropped, "
        f"{documents['both'] - documents['same_fate'] - documents['changed_sides']:,} are dropped for another reason, "
        f"{documents['other_length']:,} have a text of another length",
    ]
    for row in told["funnel"]:
        cells = [f"{row[n]['kept']:,} of {row[n]['in']:,}" if row[n] else "not run" for n in "ab"]
        said.append(f"  {row['stage']}: kept {cells[0]} | {cells[1]}")
    for row in told["changed"][:20]:
        said.append(f"  {row['documents']:,}: {row['why']}; for example {row['examples'][0]}")
    for row in told["rules"]:
        limits_of = [row[n]["threshold"] if row[n] else "no such rule" for n in "ab"]
        said.append(f"  rule {row['rule']}: {limits_of[0]} | {limits_of[1]}")
    for row in told["domains"]:
        said.append(f"  {row['domain']}: {100 * row['share_a']:.1f} % | {100 * row['share_b']:.1f} % of kept bytes")
    for row in told["losses"]:
        if row["bits_per_byte"] is not None:
            where = first if row["workspace"] == "a" else second
            said.append(f"  {row['kind']} {row['name']} of {where}: {row['bits_per_byte']:.4f} bits per byte")
    return said
