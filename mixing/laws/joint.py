"""Domain, quality bucket and epochs chosen together under a budget of tokens, by the filtering law.

Within a domain a budget is best spent on its best buckets up to a cut-off, repeated as often as it takes; the law says
where to cut and what loss that gives. Between domains the budget is shared so that the weighted sum of losses is least:
over a grid of the budget, because the losses are not convex where the cut-off moves, then by finer moves. Each
domain's loss is taken to follow its own tokens alone; a swarm says more, and costs more. Refuses a budget that the
caps cannot fill.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...corpus.store.errors import RequestError, unknown_name
from .repetition import Bucket, best_cutoff

PARTS = 200  # the budget is handed out in so many equal parts first
REFINEMENTS = 6  # then in halves of them, so often halved


@dataclass(frozen=True)
class Allocation:
    """What one domain gets. Its buckets are drawn from uniformly, so they share its epochs."""

    domain: str
    share: float
    tokens: float
    buckets: tuple[str, ...]
    epochs: float
    loss: float


def tokens_of(compute: float, parameters: float) -> float:
    """Training tokens of a budget of FLOPs for a model of so many parameters: C = 6 N D."""
    return compute / (6 * parameters)


def spend(
    domains: Mapping[str, Sequence[Bucket]],
    budget: float,
    *,
    target: Mapping[str, float] | None = None,
    max_epochs: float = 16.0,
    a: float = 1.0,
    floor: float = 0.0,
    unit: float = 1.0,
) -> list[Allocation]:
    """The cheapest way to spend `budget` tokens.

    domains     domain -> its quality buckets, each with tokens, utility and half-life
    target      weight of each domain's loss; all alike where nothing is said
    max_epochs  passes over what is kept of a domain
    """
    names = sorted(domains)
    for name in target or {}:
        if name not in domains:
            raise unknown_name("domain", name, domains, where="target")
    weights = np.array([(target or dict.fromkeys(names, 1.0)).get(name, 0.0) for name in names])
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise RequestError("target weights must be finite, >= 0 and not all zero")
    if not (np.isfinite(budget) and budget > 0 and max_epochs > 0):
        raise RequestError(f"a budget of {budget:g} tokens in {max_epochs:g} epochs at most is nothing to spend")
    caps = np.array([max_epochs * sum(bucket.tokens for bucket in domains[name]) for name in names])
    if caps.sum() < budget * (1 - 1e-9):
        raise RequestError(f"{budget:.3g} tokens are more than {max_epochs:g} epochs of all buckets ({caps.sum():.3g})")

    def loss(place: int, tokens: float) -> float:
        one = _choose(domains[names[place]], tokens, max_epochs, a, floor, unit)
        return np.inf if one is None else one[2]

    amounts = _refined(_coarse(loss, weights, caps, budget), loss, weights, caps, budget)
    found = []
    for place, (name, tokens) in enumerate(zip(names, amounts, strict=True)):
        kept, size, reached = _choose(domains[name], float(tokens), max_epochs, a, floor, unit) or ((), 0.0, np.inf)
        epochs = float(tokens) / size if size else 0.0
        found.append(Allocation(name, float(tokens / budget), float(tokens), kept, epochs, reached))
        assert np.isfinite(reached) or weights[place] == 0
    return found


def _coarse(loss: Callable[[int, float], float], weights: np.ndarray, caps: np.ndarray, budget: float) -> np.ndarray:
    """(D,) tokens of each domain by equal parts of the budget; a part that a cap cuts short counts as a whole one.

    So a domain smaller than a part still has its tokens, and caps that just fill the budget fill it.
    """
    parts = max(PARTS, 2 * len(caps))
    costs = np.full((len(caps), parts + 1), np.inf)
    for place, weight in enumerate(weights):
        last = parts if caps[place] >= budget else int(np.ceil(caps[place] * parts / budget - 1e-9))
        for part in range(last + 1):
            tokens = min(budget * part / parts, caps[place])
            costs[place, part] = weight * loss(place, tokens) if weight > 0 else 0.0
    given = _allocate(costs)
    assert given is not None, "caps that hold the budget hold its parts"
    amounts = np.minimum(budget * np.array(given) / parts, caps)
    for place in np.argsort(-weights, kind="stable"):  # what the cut parts left over, to who counts and has room
        amounts[place] += min(caps[place] - amounts[place], max(budget - amounts.sum(), 0.0))
    return amounts


def _refined(
    amounts: np.ndarray, loss: Callable[[int, float], float], weights: np.ndarray, caps: np.ndarray, budget: float
) -> np.ndarray:
    """The same budget with ever smaller amounts moved from one domain to another while that lowers the sum."""

    def value(place: int, tokens: float) -> float:
        return float(weights[place] * loss(place, tokens)) if weights[place] > 0 else 0.0

    amounts, D = amounts.copy(), len(amounts)
    now = [value(place, amounts[place]) for place in range(D)]
    for step in budget / PARTS / 2.0 ** np.arange(REFINEMENTS):
        for _ in range(8):
            up = [value(d, amounts[d] + step) if amounts[d] + step <= caps[d] else np.inf for d in range(D)]
            down = [value(d, amounts[d] - step) if amounts[d] >= step else np.inf for d in range(D)]
            better = (np.array(up) - now)[:, None] + (np.array(down) - now)[None, :]
            np.fill_diagonal(better, np.inf)
            to, of = np.unravel_index(int(np.nanargmin(better)), better.shape) if D > 1 else (0, 0)
            if D < 2 or not better[to, of] < -1e-12:
                break
            amounts[to] += step
            amounts[of] -= step
            now[to], now[of] = up[to], down[of]
    return amounts


def _choose(
    buckets: Sequence[Bucket], tokens: float, max_epochs: float, a: float, floor: float, unit: float
) -> tuple[tuple[str, ...], float, float] | None:
    """Names kept, their tokens and the loss, by the best cut-off that the cap on epochs allows; None if none does."""
    if tokens <= 0:
        return (), 0.0, np.inf  # the law's loss of no data
    ordered = sorted(buckets, key=lambda bucket: (bucket.utility, bucket.name))
    sizes = np.cumsum([bucket.tokens for bucket in ordered])
    fewest = int(np.searchsorted(sizes, tokens / max_epochs * (1 - 1e-9)))
    if fewest == len(ordered):
        return None
    kept, loss = best_cutoff(buckets, tokens, a=a, floor=floor, unit=unit, fewest=fewest + 1)
    return tuple(kept), float(sizes[len(kept) - 1]), loss


def _allocate(costs: np.ndarray) -> list[int] | None:
    """costs (D, P + 1) -> parts of each domain that sum to P with the least cost; None where that is infinite."""
    size = costs.shape[1]
    best, taken = costs[0], []
    for row in costs[1:]:
        table = np.full((size, size), np.inf)  # [total, given to this domain]
        for part in range(size):
            table[part:, part] = best[: size - part] + row[part]
        taken.append(table.argmin(1))
        best = table.min(1)
    if not np.isfinite(best[-1]):
        return None
    left, parts = size - 1, []
    for chosen in reversed(taken):
        parts.append(int(chosen[left]))
        left -= parts[-1]
    return [left, *reversed(parts)]
