"""How the tests of the whole road run it: as a user does, through the command line and a settings file."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import yaml

from .small_crawl import write_small_crawl

SMALL = {  # every stage, at sizes that take seconds
    "extract": {},
    "filter": {"rules": "gopher"},
    "dedup": {"threshold": 0.7},
    "tokenize": {"vocab_size": 400, "heldout": 0.2},
    "mix": {
        "mixtures": 8,
        "rounds": 1,
        "replicates": 0,
        "wave": 4,
        "seeds": 1,
        "heldout_tokens": 256,
        "total_tokens": 8192,
        "seq_len": 64,
        "draws": 200,
        "regressors": ["linear", "lightgbm"],
        "proxy": {
            "n_layers": 1,
            "d_model": 16,
            "d_ff": 32,
            "seq_len": 32,
            "sequences": 2,
            "steps": 6,
            "evaluations": 2,
        },
    },
    "train": {
        "name": "small",
        "model": "1x16x1",
        "batch_tokens": 512,
        "loop": {"device": "cpu", "checkpoint_every": 4, "log_every": 1, "evaluate_every": 8},
    },
    "report": {},
}
COMMAND = [sys.executable, "-m", "gristmill.pipelines.cli"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def write_settings(folder: Path, workspace: Path, stop_after: str | None = None, shuffled: int = 0, **changes) -> Path:
    """A settings file for the small crawl under `folder`; `stop_after` leaves out the stages after that one."""
    crawl = folder / "crawl"
    inputs = write_small_crawl(crawl) if not crawl.exists() else None
    place = folder / "inputs.yaml"
    if inputs is not None:
        place.write_text(yaml.safe_dump(inputs))
    inputs = yaml.safe_load(place.read_text())
    if shuffled:
        random.Random(shuffled).shuffle(inputs)
    settings: dict = {"workspace": str(workspace)}
    for section, values in SMALL.items():
        changed = changes.get(section, {})
        settings[section] = {**values, **changed} if isinstance(values, dict) else values
        if section == "extract":
            settings[section]["inputs"] = inputs
        if section == stop_after:
            break
    path = workspace.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def gristmill(*arguments: str | Path) -> subprocess.CompletedProcess:
    """Run the command line to its end."""
    command = [*COMMAND, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)


def done(*arguments: str | Path) -> str:
    """Run the command line; its output, once it has ended well."""
    result = gristmill(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def contents(workspace: Path) -> dict[str, str]:
    """path -> digest of every table file: Parquet, Arrow, tokenizer, recipe, final weights."""
    kinds = (".parquet", ".arrow", ".safetensors")
    names = ("tokenizer.json", "recipe.yaml", "fit.json")
    return {
        str(path.relative_to(workspace)): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(workspace.rglob("*"))
        if path.is_file() and (path.suffix in kinds or path.name in names)
    }
