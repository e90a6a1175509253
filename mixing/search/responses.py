"""What a fit says beyond its optimum: measured against predicted, a target along each domain, and interactions.

A response moves one domain's share while the others keep their proportions. An interaction is what moving two domains
together gives beyond moving each alone. All of it is of the fit, around one mixture; nothing is trained or decided.
"""

from typing import Any

import numpy as np

from ..regression.ensemble import Fit
from .simplex import Limits

POINTS = 25  # of a response
STEP = 0.1  # share that interactions move, at most; half of it is what a domain gains


def fit_details(fit: Fit, centre: np.ndarray, limits: Limits) -> dict[str, Any]:
    """{measured, responses, interactions}, each by target; measured has out-of-fold predictions."""
    measured = {
        target.target: [
            [float(loss - residual), float(loss)]
            for loss, residual in zip(fit.swarm.losses[:, t], target.residuals, strict=True)
        ]
        for t, target in enumerate(fit.targets)
    }
    return {
        "measured": measured,
        "responses": responses(fit, centre, limits),
        "interactions": interactions(fit, centre),
    }


def moved(centre: np.ndarray, place: int, share: float) -> np.ndarray:
    """The mixture in which one domain has this share and the others keep their proportions."""
    others = np.delete(centre, place)
    others = others / others.sum() if others.sum() > 0 else np.full(len(others), 1 / max(1, len(others)))
    return np.insert((1 - share) * others, place, share)


def responses(fit: Fit, centre: np.ndarray, limits: Limits) -> dict[str, dict[str, list[list[float]]]]:
    """target -> domain -> [share, predicted] along its share, as far as the runs went."""
    found: dict[str, dict[str, list[list[float]]]] = {target.target: {} for target in fit.targets}
    for place, name in enumerate(limits.domains):
        high = min(float(limits.high[place]), float(fit.swarm.weights[:, place].max()))
        shares = np.linspace(float(limits.low[place]), max(high, float(limits.low[place])), POINTS)
        predicted = fit.predict(np.vstack([moved(centre, place, share) for share in shares]))
        for t, target in enumerate(fit.targets):
            found[target.target][name] = [[float(a), float(b)] for a, b in zip(shares, predicted[:, t], strict=True)]
    return found


def interactions(fit: Fit, centre: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """target -> pairs of domains with the loss that both together add to what each adds alone, largest first."""
    D, rows, pairs = len(centre), [centre], []
    step = np.minimum(STEP / 2, (1 - centre) / 4)
    single = [moved(centre, a, centre[a] + step[a]) for a in range(D)]
    for a in range(D):
        for b in range(a + 1, D):
            both = centre + np.eye(D)[a] * step[a] + np.eye(D)[b] * step[b]
            rest = np.delete(np.arange(D), [a, b])
            left = 1 - both[a] - both[b]
            total = centre[rest].sum()
            both[rest] = centre[rest] * left / total if total > 0 else 0.0
            if total > 0 and left >= 0:
                pairs.append((a, b))
                rows.append(both)
    predicted = fit.predict(np.vstack([*single, *rows]))
    alone, base, together = predicted[:D], predicted[D], predicted[D + 1 :]
    found = {}
    for t, target in enumerate(fit.targets):
        told = [
            {
                "domains": [fit.swarm.domains[a], fit.swarm.domains[b]],
                "value": float(together[n, t] - alone[a, t] - alone[b, t] + base[t]),
            }
            for n, (a, b) in enumerate(pairs)
        ]
        found[target.target] = sorted(told, key=lambda row: -abs(row["value"]))
    return found
