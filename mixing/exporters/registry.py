"""Trainers by name, and the one function that exports to any of them."""

import importlib
import json
import os
from collections.abc import Callable
from contextlib import nullcontext

from ...corpus.exported import recorded_export
from ...corpus.extensions import added
from ...corpus.store.errors import RequestError, unknown_name
from ...training.data.shards import demand_fresh, domains, facts_of, table_name
from ..recipe import Recipe, other_tokens
from .frame import Export, ExportJob, earlier_files, used_domains

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


def demand_its_tokens(job: ExportJob) -> None:
    """Refuse tokens that are stale, or other ones than the recipe was made for: its shares and sizes are of those."""
    if job.workspace is None:
        return
    demand_fresh(job.workspace, "recipe export")
    there = set(domains(job.workspace))
    manifests = {
        name: job.workspace.table(table_name(name)).finished("recipe export")
        for name in job.recipe.domains
        if name in there
    }
    if manifests:
        tokenizer = facts_of(next(iter(manifests.values()))).tokenizer
        stale = other_tokens(job.recipe, tokenizer, {name: made.fingerprint for name, made in manifests.items()})
        if stale:
            raise RequestError(
                f"the recipe was made for other tokens ({'; '.join(stale)}); make it anew (gristmill mix), or take "
                f"`tokenizer` and `shards` out of it to export these tokens all the same"
            )


def said_by_validation(recipe: Recipe) -> list[str]:
    """What the recipe's own validation says where another mixture measured better than the one that it holds."""
    if recipe.evidence is None:
        return []
    rows, name = recipe.evidence.fresh or recipe.evidence.validation, recipe.evidence.chosen.partition(",")[0]
    values = {other: row.get("bits_per_byte") for other, row in rows.items() if isinstance(row, dict)}
    own = values.get(name)
    better = [other for other, value in values.items() if own is not None and value is not None and value < own]
    return [f"by the recipe's own validation {', '.join(better)} measured better: {recipe.evidence.verdict}"] * bool(
        better
    )


def export_recipe(to: str, job: ExportJob) -> Export:
    """Write the recipe for a trainer, and `export.json`: requested against realised shares, and what to know.

    What an earlier export for the same trainer wrote there and this one does not is removed: a trainer that reads all
    files of a folder would read it too. A workspace whose data is written knows of the folder, so that a removal names
    it; OSError where the workspace cannot be written.
    """
    known = exporters()
    if to not in known:
        raise unknown_name("trainer", to, known, where="--to")
    demand_its_tokens(job)
    tables = [table_name(name) for name in used_domains(job)]
    with recorded_export(job.workspace, to, job.output, tables) if job.workspace is not None else nullcontext():
        before = earlier_files(job, to)
        made: Export = known[to](job)
        for name in before:
            if name not in made.files and os.path.isfile(job.path(name)):
                os.remove(job.path(name))
        made.notes += said_by_validation(job.recipe)
        with open(job.path("export.json"), "w", encoding="utf-8") as file:
            file.write(json.dumps(made.told(), indent=1) + "\n")
    return made
