"""Mixtures found while a model trains, without a swarm: group DRO (DoReMi's rule) and ADO, on proxies of the fleet.

A run is cut into stretches. After each one the policy sees the held-out loss of every domain, in nats per token, and
says which shares the next stretch samples by. The path is a list of shares per stretch: its mean is a mixture to be
trained (DoReMi), and the path itself is a recipe of as many phases (ADO trains by it once and needs no other run).

Differs from the papers in what a proxy of the fleet can do: shares change between stretches and not at every step, the
loss is that of held-out text, and the optimiser's moments start afresh with each stretch.
Refuses a pool in which a domain has no held-out set, and fewer than two stretches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..corpus.refusal import RequestError
from ..proxy_models.fleet import FleetSettings, train_fleet
from ..proxy_models.pool import TokenPool
from .laws.mixture import fit_power

FEWEST_POINTS = 4  # measured losses before ADO fits a power law through them


class Policy(Protocol):
    """Chooses the shares of the next stretch."""

    def next(self, steps: int, tokens: np.ndarray, losses: np.ndarray) -> np.ndarray:
        """steps of the last stretch, (D,) training tokens of each domain so far, (D,) losses now -> (D,) shares."""
        ...


@dataclass
class GroupDRO:
    """DoReMi: log-weights rise by eta times the excess over a reference, once for each step; negative excess is 0."""

    reference: np.ndarray  # (D,) losses of a model trained on the prior
    prior: np.ndarray
    eta: float = 1.0
    smoothing: float = 1e-3

    def __post_init__(self) -> None:
        self.weights = np.asarray(self.prior, float)

    def next(self, steps: int, tokens: np.ndarray, losses: np.ndarray) -> np.ndarray:
        excess = np.maximum(losses - self.reference, 0.0)
        for _ in range(steps):
            logits = np.log(np.maximum(self.weights, 1e-12)) + self.eta * excess
            raised = np.exp(logits - logits.max())
            self.weights = (1 - self.smoothing) * raised / raised.sum() + self.smoothing / len(raised)
        return self.weights


@dataclass
class ADO:
    """Adaptive data optimisation: sample what still teaches, by a power law of each domain's loss over its tokens.

    Preference of domain k: prior_k * h_k^0.5 * alpha_k (L_k - floor_k) / n, with h the smoothed past shares and n the
    tokens of all domains: the rate at which its loss still falls, credited to it by how much of the run it had. A
    stretch samples nine parts of the mean of past shares and one part preference, and no domain less than `least`.
    """

    prior: np.ndarray
    least: float = 1e-2
    keep: float = 0.9
    seen: list[tuple[float, np.ndarray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.past = self.mean = self.shares = np.asarray(self.prior, float)
        self.count = 1

    def next(self, steps: int, tokens: np.ndarray, losses: np.ndarray) -> np.ndarray:
        self.seen.append((float(tokens.sum()), losses))
        if len(self.seen) < FEWEST_POINTS:
            return self.shares
        total = np.array([n for n, _ in self.seen])
        speed = np.zeros(len(losses))
        for k in range(len(losses)):
            law = fit_power(total, np.array([row[k] for _, row in self.seen]))
            speed[k] = law["alpha"] * max(float(law.predict(total[-1:, None])[0]) - np.exp(law["log_c"]), 1e-9)
        preference = self.prior * np.sqrt(self.past) * speed / total[-1]
        preference = preference / preference.sum()
        shares = np.maximum(0.9 * self.mean + 0.1 * preference, self.least)
        self.shares = shares / shares.sum()
        self.past = self.keep * self.past + (1 - self.keep) * self.shares
        self.count += 1
        self.mean = self.mean + (preference - self.mean) / self.count
        return self.shares


@dataclass(frozen=True)
class OnlineRun:
    """shares (S, D) of each stretch, losses (S, D) after it in nats per token, tokens_per_model in all."""

    shares: np.ndarray
    losses: np.ndarray
    tokens_per_model: int

    @property
    def mixture(self) -> np.ndarray:
        """The mean share of each domain."""
        return self.shares.mean(0)


def train_online(
    pool: TokenPool, policy: Policy, begin: np.ndarray, settings: FleetSettings, stretches: int, seed: int = 0
) -> OnlineRun:
    """Train one proxy on shares that `policy` chooses anew after each stretch; `begin` are those of the first."""
    if stretches < 2 or settings.steps < stretches:
        raise RequestError(f"{settings.steps} steps cannot be cut into {stretches} stretches; two at least")
    own = own_pool(pool)
    shares, path, losses, states = np.asarray(begin, float), [], [], None
    tokens = np.zeros(len(shares))
    for number in range(stretches):
        steps = settings.steps // stretches
        change = {"steps": steps, "evaluations": 1, "schedule": "constant", "group": 1, "warmup": 0}
        if number == 0:
            change["warmup"] = min(settings.warmup, steps)
        part = settings.model_copy(update=change)
        made = train_fleet(own, shares[None], part, [seed + 7919 * number], start_from=states, keep_weights=True)
        if not made.alive[0]:
            raise RequestError(f"the model diverged in stretch {number + 1} of {stretches}; lower lr ({settings.lr})")
        states = made.weights
        tokens = tokens + shares * part.tokens_per_model
        path.append(shares)
        losses.append(made.final[0] * nats_per_bit(own))
        shares = policy.next(steps, tokens, losses[-1])
    return OnlineRun(np.array(path), np.array(losses), stretches * (settings.steps // stretches) * per_step(settings))


def doremi(
    pool: TokenPool, prior: np.ndarray, settings: FleetSettings, stretches: int = 20, seed: int = 0
) -> OnlineRun:
    """A reference on the prior, then a proxy by group DRO against it. Costs two proxies."""
    own = own_pool(pool)
    level = settings.model_copy(update={"schedule": "constant", "evaluations": 1, "group": 1})
    reference = train_fleet(own, np.asarray(prior)[None], level, [seed]).final[0] * nats_per_bit(own)
    return train_online(pool, GroupDRO(reference, np.asarray(prior)), prior, settings, stretches, seed)


def own_pool(pool: TokenPool) -> TokenPool:
    """The pool measured on the held-out part of each of its own domains, in their order."""
    named = {target.name: target for target in pool.heldout}
    missing = [name for name in pool.names if name not in named]
    if missing:
        raise RequestError(f"no held-out set of {', '.join(missing)}: shares cannot follow a loss that is not measured")
    return pool.measured_on(*(named[name] for name in pool.names))


def nats_per_bit(pool: TokenPool) -> np.ndarray:
    """(T,) nats per token for one bit per byte, of each held-out set."""
    return np.array([np.log(2) * target.n_bytes / len(target.tokens) for target in pool.heldout])


def per_step(settings: FleetSettings) -> int:
    return settings.sequences * settings.seq_len


def phases(run: OnlineRun, seq_len: int) -> Sequence[dict]:
    """The path as the phases of a recipe, ready for `Phase`."""
    count = len(run.shares)
    return [{"until": (number + 1) / count, "seq_len": seq_len, "shares": row} for number, row in enumerate(run.shares)]
