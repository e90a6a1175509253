"""Select: keep the documents (or chunks of them) that a score puts first, within a budget.

Shards give ids, scores and sizes, never text; one worker orders them and says for each shard what is kept; shards of
`decisions/select/` are written from that. Choices depend on scores and hashes of ids alone. Several scores are taken
from in turn (RDS+'s round robin). With `unit: chunks`, `edits/select/` holds the text that remains of documents of
which only some chunks are kept.

Refuses a score that is not there or is no number, scores of other documents than those that survive now, and a budget
larger than what there is or smaller than every document. A document larger than the whole budget is passed over, one
without a score is dropped, by the rule `unscored`.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ....corpus.store import fate, schema
from ....corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ....corpus.store.shards import filesystem, read_batches
from ....corpus.store.soundness import opened
from ....corpus.store.workspace import Workspace
from ....proxy_models.scoring import selection
from ...engine.chain import chain_before
from ...engine.graph import Report, Work, commit, gather, group_by_key, map_blocks
from ...engine.stage import Plan, Stage

if TYPE_CHECKING:
    import apache_beam as beam
from .settings import SelectSettings as SelectSettings

SELECT, DECISIONS, EDITS = "select", "decisions/select", "edits/select"


def select_inputs(workspace: Workspace, settings: SelectSettings) -> dict[str, str]:
    """The documents and every score table named; a RequestError for what is not there or is too much to ask."""
    found = fate.inputs(workspace, SELECT, chain_before(SELECT))
    for name in (*settings.by, *settings.compare):
        table, column = _split(name)
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
        table = _split(settings.by[0])[0]
        if "n_tokens" not in _columns(workspace, table):
            raise RequestError(f"scores/{table}/ does not count tokens; give a share instead of tokens")
        there = workspace.table(f"scores/{table}").finished(SELECT).counts.get("tokens", 0)
        if settings.tokens > there:
            raise RequestError(
                f"{settings.tokens:,} tokens were asked for and there are {there:,}; nothing is repeated"
            )
    return found


def select_graph(pipeline: "beam.Pipeline", plan: Plan[SelectSettings]) -> "beam.PCollection":
    """Shards -> scores -> one group, which decides -> shards of decisions -> one commit."""
    chosen = gather(map_blocks(pipeline, plan, read_scores), "choose", choose, plan.bare)
    return commit(group_by_key(chosen, "decide", decide_shard, plan.bare), plan)


def select_items(plan: Plan[SelectSettings]) -> list[Work]:
    """Every shard that enters, with its shards of scores and their columns."""
    settings = plan.settings
    tables = {_split(name)[0] for name in (*settings.by, *settings.compare)}
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
    version=2,
    tables=(DECISIONS, EDITS),
    inputs=select_inputs,
    graph=select_graph,
    items=select_items,
    whole=True,
    details=lambda plan, shards, findings: findings[0] if findings else {},
    before=chain_before(SELECT),
    redecides=True,
)


def read_scores(work: Work, plan: Plan[SelectSettings]) -> Iterator[tuple[Work, pa.Table]]:
    """(item, columns id, part, size, s0, s1, ...): the scores to select and compare by, a row for each unit.

    Only documents that are left have rows; one that a score has never seen is refused.
    """
    settings = plan.settings
    ids = [id for batch in work.documents.read(["id"]) for id in batch["id"].to_pylist()]
    left = pa.array(ids, pa.string())
    if settings.unit == "chunks":
        yield work, _chunk_rows(plan, work, _split(settings.by[0])[0], left)
        return
    rows = None
    for place, name in enumerate((*settings.by, *settings.compare)):
        table, column = _split(name)
        schema = work.load[1][table]
        wanted = ["id", column, *(["n_tokens"] if place == 0 and "n_tokens" in schema.names else [])]
        own = _scores(plan, work, table, wanted, left)
        own = own.set_column(1, f"s{place}", own[column].cast(pa.float64()))
        if rows is None:
            sizes = own["n_tokens"] if "n_tokens" in own.column_names else _bytes(work)
            part = pa.array(np.zeros(len(own), np.int64))
            rows = pa.table({"id": own["id"], "part": part, "size": sizes.cast(pa.int64()), "s0": own["s0"]})
        else:
            rows = rows.append_column(f"s{place}", own[f"s{place}"])
    assert rows is not None
    yield work, rows


def _scores(plan: Plan[SelectSettings], work: Work, table: str, wanted: list[str], left: pa.Array) -> pa.Table:
    """Scores of the documents that are left, in their order."""
    urls, schemas = work.load
    schema = pa.schema([schemas[table].field(name) for name in wanted])
    batches = list(read_batches(urls[table], wanted)) if table in urls else []
    found = pa.Table.from_batches(batches, schema).combine_chunks()
    place = pc.index_in(left, value_set=found["id"].combine_chunks() if len(found) else pa.array([], pa.string()))
    if place.null_count:
        absent = left.filter(pc.is_null(place))[0].as_py()
        raise WorkspaceError(
            f"scores/{table}/ has no row for document {absent} and {place.null_count - 1} others of {work.name}, which "
            f"are kept now; run: gristmill score {table} --workspace {plan.workspace.url}"
        )
    return found.take(place)


def _chunk_rows(plan: Plan[SelectSettings], work: Work, table: str, left: pa.Array) -> pa.Table:
    own = _scores(plan, work, table, ["id", "chunks"], left)
    ids, parts, sizes, scores = [], [], [], []
    for id, chunks in zip(own["id"].to_pylist(), own["chunks"].to_pylist(), strict=True):
        for part, chunk in enumerate(chunks):
            losses = [value for name, value in chunk.items() if name.startswith("nll_")]
            ids.append(id)
            parts.append(part)
            sizes.append(chunk["n_tokens"])
            scores.append(losses[0] - losses[1] if len(losses) == 2 else -losses[0])
    kinds = {"id": (ids, pa.string()), "part": (parts, pa.int64()), "size": (sizes, pa.int64())}
    columns = {name: pa.array(values, kind) for name, (values, kind) in kinds.items()}
    return pa.table(columns | {"s0": pa.array(scores, pa.float64())})


def choose(read: Iterator[tuple[Work, pa.Table]], plan: Plan[SelectSettings]) -> Iterator[tuple[str, Any]]:
    """(shard, (item, what is kept of it)) for each shard; the one named "" carries the report."""
    settings = plan.settings
    blocks = sorted(read, key=lambda block: block[0].name)
    rows = pa.concat_tables([table for _, table in blocks]) if blocks else None
    if rows is None or not len(rows):
        for work, _ in blocks:
            yield work.name, (work, {"kept": {}, "keys": {}, "cut": None})
        yield "", (None, {})
        return
    units = [f"{id}/{part}" for id, part in zip(rows["id"].to_pylist(), rows["part"].to_pylist(), strict=True)]
    sizes = rows["size"].to_numpy().astype(np.float64)
    keys = [_keys(rows[f"s{place}"], units, settings) for place in range(len(settings.by))]
    if settings.threshold is not None:
        signed = -settings.threshold if settings.smallest else settings.threshold
        chosen, budget = np.flatnonzero(keys[0] >= signed), float("inf")
    else:
        budget = settings.tokens if settings.tokens is not None else settings.share * sizes.sum()
        chosen = _within(keys, units, sizes, budget, settings.seed)
        if not len(chosen) and not np.isnan(keys).all():
            raise RequestError(
                f"select: nothing fits into a budget of {budget:,.0f}: the smallest of {len(units):,} {settings.unit} "
                f"has {sizes.min():,.0f}; ask for a larger share or for more tokens"
            )
    report = {"available": int(sizes.sum()), "selected": int(sizes[chosen].sum()), "overlap": {}}
    for place, name in enumerate(settings.compare, len(settings.by)):
        plain = settings.model_copy(update={"draw": "top", "smallest": False})
        same = min(budget, float(sizes[chosen].sum()))
        other = _within([_keys(rows[f"s{place}"], units, plain)], units, sizes, same, settings.seed)
        report["overlap"][name] = selection.overlap(chosen, other, sizes)
    kept = np.zeros(len(units), bool)
    kept[chosen] = True
    shown = np.where(kept, np.nanmax(np.where(np.isnan(keys), -np.inf, keys), axis=0), np.inf)
    cut = float(shown.min()) if len(chosen) and len(keys) == 1 else None
    first = 0
    for work, table in blocks:
        part = slice(first, first + len(table))
        first += len(table)
        own = list(zip(table["id"].to_pylist(), table["part"].to_pylist(), strict=True))
        best = keys[0][part] if len(keys) == 1 else np.max(keys, axis=0)[part]
        yield work.name, (work, {"units": own, "kept": kept[part].tolist(), "keys": best.tolist(), "cut": cut})
    yield "", (None, report)


def _keys(scores: pa.ChunkedArray, units: list[str], settings: SelectSettings) -> np.ndarray:
    """What rows are ordered by: the score, its negative, with noise, or nothing but a draw."""
    values = scores.to_numpy().astype(np.float64)
    if settings.smallest:
        values = -values
    if settings.draw == "random":
        return np.where(np.isnan(values), np.nan, selection.uniform(units, settings.seed))
    if settings.draw == "gumbel":
        return selection.perturbed(values, units, settings.seed, settings.temperature)
    return values


def _within(keys: list[np.ndarray], units: list[str], sizes: np.ndarray, budget: float, seed: int) -> np.ndarray:
    orders = []
    for key in keys:
        order = selection.ranking(key, units, seed)
        orders.append(order[~np.isnan(key[order])])
    return selection.prefix(orders[0], sizes, budget) if len(orders) == 1 else selection.in_turn(orders, sizes, budget)


def decide_shard(group: tuple[str, Iterable[Any]], plan: Plan[SelectSettings]) -> Iterator[Any]:
    """Write the decisions (and the edits) of one shard. The report passes through."""
    settings = plan.settings
    rule = "+".join(settings.by) if settings.draw == "top" else f"{settings.draw}({'+'.join(settings.by)})"
    for work, told in group[1]:
        if work is None:
            yield told
            continue
        units: dict[str, list[tuple[bool, float]]] = {}
        for (id, _), kept, key in zip(told.get("units", ()), told["kept"], told["keys"], strict=True):
            units.setdefault(id, []).append((kept, key))
        yield _write_edits(plan, work, units)
        with plan.writer(DECISIONS, work.name, schema.DECISIONS) as out:
            counts = {"in": 0, "kept": 0, "dropped": 0}
            for batch in work.documents.read(["id"]):
                rows = [_decision(id, units.get(id, []), rule, told["cut"], settings) for id in batch["id"].to_pylist()]
                out.write_rows(rows)
                counts["in"] += len(rows)
                counts["kept"] += sum(row["kept"] for row in rows)
            counts["dropped"] = counts["in"] - counts["kept"]
            out.counts.update(counts)
        yield DECISIONS, out.shard


def _decision(
    id: str, units: list[tuple[bool, float]], rule: str, cut: float | None, settings: SelectSettings
) -> dict[str, Any]:
    known = [key for _, key in units if not np.isnan(key)]
    if any(kept for kept, _ in units):
        return {"id": id, "kept": True, "stage": SELECT}
    row: dict[str, Any] = {"id": id, "kept": False, "stage": SELECT, "rule": rule if known else "unscored"}
    if known:
        sign = -1.0 if settings.smallest and settings.draw == "top" else 1.0
        limit = settings.threshold if settings.threshold is not None else (None if cut is None else sign * cut)
        row |= {"value": sign * max(known), "threshold": limit}
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
    url = work.load[0][_split(plan.settings.by[0])[0]]
    ends: dict[str, list[int]] = {}
    for batch in read_batches(url, ["id", "chunks"]):
        for id, chunks in zip(batch["id"].to_pylist(), batch["chunks"].to_pylist(), strict=True):
            ends[id] = [chunk["end"] for chunk in chunks]
    return ends


def _split(name: str) -> tuple[str, str]:
    table, _, column = name.partition(".")
    return table, column or "score"


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


def _bytes(work: Work) -> pa.ChunkedArray:
    documents = work.documents.read(["id", "text"])
    return pa.chunked_array([pc.binary_length(batch["text"]) for batch in documents], pa.int32())
