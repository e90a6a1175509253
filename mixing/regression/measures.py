"""How good a fit is, and the trivial rules that it has to beat. Measures only; nothing here is fitted."""

import numpy as np
from scipy.stats import rankdata


def spearman(predicted: np.ndarray, true: np.ndarray) -> float:
    """Rank correlation with average ranks for ties; nan where either side is constant."""
    a, b = rankdata(predicted), rankdata(true)
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else float("nan")


def r_squared(predicted: np.ndarray, true: np.ndarray) -> float:
    """1 - residual variance / variance; negative where the mean would have been better."""
    spread = float(((true - true.mean()) ** 2).sum())
    return 1.0 - float(((true - predicted) ** 2).sum()) / spread if spread > 0 else float("nan")


def pairwise_accuracy(predicted: np.ndarray, true: np.ndarray) -> float:
    """Share of pairs with different true values that are put in the right order; a predicted tie counts one half."""
    up = np.sign(true[:, None] - true[None, :])
    guess = np.sign(predicted[:, None] - predicted[None, :])
    pairs = np.triu(up != 0, 1)
    if not pairs.any():
        return float("nan")
    return float(((up * guess)[pairs].sum() / pairs.sum() + 1) / 2)


def measure(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """R2, Spearman, pairwise decision accuracy and root mean square error."""
    return {
        "r2": r_squared(predicted, true),
        "spearman": spearman(predicted, true),
        "pairwise": pairwise_accuracy(predicted, true),
        "rmse": float(np.sqrt(np.mean((predicted - true) ** 2))),
    }


def trivial(weights: np.ndarray, natural: np.ndarray, own: int | None, true: np.ndarray) -> dict[str, float]:
    """Spearman of rules that need no proxy: minus the own domain's weight, and the distance from the natural mixture.

    The first is nan where the target has no domain of its own.
    """
    by_own = spearman(-weights[:, own], true) if own is not None else float("nan")
    return {"own_weight": by_own, "near_natural": spearman(np.abs(weights - natural).sum(1), true)}


def replicate_noise(weights: np.ndarray, losses: np.ndarray) -> np.ndarray | None:
    """Variance of each target among runs of the same mixture (T,), pooled; None where no mixture was run twice."""
    _, group = np.unique(np.round(weights, 9), axis=0, return_inverse=True)
    group = group.reshape(-1)
    count = np.bincount(group)
    freedom = int((count - 1).sum())
    if freedom == 0:
        return None
    total = np.zeros((len(count), losses.shape[1]))
    np.add.at(total, group, losses)
    residual = losses - (total / count[:, None])[group]
    return (residual**2).sum(0) / freedom
