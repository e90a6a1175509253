"""Which runs and recipes had read documents before they were removed. Models cannot forget; they can be named.

Of a run whose tokens are as they were, the loader's arithmetic tells exactly which documents it read; of another, all
that is known is that a domain was read which holds some. Refuses nothing.
"""

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.workspace import Workspace
from ...training.data.shards import document_ids, domains

if TYPE_CHECKING:
    from ..evidence.streams import Stream

TRACED = 20_000  # documents that are traced one by one; of more, domains are told


def trained_on(workspace: Workspace, ids: Collection[str]) -> list[dict[str, Any]]:
    """{kind, name, documents, exact} of every run and recipe that read some of the documents, or may have."""
    readers = (workspace.path("runs"), workspace.path("mixture", "recipe.yaml"))
    if not workspace.is_local or not domains(workspace) or not any(map(os.path.exists, readers)):
        return []  # before anything heavy is imported
    from ..evidence.streams import stream_of_recipe, stream_of_run

    held = _held(workspace, ids)
    found = []
    for kind, name in _named(workspace):
        try:
            stream = stream_of_run(workspace, name) if kind == "run" else stream_of_recipe(workspace, name)
        except (RequestError, WorkspaceError) as error:
            found.append(
                {"kind": kind, "name": os.path.basename(name), "documents": None, "exact": False, "why": str(error)}
            )
            continue
        read = _read(stream, held)
        if read:
            exact = stream.loader is not None and not stream.changed and sum(map(len, held.values())) <= TRACED
            found.append({"kind": kind, "name": stream.name, "documents": read, "exact": exact})
    return found


def _named(workspace: Workspace) -> list[tuple[str, str]]:
    from ..stages.train.stage import runs

    recipe = workspace.path("mixture", "recipe.yaml")
    return [*(("run", name) for name in runs(workspace)), *([("recipe", recipe)] if os.path.exists(recipe) else [])]


def _held(workspace: Workspace, ids: Collection[str]) -> dict[str, list[int]]:
    """domain -> numbers of the documents in its train split."""
    wanted = pa.array(sorted(ids), pa.string())
    found = {}
    for domain in domains(workspace):
        places = pc.is_in(document_ids(workspace, domain), value_set=wanted)
        numbers = pc.indices_nonzero(places).to_pylist()
        if numbers:
            found[domain] = numbers
    return found


def _read(stream: "Stream", held: dict[str, list[int]]) -> int:
    """How many of the documents the stream reads; of one that cannot be traced, how many its domains hold."""
    from ...training.data.tracing import readings

    drawn = {domain: numbers for domain, numbers in held.items() if stream.drawn.get(domain)}
    loader = stream.loader
    if loader is None or stream.changed or sum(map(len, drawn.values())) > TRACED:
        return sum(map(len, drawn.values()))
    return sum(bool(readings(loader, domain, number)) for domain, numbers in drawn.items() for number in numbers)
