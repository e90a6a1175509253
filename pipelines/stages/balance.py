"""The balance stage: caps how many documents each value of a key keeps, and never touches the tail.

A key is a column of `documents/` or `tags/` (host, domain, source, language, topic, cluster, ...; a list gives a
document several keys), or the concepts of a list that occur in the text. Each key keeps a document with probability
min(1, cap / documents of the key), by a draw from the id; a document with several keys stays if any draw passes.

    match    each text against the list, only where one is given: `matches/`, which any cap decides from
    count    documents of each key, shard by shard; counts alone are gathered
    decide   `decisions/balance/` of each shard; value: the draw, threshold: the chance it had to stay below
    commit   `concepts/`: how many documents each key had, and has

Refuses a column that is not there or that no document has a value in, and a list without a concept. A document without
a key is kept where keys are a column's values, and dropped by the rule `unmatched` where they are a list's concepts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, model_validator

from ...corpus.store import fate
from ...corpus.store.calls import File
from ...corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ...corpus.store.schema import DECISIONS, DOCUMENTS
from ...corpus.store.shards import committed, filesystem, fingerprint, open_shard, read_batches
from ...corpus.store.workspace import Workspace
from ...filters.balancing import Concepts, cap_for_tail_share, count, draw, keeps
from ..engine.runner import RunnerOptions
from ..engine.stage import Plan, Report, Stage, commit, run_stage, shard_graph
from .columns import stored_schema

STAGE, DECIDED, TABLE, MATCHES = "balance", "decisions/balance", "concepts", "matches"
MATCHED = pa.schema([pa.field("id", pa.string(), nullable=False), ("concepts", pa.list_(pa.string()))])
COUNTED = pa.schema([("key", pa.string()), ("documents", pa.int64())])
FREQUENCIES = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),  # that entered the stage
        pa.field("kept", pa.int64(), nullable=False),
        pa.field("chance", pa.float64(), nullable=False),  # of each of them to stay on account of this key
    ]
)


class BalanceSettings(BaseModel, frozen=True, extra="forbid"):
    """What to balance by, and how far: one of by and concepts, one of cap and tail.

    by         a column of documents/ or tags/
    concepts   a file with one concept per line
    cap        documents that a key keeps, in expectation
    tail       instead: the share of all matches that keys which are not thinned hold
    unmatched  the fate of documents without a key; None: keep with `by`, drop with `concepts`
    """

    by: str | None = None
    concepts: File | None = None
    cap: int | None = Field(default=None, ge=1)
    tail: float | None = Field(default=None, gt=0, lt=1)
    unmatched: Literal["keep", "drop"] | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _complete(self) -> "BalanceSettings":
        if (self.by is None) == (self.concepts is None):
            raise ValueError("give exactly one of by and concepts")
        if (self.cap is None) == (self.tail is None):
            raise ValueError("give exactly one of cap and tail")
        return self

    @property
    def keeps_unmatched(self) -> bool:
        return self.unmatched == "keep" or (self.unmatched is None and self.by is not None)


def run_balance(
    workspace: Workspace, settings: BalanceSettings, options: RunnerOptions, force: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Match the concepts, where a list is given, then decide. The summary of both."""
    tables: dict[str, Any] = {}
    if settings.concepts is not None:
        tables |= run_stage(MATCH, workspace, settings, options, force, quiet)["tables"]
    summary = run_stage(BALANCE, workspace, settings, options, force, quiet)
    return summary | {"tables": tables | summary["tables"]}


# ---- concepts of a list


def load_concepts(path: str) -> Concepts:
    """The concepts of a file; a RequestError where it cannot be read or holds none."""
    fs, place = filesystem(path)
    try:
        with fs.open(place, "r", encoding="utf-8") as file:
            return Concepts(str(file.read()).splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--concepts {path}: {error}") from error


@lru_cache(maxsize=2)
def _concepts(path: str, inputs: str) -> Concepts:
    return load_concepts(path)


def _digest(settings: BalanceSettings) -> str:
    return fingerprint(load_concepts(settings.concepts or "").names)


def match_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    return shard_graph(pipeline, plan, _shards(plan.workspace), match_shard, tables=(MATCHES,))


def match_shard(plan: Plan, shard: str) -> Iterator[Report]:
    """The concepts that occur in each document of a shard."""
    url = plan.workspace.table(MATCHES).shard_url(shard)
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    if committed(url, stamp) is None:
        concepts = _concepts(plan.settings.concepts, plan.recorded["concepts"])
        with open_shard(url, MATCHED, stamp) as out:
            for batch in fate.read_kept(plan.workspace, shard, ["id", "text"], until=STAGE):
                found = [[concepts.names[place] for place in concepts.of(text)] for text in batch["text"].to_pylist()]
                out.write_batch(pa.record_batch([batch["id"], pa.array(found, pa.list_(pa.string()))], schema=MATCHED))
            out.counts["documents"] = out.rows
    yield MATCHES, committed(url, stamp)


def _shards(workspace: Workspace) -> list[str]:
    return [shard.name for shard in workspace.table(fate.BEFORE).finished(STAGE).shards]


MATCH: Stage[BalanceSettings] = Stage(
    name=STAGE,
    version=1,
    tables=(MATCHES,),
    inputs=lambda workspace, settings: fate.inputs(workspace, STAGE, until=STAGE),
    graph=match_graph,
    work=lambda workspace, settings: len(_shards(workspace)),
    redecides=True,
    recorded=lambda settings: {"concepts": _digest(settings)},
)


# ---- keys


def balance_inputs(workspace: Workspace, settings: BalanceSettings) -> dict[str, str]:
    """What decided before, and the table that has the key where that is not `documents/`."""
    found = fate.inputs(workspace, STAGE, until=STAGE)
    table = MATCHES if settings.by is None else key_table(workspace, settings.by)
    return found if table == fate.BEFORE else {**found, table: workspace.table(table).finished(STAGE).fingerprint}


def key_table(workspace: Workspace, column: str) -> str:
    """The table that a column is in; a RequestError that names those there are. Mixture units as they are now."""
    made = workspace.table(fate.BEFORE).finished(STAGE)
    own = _keys(stored_schema(workspace, made) or DOCUMENTS)
    tags = workspace.table("tags").manifest()
    tagged = _keys(stored_schema(workspace, tags)) if tags is not None else []
    if column == "domain" and workspace.table(fate.DOMAINS).manifest() is not None:
        return fate.DOMAINS
    if column not in (*own, *tagged):
        hint = "" if tags is not None else " (there is no tags/ yet)"
        raise unknown_name("column", column, {*own, *tagged}, f"--by{hint}")
    return fate.BEFORE if column in own else "tags"


def _keys(schema: pa.Schema | None) -> list[str]:
    """Columns whose values can be keys: neither ids and texts, nor anything nested but lists of strings."""
    found = []
    for field in schema or ():
        nested = pa.types.is_nested(field.type) and not field.type.equals(pa.list_(pa.string()))
        if field.name not in ("id", "text") and not nested:
            found.append(field.name)
    return found


def keys_of(plan: Plan, shard: str) -> tuple[list[str], list[list[str]]]:
    """ids of the documents that enter the stage, and the keys of each, none twice."""
    column = plan.settings.by or "concepts"
    beside = next((name for name in (MATCHES, "tags", fate.DOMAINS) if name in plan.inputs), None)
    ids: list[str] = []
    keys: list[list[str]] = []
    for batch in fate.read_kept(plan.workspace, shard, ["id"] if beside else ["id", column], until=STAGE):
        ids += batch["id"].to_pylist()
        keys += [] if beside else _as_keys(batch[column])
    if beside is None:
        return ids, keys
    known: dict[str, list[str]] = {}
    for batch in read_batches(plan.workspace.table(beside).shard_url(shard), ["id", column]):
        known.update(zip(batch["id"].to_pylist(), _as_keys(batch[column]), strict=True))
    return ids, [known[id] for id in ids]


def _as_keys(values: pa.Array) -> list[list[str]]:
    if pa.types.is_list(values.type):
        return [sorted({key for key in found or () if key is not None}) for found in values.to_pylist()]
    return [[] if value is None else [value] for value in values.cast(pa.string()).to_pylist()]


def counted(keys: Sequence[Sequence[str]]) -> pa.Table:
    """How many documents each key has, in the order of the keys."""
    names = sorted({key for found in keys for key in found})
    place = {name: at for at, name in enumerate(names)}
    totals = count(([place[key] for key in found] for found in keys), len(names))
    return pa.table([pa.array(names, pa.string()), pa.array(totals)], schema=COUNTED)


def _sum(blocks: Iterable[pa.Table]) -> pa.Table:
    """Counts of parts, added up."""
    whole = pa.concat_tables([COUNTED.empty_table(), *blocks]).group_by("key").aggregate([("documents", "sum")])
    return whole.select(["key", "documents_sum"]).rename_columns(COUNTED.names).sort_by("key").combine_chunks()


# ---- the stage


def balance_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """Shards -> counts -> one group, which adds them up -> shards of decisions and their counts -> one commit."""
    return (
        pipeline
        | "shards" >> beam.Create([*_shards(plan.workspace), ""])
        | "spread" >> beam.Reshuffle()
        | "count" >> beam.Map(count_shard, plan)
        | "gather counts" >> beam.GroupByKey()
        | "add up" >> beam.FlatMap(add_up, plan)
        | "spread counts" >> beam.Reshuffle()
        | "decide" >> beam.FlatMap(decide_shard, plan)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit_with_frequencies, plan)
    )


def balance_recorded(settings: BalanceSettings) -> dict[str, Any]:
    told = settings.model_dump(mode="json", exclude={"concepts", "unmatched"})
    listed = None if settings.concepts is None else _digest(settings)
    return told | {"concepts": listed, "unmatched": "keep" if settings.keeps_unmatched else "drop"}


BALANCE: Stage[BalanceSettings] = Stage(
    name=STAGE,
    version=1,
    tables=(DECIDED, TABLE),
    inputs=balance_inputs,
    graph=balance_graph,
    work=lambda workspace, settings: len(_shards(workspace)),
    redecides=True,
    recorded=balance_recorded,
)


def count_shard(shard: str, plan: Plan) -> tuple[int, tuple[str, pa.Table | None, int]]:
    """(0, (shard, documents of each key, documents)); the shard named "" makes sure that a group comes."""
    if not shard:
        return 0, (shard, None, 0)
    _, keys = keys_of(plan, shard)
    return 0, (shard, counted(keys), len(keys))


def add_up(group: tuple[int, Iterable[tuple[str, pa.Table | None, int]]], plan: Plan) -> Iterator[tuple[str, Any]]:
    """(shard, (documents that its keys have in all shards, cap)); the last, named "", has all keys."""
    settings: BalanceSettings = plan.settings
    blocks = sorted(((s, table, size) for s, table, size in group[1] if table is not None), key=lambda block: block[0])
    whole = _sum(table for _, table, _ in blocks)
    if not len(whole) and sum(size for *_, size in blocks):
        what = f"has a value in {settings.by}" if settings.by else "holds any of the concepts"
        raise WorkspaceError(f"{STAGE}: no document {what}; there is nothing to balance by")
    cap = settings.cap
    if cap is None:
        assert settings.tail is not None
        cap = cap_for_tail_share(whole["documents"].to_numpy(), settings.tail)
    for shard, table, _ in blocks:
        yield shard, (whole.take(pc.index_in(table["key"], value_set=whole["key"].combine_chunks())), cap)
    yield "", (whole, cap)


def decide_shard(item: tuple[str, tuple[pa.Table, int]], plan: Plan) -> Iterator[tuple[str, Any]]:
    """Write the decisions of one shard; report them, and the documents of each key that stay."""
    shard, (whole, cap) = item
    if not shard:
        yield "whole", (whole, cap)
        return
    counts = dict(zip(whole["key"].to_pylist(), whole["documents"].to_pylist(), strict=True))
    ids, keys = keys_of(plan, shard)
    rows = [decision(id, found, counts, cap, plan.settings) for id, found in zip(ids, keys, strict=True)]
    kept = [found for found, row in zip(keys, rows, strict=True) if row["kept"]]
    url = plan.workspace.table(DECIDED).shard_url(shard)
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    if committed(url, stamp) is None:
        with open_shard(url, DECISIONS, stamp) as out:
            out.write_rows(rows)
            out.counts = {"in": len(rows), "kept": len(kept), "dropped": len(rows) - len(kept), "failed": 0}
            out.counts["unmatched"] = sum(not found for found in keys)
    yield DECIDED, committed(url, stamp)
    yield "kept", counted(kept)


def decision(
    id: str, found: Sequence[str], counts: Mapping[str, int], cap: int, settings: BalanceSettings
) -> dict[str, Any]:
    """The row of one document; of several keys whose draws failed, the rarest is shown."""
    if not found:
        kept = settings.keeps_unmatched
        return {"id": id, "kept": kept, "stage": STAGE, "rule": None if kept else "unmatched"}
    if keeps(id, found, counts, cap, settings.seed)[0]:
        return {"id": id, "kept": True, "stage": STAGE}
    rarest = min(found, key=lambda key: (counts[key], key))
    drawn = {"value": draw(id, rarest, settings.seed), "threshold": min(1.0, cap / counts[rarest])}
    return {"id": id, "kept": False, "stage": STAGE, "rule": STAGE, **drawn}


def commit_with_frequencies(group: tuple[int, Iterable[tuple[str, Any]]], plan: Plan) -> Iterator[str]:
    """Write `concepts/` and the manifests."""
    reports: list[Report] = []
    kept: list[pa.Table] = []
    whole, cap = COUNTED.empty_table(), 0
    for name, content in group[1]:
        if name == "kept":
            kept.append(content)
        elif name == "whole":
            whole, cap = content
        else:
            reports.append((name, content))
    stays = dict(zip(*(column.to_pylist() for column in _sum(kept).columns), strict=True))
    had = dict(zip(*(column.to_pylist() for column in whole.columns), strict=True))
    if plan.settings.concepts is not None:
        never = _concepts(plan.settings.concepts, plan.recorded["concepts"]).names
        had = dict.fromkeys(never, 0) | had
    rows = [
        {"key": key, "documents": size, "kept": stays.get(key, 0), "chance": min(1.0, cap / size) if size else 1.0}
        for key, size in sorted(had.items(), key=lambda row: (-row[1], row[0]))
    ]
    url = plan.workspace.table(TABLE).shard_url(f"{TABLE}.parquet")
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, TABLE)
    if committed(url, stamp) is None:
        with open_shard(url, FREQUENCIES, stamp) as out:
            out.write_rows(rows)
            out.counts = {"keys": len(rows), "thinned": sum(row["chance"] < 1 for row in rows)}
    reports.append((TABLE, committed(url, stamp)))
    sizes = np.array([row["documents"] for row in rows], np.int64)
    tail = float(sizes[sizes <= cap].sum() / sizes.sum()) if sizes.sum() else 1.0
    yield from commit((0, reports), plan, (DECIDED, TABLE), lambda _: {"cap": cap, "tail": round(tail, 6)})
