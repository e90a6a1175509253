"""What a search of the mixture is asked for, checked before anything is trained.

Refuses names of targets and mixtures that it does not know, target files that cannot be read, a target without text to
measure by, and an old recipe that this very run would replace.
"""

from typing import Any

import numpy as np

from ....corpus.store.errors import RequestError, unknown_name
from ....corpus.store.shards import checksum
from ....corpus.store.workspace import Workspace
from ....mixing.proxies import ONLINE as POLICIES
from ....mixing.search.simplex import Limits
from ....mixing.search.units import Units
from ....mixing.target_files import read_items
from ....training.data.shards import demand_fresh, open_tokens, table_name
from ....training.data.shards import domains as token_domains
from ....training.transformer import block_parameters
from ...engine.stage import Plan
from .settings import REUSED
from .settings import MixSettings as MixSettings
from .settings import Reuse as Reuse

LAST = "last"  # waves of branches are named last and the millionths of their phase
JUDGED_MIXTURES = 4  # mixtures at most that fresh seeds train once more
FEWEST_SEQUENCES = 2  # sequences of the run that a domain of the recipe has at least


def recorded(settings: MixSettings) -> dict[str, Any]:
    """What decides the bytes: everything but the place that an old recipe was read from."""
    told = settings.model_dump(mode="json", exclude={"reuse": {"recipe"}})
    return {**told, "target_files": sorted(settings.target_files)}  # what they hold is an input


def mix_inputs(workspace: Workspace, settings: MixSettings) -> dict[str, str]:
    found = domain_inputs(workspace, "mix")
    names = token_domains(workspace)
    for name, path in settings.target_files.items():
        if name in names:
            raise RequestError(f"target: {name} is a domain; give the file {path} another name, as NAME=FILE")
        read_items(path)  # refused here, before anything is trained
        found[f"target:{name}"] = checksum(path)
    known = [*names, *settings.target_files]
    for where, named in (("target", settings.target), ("at_most", settings.at_most)):
        for name in named:
            if name not in known:
                raise unknown_name("held-out domain or target file", name, known, where=where)
    for name in settings.cost:
        if name not in names:
            raise unknown_name("domain", name, names, where="cost")
    without = [name for name in names if not open_tokens(workspace, name, "heldout").bytes]
    needed = [name for name in (*settings.target, *settings.at_most) if name in without]
    if without and not settings.weights():
        raise RequestError(
            f"{', '.join(without)} has no held-out text to be a target by; say with --target which count, or tokenize "
            f"with a larger --heldout"
        )
    if needed:
        raise RequestError(f"{', '.join(needed)} has no held-out text to be a target by; leave it out of the targets")
    if without and settings.online():
        follower = ", ".join(settings.online())
        raise RequestError(
            f"{follower} follows the loss of every domain, and {', '.join(without)} has no text held out"
        )
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
    demand_fresh(workspace, stage)
    return {table_name(name): workspace.table(table_name(name)).finished(stage).fingerprint for name in names}


def beside(settings: MixSettings) -> dict[str, float]:
    """What a search trains beside its mixtures, at most, in proxies: a model at validation size is several of them."""
    large = settings.fleet("validation").tokens_per_model / settings.proxy.tokens_per_model
    large *= block_parameters(settings.fleet("validation").config(1)) / block_parameters(settings.proxy.config(1))
    phases = len(set(settings.last_phases))
    return {
        "replicates": float(settings.replicates),
        "policies": float(sum(POLICIES[name] for name in settings.online())),
        "validation": large * settings.seeds * len(settings.validated()),
        "judging": large * settings.seeds * (JUDGED_MIXTURES if settings.measured else bool(phases)),
        "last_phases": sum(1 - length + settings.last_mixtures * length for length in set(settings.last_phases)),
    }


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
