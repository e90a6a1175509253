"""Reading whole columns of one shard."""

import pyarrow as pa
import pyarrow.parquet as pq

from ....corpus.store.shards import filesystem
from ....corpus.store.soundness import opened

FEW = 4096  # rows; threads cost more than reading so few alone


def read_columns(url: str, columns: list[str] | None, coded: tuple[str, ...] = ()) -> pa.Table:
    """A shard as a table; `coded` columns keep their dictionary."""
    with opened(*filesystem(url)) as file:
        parquet = pq.ParquetFile(file, read_dictionary=list(coded))
        return parquet.read(columns, use_threads=parquet.metadata.num_rows > FEW)
