"""The files of `mixture/`: what was measured, what was compared, the fit and the recipe.

Everything is written from the shards of the waves and the choice that the fit made; nothing is trained or fitted here.
Refuses a validation proxy that diverged: without it there is no verdict.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..corpus.refusal import WorkspaceError
from ..corpus.shards import STAMP, Shard, checksum, filesystem, fingerprint, replacing
from ..mixing.proxies import domain_facts, fleet_flops, swarm_of
from ..mixing.recipe import Evidence, Phase, Recipe, Tokenizer, dump_recipe, make_recipe
from ..mixing.two_phase import LastPhase, best_last_phase
from ..mixing.verdict import Choice, validate
from ..proxy_models.pool import TokenPool
from ..training.shards import open_tokens, table_name
from .mix_settings import run_limits, run_tokens
from .stage import Plan

WAVES, MIXTURE = "mixture/waves", "mixture"
LAST = "last"  # waves of branches are named last and the millionths of their phase


def wave_rows(plan: Plan, shards: Iterable[Shard]) -> pa.Table:
    table = plan.workspace.table(WAVES)
    parts = []
    for name in sorted(shard.name for shard in shards):
        fs, path = filesystem(table.shard_url(name))
        with fs.open(path, "rb") as file:
            parts.append(pq.read_table(file))
    return pa.concat_tables(parts)


def commit_mixture(items: Sequence[Any], plan: Plan, pool: TokenPool) -> Iterator[str]:
    """Gather what was measured, write the files of `mixture/`, then both manifests."""
    choice = next(item for item in items if isinstance(item, Choice))
    shards = sorted((item for item in items if isinstance(item, Shard)), key=lambda shard: shard.name)
    swarm_rows = wave_rows(plan, [shard for shard in shards if shard.name.startswith("swarm-")])
    validation_rows = wave_rows(plan, [shard for shard in shards if shard.name.startswith("validation-")])
    target = choice.report["target"]
    validation = validate(_final(validation_rows), choice.report["predicted"], target)
    ends = last_phases(plan, pool, choice, [shard for shard in shards if shard.name.startswith(LAST)])
    recipe = recipe_of(plan, pool, choice, validation, ends)
    told = {**choice.report, "validation": validation, "last_phases": [end.told(pool.names) for end in ends]}
    written = [
        _write_table(plan, "swarm.parquet", swarm_rows),
        _write_table(plan, "validation.parquet", validation_rows),
        _write_table(plan, "table.parquet", mixture_table(recipe, choice, validation)),
        _write_text(plan, "fit.json", json.dumps(told, indent=1) + "\n"),
        _write_text(plan, "recipe.yaml", dump_recipe(recipe)),
    ]
    details = {
        **{key: validation[key] for key in ("verdict", "mixtures", "order_held", "pairs_held")},
        "shares": choice.mixtures,
        "predicted": choice.report["predicted"],
        "last_phases": told["last_phases"],
    }
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


def last_phases(plan: Plan, pool: TokenPool, choice: Choice, shards: Sequence[Shard]) -> list[LastPhase]:
    """What the branches say: the best mixture of each length of a last phase, the largest gain first."""
    swarms = {}
    for length in set(plan.settings.last_phases):
        kind = f"{LAST}{round(length * 1e6):06d}-"
        swarms[length], _ = swarm_of(wave_rows(plan, [shard for shard in shards if shard.name.startswith(kind)]))
    if not swarms:
        return []
    return best_last_phase(
        swarms,
        np.array(choice.mixtures["fitted"]),
        np.array(list(choice.report["target"].values())),
        run_limits(plan, pool.tokens, pool.names),
        regressors=plan.settings.regressors,
        seed=plan.settings.seed,
        draws=plan.settings.draws,
    )


def phases_of(plan: Plan, pool: TokenPool, choice: Choice, ends: Sequence[LastPhase]) -> list[Phase]:
    """One phase, or two where the best last phase has a gain whose interval lies above 0."""
    seq_len = plan.settings.seq_len
    fitted = dict(zip(pool.names, choice.mixtures["fitted"], strict=True))
    if not ends or not ends[0].gain["proven"]:
        return [Phase(until=1.0, seq_len=seq_len, shares=fitted)]
    last = dict(zip(pool.names, map(float, ends[0].shares), strict=True))
    begun = round(1 - ends[0].length, 9)
    return [Phase(until=begun, seq_len=seq_len, shares=fitted), Phase(until=1.0, seq_len=seq_len, shares=last)]


def recipe_of(
    plan: Plan, pool: TokenPool, choice: Choice, validation: dict[str, Any], ends: Sequence[LastPhase]
) -> Recipe:
    """The fitted mixture as a recipe for the run, with its evidence."""
    settings, told = plan.settings, choice.report
    facts = domain_facts(plan.workspace, pool.names)
    total = run_tokens(plan, pool.tokens)
    tokens = open_tokens(plan.workspace, pool.names[0], "train").facts
    proxy, check = settings.fleet("swarm"), settings.fleet("validation")
    runs = settings.mixtures + settings.replicates
    evidence = Evidence(
        seed=settings.seed,
        swarm={
            "mixtures": settings.mixtures,
            "replicates": settings.replicates,
            "rounds": settings.rounds,
            "units": told["domains"],
            **({"last_phases": [end.told(pool.names) for end in ends]} if ends else {}),
            "diverged": told["diverged"],
            "tokens_per_proxy": proxy.tokens_per_model,
            "validation_tokens": check.tokens_per_model,
            "flops": fleet_flops(proxy, pool.vocab_size, runs),
            "validation_flops": fleet_flops(check, pool.vocab_size, settings.seeds * len(settings.validated())),
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
        phases=phases_of(plan, pool, choice, ends),
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
        ("predicted", pa.float64()),  # by the fit, for the proxies of the swarm; null where the fit cannot say
        ("predicted_low", pa.float64()),
        ("predicted_high", pa.float64()),
    ]
)


def mixture_table(recipe: Recipe, choice: Choice, validation: dict[str, Any]) -> pa.Table:
    """One row per mixture and domain: what was compared, in tokens and epochs of the run, foretold and measured."""
    rows = []
    for mixture, shares in choice.mixtures.items():
        measured = validation["mixtures"].get(mixture, {})
        predicted = choice.report["predicted"].get(mixture, {})
        for (name, domain), share in zip(sorted(recipe.domains.items()), shares, strict=True):
            rows.append(
                {
                    "mixture": mixture,
                    "domain": name,
                    "share": share,
                    "tokens": round(share * recipe.total_tokens),
                    "tokens_available": domain.tokens_available,
                    "epochs": share * recipe.total_tokens / domain.tokens_available,
                    "bits_per_byte": measured.get("domains", {}).get(name),
                    "target_bits_per_byte": measured.get("bits_per_byte"),
                    "target_spread": measured.get("spread"),
                    "predicted": predicted.get("predicted"),
                    "predicted_low": predicted.get("low"),
                    "predicted_high": predicted.get("high"),
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
