"""The ladder: a few mixtures trained at several model sizes, to measure how well small proxies rank for larger ones.

Writes `mixture/ladder/`: a shard a wave, one row per model and evaluation as in `mixture/waves/`, and in the manifest's
details the rank correlation and pairwise accuracy from each size to the next. The mixtures are the first of the swarm
that `mix` would draw with the same seed; all sizes read the same rows in the same order. A wave that is there is not
trained again. Refuses fewer than two sizes and fewer than three mixtures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ....corpus.store.shards import Shard, filesystem, fingerprint
from ....corpus.store.soundness import opened
from ....corpus.store.workspace import Workspace
from ....mixing.proxies import Wave, open_pool, proxy_schema, swarm_of, train_wave, waves
from ....mixing.recipe import rounded
from ....mixing.search.designs import dirichlet_swarm
from ....mixing.search.simplex import Limits
from ....proxy_models.fleets.ladder import rungs
from ...engine.graph import Report, Work, commit, done_or, map_blocks
from ...engine.stage import Plan, Stage
from .bounds import domain_inputs
from .settings import LadderSettings as LadderSettings

LADDER = "mixture/ladder"


def ladder_inputs(workspace: Workspace, settings: LadderSettings) -> dict[str, str]:
    return domain_inputs(workspace, "ladder")


def ladder_waves(workspace: Workspace, inputs: dict[str, str], settings: LadderSettings) -> list[tuple[str, Wave]]:
    """(size, wave): the natural mixture with its replicates, then draws around it; the same at every size."""
    pool = open_pool(workspace.url, fingerprint(inputs), settings.heldout_tokens)
    rows = [pool.natural, *dirichlet_swarm(pool.natural, settings.mixtures - 1, settings.seed, Limits.of(pool.names))]
    exact = [tuple(rounded(dict(zip(pool.names, row, strict=True))).values()) for row in rows]
    names = ["natural", *(f"m{number:04d}" for number in range(1, len(rows)))]
    runs = [(name, row, settings.seed) for name, row in zip(names, exact, strict=True)]
    runs += [("natural", exact[0], settings.seed + 1 + number) for number in range(settings.replicates)]
    return [(size, wave) for size in settings.sizes for wave in waves(f"ladder-{size}", runs, settings.wave)]


def train(work: Work, plan: Plan[LadderSettings]) -> Iterator[Report]:
    """Train one wave at one size, or report its shard where it is already in place."""
    size, wave = work.load
    fleet = plan.settings.fleet(size)
    made_from = (fleet.model_dump(mode="json"), plan.settings.heldout_tokens, plan.inputs, wave.names, wave.mixtures)
    stamp = fingerprint(plan.stage, plan.version, *made_from, wave.seeds)
    yield from done_or(plan, replace(work, stamp=stamp, lasting=True), train_models)


def train_models(plan: Plan[LadderSettings], work: Work) -> Iterator[Report]:
    """One row per model of the wave and evaluation."""
    size, wave = work.load
    settings = plan.settings
    pool = open_pool(plan.workspace.url, fingerprint(plan.inputs), settings.heldout_tokens)
    trail = plan.workspace.path(LADDER, "_unfinished", wave.shard)
    with plan.writer(LADDER, wave.shard, proxy_schema(pool.names, pool.targets)) as out:
        out.write_rows(train_wave(pool, wave, wave.number * settings.wave, settings.fleet(size), trail))
    fs, path = filesystem(trail)
    if fs.exists(path):
        fs.rm(path, recursive=True)
    yield LADDER, out.shard


def compared(plan: Plan, shards: Sequence[Shard]) -> dict[str, Any]:
    """How the order of mixtures carries over, and the noise of each size."""
    settings: LadderSettings = plan.settings
    losses: dict[str, dict[str, np.ndarray]] = {}
    noise: dict[str, dict[str, float]] = {}
    targets: list[str] = []
    for size in settings.sizes:
        parts = [shard for shard in shards if shard.name.rsplit("-", 1)[0] == f"ladder-{size}"]
        swarm, _ = swarm_of(pa.concat_tables([_read(plan, shard) for shard in parts]))
        targets = list(swarm.targets)
        final = dict(zip(swarm.runs, swarm.losses, strict=True))  # by mixture:seed
        own = f":{settings.seed}"
        losses[size] = {run.removesuffix(own): row for run, row in final.items() if run.endswith(own)}
        again = np.array([row for run, row in final.items() if run.startswith("natural:")])
        if len(again) > 1:
            noise[size] = dict(zip(targets, map(float, again.std(0, ddof=1)), strict=True))
    return {"rungs": rungs(losses, targets), "noise": noise}


def _read(plan: Plan, shard: Shard) -> pa.Table:
    with opened(*filesystem(plan.workspace.table(LADDER).file_url(shard))) as file:
        return pq.read_table(file)


def ladder_items(plan: Plan[LadderSettings]) -> list[Work]:
    return [
        Work(wave.shard, {}, load=(size, wave))
        for size, wave in ladder_waves(plan.workspace, plan.inputs, plan.settings)
    ]


ladder = Stage[LadderSettings](
    name="ladder",
    command="mix ladder",
    version=1,
    tables=(LADDER,),
    inputs=ladder_inputs,
    graph=lambda pipeline, plan: commit(map_blocks(pipeline, plan, train), plan),
    items=ladder_items,
    whole=True,
    details=lambda plan, shards, _: compared(plan, shards[LADDER]),
)
