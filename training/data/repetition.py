"""What repeating data is worth (Muennighoff et al. 2023), and filling a mixture in where a domain runs out.

Up to four epochs repeated tokens are about as good as new ones; after that their value decays, to 1/e per 15.4 repeats.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...corpus.store.errors import RequestError

REPEATS = 15.387756  # R_D*, fitted by Muennighoff et al. (datablations)
SAFE_EPOCHS = 4.0


def effective_epochs(epochs: float) -> float:
    """Epochs of new data that are worth as much as this many epochs of the same data."""
    if epochs <= 1:
        return max(0.0, epochs)
    return 1.0 + REPEATS * (1.0 - math.exp(-(epochs - 1.0) / REPEATS))


def repetition_warnings(plan: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each domain of a `Loader.plan()` of which anything is read more than four times over the run."""
    last: dict[str, float] = {}
    for row in plan:
        last[row["domain"]] = max(last.get(row["domain"], 0.0), row["epochs_so_far"], row["passes"])
    return [
        f"{name} is repeated for {epochs:.1f} epochs, worth about {effective_epochs(epochs):.1f} epochs of new data; "
        f"up to {SAFE_EPOCHS:.0f} cost nothing"
        for name, epochs in sorted(last.items())
        if epochs > SAFE_EPOCHS
    ]


def fill_in(
    shares: Mapping[str, float], available: Mapping[str, int], total_tokens: int, cap: float = SAFE_EPOCHS
) -> dict[str, float]:
    """Shares in which no domain is repeated more than `cap` times: what a domain lacks, the others fill in pro rata."""
    weight = math.fsum(shares.values())
    limit = {name: cap * available[name] / total_tokens for name in shares}
    if math.fsum(limit[name] for name, share in shares.items() if share > 0) < 1.0 - 1e-12:
        raise RequestError(
            f"{total_tokens:,} tokens cannot be filled: {cap:g} epochs of every domain are "
            f"{sum(round(limit[n] * total_tokens) for n, s in shares.items() if s > 0):,}"
        )
    fixed: dict[str, float] = {}
    while True:
        rest = math.fsum(share for name, share in shares.items() if name not in fixed) or weight
        room = 1.0 - math.fsum(fixed.values())
        scaled = {name: share / rest * room for name, share in shares.items() if name not in fixed}
        over = {name: limit[name] for name, share in scaled.items() if share > limit[name] * (1 + 1e-12)}
        if not over:
            return {name: (fixed | scaled)[name] for name in shares}
        fixed |= over


def fill_in_phases(
    phases: Sequence[tuple[float, Mapping[str, float]]],
    available: Mapping[str, int],
    total_tokens: int,
    cap: float = SAFE_EPOCHS,
) -> list[dict[str, float]]:
    """The same for a run of several phases: the cap holds for the run, so a phase may go through a domain faster.

    phases  (span as a fraction of the run, shares) of each, in order
    Shares that keep the cap stay as they are. A domain beyond it loses pro rata where it is drawn and the others of
    that phase fill in, by iterative proportional fitting with the cap as an upper bound.
    """
    if len(phases) == 1:
        return [fill_in(phases[0][1], available, total_tokens, cap)]
    names = sorted({name for _, shares in phases for name, share in shares.items() if share > 0})
    spans = np.array([span for span, _ in phases])
    cells = np.array([[shares.get(name, 0.0) for name in names] for _, shares in phases], float)
    cells *= (spans / cells.sum(1))[:, None]
    limit = np.array([cap * available[name] / total_tokens for name in names])
    if (cells.sum(0) <= limit * (1 + 1e-9)).all():
        return [dict(shares) for _, shares in phases]
    for _ in range(10_000):
        cells = cells * np.minimum(1.0, limit / np.maximum(cells.sum(0), 1e-300))
        short = spans / cells.sum(1)
        cells = cells * short[:, None]
        if (cells.sum(0) <= limit * (1 + 1e-9)).all():
            break
    over = np.flatnonzero(cells.sum(0) > limit * (1 + 1e-6))
    if len(over):
        told = ", ".join(f"{names[d]} {cells[:, d].sum() / limit[d] * cap:.3g}" for d in over)
        raise RequestError(
            f"{total_tokens:,} tokens cannot be filled in these phases with {cap:g} epochs of every domain: even so "
            f"they need {told} epochs; use fewer tokens, or give the phases more domains"
        )
    return [
        {name: float(cells[number, names.index(name)] / spans[number]) if name in names else 0.0 for name in shares}
        for number, (_, shares) in enumerate(phases)
    ]
