"""Trainers by name, and the one function that exports to any of them."""

import importlib
import json
from collections.abc import Callable

from ...corpus.extensions import added
from ...corpus.store.errors import unknown_name
from .frame import Export, ExportJob

# trainer -> module of this folder and its function of one job
EXPORTERS = {
    "megatron": ("megatron", "export"),
    "neox": ("neox", "export"),
    "olmo": ("olmo", "export"),
    "torchtitan": ("torchtitan", "export"),
    "nanotron": ("nanotron", "export"),
    "levanter": ("levanter", "export"),
    "maxtext": ("maxtext", "export"),
    "hf": ("hf", "export"),
    "foundry": ("foundry", "export"),
    "lingua": ("lingua", "export"),
    "nanochat": ("materialised", "nanochat"),
    "nanogpt": ("materialised", "nanogpt"),
    "modded_nanogpt": ("materialised", "modded"),
    "litdata": ("materialised", "litdata"),
}


def exporters() -> dict[str, Callable[[ExportJob], Export]]:
    """name -> function of one job: our own, and those of other packages and plug-in files."""

    def own(module: str, function: str) -> Callable[[ExportJob], Export]:
        return lambda job: getattr(importlib.import_module(f".{module}", __package__), function)(job)

    return {name: own(*where) for name, where in EXPORTERS.items()} | added("exporters", EXPORTERS)


def export_recipe(to: str, job: ExportJob) -> Export:
    """Write the recipe for a trainer, and `export.json`: requested against realised shares, and what to know."""
    known = exporters()
    if to not in known:
        raise unknown_name("trainer", to, known, where="--to")
    made: Export = known[to](job)
    with open(job.path("export.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(made.told(), indent=1) + "\n")
    return made
