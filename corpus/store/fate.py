"""The fate of documents: a chain of deciding stages, each of which sees what the one before it kept.

`decisions/<stage>/` has one row for every document that entered the stage, in shards that bear the names of the
shards of `documents/`. A document's fate is therefore its row in the last stage that it entered. A stage may also
edit text: `edits/<stage>/` holds the new text, and what was cut, of the documents it changed.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from .errors import WorkspaceError
from .shards import read_batches
from .workspace import Manifest, Workspace

# who decides after whom
CHAIN = ("filter", "refine", "decontaminate", "dedup", "semantic", "refilter", "tag", "balance", "select")
BEFORE = "documents"
DOMAINS = "domains"  # id -> mixture unit, where documents are regrouped (by topic, cluster, ...) after the chain


def deciding(workspace: Workspace, until: str | None = None) -> list[str]:
    """Names of the stages that have decided, in chain order, those before `until` only where it is given."""
    stages = CHAIN[: CHAIN.index(until)] if until in CHAIN else CHAIN
    return [stage for stage in stages if workspace.table(f"decisions/{stage}").manifest() is not None]


def inputs(workspace: Workspace, needed_by: str, until: str | None = None) -> dict[str, str]:
    """Fingerprints of what decides the surviving documents: `documents` and the chain of decisions so far.

    Raises WorkspaceError where a link of the chain was made from something that is no longer there.
    """
    found = {BEFORE: workspace.table(BEFORE).finished(needed_by).fingerprint}
    for stage in deciding(workspace, until):
        manifest = workspace.table(f"decisions/{stage}").finished(needed_by)
        stale = changed(manifest, found)
        if stale:
            raise WorkspaceError(
                f"{needed_by} needs decisions/{stage}/, which was made before {', '.join(stale)} changed; "
                f"run: gristmill {stage} --workspace {workspace.url}"
            )
        found[f"decisions/{stage}"] = manifest.fingerprint
        edits = workspace.table(f"edits/{stage}").manifest()
        if edits is not None:
            found[f"edits/{stage}"] = edits.fingerprint
    domains = workspace.table(DOMAINS).manifest() if until is None else None
    if domains is not None:
        stale = sorted(name for name in found if name in domains.inputs and domains.inputs[name] != found[name])
        if stale:
            raise WorkspaceError(
                f"{needed_by} needs domains/, which was made before {', '.join(stale)} changed; "
                f"run: gristmill {domains.stage} --workspace {workspace.url}"
            )
        found[DOMAINS] = domains.fingerprint
    return found


def changed(manifest: Manifest, now: dict[str, str]) -> list[str]:
    """Names in `now` whose fingerprint is not the one that the manifest recorded."""
    return sorted(name for name, value in now.items() if manifest.inputs.get(name) != value)


def read_kept(
    workspace: Workspace, shard: str, columns: list[str] | None = None, until: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Documents of one shard that every stage before `until` kept, with the text as the stages left it.

    Where `until` is not given and `domains/` is there, the column `domain` is what that table says. `columns` must
    include `id`; batches keep the order of the shard and have at least one row.
    """
    if columns is not None and "id" not in columns:
        raise ValueError("read_kept needs the column id")
    stages = deciding(workspace, until)
    kept = None
    if stages:
        table = workspace.table(f"decisions/{stages[-1]}")
        rows = pa.Table.from_batches(list(read_batches(table.shard_url(shard), ["id", "kept"])), DECIDED)
        kept = rows.filter(rows["kept"])["id"].combine_chunks()
    edited = _edited(workspace, shard, stages) if columns is None or "text" in columns else {}
    regrouped = _regrouped(workspace, shard) if until is None and (columns is None or "domain" in columns) else {}
    for batch in read_batches(workspace.table(BEFORE).shard_url(shard), columns):
        if kept is not None:
            batch = batch.filter(pc.is_in(batch["id"], value_set=kept))
        for column, replaced in (("text", edited), ("domain", regrouped)):
            if batch.num_rows and replaced:
                batch = _replace(batch, column, replaced)
        if batch.num_rows:
            yield batch


DECIDED = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("kept", pa.bool_(), nullable=False)])


def _replace(batch: pa.RecordBatch, column: str, values: dict[str, str]) -> pa.RecordBatch:
    """The batch with a column's values replaced for those ids that are given."""
    ids, now = batch["id"].to_pylist(), batch[column].to_pylist()
    changed = [values.get(name, value) for name, value in zip(ids, now, strict=True)]
    place = batch.schema.get_field_index(column)
    return batch.set_column(place, batch.schema.field(column), pa.array(changed, pa.string()))


def _regrouped(workspace: Workspace, shard: str) -> dict[str, str]:
    """id -> mixture unit for the documents of a shard, where `domains/` regroups them."""
    table = workspace.table(DOMAINS)
    manifest = table.manifest()
    if manifest is None or all(s.name != shard for s in manifest.shards):
        return {}
    units: dict[str, str] = {}
    for batch in read_batches(table.shard_url(shard), ["id", "domain"]):
        units.update(zip(batch["id"].to_pylist(), batch["domain"].to_pylist(), strict=True))
    return units


def _edited(workspace: Workspace, shard: str, stages: list[str]) -> dict[str, str]:
    """id -> text for the documents of a shard that stages edited, the last edit last."""
    texts: dict[str, str] = {}
    for stage in stages:
        manifest = workspace.table(f"edits/{stage}").manifest()
        if manifest is not None and any(s.name == shard for s in manifest.shards):
            for batch in read_batches(workspace.table(f"edits/{stage}").shard_url(shard), ["id", "text"]):
                texts.update(zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True))
    return texts
