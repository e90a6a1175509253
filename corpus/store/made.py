"""Tables made by hand: committed as a stage would, from rows or shards that a test, a benchmark or an importer has."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from .commits import Commit, TableRecord, total
from .shards import Shard, open_file, open_shard
from .workspace import Workspace

Rows = Iterable[Mapping[str, Any]]


def put_table(workspace: Workspace, table: str, schema: pa.Schema, shards: Mapping[str, Rows], **told: Any) -> None:
    """Write shards (name -> rows) of a table and commit them; `told` as for `put_shards`."""
    made = []
    for name, rows in shards.items():
        with open_shard(workspace.table(table).url, name, schema) as out:
            out.write_rows(rows)
        made.append(out.shard)
    put_shards(workspace, table, made, **told)


def put_files(workspace: Workspace, table: str, files: Mapping[str, bytes], **told: Any) -> None:
    """Write files (name -> bytes) of a table and commit them."""
    made = []
    for name, data in files.items():
        with open_file(workspace.table(table).url, name) as out:
            with open(out.path, "wb") as file:
                file.write(data)
            out.rows = 1
        made.append(out.shard)
    put_shards(workspace, table, made, **told)


def put_shards(
    workspace: Workspace,
    table: str,
    shards: Sequence[Shard],
    stage: str | None = None,
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    details: Mapping[str, Any] | None = None,
    after: Sequence[str] = (),
    version: int = 1,
    command: str | None = None,
) -> None:
    """Commit shards that are in place as a table of a stage, beside the tables that the stage has already."""
    name = stage or table.rsplit("/", 1)[-1]
    held = workspace.commit_of(name)
    ordered = tuple(sorted(shards, key=lambda shard: shard.name))
    record = TableRecord(
        settings=dict(settings or {}), shards=ordered, counts=total(ordered), details=dict(details or {})
    )
    workspace.put_commit(
        Commit(
            stage=name,
            command=command or name,
            version=version,
            generation=held.generation + 1 if held else 1,
            previous=held.fingerprint if held else "",
            tables={**(held.tables if held else {}), table: record},
            inputs=dict(inputs or {}),
            after=tuple(after),
        )
    )
