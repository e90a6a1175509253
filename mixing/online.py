"""Mixtures found while a model trains, without a swarm: group DRO (DoReMi's rule) and ADO.

A run is cut into stretches. After each one the policy sees the loss of every domain, in nats per token, and says which
shares the next stretch samples by. ADO moves the shares of the run itself (`gristmill train --online ado`; the loop's
side is `training.online`). On proxies of the fleet both make a path of shares per stretch: its mean is a mixture to be
trained (DoReMi), and the path itself is a recipe of as many phases.

Differs from the papers: shares change between stretches and not at every step. On proxies the loss is that of held-out
text, and the optimiser's moments start afresh with each stretch.
Refuses a pool in which a domain has no held-out set, fewer than two stretches, and runs whose shares could never move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..corpus.store.errors import RequestError
from ..proxy_models.fleets.fleet import FleetSettings, train_fleet
from ..proxy_models.fleets.pool import TokenPool
from .settings import FEWEST_POINTS, OnlineSettings

EXPONENTS = np.linspace(0.02, 0.8, 40)  # of the power law: the paper's range


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
    """Adaptive data optimisation (Jiang et al. 2024, arXiv 2410.11820): sample what still teaches.

    A power law of each domain's loss over the tokens of all, fitted anew after every stretch, says how fast it falls.
    Preference of domain k: prior_k * h_k^0.5 * alpha_k (L_k - floor_k) / n, with h the smoothed past shares and n the
    tokens of all domains: the rate at which its loss still falls, credited to it by how much of the run it had. A
    stretch samples nine parts of the mean of past preferences and one part the present one, and no domain less than
    `least`. Differs from the paper: the fit is by least squares of the mean losses of stretches, exact for each
    exponent of a grid, where the paper smooths the losses of steps and descends from a grid of starts.
    """

    prior: np.ndarray  # (D,)
    least: float = 1e-2
    keep: float = 0.9  # part of the past that stays in h
    mean_part: float = 0.9  # part of the shares that is the mean of preferences
    after: float = 0.0  # tokens before which losses are not looked at
    seen: list[tuple[float, np.ndarray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.past = self.mean = self.shares = np.asarray(self.prior, float)
        self.count = 1

    def next(self, steps: int, tokens: np.ndarray, losses: np.ndarray) -> np.ndarray:
        total = float(tokens.sum())
        if total < self.after or not np.isfinite(losses).all():
            return self.shares
        self.seen.append((total, np.asarray(losses, float)))
        if len(self.seen) < FEWEST_POINTS:
            return self.shares
        speed = falling(np.array([n for n, _ in self.seen]), np.array([row for _, row in self.seen]))
        preference = self.prior * np.sqrt(self.past) * np.maximum(speed, 1e-12)
        preference = preference / preference.sum()
        self.shares = at_least(self.mean_part * self.mean + (1 - self.mean_part) * preference, self.least)
        self.past = self.keep * self.past + (1 - self.keep) * self.shares
        self.count += 1
        self.mean = self.mean + (preference - self.mean) / self.count
        return self.shares

    def state(self) -> dict[str, Any]:
        """What the policy remembers, as JSON."""
        arrays = {"past": self.past, "mean": self.mean, "shares": self.shares}
        seen = [[total, row.tolist()] for total, row in self.seen]
        return {**{name: array.tolist() for name, array in arrays.items()}, "count": self.count, "seen": seen}

    def load(self, state: Mapping[str, Any]) -> None:
        """As it was when `state` was taken."""
        self.past, self.mean, self.shares = (np.array(state[name]) for name in ("past", "mean", "shares"))
        self.count = state["count"]
        self.seen = [(total, np.array(row)) for total, row in state["seen"]]


def falling(tokens: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """tokens (N,), losses (N, D) -> (D,): how fast each domain's loss falls at the last point, per e-fold of tokens.

    alpha (L - floor) of the best power law floor + k n^-alpha with k and floor not negative; 0 where no loss falls.
    For each exponent the law is linear in (floor, k), so its best fit is in closed form.
    """
    basis = (tokens / tokens[-1]) ** -EXPONENTS[:, None]  # (E, N), 1 at the last point
    spread = basis - basis.mean(1, keepdims=True)
    k = spread @ losses / np.maximum((spread**2).sum(1), 1e-300)[:, None]  # (E, D)
    floor = losses.mean(0) - basis.mean(1)[:, None] * k
    through = (basis @ losses) / (basis**2).sum(1)[:, None]  # k where the floor is 0
    k, floor = np.where(floor < 0, through, k), np.maximum(floor, 0.0)
    k, floor = np.maximum(k, 0.0), np.where(k < 0, losses.mean(0), floor)
    error = ((floor[:, None] + k[:, None] * basis[:, :, None] - losses) ** 2).sum(1)  # (E, D)
    best = error.argmin(0)
    return EXPONENTS[best] * k[best, np.arange(losses.shape[1])]


def at_least(shares: np.ndarray, least: float) -> np.ndarray:
    """Shares (D,) raised to `least` where they are below it; the others keep their proportions."""
    low = np.zeros(len(shares), bool)
    while True:
        rest = np.where(low, 0.0, shares)
        made = np.where(low, least, rest / rest.sum() * (1 - least * low.sum()))
        if (made >= least - 1e-12).all():
            return made
        low |= made < least


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
    return np.array([np.log(2) * target.n_bytes / max(1, pool.text_tokens(target)) for target in pool.heldout])


def per_step(settings: FleetSettings) -> int:
    return settings.sequences * settings.seq_len


def phases(run: OnlineRun, seq_len: int) -> Sequence[dict]:
    """The path as the phases of a recipe, ready for `Phase`."""
    count = len(run.shares)
    return [{"until": (number + 1) / count, "seq_len": seq_len, "shares": row} for number, row in enumerate(run.shares)]


def policy_of(settings: OnlineSettings, prior: np.ndarray, tokens: float) -> ADO:
    """The policy of a run over so many tokens, beginning with the shares `prior` (D,)."""
    return ADO(prior, least=settings.least, mean_part=settings.mean, after=settings.warmup * tokens)
