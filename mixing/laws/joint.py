"""Domain, quality bucket and epochs chosen together under a budget of tokens, by the filtering law.

Within a domain a budget is best spent on its best buckets up to a cut-off, repeated as often as it takes; the law says
where to cut and what loss that gives. Between domains the budget is shared so that the weighted sum of losses is least:
exactly, over a grid of the budget, because the losses are not convex where the cut-off moves. Each domain's loss is
taken to follow its own tokens alone; a swarm says more, and costs more. Refuses a budget that the caps cannot fill.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...corpus.store.errors import RequestError, unknown_name
from .repetition import Bucket, best_cutoff

PARTS = 200  # the budget is handed out in so many equal parts


@dataclass(frozen=True)
class Spending:
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
) -> list[Spending]:
    """The cheapest way to spend `budget` tokens.

    domains     domain -> its quality buckets, each with tokens, utility and half-life
    target      weight of each domain's loss; all alike where nothing is said
    max_epochs  passes over what is kept of a domain
    """
    names = sorted(domains)
    for name in target or {}:
        if name not in domains:
            raise unknown_name("domain", name, names, where="target")
    weights = np.array([(target or dict.fromkeys(names, 1.0)).get(name, 0.0) for name in names])
    if (weights < 0).any() or weights.sum() <= 0:
        raise RequestError("target weights must be >= 0 and not all zero")
    choices = [
        [_choose(domains[name], budget * part / PARTS, max_epochs, a, floor, unit) for part in range(PARTS + 1)]
        for name in names
    ]
    costs = np.full((len(names), PARTS + 1), np.inf)
    for place, (weight, row) in enumerate(zip(weights, choices, strict=True)):
        for part, one in enumerate(row):
            if one is not None:
                costs[place, part] = weight * one[2] if weight > 0 else 0.0
    parts = _allocate(costs)
    if parts is None:
        most = max_epochs * sum(bucket.tokens for row in domains.values() for bucket in row)
        raise RequestError(f"{budget:.3g} tokens are more than {max_epochs:g} epochs of all buckets ({most:.3g})")
    found = []
    for name, part, row in zip(names, parts, choices, strict=True):
        one = row[part]
        assert one is not None
        kept, size, loss = one
        tokens = budget * part / PARTS
        found.append(Spending(name, part / PARTS, tokens, kept, tokens / size if size else 0.0, loss))
    return found


def _choose(
    buckets: Sequence[Bucket], tokens: float, max_epochs: float, a: float, floor: float, unit: float
) -> tuple[tuple[str, ...], float, float] | None:
    """Names kept, their tokens and the loss, by the best cut-off that the cap on epochs allows; None if none does."""
    if tokens <= 0:
        return (), 0.0, np.inf  # the law's loss of no data
    ordered = sorted(buckets, key=lambda bucket: (bucket.utility, bucket.name))
    sizes = np.cumsum([bucket.tokens for bucket in ordered])
    fewest = int(np.searchsorted(sizes * max_epochs, tokens * (1 - 1e-9)))
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
