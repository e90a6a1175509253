"""Opt-out: remove documents that a list covers, log them in `removed/`, and rebuild what was made from them.

Rewrites only the shards that hold such documents; later extractions leave them out from the start. Killed anywhere,
the same command completes. Models cannot forget: recipes and runs made before are named as stale, not touched.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from ..corpus import schema
from ..corpus.catalog import refresh_catalog
from ..corpus.optout import OptOut, add_optout
from ..corpus.refusal import RequestError
from ..corpus.shards import (
    COUNTS,
    STAMP,
    Shard,
    committed,
    filesystem,
    fingerprint,
    open_shard,
    read_batches,
    replacing,
)
from ..corpus.workspace import Manifest, Workspace, total
from .runner import RunnerOptions

REMOVED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("url", pa.string()),
        pa.field("entry", pa.string(), nullable=False),  # the entry of the list that covers it
        pa.field("removed", pa.timestamp("s", tz="UTC"), nullable=False),
    ]
)


def opt_out(
    workspace: Workspace, asked: OptOut, options: RunnerOptions, quiet: bool = False, rebuild: bool = True
) -> dict[str, Any]:
    """Honour a list. Returns what was removed, which stages were rebuilt, and which results are stale for good."""
    manifest = workspace.table("documents").finished("opt-out")
    whole = add_optout(workspace, asked)
    removed, shards = 0, []
    for shard in manifest.shards:
        count, after = _without(workspace, shard.name, whole)
        removed += count
        shards.append(after)
    if [shard.checksum for shard in shards] != [shard.checksum for shard in manifest.shards]:
        changed = manifest.model_copy(update={"shards": tuple(shards), "counts": total(shards)})
        workspace.table("documents").write_manifest(changed)
    _log_manifest(workspace, whole)
    refresh_catalog(workspace)
    rebuilt = list(_rebuild(workspace, options, quiet)) if rebuild else []
    stale = [table.name for table in workspace.tables() if table.name.split("/")[0] in ("mixture", "runs", "scores")]
    return {
        "stage": "opt-out",
        "removed": removed,
        "rebuilt": rebuilt,
        "stale": stale,
        "tables": {"documents": total(shards), "removed": {"rows": _logged(workspace)}},
    }


def _without(workspace: Workspace, name: str, whole: OptOut) -> tuple[int, Shard]:
    """(documents removed, the shard as it is now)."""
    url = workspace.table("documents").shard_url(name)
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        held = dict(pq.read_metadata(file).metadata or {})
    stamp = held[STAMP].decode()
    covered = [
        {"id": document, "url": address, "entry": entry, "removed": datetime.now(UTC).replace(microsecond=0)}
        for batch in read_batches(url, ["id", "url"])
        for document, address in zip(batch["id"].to_pylist(), batch["url"].to_pylist(), strict=True)
        if (entry := whole.covers(document, address))
    ]
    if covered:
        _log(workspace, name, covered)
        gone = pa.array([row["id"] for row in covered])
        counts = json.loads(held[COUNTS])
        counts["kept"] -= len(covered)
        counts["dropped"] = counts.get("dropped", 0) + len(covered)
        with open_shard(url, schema.DOCUMENTS, stamp) as writer:
            for batch in read_batches(url):
                left = batch.filter(pc.invert(pc.is_in(batch["id"], value_set=gone)))
                writer.write_batch(pa.RecordBatch.from_arrays(left.columns, schema=schema.DOCUMENTS))
            writer.counts = counts
    shard = committed(url, stamp)
    assert shard is not None
    return len(covered), shard


def _log(workspace: Workspace, name: str, covered: list[dict[str, Any]]) -> None:
    """Add rows to the log before the documents go: killed in between, the next call finds the id already there."""
    url = workspace.table("removed").shard_url(name)
    fs, path = filesystem(url)
    rows = [row for batch in read_batches(url) for row in batch.to_pylist()] if fs.exists(path) else []
    known = {row["id"] for row in rows}
    rows += [row for row in covered if row["id"] not in known]
    with open_shard(url, REMOVED, fingerprint("removed", name)) as writer:
        writer.write_rows(sorted(rows, key=lambda row: row["id"]))


def _log_manifest(workspace: Workspace, whole: OptOut) -> None:
    table = workspace.table("removed")
    fs, path = filesystem(table.url)
    names = sorted(entry.rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)) if fs.exists(path) else []
    shards = [committed(table.shard_url(n), fingerprint("removed", n)) for n in names if n.endswith(".parquet")]
    present = tuple(shard for shard in shards if shard is not None)
    if present:
        table.write_manifest(
            Manifest(
                table="removed",
                stage="opt-out",
                version=1,
                settings={"entries": whole.entries()},
                inputs={},
                shards=present,
                counts={"removed": sum(shard.rows for shard in present)},
            )
        )


def _logged(workspace: Workspace) -> int:
    manifest = workspace.table("removed").manifest()
    return manifest.counts["removed"] if manifest else 0


def _rebuild(workspace: Workspace, options: RunnerOptions, quiet: bool) -> Iterator[str]:
    """Run again, as their manifests say they were run, the stages that were made from the documents.

    Goes down the chain as far as a manifest's settings can be turned back into the command's; what is left is stale,
    as `gristmill audit` says.
    """
    from ..dedup.settings import DedupSettings
    from .dedup import deduplicate
    from .filter import FilterSettings, run_filter
    from .tokenize import TokenizeSettings, tokenize, tokenizer_recorded

    filtered = workspace.table("decisions/filter").manifest()
    if filtered is not None:
        place = workspace.path("plans/rules.yaml")
        with replacing(place) as scratch, open(scratch, "w", encoding="utf-8") as file:
            yaml.safe_dump(filtered.settings["rules"], file, sort_keys=True)
        settings = FilterSettings(rules=place, all_failing=filtered.settings["all_failing"])
        run_filter(workspace, settings, options, force=True, quiet=quiet)
        yield "filter"
    for name, table, model, recorded, function in (
        ("dedup", "decisions/dedup", DedupSettings, DedupSettings.deciding, deduplicate),
        ("tokenize", "tokenizer", TokenizeSettings, tokenizer_recorded, tokenize),
    ):
        manifest = workspace.table(table).manifest()
        settings = _as_run(model, recorded, manifest) if manifest is not None else None
        if settings is not None:
            function(workspace, settings, options, force=True, quiet=quiet)
            yield name
        elif manifest is not None:
            return


def _as_run(model: Any, recorded: Any, manifest: Manifest) -> Any:
    """The settings that a manifest records, or None where they are not all in it."""
    try:
        settings = model(**{name: value for name, value in manifest.settings.items() if name in model.model_fields})
        return settings if json.loads(json.dumps(recorded(settings))) == manifest.settings else None
    except (ValidationError, RequestError, TypeError):
        return None
