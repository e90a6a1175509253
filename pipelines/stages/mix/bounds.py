"""What a search of the mixture is asked for, checked before anything is trained.

Refuses names of mixtures that it does not know, a first round too small to fit, and an old recipe that this very run
would replace.
"""

from typing import Any

import numpy as np

from ....corpus.store.errors import RequestError, unknown_name
from ....corpus.store.workspace import Workspace
from ....mixing.search.simplex import Limits
from ....mixing.search.units import Units
from ....training.data.shards import domains as token_domains
from ....training.data.shards import table_name
from ...engine.stage import Plan
from .settings import REUSED
from .settings import MixSettings as MixSettings
from .settings import Reuse as Reuse

LAST = "last"  # waves of branches are named last and the millionths of their phase
FEWEST_SEQUENCES = 2  # sequences of the run that a domain of the recipe has at least


def recorded(settings: MixSettings) -> dict[str, Any]:
    """What decides the bytes: everything but the place that an old recipe was read from."""
    return settings.model_dump(mode="json", exclude={"reuse": {"recipe"}})


def mix_inputs(workspace: Workspace, settings: MixSettings) -> dict[str, str]:
    found = domain_inputs(workspace, "mix")
    names = token_domains(workspace)
    for name in settings.target:
        if name not in names:
            raise unknown_name("held-out domain", name, names, where="target")
    for where, named in (("cost", settings.cost), ("at_most", settings.at_most)):
        for name in named:
            if name not in names:
                raise unknown_name("domain", name, names, where=where)
    for mixture, shares in settings.compare.items():
        for name in shares:
            if name not in names:
                raise unknown_name("domain", name, names, where=f"compare: {mixture}")
    if settings.reuse and settings.reuse.recipe == workspace.path("mixture", "recipe.yaml"):
        raise RequestError(f"{settings.reuse.recipe} is what this run would replace; copy it, and reuse the copy")
    return found


def domain_inputs(workspace: Workspace, stage: str) -> dict[str, str]:
    """The token table of every domain; refuses fewer than two, of which there are no mixtures."""
    names = token_domains(workspace)
    if not names:
        workspace.table("tokens").finished(stage)
    if len(names) < 2:
        raise RequestError(f"a mixture needs two domains at least, {workspace.url} has {', '.join(names)}")
    return {table_name(name): workspace.table(table_name(name)).finished(stage).fingerprint for name in names}


def run_tokens(plan: Plan, available: np.ndarray) -> int:
    return plan.settings.total_tokens or int(available.sum())


def smallest_share(plan: Plan, available: np.ndarray) -> float:
    """The smallest share of the run that is worth having: a run cannot draw less."""
    return FEWEST_SEQUENCES * plan.settings.seq_len / run_tokens(plan, available)


def validation_seeds(settings: MixSettings) -> list[int]:
    """Other seeds than the swarm's, so that no luck is carried over."""
    return [settings.seed + 1000 + number for number in range(settings.seeds)]


def run_limits(plan: Plan, available: np.ndarray, names: list[str]) -> Limits:
    settings = plan.settings
    return Limits.of(
        names,
        available=available,
        total_tokens=run_tokens(plan, available),
        max_epochs=settings.max_epochs,
        floors=settings.floors,
        ceilings=settings.ceilings,
    )


def run_units(plan: Plan, names: list[str]) -> Units:
    """What the search moves: every domain, or the changed ones and the rest of an old mixture."""
    reuse: Reuse | None = plan.settings.reuse
    if reuse is None:
        return Units.of(names)
    changed = reuse.changed
    if changed is None:
        changed = tuple(name for name in names if reuse.shards.get(name) != plan.inputs[table_name(name)])
        if len(changed) == len(names):
            raise RequestError(
                f"the tokens of every domain differ from those of {reuse.recipe} (another tokenizer changes them all); "
                f"say with --changed which domains are new or different"
            )
    return Units.reused(names, reuse.shares, changed)


def compared(plan: Plan, names: list[str], available: np.ndarray, excess: np.ndarray | None) -> dict[str, np.ndarray]:
    """The mixtures that need no fit and no proxy of their own, beside natural and uniform.

    excess  (steps, D) for the row doremi_style, where known: DoReMi's rule along the swarm's natural proxy
    """
    from ....mixing.search import baselines

    settings = plan.settings
    found = {
        "unimax": baselines.unimax(available, float(run_tokens(plan, available)), settings.unimax_epochs),
        "temperature": baselines.temperature(available, settings.temperature),
    }
    if excess is not None:
        found["doremi_style"] = baselines.doremi_style(excess, baselines.natural(available))
    given = dict(settings.compare)
    if settings.reuse:
        given[REUSED] = {name: share for name, share in settings.reuse.shares.items() if name in names}
    for name, shares in given.items():
        row = np.array([shares.get(domain, 0.0) for domain in names])
        if (row < 0).any() or row.sum() <= 0:
            raise RequestError(f"compare: {name}: shares must be >= 0 and not all zero")
        found[name] = row / row.sum()
    return found
