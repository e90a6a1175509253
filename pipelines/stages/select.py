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
from typing import Any, Literal

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, model_validator

from ...corpus.store import fate, schema
from ...corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ...corpus.store.shards import committed, filesystem, fingerprint, open_shard, read_batches
from ...corpus.store.workspace import Workspace
from ...proxy_models.scoring import selection
from ..engine.stage import Plan, Report, Stage, commit

SELECT, DECISIONS, EDITS = "select", "decisions/select", "edits/select"


class SelectSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What to select by, and how much: exactly one of share, tokens and threshold.

    by           scores as TABLE.COLUMN or TABLE (its column score); several are taken from in turn
    share        of the tokens of all documents (of their bytes, where the table does not count tokens); 1/tau
    threshold    the smallest score that is kept
    draw         top: the largest scores; gumbel: in proportion to exp(score / temperature); random: by hash alone
    compare      other scores whose selections of the same size are reported against this one
    """

    by: tuple[str, ...] = Field(min_length=1)
    share: float | None = Field(default=None, gt=0, le=1)
    tokens: int | None = Field(default=None, ge=1)
    threshold: float | None = None
    unit: Literal["documents", "chunks"] = "documents"
    draw: Literal["top", "gumbel", "random"] = "top"
    temperature: float = Field(default=1.0, gt=0)
    smallest: bool = False  # the smallest scores are the best
    compare: tuple[str, ...] = ()
    seed: int = 0

    @model_validator(mode="after")
    def _one_budget(self) -> "SelectSettings":
        if sum(given is not None for given in (self.share, self.tokens, self.threshold)) != 1:
            raise ValueError("give exactly one of share, tokens and threshold")
        if self.threshold is not None and (self.draw != "top" or len(self.by) > 1):
            raise ValueError("a threshold goes with one score and no draw")
        if self.unit == "chunks" and (len(self.by) > 1 or self.compare):
            raise ValueError("chunks are selected by one score and compared with none")
        return self


def select_inputs(workspace: Workspace, settings: SelectSettings) -> dict[str, str]:
    """The documents and every score table named; a RequestError for what is not there or is too much to ask."""
    found = fate.inputs(workspace, SELECT, SELECT)
    documents = dict(found)
    for name in (*settings.by, *settings.compare):
        table, column = _split(name)
        manifest = workspace.table(f"scores/{table}").manifest()
        if manifest is None:
            known = [t.name.removeprefix("scores/") for t in workspace.tables() if t.name.startswith("scores/")]
            raise unknown_name("score", table, known, "--by")
        stale = fate.changed(manifest, documents)
        if stale:
            raise WorkspaceError(
                f"scores/{table}/ was made before {', '.join(stale)} changed; run: gristmill score {table} --force"
            )
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


def _graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """Shards -> scores -> one group, which decides -> shards of decisions -> one commit."""
    shards = [shard.name for shard in plan.workspace.table(fate.BEFORE).finished(SELECT).shards]
    return (
        pipeline
        | "shards" >> beam.Create([*shards, ""])
        | "spread" >> beam.Reshuffle()
        | "scores" >> beam.Map(read_scores, plan)
        | "all" >> beam.Map(lambda block: (0, block))
        | "gather scores" >> beam.GroupByKey()
        | "choose" >> beam.FlatMap(choose, plan)
        | "spread choices" >> beam.Reshuffle()
        | "decide" >> beam.FlatMap(decide_shard, plan)
        | "one group" >> beam.Map(lambda report: (0, report))
        | "gather" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit_with_report, plan)
    )


select = Stage[SelectSettings](
    name=SELECT,
    version=2,
    tables=(DECISIONS, EDITS),
    inputs=select_inputs,
    graph=_graph,
    redecides=True,
)


def read_scores(shard: str, plan: Plan) -> tuple[str, pa.Table | None]:
    """(shard, columns id, part, size, s0, s1, ...): the scores to select and compare by, a row for each unit."""
    if not shard:
        return shard, None
    settings: SelectSettings = plan.settings
    first = _split(settings.by[0])[0]
    if settings.unit == "chunks":
        return shard, _chunk_rows(plan, shard, first)
    rows = None
    for place, name in enumerate((*settings.by, *settings.compare)):
        table, column = _split(name)
        wanted = ["id", column, *(["n_tokens"] if place == 0 and "n_tokens" in _columns(plan.workspace, table) else [])]
        url = plan.workspace.table(f"scores/{table}").shard_url(shard)
        own = pa.Table.from_batches(list(read_batches(url, wanted)), _schema(plan.workspace, table, wanted))
        own = own.set_column(1, f"s{place}", own[column].cast(pa.float64()))
        if rows is None:
            sizes = own["n_tokens"] if "n_tokens" in own.column_names else _bytes(plan, shard)
            part = pa.array(np.zeros(len(own), np.int64))
            rows = pa.table({"id": own["id"], "part": part, "size": sizes.cast(pa.int64()), "s0": own["s0"]})
        else:
            if not rows["id"].equals(own["id"]):
                raise WorkspaceError(f"scores/{table}/{shard} has other rows than scores/{first}/{shard}; score again")
            rows = rows.append_column(f"s{place}", own[f"s{place}"])
    return shard, rows


def _chunk_rows(plan: Plan, shard: str, table: str) -> pa.Table:
    url = plan.workspace.table(f"scores/{table}").shard_url(shard)
    ids, parts, sizes, scores = [], [], [], []
    for batch in read_batches(url, ["id", "chunks"]):
        for id, chunks in zip(batch["id"].to_pylist(), batch["chunks"].to_pylist(), strict=True):
            for part, chunk in enumerate(chunks):
                losses = [value for name, value in chunk.items() if name.startswith("nll_")]
                ids.append(id)
                parts.append(part)
                sizes.append(chunk["n_tokens"])
                scores.append(losses[0] - losses[1] if len(losses) == 2 else -losses[0])
    kinds = {"id": (ids, pa.string()), "part": (parts, pa.int64()), "size": (sizes, pa.int64())}
    columns = {name: pa.array(values, kind) for name, (values, kind) in kinds.items()}
    return pa.table(columns | {"s0": pa.array(scores, pa.float64())})


def choose(group: tuple[int, Iterable[tuple[str, pa.Table | None]]], plan: Plan) -> Iterator[tuple[str, dict | None]]:
    """(shard, {id, part, key of what is kept or not}) for each shard; the last, named "", carries the report."""
    settings: SelectSettings = plan.settings
    blocks = sorted(((shard, table) for shard, table in group[1] if table is not None), key=lambda block: block[0])
    rows = pa.concat_tables([table for _, table in blocks]) if blocks else None
    if rows is None or not len(rows):
        for shard, _ in blocks:
            yield shard, {"kept": {}, "keys": {}, "cut": None}
        yield "", {}
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
    for shard, table in blocks:
        part = slice(first, first + len(table))
        first += len(table)
        own = list(zip(table["id"].to_pylist(), table["part"].to_pylist(), strict=True))
        best = keys[0][part] if len(keys) == 1 else np.max(keys, axis=0)[part]
        yield shard, {"units": own, "kept": kept[part].tolist(), "keys": best.tolist(), "cut": cut}
    yield "", report


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


def decide_shard(choice: tuple[str, dict | None], plan: Plan) -> Iterator[Any]:
    """Write the decisions (and the edits) of one shard. The report passes through."""
    shard, told = choice
    if not shard:
        yield "", told
        return
    assert told is not None
    settings: SelectSettings = plan.settings
    rule = "+".join(settings.by) if settings.draw == "top" else f"{settings.draw}({'+'.join(settings.by)})"
    url = {table: plan.workspace.table(table).shard_url(shard) for table in (DECISIONS, EDITS)}
    stamp = fingerprint(plan.stage, plan.version, plan.recorded, plan.inputs, shard)
    present = {table: committed(url[table], stamp) for table in (DECISIONS, EDITS)}
    if present[DECISIONS] is None or present[EDITS] is None:
        units: dict[str, list[tuple[bool, float]]] = {}
        for (id, _), kept, key in zip(told.get("units", ()), told["kept"], told["keys"], strict=True):
            units.setdefault(id, []).append((kept, key))
        _write_edits(plan, shard, url[EDITS], stamp, units)
        with open_shard(url[DECISIONS], schema.DECISIONS, stamp) as out:
            counts = {"in": 0, "kept": 0, "dropped": 0}
            for batch in fate.read_kept(plan.workspace, shard, ["id"], SELECT):
                rows = [_decision(id, units.get(id, []), rule, told["cut"], settings) for id in batch["id"].to_pylist()]
                out.write_rows(rows)
                counts["in"] += len(rows)
                counts["kept"] += sum(row["kept"] for row in rows)
            counts["dropped"] = counts["in"] - counts["kept"]
            out.counts.update(counts)
        present = {table: committed(url[table], stamp) for table in (DECISIONS, EDITS)}
    yield EDITS, present[EDITS]
    yield DECISIONS, present[DECISIONS]


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


def _write_edits(plan: Plan, shard: str, url: str, stamp: str, units: dict[str, list[tuple[bool, float]]]) -> None:
    """The remaining text of documents of which some chunks are kept and some are not."""
    partly = {id: own for id, own in units.items() if any(k for k, _ in own) and not all(k for k, _ in own)}
    with open_shard(url, schema.EDITS, stamp) as out:
        if partly:
            ends = _chunk_ends(plan, shard)
            for batch in fate.read_kept(plan.workspace, shard, ["id", "text"], SELECT):
                for id, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                    if id in partly:
                        out.write_rows([_edit(id, text, [kept for kept, _ in partly[id]], ends[id])])
        out.counts["edited"] = out.rows


def _edit(id: str, text: str, kept: list[bool], ends: list[int]) -> dict[str, Any]:
    spans = list(zip([0, *ends], ends, kept, strict=False))
    removed = [{"start": start, "end": end, "rule": "chunk"} for start, end, keep in spans if not keep]
    return {"id": id, "text": "".join(text[start:end] for start, end, keep in spans if keep), "removed": removed}


def _chunk_ends(plan: Plan, shard: str) -> dict[str, list[int]]:
    url = plan.workspace.table(f"scores/{_split(plan.settings.by[0])[0]}").shard_url(shard)
    ends: dict[str, list[int]] = {}
    for batch in read_batches(url, ["id", "chunks"]):
        for id, chunks in zip(batch["id"].to_pylist(), batch["chunks"].to_pylist(), strict=True):
            ends[id] = [chunk["end"] for chunk in chunks]
    return ends


def commit_with_report(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[str]:
    """Write the manifests; the report of the choice becomes the details of `decisions/select/`."""
    reports: list[Report] = []
    told: dict[str, Any] = {}
    for table, content in group[1]:
        if table:
            reports.append((table, content))
        elif content:
            told = content
    yield from commit((0, reports), plan, (DECISIONS, EDITS), lambda _: told)


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
    fs, path = filesystem(workspace.table(f"scores/{table}").shard_url(shards[0].name))
    with fs.open(path, "rb") as file:
        whole = pq.read_schema(file)
    return pa.schema([whole.field(name) for name in columns or whole.names])


def _bytes(plan: Plan, shard: str) -> pa.ChunkedArray:
    documents = fate.read_kept(plan.workspace, shard, ["id", "text"], SELECT)
    return pa.chunked_array([pc.binary_length(batch["text"]) for batch in documents], pa.int32())
