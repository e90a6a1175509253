"""Columns that other stages stored: which there are, and vectors by document.

A table of vectors has shards like those of `documents/`, a column `id` and a list column. It may cover fewer documents
than there are, and may have been made when later stages had decided already; it is refused where what both rest on has
changed since, and where vectors differ in length.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...corpus.store.commits import Manifest
from ...corpus.store.errors import RequestError, unknown_name
from ...corpus.store.fate import refuse_stale
from ...corpus.store.shards import filesystem, fingerprint, read_batches
from ...corpus.store.soundness import opened
from ...corpus.store.workspace import Workspace

VECTORS = "embedding"  # the column, where none is named


def stored_schema(workspace: Workspace, manifest: Manifest) -> pa.Schema | None:
    """Columns of a finished table, as its first shard has them; None for a table without shards."""
    for shard in manifest.shards[:1]:
        with opened(*filesystem(workspace.table(manifest.table).file_url(shard))) as file:
            return pq.read_schema(file)
    return None


def vectors_made(workspace: Workspace, table: str, column: str, stage: str, option: str = "--table") -> Manifest:
    """The manifest of the vectors; refuses a table or column that is not there, and one of other documents."""
    manifest = workspace.table(table).manifest()
    if manifest is None:
        known = [table.name for table in workspace.tables()]
        raise unknown_name("table", table, known, f"{stage}: {option}")
    schema = stored_schema(workspace, manifest)
    if schema is not None:
        if column not in schema.names:
            raise unknown_name("column", column, schema.names, f"{stage}: {table}")
        kind = schema.field(column).type
        lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not lists or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
            raise RequestError(f"{stage}: {table}.{column} holds {kind}, not vectors")
    refuse_stale(workspace, table, stage)
    return manifest


def vectors_identity(manifest: Manifest) -> str:
    """What made a table of vectors, whatever documents it made them of: vectors of one identity may be compared."""
    made = {name: found for name, found in manifest.inputs.items() if ":" in name}
    return fingerprint(manifest.table, manifest.stage, manifest.version, manifest.settings, made)


def read_vectors(workspace: Workspace, table: str, column: str, shard: str, stage: str) -> tuple[pa.Array, np.ndarray]:
    """ids (N,) of the documents of a shard that have a vector, and the vectors (N, d) float32."""
    made = workspace.table(table).finished(stage).by_name.get(shard)
    url = workspace.table(table).file_url(made) if made is not None else None
    return vectors_in(url, f"{table}.{column}", stage)


def vectors_in(url: str | None, named: str, stage: str) -> tuple[pa.Array, np.ndarray]:
    """The same, of a file; none where there is no file. `named` is TABLE.COLUMN."""
    column = named.rpartition(".")[2]
    known, found = [], []
    for batch in read_batches(url, ["id", column]) if url is not None else ():
        valid = batch.filter(batch[column].is_valid())
        if not valid.num_rows:
            continue
        widths = pc.unique(pc.list_value_length(valid[column])).to_pylist()
        if len(widths) > 1 or (found and found[0].shape[1] != widths[0]):
            raise RequestError(f"{stage}: vectors of {named} differ in length")
        flat = valid[column].flatten().to_numpy(zero_copy_only=False)
        found.append(flat.astype(np.float32).reshape(valid.num_rows, -1))
        known.append(valid["id"])
    if not known:
        return pa.array([], pa.string()), np.zeros((0, 0), np.float32)
    return pa.concat_arrays(known), np.concatenate(found)


def vectors_for(ids: pa.Array, known: pa.Array, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of these documents have a vector (N,) bool, and those vectors (M, d), in the order of `ids`."""
    place = pc.index_in(ids, value_set=known)
    return place.is_valid().to_numpy(zero_copy_only=False), vectors[place.drop_null().to_numpy()]
