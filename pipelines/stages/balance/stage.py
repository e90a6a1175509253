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
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.given_files import given_lines, read_given
from ....corpus.store import fate
from ....corpus.store.errors import WorkspaceError, unknown_name
from ....corpus.store.schema import DECISIONS, DOCUMENTS
from ....corpus.store.shards import fingerprint, read_batches
from ....corpus.store.workspace import Workspace
from ....filters.balancing import Concepts, cap_for_tail_share, count, draw, keeps
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, gather, group_by_key, map_blocks, map_shards
from ...engine.runner import RunnerOptions
from ...engine.stage import Plan, Stage, run_stage
from ..columns import stored_schema
from .settings import BalanceSettings as BalanceSettings

if TYPE_CHECKING:
    import apache_beam as beam

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
    return Concepts(given_lines(read_given(path, f"--concepts {path}")))


@lru_cache(maxsize=2)
def _concepts(path: str, inputs: str) -> Concepts:
    return load_concepts(path)


def _digest(settings: BalanceSettings) -> str:
    return fingerprint(load_concepts(settings.concepts or "").names)


def match_shard(plan: Plan[BalanceSettings], work: Work) -> Iterator[Report]:
    """The concepts that occur in each document of a shard."""
    assert plan.settings.concepts is not None
    concepts = _concepts(plan.settings.concepts, plan.recorded["concepts"])
    with plan.writer(MATCHES, work.name, MATCHED) as out:
        for batch in work.documents.read(["id", "text"]):
            found = [[concepts.names[place] for place in concepts.of(text)] for text in batch["text"].to_pylist()]
            out.write_batch(pa.record_batch([batch["id"], pa.array(found, pa.list_(pa.string()))], schema=MATCHED))
        out.counts["documents"] = out.rows
    yield MATCHES, out.shard


MATCH: Stage[BalanceSettings] = Stage(
    name=MATCHES,
    command=STAGE,
    version=1,
    tables=(MATCHES,),
    inputs=lambda workspace, settings: {},
    graph=lambda pipeline, plan: commit(map_shards(pipeline, plan, match_shard), plan),
    items=lambda plan: (Work.of(source) for source in _sources(plan.workspace).values()),
    redecides=True,
    recorded=lambda settings: {"concepts": _digest(settings)},
)


def _sources(workspace: Workspace) -> Mapping[str, fate.ShardSource]:
    return fate.sources(workspace, STAGE, chain_before(STAGE))


# ---- keys


def balance_inputs(workspace: Workspace, settings: BalanceSettings) -> dict[str, str]:
    """What decided before, and the table that has the key where that is not `documents/`."""
    found = fate.inputs(workspace, STAGE, chain_before(STAGE))
    table = _table(workspace, settings)
    if table == fate.BEFORE:
        return found
    fate.refuse_stale(workspace, table, STAGE)
    return {**found, table: workspace.table(table).finished(STAGE).fingerprint}


def _table(workspace: Workspace, settings: BalanceSettings) -> str:
    return MATCHES if settings.by is None else key_table(workspace, settings.by)


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


def keys_of(plan: Plan[BalanceSettings], work: Work) -> tuple[list[str], list[list[str]]]:
    """ids of the documents that enter the stage, and the keys of each, none twice."""
    column = plan.settings.by or "concepts"
    beside: str | None = work.load
    ids: list[str] = []
    keys: list[list[str]] = []
    for batch in work.documents.read(["id"] if beside else ["id", column]):
        ids += batch["id"].to_pylist()
        keys += [] if beside else _as_keys(batch[column])
    if beside is None:
        return ids, keys
    known: dict[str, list[str]] = {}
    for batch in read_batches(beside, ["id", column]):
        known.update(zip(batch["id"].to_pylist(), _as_keys(batch[column]), strict=True))
    absent = next((id for id in ids if id not in known), None)
    if absent is not None:
        raise WorkspaceError(f"{STAGE}: document {absent} has no row in {beside}; run the stage that writes it again")
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


def balance_graph(pipeline: "beam.Pipeline", plan: Plan[BalanceSettings]) -> "beam.PCollection":
    """Shards -> counts -> one group, which adds them up -> shards of decisions and their counts -> one commit."""
    counts = map_blocks(pipeline, plan, count_shard)
    decided = group_by_key(gather(counts, "add up", add_up, plan.bare), "decide", decide_shard, plan.bare)
    return commit(gather(decided, "frequencies", write_frequencies, plan.bare), plan)


def balance_items(plan: Plan[BalanceSettings]) -> list[Work]:
    """Every shard that enters, with the file that has its keys where that is not the documents' own."""
    name = _table(plan.workspace, plan.settings)
    table = plan.workspace.table(name)
    made = {} if name == fate.BEFORE else table.finished(STAGE).by_name
    return [
        Work.of(source, table.file_url(made[shard]) if made else None)
        for shard, source in _sources(plan.workspace).items()
    ]


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
    items=balance_items,
    whole=True,
    details=lambda plan, shards, findings: findings[0],
    before=chain_before(STAGE),
    redecides=True,
    recorded=balance_recorded,
)


def count_shard(work: Work, plan: Plan[BalanceSettings]) -> Iterator[tuple[Work, pa.Table, int]]:
    """(item, documents of each key, documents)."""
    _, keys = keys_of(plan, work)
    yield work, counted(keys), len(keys)


def add_up(blocks: Iterator[tuple[Work, pa.Table, int]], plan: Plan[BalanceSettings]) -> Iterator[tuple[str, Any]]:
    """(shard, (item, documents that its keys have in all shards, cap)); the one named "" has all keys."""
    settings = plan.settings
    ordered = sorted(blocks, key=lambda block: block[0].name)
    whole = _sum(table for _, table, _ in ordered)
    if not len(whole) and sum(size for *_, size in ordered):
        what = f"has a value in {settings.by}" if settings.by else "holds any of the concepts"
        raise WorkspaceError(f"{STAGE}: no document {what}; there is nothing to balance by")
    cap = settings.cap
    if cap is None:
        assert settings.tail is not None
        cap = cap_for_tail_share(whole["documents"].to_numpy(), settings.tail)
    for work, table, _ in ordered:
        own = whole.take(pc.index_in(table["key"], value_set=whole["key"].combine_chunks()))
        yield work.name, (work, own, cap)
    yield "", (None, whole, cap)


def decide_shard(group: tuple[str, Iterable[Any]], plan: Plan[BalanceSettings]) -> Iterator[tuple[str, Any]]:
    """Write the decisions of one shard; report them, and the documents of each key that stay."""
    for work, whole, cap in group[1]:
        if work is None:
            yield "whole", (whole, cap)
            continue
        counts = dict(zip(whole["key"].to_pylist(), whole["documents"].to_pylist(), strict=True))
        ids, keys = keys_of(plan, work)
        rows = [decision(id, found, counts, cap, plan.settings) for id, found in zip(ids, keys, strict=True)]
        kept = [found for found, row in zip(keys, rows, strict=True) if row["kept"]]
        with plan.writer(DECIDED, work.name, DECISIONS) as out:
            out.write_rows(rows)
            out.counts = {"in": len(rows), "kept": len(kept), "dropped": len(rows) - len(kept), "failed": 0}
            out.counts["unmatched"] = sum(not found for found in keys)
        yield DECIDED, out.shard
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


def write_frequencies(blocks: Iterator[tuple[str, Any]], plan: Plan[BalanceSettings]) -> Iterator[Any]:
    """Write `concepts/`; the reports of the decisions pass through."""
    kept: list[pa.Table] = []
    whole, cap = COUNTED.empty_table(), 0
    for name, content in blocks:
        if name == "kept":
            kept.append(content)
        elif name == "whole":
            whole, cap = content
        else:
            yield name, content
    stays = dict(zip(*(column.to_pylist() for column in _sum(kept).columns), strict=True))
    had = dict(zip(*(column.to_pylist() for column in whole.columns), strict=True))
    if plan.settings.concepts is not None:
        never = _concepts(plan.settings.concepts, plan.recorded["concepts"]).names
        had = dict.fromkeys(never, 0) | had
    rows = [
        {"key": key, "documents": size, "kept": stays.get(key, 0), "chance": min(1.0, cap / size) if size else 1.0}
        for key, size in sorted(had.items(), key=lambda row: (-row[1], row[0]))
    ]
    with plan.writer(TABLE, f"{TABLE}.parquet", FREQUENCIES) as out:
        out.write_rows(rows)
        out.counts = {"keys": len(rows), "thinned": sum(row["chance"] < 1 for row in rows)}
    yield TABLE, out.shard
    sizes = np.array([row["documents"] for row in rows], np.int64)
    tail = float(sizes[sizes <= cap].sum() / sizes.sum()) if sizes.sum() else 1.0
    yield {"cap": cap, "tail": round(tail, 6)}
