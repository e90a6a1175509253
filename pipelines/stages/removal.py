"""Remove inputs: undo just what came from them, and bring what was made from documents up to date.

Shards that held nothing else go, of others the rest is written anew from what is in force, so that no input is read
again, and nothing of it need be there any more. Rewritten documents go with what they were rewritten from. Fitted
artefacts stay as they are. What is in force stays so until the next is committed; killed anywhere, the same command
completes. Refuses names that are no input of the workspace, and a workspace in which a replacement is half done.
"""

import fnmatch
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...corpus.columns.carried import FOLDER
from ...corpus.planning.growth import in_force, without
from ...corpus.planning.ledger import File, Ledger, Lot, read_ledger, write_ledger
from ...corpus.planning.packing import packed
from ...corpus.readers.inputs import Input, resolve
from ...corpus.store.catalog import refresh_catalog
from ...corpus.store.commits import Commit, Made, TableRecord, conserved, total
from ...corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ...corpus.store.lists.shards import listed, selected
from ...corpus.store.lists.work import worked
from ...corpus.store.shards import Shard, filesystem, replacing, spelled
from ...corpus.store.workspace import Workspace
from ..engine.graph import Work
from ..engine.leases import writing
from ..engine.rebuild import follows, rebuild
from ..engine.runner import RunnerOptions
from ..engine.stage import Plan
from .extract.cutting import cut_shard
from .extract.planned import Task, work_on
from .extract.stage import TABLES, details
from .write.stale import stale_places

EXTRACT = "extract"
PLACE = "plans/removal.json"  # names that were removed, until every stage followed


@dataclass(frozen=True)
class Removal:
    """What goes: its files, the ledger without them, and the documents and failures that came from them."""

    gone: tuple[File, ...]
    left: Ledger
    documents: int
    failures: int


def remove(
    workspace: Workspace,
    named: Sequence[str],
    options: RunnerOptions,
    quiet: bool = False,
    again: bool = True,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Remove inputs by their places, their paths or the names of their sources.

    `again` runs every stage again that made something from documents; `dry_run` changes nothing and tells what would
    go. Returns {files, documents, failures, shards: {dropped, cut}, rebuilt or would_run, left, stale, written: places
    that `write` wrote such documents to, with the command that takes them out}.
    """
    workspace.table("documents").finished("remove")
    if dry_run:
        removal = _planned(workspace, named)
        return _told(workspace, removal) | {"dry_run": True, "would_run": follows(workspace)}
    with writing(workspace, "remove"):
        removal = _planned(workspace, named)
        told = _told(workspace, removal)
        _note(workspace, sorted({*_begun(workspace), *named}))
        commit = _commit(workspace, removal)
        if commit is not None:
            workspace.forget_earlier()
            workspace.put_commit(commit)
        write_ledger(workspace, removal.left)
        refresh_catalog(workspace)
    rebuilt, left = rebuild(workspace, options, quiet, "remove", refit=False) if again else ([], {})
    if again and not left:
        _note(workspace, [])
    refresh_catalog(workspace)
    stale = [table.name for table in workspace.tables() if table.name.split("/")[0] in ("mixture", "runs")]
    counts = workspace.table("documents").finished("remove").counts
    found = {"rebuilt": rebuilt, "left": left, "stale": stale, "written": stale_places(workspace)}
    return told | found | {"tables": {"documents": counts}}


def _planned(workspace: Workspace, named: Sequence[str]) -> Removal:
    ledger = read_ledger(workspace)
    inside = workspace.url + "/"
    own = [file for file in ledger.files if not file.place.startswith(inside)]
    begun = _begun(workspace)
    gone = {file for name in named for file in chosen(name, own, name in begun)}
    held = in_force(workspace)
    left, heirs = without(ledger, gone, held)
    if heirs:  # equal bytes under another name, to be read as what that name says
        left = replace(left, lots=(*left.lots, *packed(heirs, 64 << 20, workspace)))
    waiting = [lot for lot in left.lots if lot.name not in held and lot.cut_from not in held]
    if waiting and set(held) - {lot.name for lot in ledger.lots}:
        raise WorkspaceError(
            f"an extraction into {workspace.url} that replaces inputs was begun and not finished; run: gristmill "
            f"extract --workspace {workspace.url}"
        )
    counts: Counter[str] = Counter()
    files = {file.file for file in gone if not file.repeat}
    for batch in workspace.table("inputs").read(["file", "kept", "failed"]):
        for row in batch.to_pylist():
            if row["file"] in files:
                counts.update({"kept": row["kept"], "failed": row["failed"]})
    ordered = tuple(sorted(gone, key=lambda file: file.key))
    return Removal(ordered, left, counts["kept"], counts["failed"])


def _begun(workspace: Workspace) -> list[str]:
    """Names of a removal that was begun and not followed by every stage."""
    fs, path = filesystem(workspace.path(PLACE))
    return json.loads(fs.cat_file(path)) if fs.exists(path) else []


def _note(workspace: Workspace, named: list[str]) -> None:
    if not named:
        workspace.remove(PLACE)
        return
    with replacing(workspace.path(PLACE)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps(named) + "\n")


def chosen(named: str, files: Sequence[File], begun: bool = False) -> list[File]:
    """The files that a name means: a name without a slash is that of a source, if there is one; else it is a file, a
    folder, a glob or a list of paths, as it was named to extract, or a path as documents tell it.

    RequestError with the nearest right names for one that means nothing, unless it was removed by a call that was
    `begun`.
    """
    ways = [_of_source, _of_place, _of_path] if "/" not in named else [_of_place, _of_path, _of_source]
    for way in ways:
        found = way(named, files)
        if found:
            return found
    if begun:
        return []
    known = {file.source for file in files}
    known |= {file.path for file in files} if "." in named or len(known) < 2 else set()
    near = named if named in known else os.path.basename(named.rstrip("/")) or named
    raise unknown_name("input", near, known, where=f"remove {named}" if near != named else "remove")


def _of_source(named: str, files: Sequence[File]) -> list[File]:
    return [file for file in files if file.source == named]


def _of_place(named: str, files: Sequence[File]) -> list[File]:
    place = named.rstrip("/") if "://" in named else spelled(os.path.abspath(os.path.expanduser(named)))
    found = [file for file in files if file.place == place or file.place.startswith(place + "/")]
    if not found and any(mark in named for mark in "*?["):
        found = [file for file in files if _matches(file.place.split("/"), place.split("/"))]
    if not found:
        try:
            there = {source.place for source in resolve((Input(paths=(named,)),))}
        except RequestError:
            return []
        found = [file for file in files if file.place in there]
    return found


def _matches(place: list[str], pattern: list[str]) -> bool:
    """Whether a glob means a place: a mark stands for no slash, `**` for any folders."""
    if not pattern or not place:
        return not pattern and not place
    if pattern[0] == "**":
        return _matches(place, pattern[1:]) or _matches(place[1:], pattern)
    return fnmatch.fnmatchcase(place[0], pattern[0]) and _matches(place[1:], pattern[1:])


def _of_path(named: str, files: Sequence[File]) -> list[File]:
    path = named.rstrip("/")
    return [file for file in files if file.path == path or file.path.startswith(path + "/")]


def _told(workspace: Workspace, removal: Removal) -> dict[str, Any]:
    held = set(in_force(workspace))
    cut = [lot for lot in removal.left.lots if lot.name not in held and lot.cut_from in held]
    stay = {lot.name for lot in removal.left.lots}
    return {
        "stage": "remove",
        "files": [{"path": file.path, "source": file.source, "place": file.place} for file in removal.gone],
        "documents": removal.documents,
        "failures": removal.failures,
        "shards": {"dropped": len(held - stay) - len({lot.cut_from for lot in cut}), "cut": len(cut)},
    }


def _commit(workspace: Workspace, removal: Removal) -> Commit | None:
    """The next generation of extraction, without what goes; None where it is so already."""
    held = workspace.commit_of(EXTRACT)
    assert held is not None
    recorded = held.tables[TABLES[0]].settings
    plan: Plan[Any] = Plan(EXTRACT, held.version, workspace, None, recorded, held.inputs)  # nothing is extracted
    work: dict[str, Made] = {}
    done = dict(held.work.items())
    for lot in removal.left.lots:
        if lot.name in done:
            work[lot.name] = done[lot.name]
    shards = {name: list(selected(table.shards, work)) for name, table in held.tables.items()}
    for lot in removal.left.lots:
        if lot.name not in done and lot.cut_from in done:
            made, reports = _cut(plan, lot, held)
            work[lot.name] = made
            for name, shard in reports:
                shards[name].append(shard)
    if work.keys() == held.work.keys():
        return None
    ordered = {name: sorted(own, key=lambda shard: shard.name) for name, own in shards.items()}
    told = details(plan, ordered, [], removal.left)
    tables = {}
    for name, own in ordered.items():
        if not own and name.startswith(f"{FOLDER}/"):
            continue  # no row with such columns is left
        counts = total(own)
        if "in" in counts:
            conserved(counts, f"remove: {name}")
        more = told if name == TABLES[0] else held.tables[name].details
        tables[name] = TableRecord(settings=held.tables[name].settings, shards=listed(own), counts=counts, details=more)
    changes = {"tables": tables, "work": worked(work), "generation": held.generation + 1, "previous": held.fingerprint}
    return held.model_copy(update=changes)


def _cut(plan: Plan[Any], lot: Lot, held: Commit) -> tuple[Made, list[tuple[str, Shard]]]:
    item: Work = work_on(plan.workspace, lot, held)
    task: Task = item.load
    if not task.cut:
        raise WorkspaceError(
            f"a file of the shard {lot.cut_from} is lost, of which the rest has to be kept; gristmill audit names it"
        )
    made = Made(plan.stamp(tuple(held.tables), item), item.made_from)
    reports = [(name, replace(shard, item=lot.name)) for name, shard in cut_shard(plan, lot, task.cut, TABLES)]
    return made, reports
