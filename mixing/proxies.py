"""The proxies of a search: what a swarm of one workspace costs, is trained on, and measured.

A wave is the unit of work: some mixtures trained together by `proxy_models.fleet`, whose rows (one per model and
evaluation) are one shard. Waves depend on nothing but their own mixtures and seeds, so several machines can share a
swarm. Bits per byte on held-out text is the loss everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from ..corpus.refusal import WorkspaceError
from ..corpus.workspace import Workspace
from ..proxy_models.fleet import FleetSettings, train_fleet
from ..proxy_models.pool import DomainPool, TokenPool
from ..training.shards import open_tokens
from ..training.transformer import flops_per_token
from .swarm import Swarm
from .two_phase import branches


@dataclass(frozen=True)
class Wave:
    """Models trained together. One entry per model in `names`, `mixtures` and `seeds`.

    first, length  of a wave of branches: what their trunk was trained on, and the share of the run that is theirs
    """

    kind: str  # swarm, validation or last-…
    number: int
    names: tuple[str, ...]
    mixtures: tuple[tuple[float, ...], ...]
    seeds: tuple[int, ...]
    first: tuple[float, ...] = ()
    length: float = 0.0

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


@lru_cache(maxsize=1)
def open_pool(url: str, tables: str, heldout_tokens: int) -> TokenPool:
    """The token pool of a workspace, kept between waves of one process; `tables` is the fingerprint of its tokens."""
    return TokenPool.from_workspace(Workspace(url), heldout_tokens=heldout_tokens)


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
    rows = np.array(wave.mixtures)
    if wave.length:
        result = branches(pool, np.array(wave.first), rows, wave.length, fleet, wave.seeds[0], trail)
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


def swarm_of(rows: pa.Table) -> tuple[Swarm, int]:
    """The swarm in a table of proxy rows, and how many runs were left out because they diverged."""
    domains = [field.name for field in rows.schema.field("weights").type]
    targets = [field.name for field in rows.schema.field("losses").type]
    runs: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows.to_pylist():
        runs.setdefault(row["run"], []).append(row)
    alive = [sorted(part, key=lambda row: row["step"]) for _, part in sorted(runs.items()) if part[0]["alive"]]
    if not alive:
        raise WorkspaceError("every proxy diverged; lower the learning rate (--set proxy.lr=…) and run mix --force")
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
