"""`gristmill cluster check`: every verb once on the engine, and each worker asked what it is and what it reaches.

Each fault is one line with what to do. What is no fault but worth knowing (processors of several kinds) is a note.
Leaves nothing behind in the workspace.
"""

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from ...corpus import processors
from ...corpus.readers.inputs import resolve
from ...corpus.settings import Input
from ...corpus.store.errors import RequestError
from ...corpus.store.shards import filesystem, replacing
from ...corpus.store.workspace import Workspace
from ..engine import graph as verbs
from ..engine.graph import Report, Work
from ..engine.leases import writing
from ..engine.runner import RunnerOptions, run_graph
from ..engine.stage import Plan
from . import probe, sessions
from .settings import BatchCluster, Cluster, DaskCluster, KubernetesCluster

STAGE = "cluster-check"
ITEMS = 8
SCRATCH = 2_000_000_000  # free bytes below which files of a worker may not fit
CLOCK = 30.0  # seconds; a lease is renewed every 20
NAMED = 3  # inputs of each source that every worker opens


class CheckSettings(BaseModel, frozen=True):
    """What workers are asked about."""

    inputs: tuple[str, ...] = Field(default=(), description="files that have to be readable")
    read: str = Field(default="", description="a file of the workspace")
    write: str = Field(default="", description="where one can be written")


def check_cluster(
    cluster: Cluster, workspace: Workspace, inputs: Sequence[Input] = (), graphs: bool = True, seconds: float = 120
) -> dict[str, Any]:
    """{workers, machines, seconds, faults, notes} of a cluster. RequestError where it cannot be reached at all.

    graphs   also run every verb; without, each worker of a Dask cluster is asked alone
    seconds  in which a first worker has to come
    """
    began = time.monotonic()
    asked = CheckSettings(inputs=named_inputs(inputs))
    with writing(workspace, "cluster check"):
        folder = workspace.path(verbs.folder_of(STAGE))
        read, write = f"{folder}/here", f"{folder}/there-"
        try:
            with replacing(read) as scratch, open(scratch, "wb") as file:
                file.write(b"here\n")
            asked = asked.model_copy(update={"read": read, "write": write})
            here = probe.facts(list(asked.inputs), read, "", processors.instruction_sets())
            there, faults = _of_workers(cluster, asked, seconds)
            if graphs and not any("cannot import" in fault for fault in faults):
                told, more = _by_graphs(cluster, workspace, asked)
                there, faults = there or told, [*faults, *more]
            faults += findings(here, there, asked)
            faults += _unwritten(folder, there)
        finally:
            verbs.forget(workspace, STAGE)
            _remove_table(workspace)
    return {
        "workers": len({(fact["host"], fact["pid"]) for fact in there}),
        "machines": len({fact["host"] for fact in there}),
        "seconds": round(time.monotonic() - began, 1),
        "faults": list(dict.fromkeys(faults)),
        "notes": notes(there),
    }


def refuse_faults(cluster: Cluster | None, workspace: str, inputs: Sequence[Input]) -> None:
    """Ask the workers before a run. RequestError with every fault; nothing where there are no workers elsewhere."""
    if isinstance(cluster, BatchCluster | KubernetesCluster | DaskCluster):
        wait = getattr(cluster, "wait", 0) or float("inf")
        found = check_cluster(cluster, Workspace(workspace), inputs, graphs=False, seconds=wait)
        if found["faults"]:
            raise RequestError("\n".join(found["faults"]))


def named_inputs(inputs: Sequence[Input]) -> tuple[str, ...]:
    """A few files of each input, as workers will open them."""
    found: list[str] = []
    for each in inputs:
        found += [source.place for source in resolve((each,))[:NAMED]]
    return tuple(found)


# ---- asking


def _of_workers(cluster: Cluster, asked: CheckSettings, seconds: float) -> tuple[list[dict[str, Any]], list[str]]:
    """(facts of every worker of a Dask cluster, faults); nothing of another engine."""
    if not isinstance(cluster, BatchCluster | KubernetesCluster | DaskCluster):
        return [], []
    from distributed import Client

    _, options = sessions.options_of(cluster)
    address = options[1].removeprefix("--dask_client_address=")
    until = time.monotonic() + seconds
    while not _workers(address):
        if time.monotonic() > until:
            return [], [f"{address}: no worker came within {seconds:.0f} seconds; start some, or look at the queue"]
        time.sleep(1)
    source = "".join(Path(str(module.__file__)).read_text("utf-8") for module in (processors, probe))
    arguments = (list(asked.inputs), asked.read, asked.write)
    call = f"space['facts'](*{arguments!r}, space['instruction_sets']())"
    text = f"(lambda space: (exec({source!r}, space), {call})[1])({{'__name__': 'probe'}})"
    with Client(address, timeout=30, set_as_default=False) as client:
        threads = {name: each["nthreads"] for name, each in client.scheduler_info(n_workers=-1)["workers"].items()}
        told: Any = client.run(eval, text, on_error="return")
    faults = [
        f"{name}: it does not answer ({type(each).__name__}: {each}); look at its log"
        for name, each in told.items()
        if not isinstance(each, dict)
    ]
    faults += [
        f"{name}: it runs {count} pieces of work at a time in one process; start it with --nthreads 1 and --nworkers "
        f"{count}"
        for name, count in threads.items()
        if count > 1
    ]
    return [each for each in told.values() if isinstance(each, dict)], faults


def _workers(address: str) -> int:
    """Workers there now. RequestError where they were given up, after which the scheduler is gone."""
    try:
        count = sessions.workers_at(address)
    except OSError as error:
        raise RequestError(sessions.failure() or f"{address}: the Dask scheduler went away") from error
    if (why := sessions.failure()) is not None:
        raise RequestError(why)
    return count


def _by_graphs(cluster: Cluster, workspace: Workspace, asked: CheckSettings) -> tuple[list[dict[str, Any]], list[str]]:
    """Run every verb: (facts of the workers that came by, faults)."""
    items = [Work(f"item-{number}", {"check": uuid.uuid4().hex}) for number in range(ITEMS)]
    plan: Plan[CheckSettings] = Plan(STAGE, 1, workspace, asked, {}, {})
    stamp = plan.stamper((STAGE,))
    plan = Plan(
        STAGE, 1, workspace, asked, {}, {}, work=[Work(i.name, i.made_from, stamp=stamp(i)) for i in items]
    )  # fmt: skip
    options = RunnerOptions(cluster=cluster)
    try:
        run_graph(lambda pipeline: verbs.commit(verbs.map_shards(pipeline, plan, _put), plan), options)
        put, _ = verbs.handed_over(workspace, STAGE)
        run_graph(lambda pipeline: _grouped(pipeline, plan), options)
        _, told = verbs.handed_over(workspace, STAGE)
    except RequestError:
        raise
    except Exception as error:
        if "No module named 'gristmill" in str(error):
            return [], ["the workers cannot import gristmill; install it there, the same version as here"]
        raise
    faults = []
    if len(put) != ITEMS or sorted(each["item"] for each in told) != sorted(item.name for item in items):
        faults.append(
            f"the engine lost work: of {ITEMS} items {len(put)} were written and {len(told)} came back; it cannot be "
            "trusted with a run"
        )
    return [each["facts"] for each in told], faults


def _grouped(pipeline: Any, plan: Plan[CheckSettings]) -> Any:
    blocks = verbs.map_blocks(pipeline, plan, _look)
    again = verbs.spread(verbs.group_by_key(blocks, "by name", _together), "again", _pass)
    return verbs.commit(verbs.gather(again, "all", _everything), plan)


def _put(plan: Plan[CheckSettings], item: Work) -> Iterator[Report]:
    yield plan.put(STAGE, f"{item.name}.json", json.dumps(item.name).encode())


def _look(item: Work, plan: Plan[CheckSettings]) -> Iterator[tuple[str, Any]]:
    asked = plan.settings
    found = probe.facts(list(asked.inputs), asked.read, asked.write, processors.instruction_sets())
    yield item.name, {"item": item.name, "facts": found}


def _together(group: tuple[str, Iterable[Any]]) -> Iterator[tuple[str, Any]]:
    for each in group[1]:
        yield group[0], each


def _pass(item: Any) -> Iterator[Any]:
    yield item


def _everything(items: Iterable[Any]) -> Iterator[Any]:
    yield from items


# ---- judging


def findings(here: Mapping[str, Any], there: Sequence[Mapping[str, Any]], asked: CheckSettings) -> list[str]:
    """One line for every fault, with what to do; workers of one machine are told once."""
    found: list[str] = []
    for worker in there:
        found += _differences(here, worker)
        found += _places(here, worker, asked)
    return list(dict.fromkeys(found))


def _differences(here: Mapping[str, Any], worker: Mapping[str, Any]) -> Iterator[str]:
    host = worker["host"]
    if worker["code"] is None:
        yield f"{host}: the workers cannot import gristmill; install it there, the same version as here"
        return
    if worker["python"].rpartition(".")[0] != here["python"].rpartition(".")[0]:
        yield f"{host}: Python {worker['python']} there, {here['python']} here; use the same for both (python:)"
    different = False
    for name, ours in here["versions"].items():
        theirs = worker["versions"].get(name)
        if theirs != ours:
            different = different or name == "gristmill"
            said = f"{theirs} there" if theirs else "none there"
            yield f"{host}: {name} {said}, {ours or 'none'} here; install the same: pip install {name}=={ours}"
    if worker["code"] != here["code"] and not different:
        yield f"{host}: the files of gristmill are not those that are here; install the same state on both"
    for name, ours in here["plugins"].items():
        theirs = worker["plugins"].get(name)
        if theirs != ours:
            said = f"is {theirs}" if theirs is not None else "is not installed"
            yield f"{host}: the plug-in {name} {said} there, {ours} here; install its package on the workers"
    ahead = worker["time"] - here["time"]
    if abs(ahead) > CLOCK + 60:  # what was asked first waited for the last
        yield f"{host}: its clock is {ahead:+.0f} seconds off; have its time set (chrony or ntpd), for leases go by it"


def _places(here: Mapping[str, Any], worker: Mapping[str, Any], asked: CheckSettings) -> Iterator[str]:
    host = worker["host"]
    for url, why in worker["inputs"].items():
        if url in here["inputs"]:
            yield f"{url} cannot be read, neither here nor on {host}: {why}"
        else:
            yield f"{host}: the input {url} cannot be read from there ({why}); put it where all workers reach it"
    folder = os.path.dirname(asked.read)
    if worker["read"] is not None:
        yield (
            f"{host}: the workspace cannot be read from there ({worker['read']}); it has to be on a shared disk or a "
            f"URL, and is looked for at {folder}"
        )
    elif worker["write"] is not None:
        yield f"{host}: nothing can be written to the workspace from there ({worker['write']}); allow it in {folder}"
    place, free = worker["scratch"]
    if free < SCRATCH:
        yield (
            f"{host}: {free / 1e9:.1f} GB are free in {place}; {SCRATCH / 1e9:.0f} are needed: set TMPDIR under "
            "environment: to a larger folder"
        )


def _unwritten(folder: str, there: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Workers whose file is not to be seen here though they put it: their folder is another of the same name."""
    fs, path = filesystem(folder)
    fs.invalidate_cache()
    seen = {entry.rstrip("/").rpartition("/")[2] for entry in fs.ls(path, detail=False)} if fs.exists(path) else set()
    for worker in there:
        if worker["write"] is None and f"there-{worker['host']}-{worker['pid']}" not in seen:
            yield (
                f"{worker['host']}: what it writes to {folder} is not to be seen here; the folder of that name is one "
                "of its own: put the workspace on a shared disk"
            )


def notes(there: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is no fault."""
    kinds: dict[tuple[str, ...], set[str]] = {}
    for worker in there:
        kinds.setdefault(tuple(worker["sets"]), set()).add(worker["host"])
    if len(kinds) < 2:
        return []
    told = "; ".join(f"{', '.join(sorted(hosts))}: {' '.join(sets)}" for sets, hosts in sorted(kinds.items()))
    return [
        f"processors of {len(kinds)} kinds ({told}): signals, signatures and decisions are equal on all, what models "
        "compute may differ in the last digits"
    ]


def _remove_table(workspace: Workspace) -> None:
    fs, path = filesystem(workspace.table(STAGE).url)
    if fs.exists(path):
        fs.rm(path, recursive=True)
