"""What a selection is made by: the units of a shard, documents or chunks of them, with their sizes and scores.

Refuses scores that lack a document that is left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....corpus.store.errors import WorkspaceError
from ....corpus.store.shards import read_batches
from ....proxy_models.scoring import selection
from ...engine.graph import Work
from ...engine.stage import Plan
from .settings import SelectSettings


@dataclass(frozen=True)
class ScoredUnits:
    """Documents, or chunks of them, of a shard: what they are called, how large they are, what they are ordered by."""

    ids: list[str]
    names: list[str]
    sizes: np.ndarray
    keys: np.ndarray

    def standing(self, budget: float) -> np.ndarray:
        """Numbers of those that have a score and are not larger than the whole budget."""
        return np.flatnonzero(~np.isnan(self.keys) & (self.sizes <= budget))


def units_of(work: Work, plan: Plan[SelectSettings]) -> ScoredUnits:
    """The units of a shard, by its first score."""
    _, rows = next(read_scores(work, plan))
    names = names_of(rows)
    ids, sizes = rows["id"].to_pylist(), rows["size"].to_numpy().astype(np.float64)
    return ScoredUnits(ids, names, sizes, keys_of(rows["s0"], names, plan.settings))


def read_scores(work: Work, plan: Plan[SelectSettings]) -> Iterator[tuple[Work, pa.Table]]:
    """(item, columns id, part, size, s0, s1, ...): the scores to select and compare by, a row for each unit.

    Only documents that are left have rows; one that a score has never seen is refused.
    """
    settings = plan.settings
    ids = [id for batch in work.documents.read(["id"]) for id in batch["id"].to_pylist()]
    left = pa.array(ids, pa.string())
    if settings.unit == "chunks":
        yield work, _chunk_rows(plan, work, split_name(settings.by[0])[0], left)
        return
    rows = None
    for place, name in enumerate((*settings.by, *settings.compare)):
        table, column = split_name(name)
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


def names_of(rows: pa.Table) -> list[str]:
    return [f"{id}/{part}" for id, part in zip(rows["id"].to_pylist(), rows["part"].to_pylist(), strict=True)]


def keys_of(scores: pa.ChunkedArray, units: list[str], settings: SelectSettings) -> np.ndarray:
    """What rows are ordered by: the score, its negative, with noise, or nothing but a draw."""
    values = scores.to_numpy().astype(np.float64)
    if settings.smallest:
        values = -values
    if settings.draw == "random":
        return np.where(np.isnan(values), np.nan, selection.uniform(units, settings.seed))
    if settings.draw == "gumbel":
        return selection.perturbed(values, units, settings.seed, settings.temperature)
    return values


def split_name(name: str) -> tuple[str, str]:
    table, _, column = name.partition(".")
    return table, column or "score"


def _bytes(work: Work) -> pa.ChunkedArray:
    documents = work.documents.read(["id", "text"])
    return pa.chunked_array([pc.binary_length(batch["text"]) for batch in documents], pa.int32())
