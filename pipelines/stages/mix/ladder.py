"""The ladder: a few mixtures trained at several model sizes, to measure how well small proxies rank for larger ones.

Writes `mixture/ladder/`: a shard a wave, one row per model and evaluation as in `mixture/waves/`, and in the manifest's
details the rank correlation and pairwise accuracy from each size to the next. The mixtures are the first of the swarm
that `mix` would draw with the same seed; all sizes read the same rows in the same order. A wave that is there is not
trained again. Refuses fewer than two sizes and fewer than three mixtures.
"""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, model_validator

from ....corpus.store.shards import Shard, committed, filesystem, fingerprint, open_shard
from ....corpus.store.workspace import Workspace
from ....mixing.proxies import Wave, open_pool, proxy_schema, swarm_of, train_wave, waves
from ....mixing.recipe import rounded
from ....mixing.search.designs import dirichlet_swarm
from ....mixing.search.simplex import Limits
from ....proxy_models.fleets.fleet import FleetSettings
from ....proxy_models.fleets.ladder import rungs
from ...engine.stage import Plan, Report, Stage, shard_graph
from .settings import domain_inputs

LADDER = "mixture/ladder"


class LadderSettings(BaseModel, frozen=True, extra="forbid"):
    """Which sizes, and what each is trained on. `sizes`: name -> what differs from `proxy`, smallest first."""

    mixtures: int = Field(default=8, ge=3)
    replicates: int = Field(default=2, ge=0)  # extra seeds of the natural mixture: they measure the noise of a size
    proxy: FleetSettings = FleetSettings.model_validate({"evaluations": 4})
    sizes: dict[str, dict[str, Any]] = {name: {"d_model": int(name[1:])} for name in ("d32", "d64", "d128")}
    wave: int = Field(default=8, ge=1)  # models trained together
    heldout_tokens: int = Field(default=8192, ge=256)
    seed: int = 0

    @model_validator(mode="after")
    def _two_sizes(self) -> "LadderSettings":
        if len(self.sizes) < 2:
            raise ValueError(f"sizes: a ladder needs two at least, got {', '.join(self.sizes) or 'none'}")
        for name in self.sizes:
            self.fleet(name)
        return self

    def fleet(self, size: str) -> FleetSettings:
        """Settings of a size; groups are fixed, because a probe's choice would change the bytes."""
        changes = self.sizes[size]
        if "d_model" in changes:
            changes = {"d_ff": 3 * changes["d_model"], **changes}
        fixed = {"group": self.wave, "execution": "stacked", "threads": 1}
        return FleetSettings(**(self.proxy.model_dump() | changes | fixed))


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


def train(plan: Plan, item: tuple[str, Wave]) -> Iterator[Report]:
    """Train one wave at one size, or report its shard where it is already in place."""
    size, wave = item
    settings: LadderSettings = plan.settings
    fleet = settings.fleet(size)
    made_from = (fleet.model_dump(mode="json"), settings.heldout_tokens, plan.inputs, wave.names, wave.mixtures)
    stamp = fingerprint(plan.stage, plan.version, *made_from, wave.seeds)
    url = plan.workspace.table(LADDER).shard_url(wave.shard)
    shard = committed(url, stamp)
    if shard is None:
        pool = open_pool(plan.workspace.url, fingerprint(plan.inputs), settings.heldout_tokens)
        trail = plan.workspace.path(LADDER, "_unfinished", wave.shard)
        with open_shard(url, proxy_schema(pool.names, pool.targets), stamp) as out:
            out.write_rows(train_wave(pool, wave, wave.number * settings.wave, fleet, trail))
        fs, path = filesystem(trail)
        if fs.exists(path):
            fs.rm(path, recursive=True)
        shard = committed(url, stamp)
    yield LADDER, shard


def compared(plan: Plan, shards: list[Shard]) -> dict[str, Any]:
    """How the order of mixtures carries over, and the noise of each size."""
    settings: LadderSettings = plan.settings
    losses: dict[str, dict[str, np.ndarray]] = {}
    noise: dict[str, dict[str, float]] = {}
    targets: list[str] = []
    for size in settings.sizes:
        parts = [shard.name for shard in shards if shard.name.rsplit("-", 1)[0] == f"ladder-{size}"]
        swarm, _ = swarm_of(pa.concat_tables([_read(plan, name) for name in sorted(parts)]))
        targets = list(swarm.targets)
        final = dict(zip(swarm.runs, swarm.losses, strict=True))  # by mixture:seed
        own = f":{settings.seed}"
        losses[size] = {run.removesuffix(own): row for run, row in final.items() if run.endswith(own)}
        again = np.array([row for run, row in final.items() if run.startswith("natural:")])
        if len(again) > 1:
            noise[size] = dict(zip(targets, map(float, again.std(0, ddof=1)), strict=True))
    return {"rungs": rungs(losses, targets), "noise": noise}


def _read(plan: Plan, name: str) -> pa.Table:
    fs, path = filesystem(plan.workspace.table(LADDER).shard_url(name))
    with fs.open(path, "rb") as file:
        return pq.read_table(file)


def ladder_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection:
    """Waves of every size -> training -> one commit that compares the sizes."""
    work = ladder_waves(plan.workspace, plan.inputs, plan.settings)
    return shard_graph(pipeline, plan, work, train, lambda shards: compared(plan, shards[LADDER]), (LADDER,))


def ladder_work(_: Workspace, settings: LadderSettings) -> int:
    return len(settings.sizes) * -(-(settings.mixtures + settings.replicates) // settings.wave)


ladder = Stage[LadderSettings](
    name="ladder", version=1, tables=(LADDER,), inputs=ladder_inputs, graph=ladder_graph, work=ladder_work
)
