"""Documents among token shards: where one lies, and how many tokens each has. Refuses nothing."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...corpus.store.workspace import Workspace
from ...training.data.shards import SPLITS, domains, table_name


def place_of_document(workspace: Workspace, domain: str, split: str, id: str) -> dict[str, Any] | None:
    """{shard, row, document, tokens} of a document: its row in the shard's file, and its number in the whole domain."""
    table, before = workspace.table(table_name(domain)), 0
    for shard in table.finished("trace").shards:
        if not shard.name.startswith(f"{split}-"):
            continue
        row = 0
        with pa.memory_map(table.file_url(shard)) as file, pa.ipc.open_file(file) as reader:
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                at = pc.index(batch["id"], pa.scalar(id, pa.string())).as_py()
                if at >= 0:
                    tokens = batch["n_tokens"][at].as_py()
                    return {"shard": shard.file, "row": row + at, "document": before + row + at, "tokens": tokens}
                row += batch.num_rows
        before += row
    return None


def tokens_by_document(workspace: Workspace, split: str = "train") -> Iterator[pa.RecordBatch]:
    """id, domain, n_tokens of every document of a split."""
    assert split in SPLITS
    for domain in domains(workspace):
        table = workspace.table(table_name(domain))
        for shard in table.finished("counting tokens").shards:
            if shard.name.startswith(f"{split}-"):
                with pa.memory_map(table.file_url(shard)) as file, pa.ipc.open_file(file) as reader:
                    for number in range(reader.num_record_batches):
                        batch = reader.get_batch(number)
                        names = pa.array([domain] * batch.num_rows, pa.string())
                        yield pa.record_batch(
                            [batch["id"], names, batch["n_tokens"].cast(pa.int64())], ["id", "domain", "tokens"]
                        )
