"""What a recipe or a run draws: its loader, made again, and the tokens of each domain.

A run bears in `stream.json` all that its loader was made of, and in its run card what it counted. A recipe is planned
as `train` would plan it. Refuses a run that is not there, and tells where its tokens are not those that lie here now.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ...corpus.store.workspace import Workspace
from ...mixing.recipe import load_recipe
from ...training.data.loader import Loader, Phase
from ...training.data.shards import TokenDomain, domains, open_tokens
from ...training.run_folder import CARD, RUNS, STREAM, read_json, stream_of
from ..stages.train.phases import plan_phases
from ..stages.train.settings import TrainSettings
from ..stages.train.stage import run_name, runs


@dataclass(frozen=True)
class Stream:
    """One stream of training rows.

    name     of the run or the recipe
    kind     run or recipe
    told     what the loader is made of, see `stream_of`
    drawn    domain -> target tokens that are read of it; of a run that ended, those that were counted
    changed  domains whose tokens are others now than the stream was made of
    """

    name: str
    kind: str
    told: Mapping[str, Any]
    drawn: Mapping[str, int]
    changed: tuple[str, ...]
    loader: Loader | None  # None where tokens changed: its arithmetic would be another

    def read(self) -> list[str]:
        """Domains that are read."""
        return sorted(name for name, tokens in self.drawn.items() if tokens)


def pool_of(workspace: Workspace) -> dict[str, TokenDomain]:
    """The train split of every domain. RequestError where there is none."""
    pool = {name: open_tokens(workspace, name) for name in domains(workspace)}
    if not pool:
        raise RequestError(f"{workspace.url} has no token shards; run: gristmill tokenize --workspace {workspace.url}")
    return pool


def stream_of_recipe(workspace: Workspace, path: str, settings: TrainSettings | None = None) -> Stream:
    """A recipe as `train` reads it with these settings (its defaults where none are given)."""
    recipe, asked = load_recipe(path), settings or TrainSettings()
    pool = pool_of(workspace)
    available = {name: domain.tokens for name, domain in pool.items()}
    total = asked.tokens or recipe.total_tokens
    loader = Loader(pool, plan_phases(recipe, total, available, asked), total, asked.batch_tokens, asked.seed)
    changed = tuple(n for n, made in sorted(recipe.shards.items()) if n in pool and pool[n].fingerprint != made)
    return Stream(recipe.name, "recipe", stream_of(loader), tokens_of(loader), changed, loader)


def stream_of_run(workspace: Workspace, name: str) -> Stream:
    """A run as it was begun; WorkspaceError where its folder does not tell."""
    folder = workspace.path(RUNS, run_name(name))
    if not os.path.isdir(folder):
        raise unknown_name("run", name, runs(workspace), "--run")
    told, card = read_json(f"{folder}/{STREAM}"), read_json(f"{folder}/{CARD}")
    if told is None:
        raise WorkspaceError(
            f"{folder} holds no {STREAM}: the run began before runs wrote down what they read; "
            f"run: gristmill train --name {name} --force --workspace {workspace.url}"
        )
    there = set(domains(workspace))
    pool = {domain: open_tokens(workspace, domain) for domain in told["data"] if domain in there}
    changed = tuple(d for d, made in sorted(told["data"].items()) if d not in pool or pool[d].fingerprint != made)
    loader = None if changed else _made_again(told, card, pool)
    if card is not None:
        drawn = {domain: row["tokens"] for domain, row in card["realised"].items()}
    elif loader is not None:
        drawn = tokens_of(loader)
    else:
        raise WorkspaceError(
            f"the run {name} has not ended, and the tokens of {', '.join(changed)} are others than those it began with"
        )
    return Stream(name, "run", told, drawn, changed, loader)


def _made_again(told: Mapping[str, Any], card: Mapping[str, Any] | None, pool: Mapping[str, TokenDomain]) -> Loader:
    phases = [Phase(**phase) for phase in told["phases"]]
    moved: list[dict[str, Any]] = (card.get("online") or []) if card is not None else []
    loader = Loader(pool, phases, told["total_tokens"], told["batch_tokens"], told["seed"], 0 if moved else None)
    for part in moved:
        loader.plan_next(part["shares"])
    return loader


def tokens_of(loader: Loader) -> dict[str, int]:
    """domain -> target tokens of the whole run."""
    found = dict.fromkeys(loader.names, 0)
    for row in loader.plan():
        found[row["domain"]] += row["tokens"]
    return found


def streams(workspace: Workspace) -> list[str]:
    """Names of the runs that tell what they read."""
    return [name for name in runs(workspace) if os.path.exists(workspace.path(RUNS, name, STREAM))]
