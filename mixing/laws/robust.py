"""Fitting a law: Huber loss, many starts, bootstrap intervals, and a guard against silent extrapolation.

A law is a function (parameters, inputs) -> prediction. The best of all starts wins, and how many starts reached it is
told, because a law whose starts disagree is not determined by its data. Refuses fewer rows than parameters, and rows
that differ in too little to determine them, where every start would be as good as any other.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from ...corpus.store.errors import RequestError

Law = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (P,), (N, inputs) -> (N,)

DETERMINED = 1e-10  # smallest singular value of a law's derivatives, of length one each, relative to the largest
NOWHERE = 1e12  # the objective where the law has no value
POLISHED = 4  # ends of the descent that a simplex search finishes


class Extrapolation(UserWarning):
    """A prediction lies beyond what the law was fitted on."""


@dataclass(frozen=True)
class LawFit:
    """A fitted law.

    samples  (bootstrap, P) parameters of refits on resampled rows; empty without bootstrap
    agreed   share of the starts that ended within a hundredth of the best objective
    low, high  (inputs,) the range of each input that the law was fitted on
    """

    law: Law
    names: tuple[str, ...]
    values: np.ndarray
    samples: np.ndarray
    objective: float
    agreed: float
    low: np.ndarray
    high: np.ndarray

    def __getitem__(self, name: str) -> float:
        return float(self.values[self.names.index(name)])

    def standard_errors(self) -> dict[str, float]:
        """Standard deviation of each parameter over the bootstrap; nan by fewer than two refits."""
        spread = self.samples.std(0, ddof=1) if len(self.samples) > 1 else np.full(len(self.names), np.nan)
        return dict(zip(self.names, spread, strict=True))

    def predict(self, inputs: np.ndarray, beyond: float = 4.0, allow: bool = False) -> np.ndarray:
        """Predictions; warns (`Extrapolation`) outside the fitted range, refuses more than `beyond` times outside.

        allow  predict all the same, still with the warning
        """
        inputs = np.atleast_2d(inputs)
        self._guard(inputs, beyond, allow)
        return self.law(self.values, inputs)

    def interval(
        self, inputs: np.ndarray, level: float = 0.9, beyond: float = 4.0, allow: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bootstrap percentile interval of the law itself (not of a new noisy measurement)."""
        if not len(self.samples):
            raise RequestError("no bootstrap was made, so there is no interval; fit with bootstrap=200")
        inputs = np.atleast_2d(inputs)
        self._guard(inputs, beyond, allow)
        drawn = np.array([self.law(values, inputs) for values in self.samples])
        tail = (1 - level) / 2
        return np.quantile(drawn, tail, axis=0), np.quantile(drawn, 1 - tail, axis=0)

    def _guard(self, inputs: np.ndarray, beyond: float, allow: bool) -> None:
        positive = self.low > 0
        over = np.where(inputs > self.high, inputs / np.maximum(self.high, 1e-300), 1.0)
        under = np.where((inputs < self.low) & positive, self.low / np.maximum(inputs, 1e-300), 1.0)
        factor = float(np.maximum(over, under).max())
        outside = bool(((inputs > self.high) | (inputs < self.low)).any())
        if outside and factor > beyond and not allow:
            raise RequestError(
                f"the law was fitted on inputs from {self.low} to {self.high} and is asked {factor:.3g} times beyond; "
                f"more than {beyond:g} times is refused unless it is allowed outright"
            )
        if outside:
            warnings.warn(f"extrapolating {factor:.3g} times beyond what the law was fitted on", Extrapolation, 3)


@threadpool_limits.wrap(limits=1)  # sums must not depend on how many cores there are; and threads only wait here
def fit_law(
    law: Law,
    names: Sequence[str],
    starts: np.ndarray,
    inputs: np.ndarray,
    outputs: np.ndarray,
    *,
    huber: float = 1e-3,
    logarithmic: bool = True,
    bootstrap: int = 0,
    seed: int = 0,
    bounds: Sequence[tuple[float | None, float | None]] | None = None,
    total: bool = True,
) -> LawFit:
    """Minimise the Huber loss of (log) residuals from every start; bootstrap refits begin at the best.

    logarithmic  residuals of logarithms, as is the custom for losses
    total        sum of the Huber losses (the mean otherwise): the sum lets the optimiser converge on small residuals
    """
    inputs, outputs = np.atleast_2d(np.asarray(inputs, float)), np.asarray(outputs, float)
    if len(outputs) < len(names):
        raise RequestError(f"{len(outputs)} measurements cannot determine {len(names)} parameters")
    if not (np.isfinite(inputs).all() and np.isfinite(outputs).all()):
        raise RequestError("a law is fitted to finite numbers only; leave out the runs that diverged")
    if logarithmic and (outputs <= 0).any():
        raise RequestError("a law of logarithms needs losses above 0")

    refuse_undetermined(law, names, starts, inputs)

    def climb(start: np.ndarray, rows: np.ndarray, polish: bool) -> tuple[float, np.ndarray]:
        x, y = inputs[rows], np.log(outputs[rows]) if logarithmic else outputs[rows]

        def value(p: np.ndarray) -> float:
            with np.errstate(all="ignore"):
                predicted = law(p, x)
                error = (np.log(predicted) if logarithmic else predicted) - y
                far = np.abs(error) > huber
                loss = np.where(far, huber * (np.abs(error) - huber / 2), error**2 / 2)
                found = float(loss.sum() if total else loss.mean())
            return found if np.isfinite(found) else NOWHERE

        options = {"maxiter": 2000, "ftol": 1e-13}
        found = minimize(value, start, method="L-BFGS-B", bounds=bounds, options=options)
        if polish:
            options = {"maxiter": 400 * len(start), "fatol": 1e-13}
            found = minimize(value, found.x, method="Nelder-Mead", bounds=bounds, options=options)
        return float(found.fun), found.x

    everything = np.arange(len(outputs))
    ends = sorted((climb(start, everything, False) for start in np.atleast_2d(starts)), key=lambda end: end[0])
    ends = [climb(values, everything, True) for _, values in ends[:POLISHED]] + ends[POLISHED:]
    best, values = min(ends, key=lambda end: end[0])
    if best >= NOWHERE:
        raise RequestError("the law has no value at any start for these inputs, so nothing was fitted")
    agreed = float(np.mean([end[0] <= best * 1.01 + 1e-15 for end in ends]))
    draw = np.random.default_rng(seed)
    samples = [climb(values, draw.integers(0, len(outputs), len(outputs)), False)[1] for _ in range(bootstrap)]
    return LawFit(
        law,
        tuple(names),
        values,
        np.array(samples).reshape(bootstrap, len(names)),
        best,
        agreed,
        inputs.min(0),
        inputs.max(0),
    )


def refuse_undetermined(law: Law, names: Sequence[str], starts: np.ndarray, inputs: np.ndarray) -> None:
    """RequestError where over these inputs (N, inputs) the law changes in fewer ways than it has parameters, at every
    start: with runs of one size, say, what size does is anything. Derivatives are exact (by a complex step)."""
    fewest: tuple[int, list[str]] | None = None
    for start in np.atleast_2d(starts):
        slopes = np.empty((len(inputs), len(names)))
        with np.errstate(all="ignore"):
            for place in range(len(names)):
                moved = np.array(start, complex)
                moved[place] += 1e-30j
                slopes[:, place] = np.imag(law(moved, inputs)) / 1e-30
        if not np.isfinite(slopes).all():
            continue
        sizes = np.linalg.norm(slopes, axis=0)
        _, values, rows = np.linalg.svd(slopes / np.where(sizes > 0, sizes, 1.0))
        free = rows[int((values > DETERMINED * values[0]).sum()) :]
        open_ones = [name for name, part in zip(names, np.abs(free).max(0, initial=0.0), strict=True) if part > 0.05]
        if fewest is None or len(free) < fewest[0]:
            fewest = len(free), open_ones
    if fewest is not None and fewest[0]:
        raise RequestError(
            f"these {len(inputs)} rows do not determine {', '.join(fewest[1])} of the law, whatever the losses are; it "
            f"takes runs that differ in more of what the law reads"
        )
