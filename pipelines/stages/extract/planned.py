"""What a call of extraction asks for, planned once: its files in the ledger, and which shards are cut from what is in
force instead of being read again.

Refuses a call without inputs where nothing is left to finish, and a ledger that another process wrote meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ....corpus.planning.growth import Planned, extend
from ....corpus.planning.ledger import Ledger, Lot, ledger_bytes, ledger_written, read_ledger, write_ledger
from ....corpus.planning.sections import add_sections, declared, read_sections
from ....corpus.readers.inputs import Source, resolved
from ....corpus.store.commits import Commit
from ....corpus.store.errors import RequestError, WorkspaceError
from ....corpus.store.shards import filesystem
from ....corpus.store.workspace import Workspace
from ...engine.graph import Work
from ...engine.stage import Plan
from .settings import ExtractSettings


@dataclass(frozen=True)
class Asked:
    """A call, planned.

    named    (what was named, its files), in the order of the call
    before   the ledger as it was written down when this was planned, None where there was none
    sections source -> section that the call declares
    """

    named: list[tuple[str, list[Source]]]
    planned: Planned
    before: bytes | None
    sections: Mapping[str, str]

    @property
    def ledger(self) -> Ledger:
        return self.planned.ledger

    def write(self, workspace: Workspace) -> None:
        """Write the ledger down, for whoever holds the workspace; WorkspaceError where another was faster."""
        if ledger_written(workspace) != self.before:
            raise WorkspaceError(f"another run added inputs to {workspace.url} meanwhile; run the command again")
        add_sections(workspace, self.sections)
        if ledger_bytes(workspace, self.ledger) != self.before:
            write_ledger(workspace, self.ledger)

    def changes(self, workspace: Workspace) -> bool:
        """Whether the ledger, or what sources are declared as, is another than what is written down."""
        held = read_sections(workspace)
        return ledger_bytes(workspace, self.ledger) != self.before or {**held, **self.sections} != held


@dataclass(frozen=True)
class Task:
    """The work on one shard. `cut`: files in force, by table, that hold its rows and more; none where it is read."""

    lot: Lot
    cut: Mapping[str, str]


def planned(workspace: Workspace, settings: ExtractSettings) -> Asked:
    """The ledger with the settings' inputs added; every file is looked at once, known ones are not opened."""
    before = ledger_written(workspace)
    named = resolved(settings.inputs)
    sources = {source.place: source for _, own in named for source in own}
    ordered = [sources[place] for place in sorted(sources)]
    found = extend(workspace, read_ledger(workspace), ordered, settings.shard_bytes, settings.keep_versions)
    if not found.ledger.lots and not found.replaced:
        raise RequestError("no input was given, and the workspace has none to finish")
    return Asked(named, found, before, declared(settings.inputs, named))


def tasks(plan: Plan[ExtractSettings], ledger: Ledger) -> list[Work]:
    """Every shard of the ledger, as work."""
    held = plan.workspace.commit_of(plan.stage)
    if held is not None and (held.version, held.inputs) != (plan.version, plan.inputs):
        held = None
    if held is not None and any(table.settings != plan.recorded for table in held.tables.values()):
        held = None  # other settings: its rows are others
    return [work_on(plan.workspace, lot, held) for lot in ledger.lots]


def work_on(workspace: Workspace, lot: Lot, held: Commit | None) -> Work:
    """The work on one shard, given what is in force with the same settings."""
    return Work(lot.name, {"lot:": lot.fingerprint}, load=Task(lot, cut_of(workspace, lot, held)))


def cut_of(workspace: Workspace, lot: Lot, held: Commit | None) -> dict[str, str]:
    """table -> file in force that holds the rows of a shard and more; nothing where one of them is lost."""
    if held is None or lot.cut_from is None or lot.name in held.work:
        return {}
    found = {}
    for name, table in held.tables.items():
        for shard in table.shards:
            if shard.item == lot.cut_from:
                fs, path = filesystem(workspace.table(name).file_url(shard))
                if not fs.exists(path):
                    return {}
                found[name] = workspace.table(name).file_url(shard)
    return found
