"""Select: keep the documents (or chunks of them) that a score puts first, within a budget.

Shards give sizes, then summaries of their order, then the few rows near the cut (`cut.py`); each writes its shard of
`decisions/select/` once the cut is known, so that no worker holds the scores of the corpus. Several scores are taken
from in turn (RDS+'s round robin), and two selections compared, by one worker that does hold them. Choices depend on
scores and hashes of ids alone. With `unit: chunks`, `edits/select/` holds the text that remains of documents of
which only some chunks are kept.

Refuses a score that is not there or is no number, scores of other documents than those that survive now, a budget
larger than what there is or smaller than every document, and a threshold that no score reaches. A document larger than
the whole budget is passed over, one without a score is dropped, by the rule `unscored`.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ....corpus.store import fate, schema
from ....corpus.store.errors import RequestError, unknown_name
from ....corpus.store.shards import filesystem, read_batches
from ....corpus.store.soundness import opened
from ....corpus.store.workspace import Workspace
from ....proxy_models.scoring import selection
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, gather, group_by_key, map_blocks
from ...engine.stage import Plan, Stage

if TYPE_CHECKING:
    import apache_beam as beam
from .cut import EDGES
from .passes import (
    Told,
    group_shard,
    least_key,
    look_inside,
    measure,
    narrow,
    settle,
    standing_places,
    too_small,
    within,
)
from .rows import ScoredUnits, keys_of, names_of, read_scores, split_name, units_of
from .settings import SelectSettings as SelectSettings

BATCH = 1 << 16  # decisions that are written at a time
SELECT, DECISIONS, EDITS = "select", "decisions/select", "edits/select"


def select_inputs(workspace: Workspace, settings: SelectSettings) -> dict[str, str]:
    """The documents and every score table named; a RequestError for what is not there or is too much to ask."""
    found = fate.inputs(workspace, SELECT, chain_before(SELECT))
    for name in (*settings.by, *settings.compare):
        table, column = split_name(name)
        manifest = workspace.table(f"scores/{table}").manifest()
        if manifest is None:
            known = [t.name.removeprefix("scores/") for t in workspace.tables() if t.name.startswith("scores/")]
            raise unknown_name("score", table, known, "--by")
        fate.refuse_stale(workspace, f"scores/{table}", SELECT)
        columns = _columns(workspace, table)
        if column not in columns:
            raise unknown_name("column", column, columns, f"--by {name}")
        kind = _schema(workspace, table, [column]).field(column).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise RequestError(
                f"--by {name}: scores/{table}/ has {kind} in the column {column}, which is no score; "
                f"numbers are in: {', '.join(_numeric(workspace, table)) or 'none'}"
            )
        if settings.unit == "chunks" and "chunks" not in columns:
            raise RequestError(f"scores/{table}/ has no chunks: only losses of models (color, pair, perplexity) have")
        found[f"scores/{table}"] = manifest.fingerprint
    if settings.tokens is not None:
        table = split_name(settings.by[0])[0]
        if "n_tokens" not in _columns(workspace, table):
            raise RequestError(f"scores/{table}/ does not count tokens; give a share instead of tokens")
        there = workspace.table(f"scores/{table}").finished(SELECT).counts.get("tokens", 0)
        if settings.tokens > there:
            raise RequestError(
                f"{settings.tokens:,} tokens were asked for and there are {there:,}; nothing is repeated"
            )
    return found


def select_graph(pipeline: "beam.Pipeline", plan: Plan[SelectSettings]) -> "beam.PCollection":
    """Shards -> sizes -> summaries of the order -> rows near the cut -> shards of decisions -> one commit."""
    settings, bare = plan.settings, plan.bare
    if len(settings.by) > 1 or settings.compare:
        chosen = gather(map_blocks(pipeline, plan, read_scores), "choose", choose, bare)
        return commit(group_by_key(chosen, "decide", decide_shard, bare), plan)
    told = gather(map_blocks(pipeline, plan, measure), "measure", within, bare)
    if settings.threshold is None:
        told = gather(group_by_key(told, "group", group_shard, bare), "narrow", narrow, bare)
        told = gather(group_by_key(told, "look", look_inside, bare), "cut", settle, bare)
    return commit(group_by_key(told, "decide", decide_shard, bare), plan)


def select_items(plan: Plan[SelectSettings]) -> list[Work]:
    """Every shard that enters, with its shards of scores and their columns."""
    settings = plan.settings
    tables = {split_name(name)[0] for name in (*settings.by, *settings.compare)}
    made = {name: plan.workspace.table(f"scores/{name}").finished(SELECT) for name in sorted(tables)}
    schemas = {name: _schema(plan.workspace, name, None) for name in made}
    items = []
    for shard, source in fate.sources(plan.workspace, SELECT, chain_before(SELECT)).items():
        urls = {
            name: plan.workspace.table(f"scores/{name}").file_url(manifest.by_name[shard])
            for name, manifest in made.items()
            if shard in manifest.by_name
        }
        items.append(Work.of(source, (urls, schemas)))
    return items


select = Stage[SelectSettings](
    name=SELECT,
    version=3,  # decisions are written in blocks of another size
    tables=(DECISIONS, EDITS),
    inputs=select_inputs,
    graph=select_graph,
    items=select_items,
    whole=True,
    details=lambda plan, shards, findings: summed(findings),
    before=chain_before(SELECT),
    redecides=True,
)


def choose(
    read: Iterator[tuple[Work, pa.Table]], plan: Plan[SelectSettings]
) -> Iterator[tuple[str, tuple[Work, Told]]]:
    """Of several scores, or where selections are compared: every shard with what is kept of it by whom."""
    settings = plan.settings
    blocks = sorted(read, key=lambda block: block[0].name)
    rows = pa.concat_tables([table for _, table in blocks]) if blocks else None
    if rows is None or not len(rows):
        yield from ((work.name, (work, {"kept": [np.zeros(0, bool)]})) for work, _ in blocks)
        return
    units, sizes = names_of(rows), rows["size"].to_numpy().astype(np.float64)
    keys = [keys_of(rows[f"s{place}"], units, settings) for place in range(len(settings.by))]
    if settings.threshold is not None:
        known = keys[0][~np.isnan(keys[0])]
        least = least_key(settings, float(known.max()) if len(known) else None)
        chosen, budget = np.flatnonzero(keys[0] >= least), float("inf")
    else:
        budget = settings.tokens or (settings.share or 0.0) * sizes.sum()
        chosen = _within(keys, units, sizes, budget, settings.seed)
        if not len(chosen) and not np.isnan(keys).all():
            raise too_small(plan, budget, len(units), sizes.min())
    kept = [_mask(chosen, len(units))]
    for place in range(len(settings.by), len(settings.by) + len(settings.compare)):
        plain = settings.model_copy(update={"draw": "top", "smallest": False})
        same = min(budget, float(sizes[chosen].sum()))
        other = _within([keys_of(rows[f"s{place}"], units, plain)], units, sizes, same, settings.seed)
        kept.append(_mask(other, len(units)))
    best = keys[0] if len(keys) == 1 else np.max(keys, axis=0)
    least = float(keys[0][chosen].min()) if len(chosen) and len(keys) == 1 else None
    first = 0
    for work, table in blocks:
        part = slice(first, first + len(table))
        first += len(table)
        yield work.name, (work, {"kept": [own[part] for own in kept], "best": best[part], "least": least})


def _mask(chosen: np.ndarray, length: int) -> np.ndarray:
    kept = np.zeros(length, bool)
    kept[chosen] = True
    return kept


def summed(findings: list[dict[str, Any]]) -> dict[str, Any]:
    """The report, from what each shard has of it: sizes that there are and that were selected, and overlaps."""
    if not findings:
        return {}
    total = {key: sum(part[key] for part in findings) for key in ("available", "selected")}
    overlap = {}
    for name in findings[0]["compare"]:
        both, other = (sum(part["compare"][name][place] for part in findings) for place in (0, 1))
        smaller = min(total["selected"], other)
        overlap[name] = both / smaller if smaller else float("nan")
    return {name: int(value) for name, value in total.items()} | {"overlap": overlap}


def _within(keys: list[np.ndarray], units: list[str], sizes: np.ndarray, budget: float, seed: int) -> np.ndarray:
    orders = []
    for key in keys:
        order = selection.ranking(key, units, seed)
        orders.append(order[~np.isnan(key[order])])
    return selection.prefix(orders[0], sizes, budget) if len(orders) == 1 else selection.in_turn(orders, sizes, budget)


def decide_shard(group: tuple[str, Iterable[Any]], plan: Plan[SelectSettings]) -> Iterator[Any]:
    """Write the decisions (and the edits) of one shard, and tell its part of the report."""
    settings = plan.settings
    rule = "+".join(settings.by) if settings.draw == "top" else f"{settings.draw}({'+'.join(settings.by)})"
    for work, told in group[1]:
        own = units_of(work, plan)
        kept, best, least = _kept(own, told, plan)
        units: dict[str, list[tuple[bool, float]]] = {}
        if settings.unit == "chunks":
            for id, keep, key in zip(own.ids, kept[0].tolist(), best.tolist(), strict=True):
                units.setdefault(id, []).append((keep, key))
        yield _write_edits(plan, work, units)
        with plan.writer(DECISIONS, work.name, schema.DECISIONS) as out:
            if settings.unit == "chunks":
                for batch in work.documents.read(["id"]):
                    out.write_rows(
                        _decision(id, units.get(id, []), rule, least, settings) for id in batch["id"].to_pylist()
                    )
            for at in range(0, len(own.ids) if settings.unit == "documents" else 0, BATCH):
                part = slice(at, at + BATCH)
                out.write_batch(
                    _decisions(own.ids[part], kept[0][part], best[part], rule, _limit(least, settings), settings)
                )
            dropped = out.rows - _kept_rows(units, kept[0], settings)
            out.counts.update({"in": out.rows, "kept": out.rows - dropped, "dropped": dropped})
        yield DECISIONS, out.shard
        sizes = own.sizes
        compared = {
            name: (float(sizes[kept[0] & other].sum()), float(sizes[other].sum()))
            for name, other in zip(settings.compare, kept[1:], strict=True)
        }
        yield {"available": float(sizes.sum()), "selected": float(sizes[kept[0]].sum()), "compare": compared}


def _kept(
    own: ScoredUnits, told: Told, plan: Plan[SelectSettings]
) -> tuple[list[np.ndarray], np.ndarray, float | None]:
    """(which units are kept, by the selection and by each that it is compared with; the best key of each; the smallest
    key that was kept, None where several scores chose)."""
    if "kept" in told:
        return told["kept"], told.get("best", own.keys), told.get("least")
    if "cut" not in told:
        return [own.keys >= told["least"]], own.keys, None
    kept = np.zeros(len(own.keys), bool)
    stand = own.standing(told["budget"])
    kept[stand] = told["cut"].taken(standing_places(own, stand, plan), [own.names[row] for row in stand])
    place = told["cut"].place
    return [kept], own.keys, None if place == EDGES[0] else -place.real


def _kept_rows(units: dict[str, list[tuple[bool, float]]], kept: np.ndarray, settings: SelectSettings) -> int:
    """Documents that are kept, whole or in part."""
    if settings.unit == "documents":
        return int(kept.sum())
    return sum(any(keep for keep, _ in own) for own in units.values())


def _sign(settings: SelectSettings) -> float:
    return -1.0 if settings.smallest and settings.draw == "top" else 1.0


def _limit(least: float | None, settings: SelectSettings) -> float | None:
    """What a score is held against, as the user knows scores."""
    return settings.threshold if settings.threshold is not None else None if least is None else _sign(settings) * least


def _decisions(
    ids: list[str], kept: np.ndarray, keys: np.ndarray, rule: str, limit: float | None, settings: SelectSettings
) -> pa.RecordBatch:
    """Decisions on whole documents."""
    absent = pa.array(np.isnan(keys))
    out = pa.array(~kept & ~np.isnan(keys))
    nothing = pa.scalar(None, pa.float64())
    columns = {
        "id": pa.array(ids, pa.string()),
        "kept": pa.array(kept),
        "stage": pa.repeat(SELECT, len(ids)),
        "rule": pc.if_else(pa.array(kept), pa.scalar(None, pa.string()), pc.if_else(absent, "unscored", rule)),
        "value": pc.if_else(out, pa.array(_sign(settings) * keys), nothing),
        "threshold": pc.if_else(out, pa.scalar(limit, pa.float64()), nothing),
        "duplicate_of": pa.nulls(len(ids), pa.string()),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema.DECISIONS)


def _decision(
    id: str, units: list[tuple[bool, float]], rule: str, cut: float | None, settings: SelectSettings
) -> dict[str, Any]:
    known = [key for _, key in units if not np.isnan(key)]
    if any(kept for kept, _ in units):
        return {"id": id, "kept": True, "stage": SELECT}
    row: dict[str, Any] = {"id": id, "kept": False, "stage": SELECT, "rule": rule if known else "unscored"}
    if known:
        row |= {"value": _sign(settings) * max(known), "threshold": _limit(cut, settings)}
    return row


def _write_edits(plan: Plan[SelectSettings], work: Work, units: dict[str, list[tuple[bool, float]]]) -> Report:
    """The remaining text of documents of which some chunks are kept and some are not."""
    partly = {id: own for id, own in units.items() if any(k for k, _ in own) and not all(k for k, _ in own)}
    with plan.writer(EDITS, work.name, schema.EDITS) as out:
        if partly:
            ends = _chunk_ends(plan, work)
            for batch in work.documents.read(["id", "text"]):
                for id, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                    if id in partly:
                        out.write_rows([_edit(id, text, [kept for kept, _ in partly[id]], ends[id])])
        out.counts["edited"] = out.rows
    return EDITS, out.shard


def _edit(id: str, text: str, kept: list[bool], ends: list[int]) -> dict[str, Any]:
    spans = list(zip([0, *ends], ends, kept, strict=False))
    removed = [{"start": start, "end": end, "rule": "chunk"} for start, end, keep in spans if not keep]
    return {"id": id, "text": "".join(text[start:end] for start, end, keep in spans if keep), "removed": removed}


def _chunk_ends(plan: Plan[SelectSettings], work: Work) -> dict[str, list[int]]:
    url = work.load[0][split_name(plan.settings.by[0])[0]]
    ends: dict[str, list[int]] = {}
    for batch in read_batches(url, ["id", "chunks"]):
        for id, chunks in zip(batch["id"].to_pylist(), batch["chunks"].to_pylist(), strict=True):
            ends[id] = [chunk["end"] for chunk in chunks]
    return ends


def _columns(workspace: Workspace, table: str) -> list[str]:
    return _schema(workspace, table, None).names


def _numeric(workspace: Workspace, table: str) -> list[str]:
    """Columns that a selection can be made by."""
    found = _schema(workspace, table, None)
    return [field.name for field in found if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]


def _schema(workspace: Workspace, table: str, columns: list[str] | None) -> pa.Schema:

    shards = workspace.table(f"scores/{table}").finished(SELECT).shards
    if not shards:
        return pa.schema([("id", pa.string()), ("score", pa.float64())])
    with opened(*filesystem(workspace.table(f"scores/{table}").file_url(shards[0]))) as file:
        whole = pq.read_schema(file)
    return pa.schema([whole.field(name) for name in columns or whole.names])
