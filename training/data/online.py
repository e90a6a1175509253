"""Shares that move while a model trains: a policy sees each domain's loss and says what the next stretch samples by.

The run is cut into stretches of `every` steps. The loader plans a stretch when the one before it is done, and within it
the order of data is arithmetic as ever; a domain's rows go on where the stretch before left them. So the stream is a
function of the seed and of the shares so far, whatever is read ahead, and what has to be kept is those shares, the
policy's memory and the sums of the stretch that is running: all three are in every checkpoint.

The loss is that of training tokens, summed over ranks, so every rank chooses alike. A cap on a domain's tokens holds
for the whole run: a share never exceeds what the cap leaves, spread over the tokens to come.

Refuses a single domain, phases whose shares differ (two things cannot move them), rows of many lengths, stretches too
short for the least share, and runs too short for the shares ever to move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...corpus.store.errors import RequestError
from .loader import Loader, Phase, check_phases
from .repetition import fill_in


class SharePolicy(Protocol):
    """Chooses the shares of the next stretch, and can be put away in JSON and taken up again."""

    def next(self, steps: int, tokens: np.ndarray, losses: np.ndarray) -> np.ndarray:
        """steps of the stretch, (D,) training tokens by its middle, (D,) its mean losses in nats -> (D,) shares."""
        ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Stretched:
    """What a finished stretch was: its end as a fraction of the run, (D,) shares, (D,) losses in nats per token."""

    until: float
    shares: np.ndarray
    losses: np.ndarray


def stretches(phases: Sequence[Phase], steps: int, batch_tokens: int, every: int) -> list[Phase]:
    """The phases cut at every multiple of `every` steps; the shares of each part are still to be chosen."""
    names = sorted({name for phase in phases for name, share in phase.shares.items() if share > 0})
    if len(names) < 2:
        raise RequestError(f"online: a mixture of one domain ({', '.join(names)}) has no shares to move")
    for number, phase in enumerate(phases, 1):
        if any(abs(phase.shares.get(name, 0.0) - phases[0].shares.get(name, 0.0)) > 1e-9 for name in names):
            raise RequestError(f"online: phase {number} has shares of its own; give one mixture, or leave online out")
        if phase.packing == "decompose":
            raise RequestError("online: packing decompose draws row lengths for a whole phase; use concat or bestfit")
    cut, begin = [], 0
    for phase, end in zip(phases, check_phases(phases, batch_tokens, steps).tolist(), strict=True):
        ends = [*range((begin // every + 1) * every, end, every), end]
        cut += [replace(phase, until=1.0 if stop == steps else stop / steps) for stop in ends]
        begin = end
    return cut


class Online:
    """The policy of one run, the stretches so far and the sums of the one that runs.

    loader    whose phases are `stretches`, none of them planned
    policy    what chooses
    ceilings  domain -> tokens of it that the whole run may read; none: no cap
    """

    def __init__(self, loader: Loader, policy: SharePolicy, ceilings: Mapping[str, float] | None = None) -> None:
        self.loader, self.policy = loader, policy
        self.ceilings = np.array([(ceilings or {}).get(name, np.inf) for name in loader.names])
        count = len(loader.names)
        self.prior = np.array([loader.phases[0].shares[name] for name in loader.names], float)
        self.prior /= self.prior.sum()
        self.shares = self.prior
        self.past: list[Stretched] = []
        self.tokens = np.zeros(count)  # of each domain, before the stretch that runs
        self.steps, self.sums, self.counts = 0, np.zeros(count), np.zeros(count)  # of the stretch that runs
        self.last = np.full(count, np.nan)

    # ---- what the loop tells

    def sums_of(self, nll: Tensor, targets: Tensor, domains: Tensor) -> Tensor:
        """nll (R, T) and targets (R, T) of rows of domains (R,) -> (2, D) float64: nats, and tokens with loss."""
        rows = torch.stack((nll.detach().sum(1, dtype=torch.float64), (targets >= 0).sum(1, dtype=torch.float64)))
        return rows @ torch.nn.functional.one_hot(domains, len(self.shares)).double()

    def observe(self, sums: Sequence[float]) -> None:
        """The sums of one step over all ranks: nats by domain, then tokens by domain."""
        count = len(self.shares)
        self.sums, self.counts = self.sums + np.array(sums[:count]), self.counts + np.array(sums[count:])
        self.steps += 1

    def reach(self, step: int, position: int) -> int:
        """The step before which training has to come back here; plans what `position` of the stream lies in."""
        while self.loader.planned_steps <= position:
            self.advance()
        if self.loader.planned_steps == self.loader.steps:
            return self.loader.steps
        return min(self.loader.steps, step + self.loader.planned_steps - position)

    # ---- the choice

    def advance(self) -> None:
        """Choose the shares of the next stretch and plan it; the first has the recipe's."""
        if self.steps:
            found = self.losses()
            self.past.append(Stretched(self.until(), self.shares, found))
            chosen = self.policy.next(self.steps, self.tokens + self.counts / 2, found)
            self.tokens = self.tokens + self.counts
            self.shares, self.last = self.capped(chosen), found
            self.steps, self.sums, self.counts = 0, np.zeros_like(self.sums), np.zeros_like(self.counts)
        elif self.loader.planned_steps:  # a rollback skipped the whole stretch
            self.past.append(Stretched(self.until(), self.shares, self.last))
        else:
            self.shares = self.capped(self.prior)
        self.loader.plan_next(dict(zip(self.loader.names, self.shares.tolist(), strict=True)))

    def losses(self) -> np.ndarray:
        """(D,) mean loss of the running stretch; of the one before where a domain was not drawn."""
        return np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), self.last)

    def until(self) -> float:
        return self.loader.planned_steps / self.loader.steps

    def capped(self, shares: np.ndarray) -> np.ndarray:
        """Shares that the caps can bear to the end of the run; what a domain lacks, the others fill in pro rata."""
        left = (self.loader.steps - self.loader.planned_steps) * self.loader.batch_tokens
        room = np.minimum(np.maximum(self.ceilings - self.tokens, 0.0), left)
        room *= max(1.0, left / room.sum())  # whole rows may have gone a little beyond
        names = self.loader.names
        made = fill_in(dict(zip(names, shares, strict=True)), dict(zip(names, room, strict=True)), left, 1.0 + 1e-9)  # type: ignore[arg-type]
        found = np.array([made[name] for name in names])
        return found / found.sum()

    # ---- memory

    def state(self) -> dict[str, Any]:
        """All that a checkpoint has to hold."""
        return {
            "policy": self.policy.state(),
            "past": [[one.until, one.shares.tolist(), one.losses.tolist()] for one in self.past],
            "shares": self.shares.tolist() if self.loader.planned_steps else None,
            "tokens": self.tokens.tolist(),
            "running": [self.steps, self.sums.tolist(), self.counts.tolist(), self.last.tolist()],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """As it was; stretches planned since are forgotten."""
        self.policy.load(state["policy"])
        self.past = [Stretched(until, np.array(shares), np.array(losses)) for until, shares, losses in state["past"]]
        self.tokens = np.array(state["tokens"])
        steps, sums, counts, last = state["running"]
        self.steps, self.sums, self.counts, self.last = steps, np.array(sums), np.array(counts), np.array(last)
        self.loader.forget()
        planned = [one.shares for one in self.past]
        if state["shares"] is None:
            self.shares = self.prior
        else:
            self.shares = np.array(state["shares"])
            planned.append(self.shares)
        for shares in planned:
            self.loader.plan_next(dict(zip(self.loader.names, shares.tolist(), strict=True)))

    # ---- reports

    def named(self, values: np.ndarray) -> dict[str, float | None]:
        """By domain; None where a domain was never drawn."""
        return {name: float(value) if np.isfinite(value) else None
                for name, value in zip(self.loader.names, values, strict=True)}  # fmt: skip

    def told(self) -> list[dict[str, Any]]:
        """The path of the shares as phases, with the mean training loss of each: what the run card holds."""
        path = [*self.past, Stretched(self.until(), self.shares, self.losses())]
        return [{"until": one.until, "shares": self.named(one.shares), "loss": self.named(one.losses)}
                for one in path]  # fmt: skip
