"""The folder of a run: its settings and its card, and the refusal to mix two runs in one folder.

`settings.json` says how the run began and under which fingerprints; `run_card.json` is there when it ended.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

SETTINGS, CARD, METRICS, CHECKPOINTS = "settings.json", "run_card.json", "metrics.jsonl", "checkpoints"


def refusal(folder: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings and fingerprints differ, with both values."""
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


def read_json(path: str) -> Any:
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path: str, content: Any) -> None:
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, sort_keys=True)
    os.replace(path + ".tmp", path)
