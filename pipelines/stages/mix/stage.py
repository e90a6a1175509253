"""Fit the mixture: a swarm of proxies, one regressor per target, the best mixture, validated, written as a recipe.

Writes `mixture/` (swarm.parquet, validation.parquet, table.parquet, fit.json, recipe.yaml) and, shard by shard while
it works, `mixture/waves/`. A wave is a shard: killed anywhere, the same command trains only what is missing, and a
changed target or regressor (with --force) reuses every wave that it does not concern. In several rounds, each later
one is chosen by the fit of those before. The proposal is trained again beside the natural, the uniform and the swarm's
best mixture, with several seeds; if it does not win, it says so. Where lengths of a last phase are given, branches
off the fitted mixture say whether another one should end the run; the recipe has two phases only if that is proven,
and then the whole of it is trained and compared as well (`mix_choice`).

Refuses one domain only, a cap on epochs that no mixture can keep, and a target that is not a held-out domain.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ....corpus.store.shards import Shard, filesystem, fingerprint
from ....mixing.handover import same_mixtures
from ....mixing.proxies import (
    Wave,
    fraction,
    mean_shares,
    open_pool,
    proxy_schema,
    swarm_of,
    target_files,
    train_wave,
    waves,
)
from ....mixing.recipe import rounded
from ....mixing.regression.ensemble import target_weights
from ....mixing.search.designs import dirichlet_swarm, nested_swarm, spread_swarm
from ....mixing.search.rounds import acquire, round_sizes
from ....mixing.swarm import Swarm
from ....mixing.target_files import JUDGED, SEARCHED
from ....mixing.two_phase import last_mixtures
from ....mixing.verdict import Choice, choose
from ....proxy_models.fleets.pool import TokenPool
from ...engine.graph import Report, Work, commit, done_or, gather, run_once, spread
from ...engine.stage import Plan, Stage
from .bounds import (
    LAST,
    MixSettings,
    compared,
    mix_inputs,
    recorded,
    run_limits,
    run_tokens,
    run_units,
    smallest_share,
    validation_seeds,
)
from .choice import JUDGES, decide
from .files import MIXTURE, MIXTURE_TABLE, WAVES, named_shards, wave_rows, write_mixture

if TYPE_CHECKING:
    import apache_beam as beam

__all__ = ["MIXTURE_TABLE", "MixSettings", "mix"]


def pool_of(plan: Plan, half: str = SEARCHED) -> TokenPool:
    """The pool, with that half of each target file."""
    settings: MixSettings = plan.settings
    files = tuple(sorted(settings.target_files.items()))
    tables = fingerprint(plan.inputs)
    return open_pool(plan.workspace.url, tables, settings.heldout_tokens, files, half, settings.target_tokens)


def half_of(kind: str) -> str:
    """The half of target files that models of a wave are measured on: only the last measurement sees the other."""
    return JUDGED if kind == JUDGES else SEARCHED


def part_seen(plan: Plan, kind: str) -> float:
    """The part of each domain that models of a wave may see."""
    if not plan.settings.repeat_as_run:
        return 1.0
    tokens = plan.settings.fleet(kind).tokens_per_model
    return min(1.0, tokens / run_tokens(plan, pool_of(plan).tokens))


def first_waves(plan: Plan) -> list[Wave]:
    """The first round as waves: the natural mixture and its replicates first, then the draws, then what policies move.

    Where an old mixture is reused, "natural" means the nearest to it that keeps the unchanged domains' proportions.
    """
    settings, pool = plan.settings, pool_of(plan)
    units, limits = run_units(plan, pool.names), run_limits(plan, pool.tokens, pool.names)
    within, centre = units.limits(limits), units.collapse(pool.natural)
    compared(plan, pool.names, pool.tokens, None)  # refuse a wrong mixture before anything is trained
    count = round_sizes(settings.mixtures, settings.rounds)[0] - 1
    if settings.design == "spread":
        drawn = spread_swarm(count, settings.seed, within)
    elif settings.design == "nested":
        drawn = nested_swarm(settings.groups, centre, count, settings.seed, within)
    else:
        drawn = dirichlet_swarm(centre, count, settings.seed, within)
    natural = exact(units.expand(centre), pool)
    runs: list[tuple[str, tuple[float, ...], int]] = [("natural", natural, settings.seed)]
    runs += [("natural", natural, settings.seed + 1 + number) for number in range(settings.replicates)]
    runs += named(units.expand(drawn), pool, settings.seed, 1)
    moved = [wave for name in settings.online() for wave in waves(name, [(name, natural, settings.seed)], 1)]
    return waves("swarm", runs, settings.wave) + moved


def exact(weights: np.ndarray, pool: TokenPool) -> tuple[float, ...]:
    return tuple(rounded(dict(zip(pool.names, weights, strict=True))).values())


def named(rows: np.ndarray, pool: TokenPool, seed: int, first: int) -> list[tuple[str, tuple[float, ...], int]]:
    return [(f"m{number:04d}", exact(weights, pool), seed) for number, weights in enumerate(rows, first)]


def next_waves(found: Iterator[Shard], plan: Plan, number: int) -> Iterator[Any]:
    """The waves of another round, chosen by a fit of those before; their shards travel on."""
    shards = sorted(found, key=lambda shard: shard.name)
    settings, pool = plan.settings, pool_of(plan)
    swarm_shards = named_shards(shards, "swarm")
    swarm, _ = swarm_of(wave_rows(plan, swarm_shards))
    units = run_units(plan, pool.names)
    sizes = round_sizes(settings.mixtures, settings.rounds)
    rows = acquire(
        units.swarm(swarm),
        target_weights(swarm.targets, settings.weights()),
        units.collapse(pool.natural),
        units.limits(run_limits(plan, pool.tokens, pool.names)),
        sizes[number],
        regressors=settings.regressors,
        seed=settings.seed + 7 * number,
        boldness=settings.boldness,
        least_gain=settings.least_gain,
    )
    runs = named(units.expand(rows), pool, settings.seed, sum(sizes[:number]))
    yield from waves("swarm", runs, settings.wave, first=len(swarm_shards))
    yield from shards


def validation_waves(plan: Plan, choice: Choice) -> list[Wave]:
    """Every mixture to validate with every seed."""
    seeds = validation_seeds(plan.settings)
    first = same_mixtures(choice.mixtures, plan.settings.validated())
    runs = [(name, choice.mixtures[name], seed) for name in first if first[name] == name for seed in seeds]
    return waves("validation", runs, plan.settings.wave)  # type: ignore[arg-type]


def last_waves(plan: Plan, choice: Choice) -> list[Wave]:
    """Branches off a trunk on the fitted mixture, for each length of a last phase; a wave trains its own trunk."""
    settings, pool = plan.settings, pool_of(plan)
    limits, first = run_limits(plan, pool.tokens, pool.names), np.array(choice.mixtures["fitted"])
    made = []
    for length in sorted(set(settings.last_phases)):
        rows = last_mixtures(first, pool.natural, length, settings.last_mixtures, settings.seed, limits)
        runs = [(f"l{number:04d}", exact(weights, pool), settings.seed + 2000) for number, weights in enumerate(rows)]
        kind = f"{LAST}{round(length * 1e6):06d}"
        parts = waves(kind, runs, settings.wave)
        made += [replace(wave, first=choice.mixtures["fitted"], length=length) for wave in parts]
    return made


def mix_graph(pipeline: "beam.Pipeline", plan: Plan) -> "beam.PCollection":
    """Round after round of swarm waves, the fit, validation waves, what judges the decision: all through one sink."""
    bare = plan.bare
    found = _trained(run_once(pipeline, "swarm", begin, plan), "swarm", plan)
    for number in range(1, plan.settings.rounds):
        chosen = gather(found, f"choose round {number + 1}", keyed, next_waves, bare, number)
        found = _trained(chosen, f"round {number + 1}", plan)
    found = _trained(gather(found, "fit", keyed, fit, bare), "validation", plan)
    found = _trained(gather(found, "decide", keyed, decided, bare), "judges", plan)
    return commit(gather(found, "write", write, bare), plan)


def _trained(items: "beam.PCollection", label: str, plan: Plan) -> "beam.PCollection":
    return spread(items, f"train {label}", train_or_pass, plan.bare)


def begin(_: Iterator[Any], plan: Plan) -> Iterator[tuple[str, Wave]]:
    for wave in first_waves(plan):
        yield wave.shard, wave


def keyed(items: Iterator[Any], function: Callable[..., Iterator[Any]], *more: Any) -> Iterator[tuple[str, Any]]:
    """What `function(items, *more)` yields, each under a key of its own, so that it can be spread."""
    for number, item in enumerate(function(items, *more)):
        yield item.shard if isinstance(item, Wave) else f"passed on {number}", item


def train(wave: Wave, plan: Plan) -> Iterator[Shard]:
    """Train a wave, or give its shard where it is in place already."""
    fleet = plan.settings.fleet(wave.kind)
    what = fleet.model_dump(mode="json")
    held, part = plan.settings.heldout_tokens, part_seen(plan, wave.kind)
    made_from = (what, held, part, plan.inputs, wave.names, wave.mixtures, wave.seeds, wave.first, wave.length)
    made_from += (wave.last,) if wave.last else ()
    made_from += (half_of(wave.kind), plan.settings.target_tokens) if plan.settings.target_files else ()
    stamp = fingerprint(plan.stage, plan.version, *made_from)
    work = Work(wave.shard, {}, load=(wave, fleet, part), stamp=stamp, lasting=True)
    yield from (shard for _, shard in done_or(plan, work, train_models))


def train_models(plan: Plan, work: Work) -> Iterator[Report]:
    """Train the models of a wave; one row per model and evaluation."""
    wave, fleet, part = work.load
    pool = pool_of(plan, half_of(wave.kind))
    seen = pool if part == 1.0 else fraction(pool, part, fleet.seq_len)
    trail = plan.workspace.path(WAVES, "_unfinished", wave.shard)
    with plan.writer(WAVES, wave.shard, proxy_schema(pool.names, pool.targets)) as writer:
        writer.write_rows(train_wave(seen, wave, wave.number * plan.settings.wave, fleet, trail))
    fs, path = filesystem(trail)
    if fs.exists(path):
        fs.rm(path, recursive=True)
    yield WAVES, writer.shard


def train_or_pass(item: Any, plan: Plan) -> Iterator[Any]:
    """Waves are trained; a choice and the shards of rounds before travel on."""
    if isinstance(item, Wave):
        yield from train(item, plan)
    else:
        yield item


def fit(found: Iterator[Shard], plan: Plan) -> Iterator[Any]:
    """Fit the gathered swarm; yield the validation waves, the choice and the swarm's shards."""
    shards = sorted(found, key=lambda shard: shard.name)
    swarm, diverged = swarm_of(wave_rows(plan, named_shards(shards, "swarm")))
    pool, settings = pool_of(plan), plan.settings
    choice = choose(
        swarm,
        pool.natural,
        run_limits(plan, pool.tokens, pool.names),
        target=settings.weights(),
        regressors=settings.regressors,
        seed=settings.seed,
        draws=settings.draws,
        others={
            **compared(plan, pool.names, pool.tokens, excess_of(swarm)),
            **{name: mean_shares(wave_rows(plan, named_shards(shards, name))) for name in settings.online()},
        },
        units=run_units(plan, pool.names),
        smallest=smallest_share(plan, pool.tokens),
        terms={"kl": settings.kl, "cost": settings.cost, "at_most": settings.at_most},
    )
    choice.report["diverged"] = diverged
    choice.report["target_files"] = target_files(settings.target_files, plan.workspace, pool, settings.target_tokens)
    yield from validation_waves(plan, choice)
    yield from last_waves(plan, choice)
    yield choice
    yield from shards


def excess_of(swarm: Swarm) -> np.ndarray | None:
    """(steps, D): how far the first natural proxy was, along its training, above the best any proxy reached."""
    if swarm.trajectories is None or not swarm.runs[0].startswith("natural:"):
        return None
    if not set(swarm.domains) <= set(swarm.targets):
        return None
    swarm = swarm.only(swarm.domains)
    assert swarm.trajectories is not None
    excess = swarm.trajectories[0] - swarm.losses.min(0)
    return np.repeat(excess, 50, axis=0)  # DoReMi steps its weights many times; evaluations are few


def decided(items: Iterator[Any], plan: Plan) -> Iterator[Any]:
    yield from decide(items, plan, pool_of(plan))


def write(items: Iterator[Any], plan: Plan) -> Iterator[Any]:
    yield from write_mixture(list(items), plan, pool_of(plan))


mix = Stage(
    "mix",
    5,  # rows with a question and its answers are measured by these, also where a text stands beside them
    (MIXTURE, WAVES),
    mix_inputs,
    mix_graph,
    details=lambda plan, shards, findings: findings[0],
    recorded=recorded,
    models=True,
)
