"""Which folders hold exports of a workspace's documents, so that a removal can name those that still hold what is gone.

An exporter writes into a folder that no table knows. `plans/exports/` has a record of each such folder: where it lies
and the tables that its rows were made of. A folder that is gone, as far as it can be looked for, holds nothing.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .store.calls import relocated
from .store.errors import WorkspaceError
from .store.shards import filesystem, replacing
from .store.workspace import Workspace

FOLDER = "plans/exports"


@contextmanager
def recorded_export(workspace: Workspace, to: str, output: str, tables: Iterable[str]) -> Generator[None]:
    """Record an export of these tables, in the form of a trainer into a folder. Until the block has ended without an
    exception the folder may hold what it held before as well. OSError where the workspace cannot be written."""
    place = os.path.abspath(output)
    now = {name: made.fingerprint for name in tables if (made := workspace.table(name).manifest()) is not None}
    earlier = [held for record in _records(workspace) if record["place"] == place for held in record["made_from"]]
    record = {"place": place, "to": to, "workspace": workspace.url}
    _put(workspace, record | {"made_from": [*earlier, now]})
    yield
    _put(workspace, record | {"made_from": [now]})


def export_places(workspace: Workspace) -> list[str]:
    """The folders that exports of the workspace were written into and that are there."""
    return [record["place"] for record in _records(workspace)]


def stale_exports(workspace: Workspace) -> dict[str, str]:
    """Place -> the command that brings it up to date, of the exports that were made of other tokens than there are."""

    def current(name: str, fingerprint: str) -> bool:
        made = workspace.table(name).manifest()
        return made is not None and made.fingerprint == fingerprint

    found = {}
    for record in _records(workspace):
        if not all(current(name, told) for held in record["made_from"] for name, told in held.items()):
            asked = ("--to", record["to"], "--output", record["place"], "--workspace", workspace.url)
            found[record["place"]] = f"gristmill mix, and gristmill recipe export RECIPE {shlex.join(asked)}"
    return found


def _records(workspace: Workspace) -> Iterator[dict[str, Any]]:
    fs, folder = filesystem(f"{workspace.url}/{FOLDER}")
    for path in sorted(fs.glob(f"{folder}/*.json")) if fs.exists(folder) else ():
        try:
            record = json.loads(fs.cat_file(path))
        except ValueError as error:
            raise WorkspaceError(
                f"{path} is damaged; remove it, and write the exports of the workspace anew"
            ) from error
        record["place"] = relocated(record["place"], record["workspace"], workspace.url)
        if os.path.isdir(record["place"]):
            yield record


def _put(workspace: Workspace, record: Mapping[str, Any]) -> None:
    name = hashlib.blake2b(record["place"].encode(), digest_size=8).hexdigest()
    with replacing(f"{workspace.url}/{FOLDER}/{name}.json") as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps(record, indent=1, sort_keys=True) + "\n")
