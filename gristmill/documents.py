"""Documents that are kept, as whoever asks wants them: Arrow, pandas, polars, Hugging Face, torch, or files.

Batches come shard by shard, so that iterating needs no more memory than one shard; what gives a whole table holds it.
Refuses a form whose library is not installed, by the name of the package.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gristmill.corpus.store.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.workspaces import Workspace


class Documents:
    """The kept documents of a workspace: the columns of documents/, and `extra` where rows had columns of their own."""

    def __init__(self, workspace: "Workspace", until: tuple[str, ...] | None = None) -> None:
        self._workspace, self._until = workspace, until

    def batches(self, part: int = 0, parts: int = 1) -> Iterator["pa.RecordBatch"]:
        """Arrow batches in the order of shards; `part` of `parts` of them, for readers side by side."""
        from gristmill.corpus.columns.views import ShardExtra, extra_of
        from gristmill.corpus.store.fate import sources

        held = self._workspace.held
        has_columns = extra_of(held) is not None
        for number, (shard, source) in enumerate(sources(held, "documents", self._until).items()):
            if number % parts != part:
                continue
            own = ShardExtra(held, shard) if has_columns else None
            for batch in source.read():
                yield batch if own is None else batch.append_column("extra", own.of(batch["id"]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries."""
        for batch in self.batches():
            yield from batch.to_pylist()

    def __len__(self) -> int:
        return sum(batch.num_rows for batch in self.batches())

    def to_arrow(self) -> "pa.Table":
        """One table, in memory."""
        import pyarrow as pa

        from gristmill.corpus.store.schema import DOCUMENTS

        batches = list(self.batches())
        return pa.Table.from_batches(batches) if batches else DOCUMENTS.empty_table()

    def dataset(self) -> Any:
        """A pyarrow dataset, in memory."""
        import pyarrow.dataset

        return pyarrow.dataset.dataset(self.to_arrow())

    def reader(self) -> "pa.RecordBatchReader":
        """A stream of batches, for DuckDB, polars and whatever else takes one."""
        import pyarrow as pa

        from gristmill.corpus.store.schema import DOCUMENTS

        batches = self.batches()
        first = next(batches, None)
        if first is None:
            return pa.RecordBatchReader.from_batches(DOCUMENTS, [])
        return pa.RecordBatchReader.from_batches(first.schema, _again(first, batches))

    def to_pandas(self) -> Any:
        """A pandas DataFrame."""
        _needed("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """A polars DataFrame."""
        return _needed("polars").from_arrow(self.to_arrow())

    def to_hf(self) -> Any:
        """A Hugging Face dataset, over the Arrow table."""
        return _needed("datasets").Dataset(self.to_arrow())

    def to_torch(self) -> Any:
        """An iterable dataset of torch: rows as dictionaries, shards spread over the loader's workers."""
        data = _needed("torch.utils.data")
        documents = self

        class Rows(data.IterableDataset):
            def __iter__(self) -> Iterator[dict[str, Any]]:
                worker = data.get_worker_info()
                part, parts = (worker.id, worker.num_workers) if worker is not None else (0, 1)
                for batch in documents.batches(part, parts):
                    yield from batch.to_pylist()

        return Rows()

    def to_parquet(self, output: Any, **named: Any) -> Any:
        """Write them as `gristmill write` does, to Parquet: the rows that came in, with their own columns."""
        return self._workspace.write(output, format="parquet", **named)

    def to_jsonl(self, output: Any, compression: str | None = "gz", **named: Any) -> Any:
        """The same, to lines of JSON; compression gz, zst or None."""
        return self._workspace.write(output, format=f"jsonl.{compression}" if compression else "jsonl", **named)


def _again(first: "pa.RecordBatch", rest: Iterator["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
    yield first
    yield from rest


def _needed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        raise RequestError(f"{package} is not installed; pip install {package}") from error
