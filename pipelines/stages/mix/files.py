"""The files of `mixture/`: what was measured, what was compared, the fit and the recipe.

Everything is written from the shards of the waves and the choice that the fit made; nothing is trained or fitted here.
Refuses a validation proxy that diverged: without it there is no verdict.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ....corpus.store.errors import WorkspaceError
from ....corpus.store.shards import Shard, filesystem
from ....corpus.store.soundness import opened
from ....mixing.card import pairs_of
from ....mixing.handover import same_mixtures, settled
from ....mixing.proxies import ONLINE, domain_facts, fleet_flops
from ....mixing.recipe import Evidence, Recipe, RecipePhase, Tokenizer, dump_recipe, make_recipe
from ....mixing.tables import as_json, plain_values
from ....mixing.target_files import trained_on
from ....mixing.verdict import FITTED, TWO_PHASE, Choice, Decision, two_phase_predicted, validate
from ....proxy_models.fleets.pool import TokenPool
from ....training.data.overlap import held_out_overlap
from ....training.data.shards import open_tokens, table_name
from ...engine.graph import Report
from ...engine.stage import Plan
from .bounds import run_tokens

WAVES, MIXTURE = "mixture/waves", "mixture"
Losses = dict[str, dict[int, dict[str, float]]]  # mixture -> seed -> target -> bits per byte


def wave_rows(plan: Plan, shards: Iterable[Shard]) -> pa.Table:
    table = plan.workspace.table(WAVES)
    parts = []
    for shard in sorted(shards, key=lambda shard: shard.name):
        with opened(*filesystem(table.file_url(shard))) as file:
            parts.append(pq.read_table(file))
    return pa.concat_tables(parts)


def named_shards(shards: Iterable[Shard], kind: str) -> list[Shard]:
    """The shards of the waves of one kind."""
    return [shard for shard in shards if shard.name.startswith(f"{kind}-")]


def write_mixture(items: Sequence[Any], plan: Plan, pool: TokenPool) -> Iterator[Any]:
    """Gather what was measured and write the files of `mixture/`; the shards of the waves pass through."""
    choice = next(item for item in items if isinstance(item, Choice))
    decision = next(item for item in items if isinstance(item, Decision))
    shards = sorted((item for item in items if isinstance(item, Shard)), key=lambda shard: shard.name)
    kinds = {kind: named_shards(shards, kind) for kind in ("swarm", "validation", "twophase", "final")}
    predicted = {**choice.report["predicted"]}
    mixtures = dict(choice.mixtures)
    if decision.last is not None:
        predicted[TWO_PHASE] = two_phase_predicted(predicted[FITTED], decision.last.gain)
        mixtures[TWO_PHASE] = whole_run(mixtures[FITTED], decision)
    target = choice.report["target"]
    trained = wave_rows(plan, [*kinds["validation"], *kinds["twophase"]])
    same = same_mixtures(choice.mixtures, plan.settings.validated())
    measured = final_losses(trained, same)
    fresh = final_losses(wave_rows(plan, kinds["final"])) if kinds["final"] else {}
    over: dict[str, Any] = {}
    if decision.ranked:
        over = handed_over(decision.ranked, measured, fresh, target, choice.penalties)
        decision = replace(decision, mixture=over["name"])
    name = decision.name
    validation = validate(measured, predicted, target, name)
    if fresh:
        again = validate(fresh, predicted, target, name)
        validation |= {"fresh": again["mixtures"], "handed_over": over, "verdict": handed_over_told(over)}
    parts = choice.report["card"]
    card = plain_values({**parts, "pairs": pairs_of(parts, name)})
    recipe = recipe_of(plan, pool, choice, decision, predicted, validation, card)
    ends = [end.told(pool.names) for end in decision.ends]
    told = {**choice.report, "predicted": predicted, "validation": validation, "last_phases": ends, "chosen": name}
    yield from (
        _write_table(plan, "swarm.parquet", wave_rows(plan, kinds["swarm"])),
        _write_table(plan, "validation.parquet", trained),
        _write_table(plan, "table.parquet", mixture_table(recipe, mixtures, predicted, validation)),
        _write_text(plan, "fit.json", as_json(told, indent=1) + "\n"),
        _write_text(plan, "recipe.yaml", dump_recipe(recipe)),
    )
    yield from ((WAVES, shard) for shard in shards)
    yield plain_values(
        {
            **validation,
            "chosen": name,
            "bounds": choice.report["bounds"],
            "shares": mixtures,
            "predicted": predicted,
            "last_phases": ends,
            "target_files": choice.report["target_files"],
            "card": card,
        }
    )


def handed_over(
    ranked: Sequence[str],
    measured: Losses,
    fresh: Losses,
    target: Mapping[str, float],
    penalties: Mapping[str, float],
) -> dict[str, Any]:
    """What `mixing.handover.settled` says of the objective: the target, and the price of a mixture."""

    def objective(losses: Losses) -> dict[str, dict[int, float]]:
        return {
            name: {
                seed: sum(target[t] * found[t] for t in target if target[t]) + penalties.get(name, 0.0)
                for seed, found in seeds.items()
            }
            for name, seeds in losses.items()
        }

    judged, before = objective(fresh), objective(measured)
    return settled(ranked, judged, {name: {**before[name], **seeds} for name, seeds in judged.items()})


def handed_over_told(over: Mapping[str, Any]) -> str:
    """One or two sentences: what is handed over, why, and how far it is from natural and uniform."""
    beside = [
        f"{row['gain']:+.4f} against {name}" + ("" if row["low"] is None else f" [{row['low']:.4f}, {row['high']:.4f}]")
        for name, row in over["against"].items()
        if name in ("natural", "uniform")
    ]
    seeds = next((row["seeds"] for row in over["against"].values()), 0)
    told = (
        f" With {seeds} fresh {'seed' if seeds == 1 else 'seeds'} its bits per byte are lower by {', '.join(beside)}."
        if beside
        else ""
    )
    return f"Handed over: {over['name']}; {over['reason']}.{told}"


def final_losses(rows: pa.Table, same: Mapping[str, str] | None = None) -> Losses:
    """mixture -> seed -> target -> bits per byte at the last step. Refuses a proxy that diverged.

    same  name -> the mixture of the very same shares that was trained in its place
    """
    measured: dict[str, dict[int, dict[str, float]]] = {}
    last = max(rows["step"].to_pylist())
    for row in rows.to_pylist():
        if row["step"] == last:
            if not row["alive"]:
                raise WorkspaceError(f"the validation proxy of {row['mixture']}, seed {row['seed']}, diverged")
            measured.setdefault(row["mixture"], {})[row["seed"]] = row["losses"]
    return measured | {name: measured[other] for name, other in (same or {}).items() if other in measured}


def whole_run(fitted: Sequence[float], decision: Decision) -> tuple[float, ...]:
    """Shares of the tokens of a whole run of two phases."""
    assert decision.last is not None
    length = decision.last.length
    return tuple(float((1 - length) * a + length * b) for a, b in zip(fitted, decision.last.shares, strict=True))


def phases_of(plan: Plan, pool: TokenPool, choice: Choice, decision: Decision) -> list[RecipePhase]:
    """One phase, or two where the best last phase has a gain whose interval lies above 0."""
    seq_len = plan.settings.seq_len
    first = dict(zip(pool.names, choice.mixtures[decision.mixture], strict=True))
    if decision.last is None:
        return [RecipePhase(until=1.0, seq_len=seq_len, shares=first)]
    last = dict(zip(pool.names, map(float, decision.last.shares), strict=True))
    begun = round(1 - decision.last.length, 9)
    return [
        RecipePhase(until=begun, seq_len=seq_len, shares=first),
        RecipePhase(until=1.0, seq_len=seq_len, shares=last),
    ]


def recipe_of(
    plan: Plan,
    pool: TokenPool,
    choice: Choice,
    decision: Decision,
    predicted: Mapping[str, dict[str, float]],
    validation: dict[str, Any],
    card: dict[str, Any],
) -> Recipe:
    """The chosen mixture as a recipe for the run, with its evidence."""
    settings, told = plan.settings, choice.report
    facts = domain_facts(plan.workspace, pool.names)
    total = run_tokens(plan, pool.tokens)
    tokens = open_tokens(plan.workspace, pool.names[0], "train").facts
    proxy, check = settings.fleet("swarm"), settings.fleet("validation")
    runs = settings.mixtures + settings.replicates + sum(ONLINE[name] for name in settings.online())
    checked = sum(row["seeds"] for rows in ("mixtures", "fresh") for row in validation.get(rows, {}).values())
    evidence = Evidence(
        seed=settings.seed,
        swarm={
            "mixtures": settings.mixtures,
            "replicates": settings.replicates,
            "rounds": settings.rounds,
            "units": told["domains"],
            **({"last_phases": [end.told(pool.names) for end in decision.ends]} if decision.ends else {}),
            "diverged": told["diverged"],
            "tokens_per_proxy": proxy.tokens_per_model,
            "validation_tokens": check.tokens_per_model,
            "flops": fleet_flops(proxy, pool.vocab_size, runs),
            "validation_flops": fleet_flops(check, pool.vocab_size, checked),
            **({"target_files": told["target_files"]} if told["target_files"] else {}),
        },
        regressor={
            name: {"members": row["members"], "cross_validated": row["cross_validated"]["ensemble"]}
            for name, row in told["targets"].items()
        },
        target=told["target"],
        chosen=f"{decision.name}, as {'measured' if settings.measured else 'predicted'}",
        predicted=predicted.get(decision.name, {}),
        baselines={name: row for name, row in predicted.items() if name != decision.name},
        validation=validation["mixtures"],
        fresh=validation.get("fresh", {}),
        card=card,
        verdict=validation["verdict"],
        overlap={
            **{name: vars(one) for name, one in held_out_overlap(plan.workspace).items() if name in pool.names},
            **{name: vars(one) for name, one in trained_on(plan.workspace, plan.settings.target_files).items()},
        },
    )
    return make_recipe(
        name=f"{len(pool.names)} domains",
        total_tokens=total,
        domains=facts,
        phases=phases_of(plan, pool, choice, decision),
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


def mixture_table(
    recipe: Recipe,
    mixtures: Mapping[str, Sequence[float]],
    foretold: Mapping[str, dict[str, float]],
    validation: dict[str, Any],
) -> pa.Table:
    """One row per mixture and domain: what was compared, in tokens and epochs of the run, foretold and measured."""
    rows = []
    for mixture, shares in mixtures.items():
        measured = validation["mixtures"].get(mixture, {})
        predicted = foretold.get(mixture, {})
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


def _write_table(plan: Plan, name: str, rows: pa.Table) -> Report:
    with plan.file(MIXTURE, name) as out:
        pq.write_table(rows.replace_schema_metadata(None), out.path, compression="zstd")
        out.rows = rows.num_rows
    return MIXTURE, out.shard


def _write_text(plan: Plan, name: str, text: str) -> Report:
    return plan.put(MIXTURE, name, text.encode())
