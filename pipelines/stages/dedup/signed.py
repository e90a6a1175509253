"""The shards of signatures that take part in one run of deduplication: this workspace's own, and those it is compared
against. Resolved once. Refuses signatures that were made otherwise, or of other documents than those that are left now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from ....corpus.store.commits import Manifest
from ....corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ....corpus.store.fate import refuse_stale
from ....corpus.store.freshness import reasons
from ....corpus.store.shards import filesystem
from ....corpus.store.soundness import opened
from ....corpus.store.workspace import Workspace
from ....dedup.settings import DedupSettings
from ....dedup.survivors import signals_of
from ...engine.stage import Plan
from ..listed import list_at, put_list
from .bands import BAND, recorded
from .bands import TABLE as BANDS
from .signatures import STAGE, shingles_name


@dataclass(frozen=True)
class Signed:
    """One shard of signatures/. Its place in the list is its number.

    name       of the shard; of another workspace, `against:CONTENT/NAME`
    bands_url  of its entries of buckets, None where they must be made
    content    fingerprint of the rows
    foreign    of a workspace that is only compared against
    signals    family -> URL of the shard of signals/, of the families that choose survivors
    """

    name: str
    url: str
    shingles_url: str
    bands_url: str | None
    rows: int
    content: str
    foreign: bool
    signals: Mapping[str, str] = field(default_factory=dict)


def signed_shards(workspace: Workspace, settings: DedupSettings) -> list[Signed]:
    """Every shard of signatures that takes part, own ones first, by name. One that two of the other workspaces have
    counts once."""
    families = sorted({name.split(".")[0] for name in signals_of(settings.survivors)})
    tables = {family: workspace.table(f"signals/{family}") for family in families}
    signals = {family: (table, table.finished(STAGE).by_name) for family, table in tables.items()}
    shards = _shards(workspace, settings, "", signals)
    foreign: dict[str, Signed] = {}
    for url in sorted(set(settings.against)):
        other = Workspace(url)
        if other == workspace:
            raise RequestError(f"dedup: --against {url} is the workspace itself")
        foreign |= {shard.name: shard for shard in _shards(other, settings, "against:", {})}
    return shards + [foreign[name] for name in sorted(foreign)]


def _shards(
    workspace: Workspace, settings: DedupSettings, prefix: str, signals: Mapping[str, tuple[Any, Any]]
) -> list[Signed]:
    signatures, shingles, bands = (workspace.table(name) for name in ("signatures", "shingles", BANDS))
    sets = shingles.finished(STAGE).by_name
    cut = bands.manifest()
    asked = recorded(settings)
    made = cut.commit.work if cut is not None and cut.version == BAND.version and cut.settings == asked else {}
    found = []
    for shard in signatures.finished(STAGE).shards:
        beside = shingles_name(shard.name)
        own = made.get(shard.name)
        fits = own is not None and own.made_from == {f"signatures/{shard.name}": shard.content}
        found.append(
            Signed(
                f"{prefix}{shard.content[:16]}/{shard.name}" if prefix else shard.name,
                signatures.file_url(shard),
                shingles.file_url(sets[beside]),
                bands.file_url(cut.by_name[beside]) if fits and cut is not None else None,
                shard.rows,
                shard.content,
                bool(prefix),
                {family: table.file_url(signal[shard.name]) for family, (table, signal) in signals.items()},
            )
        )
    return found


def entries(shards: Iterable[Signed], settings: DedupSettings) -> int:
    """Entries of buckets: one for each document and key."""
    keys = len(settings.exact) + (settings.resolved()["bands"] if settings.minhash else 0)
    return sum(shard.rows for shard in shards) * keys


def in_memory(shards: Iterable[Signed], settings: DedupSettings) -> bool:
    """Whether one worker can hold all edges: there are never more than entries of buckets."""
    return entries(shards, settings) <= settings.edges_in_memory


def put_shards(plan: Plan[DedupSettings]) -> str:
    """Write the list of the shards that take part where workers find it, by `shards_at`."""
    return put_list(plan, signed_shards(plan.workspace, plan.settings))


def shards_at(listed: str) -> tuple[Signed, ...]:
    """The list that `put_shards` wrote."""
    return list_at(listed)


def signature_inputs(workspace: Workspace, settings: DedupSettings) -> dict[str, str]:
    """Fingerprints of this workspace's signatures and of those it is compared against."""
    own = _signatures(workspace, settings)
    stale = reasons(workspace, own.commit)
    if stale:
        raise WorkspaceError(
            f"dedup needs signatures/, which was made before {', '.join(stale)} changed; "
            f"run: gristmill dedup --workspace {workspace.url}"
        )
    others = sorted(_signatures(Workspace(url), settings).fingerprint for url in settings.against)
    return {"signatures": own.fingerprint} | {f"against:{n}": name for n, name in enumerate(others)}


def signal_inputs(workspace: Workspace, settings: DedupSettings) -> dict[str, str]:
    """Fingerprints of the signals that choose survivors; refuses one that was not measured, or is stale."""
    return {f"signals/{name.split('.')[0]}": _check_signal(workspace, name) for name in signals_of(settings.survivors)}


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
        with opened(*filesystem(table.file_url(shard))) as file:
            kind = pq.read_schema(file).field(family).type
        known = [kind.field(n).name for n in range(kind.num_fields)]
        if signal not in known:
            raise unknown_name("signal", name, [f"{family}.{other}" for other in known], "dedup: survivors")
    return manifest.fingerprint
