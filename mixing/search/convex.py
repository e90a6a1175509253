"""The exact optimum of the exponential law: minimise Σ_t v_t (c_t + exp(b_t + s_t·w)) as a convex programme.

With KL to a prior, epoch caps, floors and ceilings, a cost per token, and bounds on further targets, all of which keep
it convex. Without KL or caps the exponential law tends to a corner: it knows no interactions. Also the joint choice of
domain, quality bucket and epochs under a token budget, by treating each (domain, bucket) as a domain with its own cap.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...corpus.store.errors import MissingExtra, RequestError
from ..regression.ensemble import Fit
from ..regression.regressors import Exponential
from .optimise import Terms
from .simplex import Limits


def exact(
    laws: Sequence[Exponential],
    combination: np.ndarray,
    limits: Limits,
    terms: Terms | None = None,
) -> tuple[np.ndarray, float]:
    """The mixture that minimises the combined laws and terms, and that minimum. Raises where no mixture is allowed."""
    terms = terms or Terms()
    try:
        import cvxpy as cp
    except ImportError as error:
        raise MissingExtra("cvxpy", "mixing") from error
    if (combination < 0).any():
        raise RequestError("the exact programme needs target weights >= 0: with negative ones it is not convex")
    w = cp.Variable(len(limits.low))

    def combined(weights: np.ndarray) -> Any:
        parts = [v * (law.floor + cp.exp(law.bias + law.slope @ w)) for v, law in zip(weights, laws, strict=True) if v]
        return cp.sum(cp.hstack(parts))

    value = combined(combination)
    if terms.kl and terms.prior is not None:
        value += terms.kl * cp.sum(cp.rel_entr(w, np.maximum(terms.prior, 1e-12)))
    if terms.cost is not None:
        value += terms.cost @ w
    held = [cp.sum(w) == 1, w >= limits.low, w <= limits.high]
    held += [combined(target) <= bound for target, bound in terms.at_most]
    problem = cp.Problem(cp.Minimize(value), held)
    problem.solve(solver=cp.CLARABEL)
    if w.value is None:
        raise RequestError(f"no mixture satisfies the limits and bounds together ({problem.status})")
    value: Any = problem.value
    return limits.project(w.value), float(np.real(value))


def exponential_laws(fit: Fit) -> list[Exponential]:
    """The exponential law of every target of a swarm, whatever the ensemble chose."""
    return [Exponential().fit(fit.swarm.weights, fit.swarm.losses[:, t]) for t in range(len(fit.swarm.targets))]


def bucket_limits(
    domains: Sequence[str], available: np.ndarray, max_epochs: np.ndarray, total_tokens: float
) -> tuple[Limits, list[tuple[str, int]]]:
    """Limits over (domain, quality bucket) pairs: each a domain of its own with its tokens and its cap on epochs.

    available, max_epochs  (D, Q): tokens, and passes worth making, of bucket q of domain d; 0 tokens leaves a pair out
    """
    pairs = [(name, q) for d, name in enumerate(domains) for q in range(available.shape[1]) if available[d, q] > 0]
    place = {name: d for d, name in enumerate(domains)}
    tokens = np.array([available[place[name], q] for name, q in pairs])
    caps = np.array([max_epochs[place[name], q] for name, q in pairs])
    names = [f"{name}/{q}" for name, q in pairs]
    return Limits.of(names, available=tokens, total_tokens=total_tokens, max_epochs=caps), pairs
