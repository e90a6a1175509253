"""What repeating data is worth (Muennighoff et al. 2023), and filling a mixture in where a domain runs out.

Up to four epochs repeated tokens are about as good as new ones; after that their value decays, to 1/e per 15.4 repeats.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

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
