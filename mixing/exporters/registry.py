"""Trainers by name, and the one function that exports to any of them."""

import importlib
import json

from ...corpus.refusal import unknown_name
from .frame import Export, Job

# trainer -> module of this folder whose `export(job)` writes its files
EXPORTERS = {
    "megatron": "megatron",
    "hf": "hf",
}


def export_recipe(to: str, job: Job) -> Export:
    """Write the recipe for a trainer, and `export.json`: requested against realised shares, and what to know."""
    if to not in EXPORTERS:
        raise unknown_name("trainer", to, EXPORTERS, where="--to")
    module = importlib.import_module(f".{EXPORTERS[to]}", __package__)
    made: Export = module.export(job)
    with open(job.path("export.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(made.told(), indent=1) + "\n")
    return made
