"""Fit, judge and optimise from CSV files alone: no workspace, no proxies of ours, no torch.

`fit_tables` is for mixtures and losses, `law_of_table` fits one of the laws, `spend_table` divides a budget of tokens
among domains and quality buckets. Refuses cells that are not numbers, naming the file, the line and the column, and
tables that a fit can learn nothing from. A domain of which no mixture of the table has any is proposed none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..corpus.store.errors import RequestError, unknown_name
from .card import card_of, pairs_of
from .recipe import Evidence, Recipe, RecipePhase, make_recipe, rounded
from .regression.ensemble import Fit, fit_swarm, report, target_weights
from .regression.ensemble import evaluate as judge
from .search.convex import exact, exponential_laws
from .search.designs import MINIMUM
from .search.optimise import Proposal, Terms, bounds_kept, compare, judged, propose, terms_of
from .search.responses import fit_details
from .search.simplex import Limits, without_crumbs
from .settings import FEWEST
from .swarm import Swarm, match_names, match_target, read_columns, read_swarm
from .tables import all_finite, checked, named_once, plain_values, read_csv

SEARCHES = ("ensemble", "exact")


def fit_tables(
    mixtures: str,
    losses: str,
    *,
    target: Mapping[str, float],
    evaluate: tuple[str, str] | None = None,
    regressors: Sequence[str] | None = None,
    prior: Mapping[str, float] | None = None,
    ceilings: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    kl: float = 0.0,
    cost: Mapping[str, float] | None = None,
    at_most: Mapping[str, float] | None = None,
    search: str = "ensemble",
    seed: int = 0,
    jobs: int = 1,
    details: bool = False,
) -> dict[str, Any]:
    """The report of `gristmill mix fit`: {fit, evaluation, proposal, comparison, card}, with `details` what plots show.

    cost    domain -> price per token, in units of the loss; at_most: loss column -> what the proposal must not exceed
    search  ensemble: draws and gradient on the stacked fit; exact: the convex programme of the exponential law
    target  loss column -> weight in the objective; only these are fitted; empty: all, alike
    prior   domain -> share, the mixture to search around and to compare with; default: the mean of the mixtures
    """
    swarm = read_swarm(mixtures, losses)
    weights = np.full(len(swarm.targets), 1 / len(swarm.targets))
    if search not in SEARCHES:
        raise unknown_name("search", search, SEARCHES, where="--search")
    all_finite(target, "--target")
    bounded = match_names(at_most, swarm.targets, "target", "--at-most")
    if target:
        asked = match_names(target, swarm.targets, "target", "--target")
        swarm = swarm.only(list({**asked, **bounded}))
        weights = target_weights(swarm.targets, asked)
    unseen = _unseen(swarm, *evaluate) if evaluate else None
    refuse_alike(swarm, mixtures, losses)
    centre = _prior(swarm, prior)
    limits, absent = _limits(swarm, ceilings, floors)
    priced = match_names(cost, swarm.domains, "domain", "--cost")
    terms = terms_of(swarm.domains, swarm.targets, centre, kl=kl, cost=priced, at_most=bounded)
    fit = fit_swarm(swarm, regressors, jobs=jobs, seed=seed)
    proposal = _proposal(fit, weights, centre, limits, terms, search, seed)
    best = swarm.weights[int(np.argmin(swarm.losses @ weights))]
    told: dict[str, Any] = {
        "fit": report(fit, centre),
        "target": dict(zip(swarm.targets, map(float, weights), strict=True)),
        "proposal": {
            "shares": rounded(dict(zip(swarm.domains, proposal.weights, strict=True))),
            "predicted": proposal.predicted,
            "low": proposal.low,
            "high": proposal.high,
            "gain": proposal.gain,
            "sensitivity": proposal.sensitivity,
            "how": proposal.how,
            "bounds": bounds_kept(fit, proposal.weights, terms),
            "never_measured": absent,
        },
        "comparison": compare(
            fit,
            weights,
            {
                "prior": centre,
                "uniform": np.full(len(centre), 1 / len(centre)),
                "best_of_swarm": best,
                "fitted": proposal.weights,
            },
        ),
    }
    told["card"] = _card(swarm, weights, {"natural": centre, "best_of_swarm": best, "fitted": proposal.weights})
    if details:
        told["details"] = fit_details(fit, proposal.weights, limits)
    if unseen is not None:
        fitted = {row.tobytes() for row in np.round(swarm.weights, 9)}
        told["evaluation"] = judge(fit, unseen)
        told["evaluation"]["fitted_on"] = sum(row.tobytes() in fitted for row in np.round(unseen.weights, 9))
    return told


def _proposal(
    fit: Fit, weights: np.ndarray, centre: np.ndarray, limits: Limits, terms: Terms, search: str, seed: int
) -> Proposal:
    """The best mixture, without shares below what mixtures are measured at: of those only the search knows, and few
    trainers can count them."""
    if search == "exact":
        found, _ = exact(exponential_laws(fit), weights, limits, terms)
        made = judged(fit, weights, centre, limits, found, "exact optimum of the exponential law", terms)
    else:
        made = propose(fit, weights, centre, limits, terms=terms, seed=seed)
    shares = fit.swarm.weights[fit.swarm.weights > 0]
    kept = without_crumbs(made.weights, min(MINIMUM, float(shares.min())), limits)
    if (kept == made.weights).all():
        return made
    return judged(fit, weights, centre, limits, kept, made.how, terms)


def refuse_alike(swarm: Swarm, mixtures: str, losses: str) -> None:
    """RequestError for tables that nothing can be learnt from: too few different mixtures, or losses all alike."""
    different = len(np.unique(np.round(swarm.weights, 9), axis=0))
    if different < FEWEST:
        raise RequestError(
            f"{mixtures} has {different} different mixtures in {len(swarm)} runs; a fit needs {FEWEST} of them at least"
        )
    spread, size = np.ptp(swarm.losses, axis=0), np.abs(swarm.losses).max(0)
    alike = [name for name, one in zip(swarm.targets, spread <= 1e-12 * size, strict=True) if one]
    if alike:
        raise RequestError(
            f"{losses}: {', '.join(alike)} is the same for every mixture, so it is no loss that a mixture could lower; "
            f"leave the column out, or name the others with --target"
        )


def _card(swarm: Swarm, weights: np.ndarray, mixtures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The decision card of the fitted mixture."""
    D = len(swarm.domains)
    named = {"uniform": np.full(D, 1 / D), **mixtures}
    card = card_of(swarm, weights, {name: row.tolist() for name, row in named.items()})
    return {"pairs": pairs_of(card, "fitted"), "targets": card["targets"], "own_weight": card["own_weight"]}


def facts_of_domains(domains: str, mixtures: str) -> dict[str, dict[str, Any]]:
    """What a recipe says of every domain of a table of mixtures, from a CSV with the columns domain, tokens,
    mean_tokens_per_document and bytes_per_token. Refuses a row that two domains would share."""
    table = read_csv(domains)
    places = [row[table.place("domain")] for row in table.rows]
    named_once(places, f"{domains}: a domain")
    numbers = {
        column: table.numbers(column, above=0.0) for column in ("tokens", "mean_tokens_per_document", "bytes_per_token")
    }
    facts: dict[str, dict[str, Any]] = {}
    taken: dict[int, str] = {}
    for name in read_columns(mixtures)[1]:
        row = match_target(name, places, "domain", domains)
        if row in taken:
            raise RequestError(f"{domains}: {places[row]} would be both {taken[row]} and {name}; give each a row")
        taken[row] = name
        facts[name] = {
            "tokens_available": round(numbers["tokens"][row]),
            "mean_tokens_per_document": numbers["mean_tokens_per_document"][row],
            "bytes_per_token": numbers["bytes_per_token"][row],
        }
    return facts


def recipe_of_fit(
    told: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]], total_tokens: int, seq_len: int, seed: int = 0
) -> Recipe:
    """The proposal of `fit_tables` as a recipe, which exporters take; facts of `facts_of_domains`."""
    evidence = Evidence(
        seed=seed,
        swarm={"mixtures": told["fit"]["runs"], "from": "tables of mixtures and losses"},
        regressor={
            name: {"members": row["members"], "cross_validated": row["cross_validated"]["ensemble"]}
            for name, row in plain_values(told["fit"]["targets"]).items()
        },
        target=dict(told["target"]),
        chosen="fitted, as predicted",
        predicted={key: told["proposal"][key] for key in ("predicted", "low", "high")},
        baselines=plain_values(told["comparison"]),
        card=plain_values(told["card"]),
        verdict="Predicted by a fit on tables; nothing was trained to check it.",
    )
    return make_recipe(
        name=f"{len(facts)} domains",
        total_tokens=total_tokens,
        domains=facts,
        phases=[RecipePhase(until=1.0, seq_len=seq_len, shares=told["proposal"]["shares"])],
        evidence=evidence,
    )


def _limits(
    swarm: Swarm, ceilings: Mapping[str, float] | None, floors: Mapping[str, float] | None
) -> tuple[Limits, list[str]]:
    """The limits asked for, and the domains of which no mixture has any: what they do is unknown, so they get none."""
    absent = [name for name, column in zip(swarm.domains, swarm.weights.T, strict=True) if not column.any()]
    highest = match_names(ceilings, swarm.domains, "domain", "--ceiling") | dict.fromkeys(absent, 0.0)
    lowest = match_names(floors, swarm.domains, "domain", "--floor")
    unknown = [name for name in absent if lowest.get(name)]
    if unknown:
        raise RequestError(f"--floor {unknown[0]}: no mixture has any of it, so nothing is known of what it does")
    return Limits.of(swarm.domains, ceilings=highest, floors=lowest), absent


def _unseen(swarm: Swarm, mixtures: str, losses: str) -> Swarm:
    """The swarm to judge on, with the columns of the fitted one in its order."""
    found = read_swarm(mixtures, losses)
    if set(found.domains) != set(swarm.domains):
        differ = sorted(set(found.domains) ^ set(swarm.domains))
        raise RequestError(f"{mixtures} has other domains than the mixtures fitted on: {', '.join(differ[:5])}")
    columns = [found.domains.index(name) for name in swarm.domains]
    chosen = [match_target(name, found.targets) for name in swarm.targets]
    return Swarm(swarm.domains, swarm.targets, found.weights[:, columns], found.losses[:, chosen], found.runs)


def _prior(swarm: Swarm, prior: Mapping[str, float] | None) -> np.ndarray:
    if not prior:
        return swarm.weights.mean(0)
    all_finite(prior, "--prior", least=0.0)
    full = match_names(prior, swarm.domains, "domain", "--prior")
    shares = np.array([full.get(name, 0.0) for name in swarm.domains])
    if shares.sum() <= 0:
        raise RequestError("--prior needs shares that are not all zero")
    return shares / shares.sum()


LAWS: dict[str, tuple[str, ...]] = {  # law -> the columns it needs, in the order of its inputs, the loss last
    "chinchilla": ("parameters", "tokens", "loss"),
    "data_constrained": ("unique_tokens", "tokens", "loss"),
    "dcpt": ("parameters", "tokens", "share", "loss"),
    "overtrained": ("compute", "tokens_per_parameter", "loss"),
    "power": ("tokens", "loss"),
}


def law_of_table(
    path: str,
    law: str,
    *,
    columns: Sequence[str] = (),
    flops: bool = False,
    leave_out: int = 0,
    at: Sequence[Sequence[float]] = (),
    compute: float | None = None,
    bootstrap: int = 0,
    beyond: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit a law to the rows of a CSV file; the report of `gristmill mix law`.

    columns   the file's own names for what LAWS[law] lists, in that order
    flops     chinchilla: the second column holds training FLOPs, from which tokens are FLOPs / 6 / parameters
    leave_out chinchilla: so many rows, those with the fewest tokens a parameter, are not fitted
    at        inputs to predict at; refused far beyond the data unless `beyond`
    compute   chinchilla: FLOPs to divide between parameters and tokens
    """
    from .laws import chinchilla, mixture, repetition

    if law not in LAWS:
        raise unknown_name("law", law, LAWS, where="--law")
    if (flops or compute is not None or leave_out) and law != "chinchilla":
        raise RequestError(f"--flops, --leave-out and --compute belong to chinchilla, not to {law}")
    names = tuple(columns) or LAWS[law]
    if len(names) != len(LAWS[law]):
        raise RequestError(f"{law} needs {len(LAWS[law])} columns ({', '.join(LAWS[law])}), {len(names)} were named")
    named_once(names, "--columns: a column")
    table = read_csv(path)
    kinds = LAWS[law]
    rows = np.array([table.numbers(name, **_range(kind)) for name, kind in zip(names, kinds, strict=True)]).T
    inputs, losses = rows[:, :-1], rows[:, -1]
    if compute is not None:
        checked(compute, "--compute", above=0.0)
    if not 0 <= leave_out <= len(losses):
        raise RequestError(f"--leave-out {leave_out}: {path} has {len(losses)} rows")
    if flops:
        inputs = np.column_stack([inputs[:, 0], inputs[:, 1] / 6 / inputs[:, 0]])
    if leave_out:
        kept = np.sort(np.argsort(inputs[:, 1] / inputs[:, 0], kind="stable")[leave_out:])
        inputs, losses = inputs[kept], losses[kept]
    fits = {
        "chinchilla": chinchilla.fit_chinchilla,
        "data_constrained": repetition.fit_repetition,
        "dcpt": mixture.fit_dcpt,
        "overtrained": chinchilla.fit_overtrained,
        "power": mixture.fit_power,
    }
    for point in at:
        _check_point(law, point)
    if len(losses) and np.ptp(losses) <= 1e-12 * losses.max(initial=0.0):
        raise RequestError(f"{path}: {names[-1]} is the same in every row, so it says nothing of {law}")
    fit = fits[law](*inputs.T, losses, bootstrap=bootstrap, seed=seed)
    told: dict[str, Any] = {
        "law": law,
        "rows": len(losses),
        "values": dict(zip(fit.names, map(float, fit.values), strict=True)),
        "starts_agreed": fit.agreed,
        "relative_error": float(np.sqrt(np.mean(np.log(fit.law(fit.values, inputs) / losses) ** 2))),
    }
    if bootstrap:
        told["standard_errors"] = {name: float(value) for name, value in fit.standard_errors().items()}
    if law == "chinchilla":
        told["constants"] = chinchilla.constants(fit)
    if compute:
        told["optimal"] = dict(zip(("parameters", "tokens"), chinchilla.optimal_split(fit, compute), strict=True))
    for point in at:
        row: dict[str, Any] = {"at": list(point), "loss": float(fit.predict(np.array([point]), allow=beyond)[0])}
        if bootstrap:
            low, high = fit.interval(np.array([point]), allow=beyond)
            row |= {"low": float(low[0]), "high": float(high[0])}
        told.setdefault("predicted", []).append(row)
    return told


def _check_point(law: str, point: Sequence[float]) -> None:
    """Refuse a point to predict at that is none of the law's inputs."""
    kinds = LAWS[law][:-1]
    if len(point) != len(kinds):
        raise RequestError(f"--at needs {len(kinds)} numbers ({', '.join(kinds)}), not {list(point)}")
    for kind, value in zip(kinds, point, strict=True):
        checked(value, f"--at {','.join(f'{cell:g}' for cell in point)}: {kind}", **_range(kind))


def spend_table(
    path: str, tokens: float, *, target: Mapping[str, float], max_epochs: float, unit: float
) -> dict[str, Any]:
    """A CSV of domain, bucket, tokens, utility, half_life and a budget; the report of `gristmill mix spend`."""
    from .laws.joint import spend
    from .laws.repetition import Bucket

    checked(tokens, "the budget of tokens", above=0.0)
    checked(max_epochs, "--max-epochs", above=0.0)
    checked(unit, "--unit", above=0.0)
    table = read_csv(path)
    names = [row[table.place("domain")] for row in table.rows]
    buckets = [row[table.place("bucket")] for row in table.rows]
    sizes, half_lives = (table.numbers(column, above=0.0) for column in ("tokens", "half_life"))
    utilities = table.numbers("utility")
    domains: dict[str, list[Bucket]] = {}
    rows = zip(names, buckets, sizes, utilities, half_lives, table.lines, strict=True)
    for name, bucket, size, utility, half_life, line in rows:
        if not name:
            raise RequestError(f"{path} line {line}: no domain is named")
        if utility >= 0:
            raise RequestError(f"{path} line {line}: utility of {name} {bucket} is {utility:g}; it must be below 0")
        if any(one.name == bucket for one in domains.get(name, [])):
            raise RequestError(f"{path} line {line}: bucket {bucket!r} of {name} is there twice")
        domains.setdefault(name, []).append(Bucket(bucket, size, utility, half_life))
    found = spend(domains, tokens, target=target or None, max_epochs=max_epochs, unit=unit)
    return {"tokens": tokens, "domains": [asdict(one) for one in found]}


def _range(kind: str) -> dict[str, float]:
    """What an input of a law can be: a share between 0 and 1, everything else above 0."""
    return {"most": 1.0} if kind == "share" else {"above": 0.0}
