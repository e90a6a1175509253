"""The proxies of a search: what a swarm of one workspace costs, is trained on, and measured.

A wave is the unit of work: some mixtures trained together by `proxy_models.fleet`, whose rows are one shard: one per
model and evaluation, or per stretch where a policy moves the shares. Waves depend on nothing but their own mixtures and
seeds, so several machines can share a swarm. Bits per byte on held-out text is the loss everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from ..corpus.store.errors import WorkspaceError
from ..corpus.store.workspace import Workspace
from ..proxy_models.fleets.fleet import FleetSettings, train_fleet
from ..proxy_models.fleets.pool import DomainPool, TokenPool
from ..training.data.round_trip import check_round_trip
from ..training.data.shards import open_tokens
from ..training.transformer import flops_per_token
from .online import ADO, doremi, nats_per_bit, own_pool, train_online
from .swarm import Swarm
from .target_files import HALF_TOKENS, SEARCHED, halves, held_out, read_items, tokenizer_of, told_of
from .two_phase import branches, phase_steps

ONLINE = {"doremi": 2, "ado": 1}  # mixtures that a policy finds on proxies -> how many proxies it takes
STRETCHES = 20  # in which a policy moves the shares of a proxy


@dataclass(frozen=True)
class Wave:
    """Models trained together. One entry per model in `names`, `mixtures` and `seeds`.

    length  share of the run that is its last phase; 0: one phase
    first   of a wave of branches: what their trunk was trained on
    last    of runs of two phases: what each model ends on
    """

    kind: str  # swarm, doremi, ado, last…, validation, twophase or final
    number: int
    names: tuple[str, ...]
    mixtures: tuple[tuple[float, ...], ...]
    seeds: tuple[int, ...]
    length: float = 0.0
    first: tuple[float, ...] = ()
    last: tuple[tuple[float, ...], ...] = ()

    @property
    def shard(self) -> str:
        return f"{self.kind}-{self.number:04d}.parquet"


def waves(kind: str, runs: Sequence[tuple[str, Sequence[float], int]], size: int, first: int = 0) -> list[Wave]:
    """Runs (name, mixture, seed) cut into waves of at most `size` models, numbered from `first`."""
    cut = [runs[begin : begin + size] for begin in range(0, len(runs), size)]
    return [
        Wave(
            kind,
            number,
            tuple(name for name, _, _ in part),
            tuple(tuple(float(share) for share in mixture) for _, mixture, _ in part),
            tuple(seed for _, _, seed in part),
        )
        for number, part in enumerate(cut, first)
    ]


@lru_cache(maxsize=2)
def open_pool(
    url: str,
    tables: str,
    heldout_tokens: int,
    files: tuple[tuple[str, str], ...] = (),
    half: str = SEARCHED,
    half_tokens: int = HALF_TOKENS,
) -> TokenPool:
    """The token pool of a workspace, kept between waves of one process; `tables` is the fingerprint of its tokens.

    files  (name, path) of targets that are files, of which one half is measured. A domain without held-out text is no
           target.
    """
    workspace = Workspace(url)
    pool = TokenPool.from_workspace(workspace, heldout_tokens=heldout_tokens, required=())
    if not files:
        return pool
    facts = open_tokens(workspace, pool.names[0], "train").facts
    tokenizer = tokenizer_of(workspace, facts)
    found = []
    for name, path in files:
        items = read_items(path)
        texts = [item.context + item.continuations[item.gold] for item in items]
        check_round_trip(tokenizer.to_str(), tokenizer, {name: texts}, "the tokenizer of the workspace")
        found.append(held_out(name, halves(items)[half], tokenizer, facts, half_tokens))
    return pool.measured_on(*pool.heldout, *found)


def target_files(
    files: Mapping[str, str], workspace: Workspace, pool: TokenPool, half_tokens: int = HALF_TOKENS
) -> dict[str, Any]:
    """What a report says of each target file: its items, and what is measured of each half."""
    if not files:
        return {}
    facts = open_tokens(workspace, pool.names[0], "train").facts
    tokenizer = tokenizer_of(workspace, facts)
    told = {}
    for name, path in files.items():
        items = read_items(path)
        parts = {h: held_out(name, own, tokenizer, facts, half_tokens) for h, own in halves(items).items()}
        told[name] = told_of(parts, len(items), path, half_tokens)
    return told


def fraction(pool: TokenPool, part: float, seq_len: int) -> TokenPool:
    """The pool with so much of each domain's tokens: whole documents from its beginning, one training row at least.

    A proxy on a tenth of the run's tokens that sees a tenth of each domain repeats it as often as the run will.
    """
    cut = []
    for domain in pool.domains:
        least = max(part * len(domain.tokens), seq_len + 1)
        documents = min(int(np.searchsorted(domain.offsets, least)), len(domain.offsets) - 1)
        end = int(domain.offsets[documents])
        cut.append(DomainPool(domain.name, domain.tokens[:end], domain.offsets[: documents + 1]))
    return replace(pool, domains=tuple(cut))


def proxy_schema(domains: Sequence[str], targets: Sequence[str]) -> pa.Schema:
    """One row per model and evaluation."""
    return pa.schema(
        [
            ("run", pa.int64()),
            ("mixture", pa.string()),
            ("seed", pa.int64()),
            ("step", pa.int64()),
            ("tokens", pa.int64()),
            ("alive", pa.bool_()),
            ("weights", pa.struct([(name, pa.float64()) for name in domains])),
            ("losses", pa.struct([(name, pa.float64()) for name in targets])),  # bits per byte, null once diverged
        ]
    )


def train_wave(pool: TokenPool, wave: Wave, first_run: int, fleet: FleetSettings, trail: str | None) -> Iterator[Any]:
    """Train the wave; yield its rows in the order of models, then steps."""
    if wave.kind in ONLINE:
        yield from train_policy(pool, wave, first_run, fleet)
        return
    rows = np.array(wave.mixtures)
    if wave.first:
        result = branches(pool, np.array(wave.first), rows, wave.length, fleet, wave.seeds[0], trail)
    elif wave.last:
        ends = np.array(wave.last)
        last = (phase_steps(fleet, wave.length)[0], ends)
        result = train_fleet(pool, rows, fleet, list(wave.seeds), checkpoint=trail, last=last)
        result = replace(result, mixtures=(1 - wave.length) * rows + wave.length * ends)
    else:
        result = train_fleet(pool, rows, fleet, list(wave.seeds), checkpoint=trail)
    for k, name in enumerate(wave.names):
        weights = dict(zip(result.domains, map(float, result.mixtures[k]), strict=True))
        for c, step in enumerate(result.steps):
            values = [float(value) if np.isfinite(value) else None for value in result.bits_per_byte[k, c]]
            yield {
                "run": first_run + k,
                "mixture": name,
                "seed": wave.seeds[k],
                "step": int(step),
                "tokens": int(step) * fleet.sequences * fleet.seq_len,
                "alive": bool(result.alive[k]),
                "weights": weights,
                "losses": dict(zip(result.targets, values, strict=True)),
            }


def train_policy(pool: TokenPool, wave: Wave, first_run: int, fleet: FleetSettings) -> Iterator[Any]:
    """Train a proxy whose shares a policy moves, beginning with the wave's mixture; yield a row for each stretch."""
    prior, seed, own = np.array(wave.mixtures[0]), wave.seeds[0], own_pool(pool)
    count = max(2, min(STRETCHES, fleet.steps // 2))
    if wave.kind == "doremi":
        run = doremi(pool, prior, fleet, count, seed)
    else:
        run = train_online(pool, ADO(prior), prior, fleet, count, seed)
    bits = run.losses / nats_per_bit(own)
    tokens = run.tokens_per_model // count
    for number, (shares, losses) in enumerate(zip(run.shares, bits, strict=True), 1):
        yield {
            "run": first_run,
            "mixture": wave.kind,
            "seed": seed,
            "step": number * (fleet.steps // count),
            "tokens": number * tokens,
            "alive": True,
            "weights": dict(zip(pool.names, map(float, shares), strict=True)),
            "losses": {**dict.fromkeys(pool.targets), **dict(zip(own.targets, map(float, losses), strict=True))},
        }


def mean_shares(rows: pa.Table) -> np.ndarray:
    """(D,) the mean over the stretches of `train_policy`: the mixture that the policy found."""
    return np.array([list(weights.values()) for weights in rows["weights"].to_pylist()]).mean(0)


def swarm_of(rows: pa.Table) -> tuple[Swarm, int]:
    """The swarm in a table of proxy rows, and how many runs were left out because they diverged."""
    domains = [field.name for field in rows.schema.field("weights").type]
    targets = [field.name for field in rows.schema.field("losses").type]
    runs: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows.to_pylist():
        runs.setdefault(row["run"], []).append(row)
    alive = [sorted(part, key=lambda row: row["step"]) for _, part in sorted(runs.items()) if part[0]["alive"]]
    if not alive:
        raise WorkspaceError("every proxy diverged; lower proxy.lr and run: gristmill mix --settings FILE --force")
    weights = np.array([[part[-1]["weights"][name] for name in domains] for part in alive])
    trajectories = np.array([[[row["losses"][name] for name in targets] for row in part] for part in alive], float)
    names = tuple(f"{part[0]['mixture']}:{part[0]['seed']}" for part in alive)
    steps = np.array([row["step"] for row in alive[0]], float)
    swarm = Swarm(tuple(domains), tuple(targets), weights, trajectories[:, -1], names, steps, trajectories)
    return swarm, len(runs) - len(alive)


def fleet_flops(fleet: FleetSettings, vocab_size: int, models: int) -> float:
    """Training FLOPs of so many proxies, by the convention of `flops_per_token`."""
    return models * fleet.tokens_per_model * flops_per_token(fleet.config(vocab_size), fleet.seq_len)


def domain_facts(workspace: Workspace, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What a recipe says of each domain, counted on its training tokens."""
    facts = {}
    for name in names:
        tokens = open_tokens(workspace, name, "train")
        facts[name] = {
            "tokens_available": tokens.tokens,
            "mean_tokens_per_document": round(tokens.tokens / max(1, tokens.documents), 4),
            "bytes_per_token": round(tokens.bytes / max(1, tokens.tokens), 6),
        }
    return facts
