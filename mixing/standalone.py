"""Fit, judge and optimise from CSV files alone: no workspace, no proxies of ours, no torch.

`fit_tables` is for mixtures and losses, `law_of_table` fits one of the laws, `spend_table` divides a budget of tokens
among domains and quality buckets. Refuses cells that are not numbers, naming the file, the line and the column.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..corpus.store.errors import RequestError, unknown_name
from ..corpus.store.shards import filesystem
from .recipe import rounded
from .regression.ensemble import evaluate as judge
from .regression.ensemble import fit_swarm, report, target_weights
from .search.convex import exact, exponential_laws
from .search.optimise import bounds_kept, compare, judged, propose, terms_of
from .search.simplex import Limits
from .swarm import Swarm, match_target, plain, read_swarm

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
) -> dict[str, Any]:
    """The report of `gristmill mix fit`: {fit, evaluation, proposal, comparison}.

    cost    domain -> price per token, in units of the loss; at_most: loss column -> what the proposal must not exceed
    search  ensemble: draws and gradient on the stacked fit; exact: the convex programme of the exponential law
    target  loss column -> weight in the objective; only these are fitted; empty: all, alike
    prior   domain -> share, the mixture to search around and to compare with; default: the mean of the mixtures
    """
    swarm = read_swarm(mixtures, losses)
    weights = np.full(len(swarm.targets), 1 / len(swarm.targets))
    if search not in SEARCHES:
        raise unknown_name("search", search, SEARCHES, where="--search")
    bounded = {swarm.targets[match_target(name, swarm.targets)]: bound for name, bound in (at_most or {}).items()}
    if target:
        asked = {swarm.targets[match_target(name, swarm.targets)]: weight for name, weight in target.items()}
        swarm = swarm.only(list({**asked, **bounded}))
        weights = target_weights(swarm.targets, asked)
    unseen = _unseen(swarm, *evaluate) if evaluate else None
    centre = _prior(swarm, prior)
    names = dict(zip(map(plain, swarm.domains), swarm.domains, strict=True))
    limits = Limits.of(
        swarm.domains,
        ceilings={names.get(plain(name), name): value for name, value in (ceilings or {}).items()},
        floors={names.get(plain(name), name): value for name, value in (floors or {}).items()},
    )
    fit = fit_swarm(swarm, regressors, jobs=jobs, seed=seed)
    priced = {names.get(plain(name), name): price for name, price in (cost or {}).items()}
    terms = terms_of(swarm.domains, swarm.targets, centre, kl=kl, cost=priced, at_most=bounded)
    if search == "exact":
        found, _ = exact(exponential_laws(fit), weights, limits, terms)
        proposal = judged(fit, weights, centre, limits, found, "exact optimum of the exponential law", terms)
    else:
        proposal = propose(fit, weights, centre, limits, terms=terms, seed=seed)
    best = swarm.weights[int(np.argmin(swarm.losses @ weights))]
    told: dict[str, Any] = {
        "fit": report(fit, centre),
        "proposal": {
            "shares": rounded(dict(zip(swarm.domains, proposal.weights, strict=True))),
            "predicted": proposal.predicted,
            "low": proposal.low,
            "high": proposal.high,
            "gain": proposal.gain,
            "sensitivity": proposal.sensitivity,
            "how": proposal.how,
            "bounds": bounds_kept(fit, proposal.weights, terms),
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
    if unseen is not None:
        told["evaluation"] = judge(fit, unseen)
    return told


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
    shares = np.zeros(len(swarm.domains))
    for name, value in prior.items():
        shares[match_target(name, swarm.domains)] = value
    if (shares < 0).any() or shares.sum() <= 0:
        raise RequestError("--prior needs shares >= 0 that are not all zero")
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
    if (flops or compute or leave_out) and law != "chinchilla":
        raise RequestError(f"--flops, --leave-out and --compute belong to chinchilla, not to {law}")
    names = tuple(columns) or LAWS[law]
    if len(names) != len(LAWS[law]):
        raise RequestError(f"{law} needs {len(LAWS[law])} columns ({', '.join(LAWS[law])}), {len(names)} were named")
    rows = np.array([[float(cell) for cell in row] for row in read_table(path, names)])
    inputs, losses = rows[:, :-1], rows[:, -1]
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
        if len(point) != inputs.shape[1]:
            raise RequestError(f"--at needs {inputs.shape[1]} numbers ({', '.join(LAWS[law][:-1])}), not {list(point)}")
    fit = fits[law](*inputs.T, losses, bootstrap=bootstrap, seed=seed)
    told: dict[str, Any] = {
        "law": law,
        "rows": len(losses),
        "values": dict(zip(fit.names, map(float, fit.values), strict=True)),
        "starts_agreed": fit.agreed,
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


def spend_table(
    path: str, tokens: float, *, target: Mapping[str, float], max_epochs: float, unit: float
) -> dict[str, Any]:
    """A CSV of domain, bucket, tokens, utility, half_life and a budget; the report of `gristmill mix spend`."""
    from .laws.joint import spend
    from .laws.repetition import Bucket

    domains: dict[str, list[Bucket]] = {}
    for domain, bucket, *numbers in read_table(path, ("domain", "bucket", "tokens", "utility", "half_life"), text=2):
        size, utility, half_life = map(float, numbers)
        if size <= 0 or utility >= 0 or half_life <= 0:
            raise RequestError(f"{path}: {domain} {bucket}: tokens and half_life must be > 0 and utility < 0")
        domains.setdefault(str(domain), []).append(Bucket(str(bucket), size, utility, half_life))
    found = spend(domains, tokens, target=target or None, max_epochs=max_epochs, unit=unit)
    return {"tokens": tokens, "domains": [asdict(one) for one in found]}


def read_table(path: str, columns: Sequence[str], text: int = 0) -> list[list[str]]:
    """The cells of some columns of a CSV file, row by row; all but the first `text` of them are checked as numbers."""
    fs, inner = filesystem(path)
    if not fs.exists(inner):
        raise RequestError(f"no file {path}")
    with fs.open(inner, "rb") as file:
        rows = list(csv.DictReader(file.read().decode("utf-8-sig").splitlines()))
    if not rows:
        raise RequestError(f"{path} has no rows under its header")
    for name in columns:
        if name not in rows[0]:
            raise unknown_name("column", name, [key for key in rows[0] if key], where=path)
    for number, row in enumerate(rows, 2):
        for name in columns[text:]:
            try:
                float(row[name])
            except (TypeError, ValueError):
                raise RequestError(f"{path} line {number}: {name} is {row[name]!r}, not a number") from None
    return [[row[name] for name in columns] for row in rows]
