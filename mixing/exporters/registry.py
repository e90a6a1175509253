"""Trainers by name, and the one function that exports to any of them."""

import importlib
import json

from ...corpus.store.errors import unknown_name
from .frame import Export, Job

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


def export_recipe(to: str, job: Job) -> Export:
    """Write the recipe for a trainer, and `export.json`: requested against realised shares, and what to know."""
    if to not in EXPORTERS:
        raise unknown_name("trainer", to, EXPORTERS, where="--to")
    module, function = EXPORTERS[to]
    made: Export = getattr(importlib.import_module(f".{module}", __package__), function)(job)
    with open(job.path("export.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(made.told(), indent=1) + "\n")
    return made
