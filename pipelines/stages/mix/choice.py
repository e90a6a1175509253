"""What the recipe holds, decided from what was measured, and the runs that judge that decision.

By prediction: the fitted mixture, and another one for the end of the run where the branches prove its gain; then the
whole recipe of two phases is trained beside the mixtures of the validation, with their seeds. By measurement: the best
mixture of the validation, trained again with the next best, the natural and the uniform one and fresh seeds, because
the lowest of several measurements is also the luckiest; what they show decides (`mixing.handover`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....corpus.store.shards import Shard
from ....mixing.handover import ranking, same_mixtures
from ....mixing.proxies import Wave, swarm_of, waves
from ....mixing.recipe import rounded
from ....mixing.two_phase import LastPhase, best_last_phase
from ....mixing.verdict import FITTED, TWO_PHASE, Choice, Decision, validate
from ....proxy_models.fleets.pool import TokenPool
from ...engine.stage import Plan
from .bounds import LAST, run_limits, smallest_share, validation_seeds
from .files import final_losses, named_shards, wave_rows

JUDGES = "final"  # waves of seeds that chose nothing
FRESH = 2000  # added to the seeds of the validation: no seed is used twice


def decide(found: Iterable[Any], plan: Plan, pool: TokenPool) -> Iterator[Any]:
    """The decision, the waves that judge it, and everything else as it came."""
    items = list(found)
    choice = next(item for item in items if isinstance(item, Choice))
    shards = sorted((item for item in items if isinstance(item, Shard)), key=lambda shard: shard.name)
    yield from items
    if plan.settings.measured:
        ranked = ranked_by_validation(plan, choice, shards)
        yield Decision(ranked[0], ranked=tuple(ranked))
        yield from fresh_waves(plan, choice, ranked)
        return
    decision = Decision(FITTED, tuple(last_phases(plan, pool, choice, shards)))
    yield decision
    if decision.last is not None:
        yield from two_phase_waves(plan, pool, choice, decision.last)


def ranked_by_validation(plan: Plan, choice: Choice, shards: Sequence[Shard]) -> list[str]:
    """The validated mixtures, the best first: by the target and the terms that were asked for. Equal ones are one."""
    measured = final_losses(wave_rows(plan, named_shards(shards, "validation")))
    rows = validate(measured, choice.report["predicted"], choice.report["target"], "natural")["mixtures"]
    values = {name: row["bits_per_byte"] for name, row in rows.items()}
    bounds = plan.settings.at_most
    kept = {name: all(row["domains"][t] <= bound for t, bound in bounds.items()) for name, row in rows.items()}
    return ranking(values, choice.penalties, kept)


def fresh_waves(plan: Plan, choice: Choice, ranked: Sequence[str]) -> list[Wave]:
    """The best two mixtures, the natural and the uniform one with seeds that no other run had."""
    first = same_mixtures(choice.mixtures, plan.settings.validated())
    beside = [first[name] for name in ("natural", "uniform") if name in first]
    names = list(dict.fromkeys([*beside, *ranked[:2]]))
    seeds = [seed + FRESH for seed in validation_seeds(plan.settings)]
    return waves(JUDGES, [(name, choice.mixtures[name], seed) for name in names for seed in seeds], plan.settings.wave)


def two_phase_waves(plan: Plan, pool: TokenPool, choice: Choice, end: LastPhase) -> list[Wave]:
    """The whole recipe, trained with the seeds of the validation."""
    runs = [(TWO_PHASE, choice.mixtures[FITTED], seed) for seed in validation_seeds(plan.settings)]
    last = tuple(rounded(dict(zip(pool.names, end.shares, strict=True))).values())
    parts = waves("twophase", runs, plan.settings.wave)
    return [replace(wave, last=(last,) * len(wave.names), length=end.length) for wave in parts]


def last_phases(plan: Plan, pool: TokenPool, choice: Choice, shards: Sequence[Shard]) -> list[LastPhase]:
    """What the branches say: the best mixture of each length of a last phase, the largest gain first."""
    swarms = {}
    for length in set(plan.settings.last_phases):
        rows = wave_rows(plan, named_shards(shards, f"{LAST}{round(length * 1e6):06d}"))
        swarms[length], _ = swarm_of(rows)
    if not swarms:
        return []
    return best_last_phase(
        swarms,
        np.array(choice.mixtures[FITTED]),
        np.array(list(choice.report["target"].values())),
        run_limits(plan, pool.tokens, pool.names),
        regressors=plan.settings.regressors,
        seed=plan.settings.seed,
        draws=plan.settings.draws,
        smallest=smallest_share(plan, pool.tokens),
        terms={"kl": plan.settings.kl, "cost": plan.settings.cost, "at_most": plan.settings.at_most},
        prior=pool.natural,
    )
