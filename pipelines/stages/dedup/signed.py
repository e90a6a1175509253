"""The shards of signatures that take part in one run of deduplication: this workspace's own, and those it is compared
against. Resolved once. Refuses signatures that were made otherwise, or of other documents than those that are left now.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ....corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ....corpus.store.fate import refuse_stale
from ....corpus.store.freshness import reasons
from ....corpus.store.shards import filesystem
from ....corpus.store.workspace import Manifest, Workspace
from ....dedup.settings import DedupSettings
from ....dedup.survivors import signals_of
from ...engine.graph import Work
from ...engine.stage import Plan
from ..listed import list_at, put_list
from .signatures import STAGE, shingles_name


@dataclass(frozen=True)
class Signed:
    """One shard of signatures/. Its place in the list is its number.

    name      of the shard; of another workspace, with `against:` before it
    content   fingerprint of the rows
    foreign   of a workspace that is only compared against
    signals   family -> URL of the shard of signals/, of the families that choose survivors
    """

    name: str
    url: str
    shingles_url: str
    rows: int
    content: str
    foreign: bool
    signals: Mapping[str, str] = field(default_factory=dict)


def signed_shards(workspace: Workspace, settings: DedupSettings) -> list[Signed]:
    """Every shard of signatures that takes part, own ones first; the order is that of the names."""
    families = sorted({name.split(".")[0] for name in signals_of(settings.survivors)})
    tables = {family: workspace.table(f"signals/{family}") for family in families}
    signals = {family: (table, table.finished(STAGE).by_name) for family, table in tables.items()}
    shards = _shards(workspace, "", signals)
    for url in sorted(set(settings.against)):
        other = Workspace(url)
        if other == workspace:
            raise RequestError(f"dedup: --against {url} is the workspace itself")
        shards += _shards(other, "against:", {})
    return shards


def _shards(workspace: Workspace, prefix: str, signals: Mapping[str, tuple[Any, Any]]) -> list[Signed]:
    signatures, shingles = workspace.table("signatures"), workspace.table("shingles")
    sets = shingles.finished(STAGE).by_name
    return [
        Signed(
            prefix + shard.name,
            signatures.file_url(shard),
            shingles.file_url(sets[shingles_name(shard.name)]),
            shard.rows,
            shard.content,
            bool(prefix),
            {family: table.file_url(made[shard.name]) for family, (table, made) in signals.items()},
        )
        for shard in signatures.finished(STAGE).shards
    ]


def entries(shards: tuple[Signed, ...], settings: DedupSettings) -> int:
    """Entries of buckets: one for each document and key."""
    keys = len(settings.exact) + (settings.resolved()["bands"] if settings.minhash else 0)
    return sum(shard.rows for shard in shards) * keys


def in_memory(shards: tuple[Signed, ...], settings: DedupSettings) -> bool:
    """Whether one worker can hold all edges: there are never more than entries of buckets."""
    return entries(shards, settings) <= settings.edges_in_memory


def items(plan: Plan[DedupSettings]) -> list[Work]:
    """Every shard that takes part, by its number."""
    return [
        Work(f"{number:06d} {shard.name}", {f"signatures/{shard.name}": shard.content}, load=number)
        for number, shard in enumerate(signed_shards(plan.workspace, plan.settings))
    ]


def put_shards(plan: Plan[DedupSettings]) -> str:
    """Write the list of the shards that take part where workers find it, by `shards_at`."""
    return put_list(plan, signed_shards(plan.workspace, plan.settings))


def shards_at(listed: str) -> tuple[Signed, ...]:
    """The list that `put_shards` wrote."""
    return list_at(listed)


def read_columns(url: str, columns: list[str] | None) -> pa.Table:
    """A shard as a table."""
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        return pq.ParquetFile(file).read(columns)


def signed_inputs(workspace: Workspace, settings: DedupSettings) -> dict[str, str]:
    """Fingerprints of this workspace's signatures, of those it is compared against, and of the signals that choose."""
    own = _signatures(workspace, settings)
    stale = reasons(workspace, own.commit)
    if stale:
        raise WorkspaceError(
            f"dedup needs signatures/, which was made before {', '.join(stale)} changed; "
            f"run: gristmill dedup --workspace {workspace.url}"
        )
    found = {"signatures": own.fingerprint}
    for name in signals_of(settings.survivors):
        found[f"signals/{name.split('.')[0]}"] = _check_signal(workspace, name)
    others = sorted(_signatures(Workspace(url), settings).fingerprint for url in settings.against)
    return found | {f"against:{n}": name for n, name in enumerate(others)}


def _signatures(workspace: Workspace, settings: DedupSettings) -> Manifest:
    manifest = workspace.table("signatures").finished(STAGE)
    if manifest.settings != settings.signing():
        differ = sorted(k for k, v in settings.signing().items() if manifest.settings.get(k) != v)
        raise RequestError(
            f"signatures/ in {workspace.url} were made with other settings of {', '.join(differ)}; "
            f"ask for the same, or make them anew there: gristmill dedup --workspace {workspace.url} --force"
        )
    return manifest


def _check_signal(workspace: Workspace, name: str) -> str:
    """The fingerprint of the table that holds a signal; refuses one that was not measured, or is stale."""
    family, signal = name.split(".", 1)
    table = workspace.table(f"signals/{family}")
    manifest = table.manifest()
    if manifest is None:
        present = [table.name.removeprefix("signals/") for table in workspace.tables() if "signals/" in table.name]
        raise unknown_name("signal family", family, present, "dedup: survivors")
    refuse_stale(workspace, table.name, STAGE)
    for shard in manifest.shards[:1]:
        fs, path = filesystem(table.file_url(shard))
        with fs.open(path, "rb") as file:
            kind = pq.read_schema(file).field(family).type
        known = [kind.field(n).name for n in range(kind.num_fields)]
        if signal not in known:
            raise unknown_name("signal", name, [f"{family}.{other}" for other in known], "dedup: survivors")
    return manifest.fingerprint
