"""The chain of a workspace at a glance: done, stale and why, unfinished, never run; and what mends it.

Reads commits and the names of unfinished work, never a table.
"""

from typing import Any
from urllib.parse import unquote

from ..corpus.store.commits import UNFINISHED, Commit, told_apart
from ..corpus.store.freshness import reasons
from ..corpus.store.lease import holder_of
from ..corpus.store.shards import filesystem
from ..corpus.store.workspace import Workspace
from .engine.graph import folder_of
from .engine.progress import Progress
from .engine.registry import records


def status_of(workspace: Workspace) -> dict[str, Any]:
    """{workspace, writer: who holds the lease, stages: [{command, state, results, mend}]}, in the order of the road."""
    commits, damaged = told_apart(workspace.url)
    if not damaged:
        workspace.tables()  # refuses a workspace that is not there
    order = {record.words: place for place, record in enumerate(records().values()) if record.words}
    by_command: dict[str, list[Commit]] = {}
    for commit in commits.values():
        by_command.setdefault(commit.command, []).append(commit)
    stages = []
    last = len(order)
    named = {name for name in order if not any(command.startswith(f"{name} ") for command in by_command)}
    for command in sorted({*named, *by_command}, key=lambda n: (order.get(n, order.get(n.split()[0], last)), n)):
        stages.append(_stage(workspace, command, by_command.get(command, []), bool(damaged)))
    holder = holder_of(workspace.url)
    unfinished = _unfinished(workspace)
    return {
        "workspace": workspace.url,
        "writer": None if holder is None or holder.holder is None else holder.holder.model_dump(mode="json"),
        "unfinished": unfinished,
        "progress": [_progress(workspace, unquote(name)) for name in unfinished],
        "damaged": damaged,
        "stages": stages,
    }


def _stage(workspace: Workspace, command: str, commits: list[Commit], unknown: bool) -> dict[str, Any]:
    results = []
    for commit in sorted(commits, key=lambda commit: commit.stage):
        why = [] if unknown else reasons(workspace, commit)
        told: dict[str, Any] = {"result": commit.stage, "state": "stale" if why else "done", "changed": why}
        if commit.fitted and not unknown:
            told["fitted_on"] = _fitted_on(workspace, commit)
        results.append(told)
    begun = any(_begun(workspace, commit.stage) for commit in commits) or (not commits and _begun(workspace, command))
    stale = any(result["state"] == "stale" for result in results)
    state = "unfinished" if begun else "stale" if stale else "done" if results else "never run"
    if unknown and results:
        state = "not known"  # a commit is damaged: what the others were made from cannot be told
    mend = f"gristmill {command} --workspace {workspace.url}" if state in ("unfinished", "stale") else None
    return {"command": command, "state": state, "results": results, "mend": mend}


def _fitted_on(workspace: Workspace, commit: Commit) -> str:
    """Whether a fitted artefact was fitted on the corpus as it is now."""
    tables = {name: made for name, made in commit.inputs.items() if ":" not in name}
    now = {name: workspace.table(name).manifest() for name in tables}
    changed = sorted(name for name, m in now.items() if m is None or m.fingerprint != tables[name])
    return f"an earlier {', '.join(changed)}" if changed else "the corpus as it is"


def _progress(workspace: Workspace, stage: str) -> str:
    return f"{Progress(stage, workspace, stage, None, quiet=True).line()} finished, not committed yet"


def _begun(workspace: Workspace, stage: str) -> bool:
    fs, path = filesystem(workspace.path(folder_of(stage)))
    return bool(fs.exists(path))


def _unfinished(workspace: Workspace) -> list[str]:
    fs, path = filesystem(workspace.path(UNFINISHED))
    entries = fs.ls(path, detail=False) if fs.exists(path) else []
    return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries)


def lines(found: dict[str, Any]) -> list[str]:
    """The status as text, a line a stage."""
    told = []
    width = max((len(stage["command"]) for stage in found["stages"]), default=0)
    for stage in found["stages"]:
        text = f"{stage['command']:<{width}}  {stage['state']}"
        changed = sorted({name for result in stage["results"] for name in result["changed"]})
        if changed:
            text += f": {', '.join(changed)} changed since"
        fitted = {result["fitted_on"] for result in stage["results"] if "fitted_on" in result}
        elsewhere = sorted(name for name in fitted if name.startswith("an earlier"))
        if elsewhere and stage["state"] == "done":
            text += f" (fitted on {elsewhere[0]}; --refit fits it anew)"
        if stage["mend"]:
            text += f"; run: {stage['mend']}"
        told.append(text)
    told += found["damaged"].values()
    told += found["progress"]
    if found["writer"]:
        told.append(f"at work now: {found['writer']['command']} (process {found['writer']['pid']})")
    return told
