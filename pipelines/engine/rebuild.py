"""Run again, as they were asked for, all stages that made something from documents, after some were removed.

Each commit holds the call that it was made by, and stays in force until its stage has run again: a rebuilding that was
killed is completed by the next one. What is run, and in which order, follows from the records of the stages
(`replay.py`), those of plug-ins among them. Where a stage cannot be run as it was, because a file that it was given is
gone or was changed, it and the stages that follow it are left, with the reason: nothing is rebuilt from guesses. Fitted
artefacts are fitted again where text must be forgotten. At last every table is searched for the documents that should
be gone.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from ...corpus.store.calls import Call
from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.fate import BEFORE
from ...corpus.store.shards import filesystem, read_batches
from ...corpus.store.soundness import opened
from ...corpus.store.workspace import Table, Workspace
from .held.agreement import forget
from .replay import Again, RecordedStage, replays
from .runner import RunnerOptions

SETTLED = 3  # rounds; rewritten documents enter the corpus again, and the second round changes nothing more


def follows(workspace: Workspace) -> list[str]:
    """The stages that `rebuild` would run, in the order of the road."""
    there = [table.name for table in workspace.tables()]
    return list(dict.fromkeys(step.name for step in replays() if any(_tells(step, name) for name in there)))


def rebuild(
    workspace: Workspace, options: RunnerOptions, quiet: bool, needed_by: str = "opt-out", refit: bool = True
) -> tuple[list[str], dict[str, str]]:
    """(stages that were run again, stages that were not: why), both in the order of the road. `refit` fits artefacts
    anew, too."""
    options = replace(options, refit=refit)
    done: list[str] = []
    left: dict[str, str] = {}
    steps = replays()
    for _ in range(SETTLED):
        before = workspace.table(BEFORE).finished(needed_by).fingerprint
        left.clear()  # what could not be run because documents changed meanwhile is run in the next round
        for step in steps:
            calls = [table.finished(needed_by).call for table in workspace.tables() if _tells(step, table.name)]
            for call in sorted(calls, key=_depth):
                _repeat(step, Again(workspace, call, options, quiet), done, left)
        if workspace.table(BEFORE).finished(needed_by).fingerprint == before:
            break
    if not left:
        forget(workspace)
    return [name for name in dict.fromkeys(done) if name not in left], left


def _repeat(step: RecordedStage, again: Again, done: list[str], left: dict[str, str]) -> None:
    """Run one stage again, or note why not."""
    if left:
        left.setdefault(step.name, f"comes after {next(iter(left))}")
        return
    try:
        step.again(again)
        done.append(step.name)
    except ValidationError as error:
        left[step.name] = f"its recorded settings are not those of this version: {error.error_count()} differ"
    except (RequestError, WorkspaceError) as error:
        left[step.name] = str(error)


def _tells(step: RecordedStage, table: str) -> bool:
    return table == step.table or (step.table.endswith("/") and table.startswith(step.table))


def _depth(call: Call | None) -> bool:
    """Scores by models of other scores come after these."""
    return "{workspace}/proxies/" in json.dumps(call.settings if call else {})


def holding(workspace: Workspace, gone: pa.Array) -> dict[str, int]:
    """Tables that still hold documents of these ids, under whatever name, with how many rows do."""
    found: dict[str, int] = {}
    for table in workspace.tables():
        rows = sum(_held(table, gone)) if table.name != "removed" else 0
        if rows:
            found[table.name] = rows
    return found


IDS = ("id", "parent", "duplicate_of")  # columns that name documents


def _held(table: Table, gone: pa.Array) -> Iterator[int]:
    for shard in table.finished("opt-out").shards:
        url = table.file_url(shard)
        if shard.name.endswith(".arrow"):
            batches = _arrow(url)
        elif shard.name.endswith(".parquet"):
            batches = _parquet(url)
        else:
            continue
        for batch in batches:
            for name in _naming(batch.schema):
                yield pc.sum(pc.is_in(batch[name], value_set=gone)).as_py() or 0


def _naming(schema: pa.Schema) -> list[str]:
    return [name for name in IDS if name in schema.names and pa.types.is_string(schema.field(name).type)]


def _parquet(url: str) -> Iterator[pa.RecordBatch]:
    with opened(*filesystem(url)) as file:
        names = _naming(pq.read_schema(file))
    yield from read_batches(url, names) if names else ()


def _arrow(url: str) -> Iterator[pa.RecordBatch]:
    with opened(*filesystem(url)) as file, pa.ipc.open_file(file) as reader:
        if _naming(reader.schema):
            for at in range(reader.num_record_batches):
                yield reader.get_batch(at)
