"""The folder of a run: its settings and its card, and the refusal to mix two runs in one folder.

`settings.json` says how the run began and under which fingerprints, `stream.json` what it reads, by phases and domains,
so that any step can be found again; `run_card.json` is there when it ended.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..corpus.store.errors import WorkspaceError
from ..corpus.store.shards import replacing

if TYPE_CHECKING:
    from .data.loader import Loader

SETTINGS, CARD, METRICS, CHECKPOINTS = "settings.json", "run_card.json", "metrics.jsonl", "checkpoints"
STREAM = "stream.json"
RUNS = "runs"  # the folder of a workspace that they lie in


def refusal(folder: str, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """Which settings and fingerprints differ, with both values; None before: they are lost."""
    if before is None:
        return (
            f"{folder} holds checkpoints and no {SETTINGS}, so how the run began is not known; use another --name, or "
            f"--force to go on from its last checkpoint all the same"
        )
    differ = [
        f"{key}: {before[kind].get(key)} then, {now[kind].get(key)} now"
        for kind in ("settings", "fingerprints")
        for key in sorted({*before[kind], *now[kind]})
        if before[kind].get(key) != now[kind].get(key)
    ]
    return (
        f"the run in {folder} began with something else ({'; '.join(differ)}); use another --name, "
        f"or --force to go on from its last checkpoint all the same"
    )


def changes_that_cannot_be(
    before: Mapping[str, Any], now: Mapping[str, Any], state: Mapping[str, Any], config: object, loader: Any
) -> list[str]:
    """What keeps a run from going on from a checkpoint, force or not, as sentences.

    before, now  settings and fingerprints as `settings.json` has them; state: of the checkpoint
    config       shape of the model that would go on; loader: what it would read
    """
    found = []
    batch = state.get("batch_tokens", loader.batch_tokens)
    if batch != loader.batch_tokens:
        found.append(
            f"its steps are of {batch:,} tokens, not of {loader.batch_tokens:,}, so its tokens would be lost count of"
        )
    elif state["step"] > loader.steps:
        found.append(f"its newest checkpoint is of step {state['step']}, and the run asked for ends at {loader.steps}")
    names = [one["settings"].get("optimiser", {}).get("name") for one in (before, now)]
    if names[0] != names[1]:
        found.append(f"it was trained by {names[0]}, whose state is of no use to {names[1]}")
    shape = state.get("config", vars(config))
    differ = [f"{key} {shape.get(key)}, not {value}" for key, value in vars(config).items() if shape.get(key) != value]
    if differ:
        found.append(f"its checkpoints hold a model of another shape ({', '.join(differ)})")
    if state.get("online") and list(state.get("domains", loader.names)) != list(loader.names):
        found.append("its shares move over other domains")
    return found


def begin_run(folder: str, said: Mapping[str, Any], loader: "Loader") -> None:
    """Write down how a run begins. What an earlier run in the folder ended with goes."""
    card = f"{folder}/{CARD}"
    if os.path.exists(card):
        os.remove(card)
    write_json(f"{folder}/{STREAM}", stream_of(loader))
    write_json(f"{folder}/{SETTINGS}", said)


def stream_of(loader: "Loader") -> dict[str, Any]:
    """What a loader of the same stream is made of again; `data` are the fingerprints of its domains' tokens."""
    return {
        "phases": [asdict(phase) for phase in loader.phases],
        "total_tokens": loader.steps * loader.batch_tokens,
        "batch_tokens": loader.batch_tokens,
        "seed": loader.seed,
        "stream": loader.fingerprint,
        "data": {name: domain.fingerprint for name, domain in loader.domains.items()},
    }


def read_json(path: str) -> Any:
    """What is in the file, None where there is none. WorkspaceError where it is damaged."""
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise WorkspaceError(
                f"{path} is damaged ({error}); restore it, remove the folder of the run, or use another --name"
            ) from error


def write_json(path: str, content: Any) -> None:
    with replacing(path) as scratch, open(scratch, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, sort_keys=True)
