"""Fit the mixture: a swarm of proxies, one regressor per target, the best mixture, validated, written as a recipe.

Writes `mixture/` (swarm.parquet, validation.parquet, table.parquet, fit.json, recipe.yaml) and, shard by shard while
it works, `mixture/waves/`. A wave is a shard: killed anywhere, the same command trains only what is missing, and a
changed target or regressor (with --force) reuses every wave that it does not concern. The proposal is trained again
beside the natural, the uniform and the swarm's best mixture, with several seeds; if it does not win, it says so.

Refuses one domain only, a cap on epochs that no mixture can keep, and a target that is not a held-out domain.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from ..corpus.refusal import RequestError, WorkspaceError, unknown_name
from ..corpus.shards import STAMP, Shard, checksum, committed, filesystem, fingerprint, open_shard, replacing
from ..corpus.workspace import Workspace
from ..mixing.designs import dirichlet_swarm, spread_swarm
from ..mixing.proxies import (
    Wave,
    domain_facts,
    fleet_flops,
    open_pool,
    proxy_schema,
    swarm_of,
    train_wave,
    waves,
)
from ..mixing.recipe import Evidence, Phase, Recipe, Tokenizer, dump_recipe, make_recipe, rounded
from ..mixing.simplex import Limits
from ..mixing.verdict import Choice, choose, validate
from ..proxy_models.fleet import FleetSettings
from ..training.shards import domains as token_domains
from ..training.shards import open_tokens, table_name
from .stage import Plan, Stage

WAVES, MIXTURE = "mixture/waves", "mixture"


class MixSettings(BaseModel, frozen=True, extra="forbid"):
    """How the search is made. `proxy` and `validation` are the models; the recipe is for `total_tokens`."""

    mixtures: int = Field(default=32, ge=8)
    replicates: int = Field(default=2, ge=0)  # extra seeds of the natural mixture: they measure the noise
    design: Literal["dirichlet", "spread"] = "dirichlet"
    proxy: FleetSettings = FleetSettings.model_validate({"evaluations": 4})
    validation: FleetSettings | None = None  # default: the proxy at twice its steps
    seeds: int = Field(default=3, ge=1)
    wave: int = Field(default=8, ge=1)  # models trained together
    heldout_tokens: int = Field(default=8192, ge=256)
    target: dict[str, float] = {}  # held-out domain -> weight; nothing said: every domain alike
    regressors: tuple[str, ...] | None = None
    total_tokens: int | None = Field(default=None, gt=0)  # of the run; default: every token once
    max_epochs: float = Field(default=4.0, gt=0)
    floors: dict[str, float] = {}
    ceilings: dict[str, float] = {}
    seq_len: int = Field(default=256, gt=1)  # of the run
    draws: int = Field(default=20_000, ge=100)
    seed: int = 0

    def fleet(self, kind: str) -> FleetSettings:
        """Settings of the models of a wave; groups are fixed, because a probe's choice would change the bytes."""
        settings = self.proxy
        if kind == "validation":
            settings = self.validation or self.proxy.model_copy(update={"steps": 2 * self.proxy.steps})
        return settings.model_copy(update={"group": settings.group or self.wave, "execution": "stacked", "threads": 1})


def mix_inputs(workspace: Workspace, settings: MixSettings) -> dict[str, str]:
    names = token_domains(workspace)
    if not names:
        workspace.table("tokens").finished("mix")
    if len(names) < 2:
        raise RequestError(f"a mixture needs two domains at least, {workspace.url} has {', '.join(names)}")
    for name in settings.target:
        if name not in names:
            raise unknown_name("held-out domain", name, names, where="target")
    return {table_name(name): workspace.table(table_name(name)).finished("mix").fingerprint for name in names}


def _pool(plan: Plan) -> Any:
    return open_pool(plan.workspace.url, fingerprint(plan.inputs), plan.settings.heldout_tokens)


def run_limits(plan: Plan, available: np.ndarray, names: list[str]) -> Limits:
    settings = plan.settings
    return Limits.of(
        names,
        available=available,
        total_tokens=settings.total_tokens or int(available.sum()),
        max_epochs=settings.max_epochs,
        floors=settings.floors,
        ceilings=settings.ceilings,
    )


def swarm_waves(plan: Plan) -> list[Wave]:
    """The designed swarm as waves: the natural mixture and its replicates first, then the draws."""
    settings = plan.settings
    pool = _pool(plan)
    limits = run_limits(plan, pool.tokens, pool.names)
    if settings.design == "spread":
        drawn = spread_swarm(settings.mixtures - 1, settings.seed, limits)
    else:
        drawn = dirichlet_swarm(pool.natural, settings.mixtures - 1, settings.seed, limits)
    natural = tuple(rounded(dict(zip(pool.names, pool.natural, strict=True))).values())
    runs: list[tuple[str, Any, int]] = [("natural", natural, settings.seed)]
    runs += [("natural", natural, settings.seed + 1 + number) for number in range(settings.replicates)]
    for number, weights in enumerate(drawn, 1):
        exact = rounded(dict(zip(pool.names, weights, strict=True)))
        runs.append((f"m{number:04d}", tuple(exact.values()), settings.seed))
    return waves("swarm", runs, settings.wave)


def validation_waves(plan: Plan, choice: Choice) -> list[Wave]:
    """Every mixture to validate with every seed; other seeds than the swarm's, so that no luck is carried over."""
    seeds = [plan.settings.seed + 1000 + number for number in range(plan.settings.seeds)]
    runs = [(name, weights, seed) for name, weights in choice.mixtures.items() for seed in seeds]
    return waves("validation", runs, plan.settings.wave)  # type: ignore[arg-type]


def mix_graph(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection[str]:
    """Swarm waves, the fit, validation waves, the commit: two rounds through one sink."""
    return (
        pipeline
        | "swarm" >> beam.Create(swarm_waves(plan))
        | "spread swarm" >> beam.Reshuffle()
        | "train swarm" >> beam.FlatMap(train, plan)
        | "one swarm" >> beam.Map(lambda shard: (0, shard))
        | "gather swarm" >> beam.GroupByKey()
        | "fit" >> beam.FlatMap(fit, plan)
        | "spread validation" >> beam.Reshuffle()
        | "train validation" >> beam.FlatMap(train_or_pass, plan)
        | "one result" >> beam.Map(lambda result: (0, result))
        | "gather validation" >> beam.GroupByKey()
        | "commit" >> beam.FlatMap(commit_mixture, plan)
    )


def train(wave: Wave, plan: Plan) -> Iterator[Shard]:
    """Train a wave, or report its shard where it is already in place."""
    fleet = plan.settings.fleet(wave.kind)
    what = fleet.model_dump(mode="json")
    held = plan.settings.heldout_tokens
    stamp = fingerprint(plan.stage, plan.version, what, held, plan.inputs, wave.names, wave.mixtures, wave.seeds)
    url = plan.workspace.table(WAVES).shard_url(wave.shard)
    shard = committed(url, stamp)
    if shard is None:
        pool = _pool(plan)
        trail = plan.workspace.path(WAVES, "_unfinished", wave.shard)
        with open_shard(url, proxy_schema(pool.names, pool.targets), stamp) as writer:
            writer.write_rows(train_wave(pool, wave, wave.number * plan.settings.wave, fleet, trail))
        fs, path = filesystem(trail)
        if fs.exists(path):
            fs.rm(path, recursive=True)
        shard = committed(url, stamp)
        assert shard is not None
    yield shard


def train_or_pass(item: Any, plan: Plan) -> Iterator[Any]:
    """Validation waves are trained; the choice and the swarm's shards travel on to the commit."""
    if isinstance(item, Wave):
        yield from train(item, plan)
    else:
        yield item


def _rows(plan: Plan, shards: Iterable[Shard]) -> pa.Table:
    table = plan.workspace.table(WAVES)
    parts = []
    for name in sorted(shard.name for shard in shards):
        fs, path = filesystem(table.shard_url(name))
        with fs.open(path, "rb") as file:
            parts.append(pq.read_table(file))
    return pa.concat_tables(parts)


def fit(group: tuple[int, Iterable[Shard]], plan: Plan) -> Iterator[Any]:
    """Fit the gathered swarm; yield the validation waves, the choice and the swarm's shards."""
    shards = list(group[1])
    swarm, diverged = swarm_of(_rows(plan, shards))
    pool, settings = _pool(plan), plan.settings
    choice = choose(
        swarm,
        pool.natural,
        run_limits(plan, pool.tokens, pool.names),
        target=settings.target,
        regressors=settings.regressors,
        seed=settings.seed,
        draws=settings.draws,
    )
    choice.report["diverged"] = diverged
    yield from validation_waves(plan, choice)
    yield choice
    yield from shards


def commit_mixture(group: tuple[int, Iterable[Any]], plan: Plan) -> Iterator[str]:
    """Gather what was measured, write the files of `mixture/`, then both manifests."""
    items = list(group[1])
    choice = next(item for item in items if isinstance(item, Choice))
    shards = sorted((item for item in items if isinstance(item, Shard)), key=lambda shard: shard.name)
    swarm_rows = _rows(plan, [shard for shard in shards if shard.name.startswith("swarm-")])
    validation_rows = _rows(plan, [shard for shard in shards if shard.name.startswith("validation-")])
    target = choice.report["target"]
    validation = validate(_final(validation_rows), choice.report["predicted"], target)
    recipe = _recipe(plan, choice, validation)
    written = [
        _write_table(plan, "swarm.parquet", swarm_rows),
        _write_table(plan, "validation.parquet", validation_rows),
        _write_table(plan, "table.parquet", mixture_table(recipe, choice, validation)),
        _write_text(plan, "fit.json", json.dumps({**choice.report, "validation": validation}, indent=1) + "\n"),
        _write_text(plan, "recipe.yaml", dump_recipe(recipe)),
    ]
    details = {"verdict": validation["verdict"], "mixtures": validation["mixtures"], "shares": choice.mixtures}
    yield plan.workspace.table(MIXTURE).write_manifest(plan.manifest(MIXTURE, written, details))
    yield plan.workspace.table(WAVES).write_manifest(plan.manifest(WAVES, shards, details))


def _final(rows: pa.Table) -> dict[str, dict[int, dict[str, float]]]:
    """mixture -> seed -> target -> bits per byte at the last step."""
    measured: dict[str, dict[int, dict[str, float]]] = {}
    last = max(rows["step"].to_pylist())
    for row in rows.to_pylist():
        if row["step"] == last:
            if not row["alive"]:
                raise WorkspaceError(f"the validation proxy of {row['mixture']}, seed {row['seed']}, diverged")
            measured.setdefault(row["mixture"], {})[row["seed"]] = row["losses"]
    return measured


def _recipe(plan: Plan, choice: Choice, validation: dict[str, Any]) -> Recipe:
    settings, pool, told = plan.settings, _pool(plan), choice.report
    facts = domain_facts(plan.workspace, pool.names)
    fitted = dict(zip(pool.names, choice.mixtures["fitted"], strict=True))
    total = settings.total_tokens or int(pool.tokens.sum())
    tokens = open_tokens(plan.workspace, pool.names[0], "train").facts
    proxy, check = settings.fleet("swarm"), settings.fleet("validation")
    runs = settings.mixtures + settings.replicates
    evidence = Evidence(
        seed=settings.seed,
        swarm={
            "mixtures": settings.mixtures,
            "replicates": settings.replicates,
            "diverged": told["diverged"],
            "tokens_per_proxy": proxy.tokens_per_model,
            "validation_tokens": check.tokens_per_model,
            "flops": fleet_flops(proxy, pool.vocab_size, runs),
            "validation_flops": fleet_flops(check, pool.vocab_size, settings.seeds * len(choice.mixtures)),
        },
        regressor={
            name: {"members": row["members"], "cross_validated": row["cross_validated"]["ensemble"]}
            for name, row in told["targets"].items()
        },
        target=told["target"],
        predicted=told["predicted"]["fitted"],
        baselines={name: row for name, row in told["predicted"].items() if name != "fitted"},
        validation=validation["mixtures"],
        verdict=validation["verdict"],
    )
    return make_recipe(
        name=f"{len(pool.names)} domains",
        total_tokens=total,
        domains=facts,
        phases=[Phase(until=1.0, seq_len=settings.seq_len, shares=fitted)],
        tokenizer=Tokenizer(sha256=tokens.tokenizer, vocab_size=tokens.vocab_size, bos=tokens.bos, eos=tokens.eos),
        shards={name: plan.inputs[table_name(name)] for name in pool.names},
        evidence=evidence,
    )


MIXTURE_TABLE = pa.schema(
    [
        ("mixture", pa.string()),
        ("domain", pa.string()),
        ("share", pa.float64()),
        ("tokens", pa.int64()),  # of the run
        ("tokens_available", pa.int64()),
        ("epochs", pa.float64()),
        ("bits_per_byte", pa.float64()),  # of the validation proxies on this domain, mean over seeds
        ("target_bits_per_byte", pa.float64()),  # of the validation proxies on the target, mean over seeds
        ("target_spread", pa.float64()),
    ]
)


def mixture_table(recipe: Recipe, choice: Choice, validation: dict[str, Any]) -> pa.Table:
    """One row per mixture and domain: what was compared, in tokens and epochs of the run, and what it measured."""
    rows = []
    for mixture, shares in choice.mixtures.items():
        measured = validation["mixtures"][mixture]
        for (name, domain), share in zip(sorted(recipe.domains.items()), shares, strict=True):
            rows.append(
                {
                    "mixture": mixture,
                    "domain": name,
                    "share": share,
                    "tokens": round(share * recipe.total_tokens),
                    "tokens_available": domain.tokens_available,
                    "epochs": share * recipe.total_tokens / domain.tokens_available,
                    "bits_per_byte": measured["domains"].get(name),
                    "target_bits_per_byte": measured["bits_per_byte"],
                    "target_spread": measured["spread"],
                }
            )
    return pa.Table.from_pylist(rows, schema=MIXTURE_TABLE)


def _write_table(plan: Plan, name: str, rows: pa.Table) -> Shard:
    url = plan.workspace.table(MIXTURE).shard_url(name)
    with replacing(url) as scratch:
        pq.write_table(rows.replace_schema_metadata({STAMP: fingerprint(plan.recorded)}), scratch, compression="zstd")
    return _shard(url, name, rows.num_rows)


def _write_text(plan: Plan, name: str, text: str) -> Shard:
    url = plan.workspace.table(MIXTURE).shard_url(name)
    with replacing(url) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(text)
    return _shard(url, name, 1)


def _shard(url: str, name: str, rows: int) -> Shard:
    fs, path = filesystem(url)
    return Shard(name, rows, int(fs.size(path) or 0), checksum(url))


def mix_work(workspace: Workspace, settings: MixSettings) -> int:
    runs = settings.mixtures + settings.replicates
    return -(-runs // settings.wave) + -(-settings.seeds * 4 // settings.wave)


mix = Stage("mix", 1, (WAVES, MIXTURE), mix_inputs, mix_graph, mix_work)
