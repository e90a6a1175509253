"""Gradient-boosted trees as a few arrays, and the compiled walk through them.

Values of leaves are whole numbers (units of 1 / `UNIT` log-odds), so the sum over the trees is exact and the same on
any machine. Trees come in the order of the fit: most rows are settled by the first ones, and a row whose score is below
`HOPELESS` after `FIRST` trees goes through no more of them.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

from typing import Any, NamedTuple

import numpy as np

from ..compiling import compiled

UNIT = 4096
FIRST, HOPELESS = 40, -4 * UNIT


class Trees(NamedTuple):
    """T trees for each of K classes, their nodes one after the other."""

    roots: np.ndarray  # (T * K,) int32
    column: np.ndarray  # (nodes,) int16, -1 for a leaf
    threshold: np.ndarray  # (nodes,) float32: a value at most so large goes left
    left: np.ndarray  # (nodes,) int32, of a leaf its value
    right: np.ndarray  # (nodes,) int32
    base: np.ndarray  # (K,) int64 what a score begins with


def flattened(dump: dict[str, Any], classes: int = 1) -> Trees:
    """The trees of LightGBM's `dump_model()`."""
    column: list[int] = []
    threshold: list[float] = []
    sides: list[list[int]] = []

    def add(tree: dict[str, Any]) -> int:
        at = len(column)
        leaf = "leaf_value" in tree
        column.append(-1 if leaf else tree["split_feature"])
        threshold.append(0 if leaf else tree["threshold"])
        sides.append([round(tree["leaf_value"] * UNIT), 0] if leaf else [0, 0])
        if not leaf:
            sides[at] = [add(tree["left_child"]), add(tree["right_child"])]
        return at

    roots = [add(tree["tree_structure"]) for tree in dump["tree_info"]]
    left, right = np.array(sides, np.int32).T
    return Trees(
        np.array(roots, np.int32),
        np.array(column, np.int16),
        _rounded(np.array(threshold)),
        left.copy(),
        right.copy(),
        np.zeros(classes, np.int64),
    )


def _rounded(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 that is at most each threshold: float32 values compare with it as with the threshold."""
    near = threshold.astype(np.float32)
    over = near.astype(np.float64) > threshold
    near[over] = np.nextafter(near[over], np.float32(-np.inf))
    return near


def scores(table: np.ndarray, trees: Trees, early: bool = True) -> np.ndarray:
    """(rows, K) int64 sums over the trees, in units of 1 / `UNIT`; with `early` hopeless rows stop where they are."""
    out = np.zeros((len(table), len(trees.base)), np.int64)
    _scores(table, *trees, early, out)
    return out


@compiled
def _scores(table, roots, column, threshold, left, right, base, early, out):
    classes = len(base)
    for row in range(len(table)):
        values = table[row]
        for k in range(classes):
            out[row, k] = base[k]
        for t in range(len(roots)):
            if early and t == FIRST and out[row, 0] < HOPELESS:
                break
            at = roots[t]
            while column[at] >= 0:
                at = left[at] if values[column[at]] <= threshold[at] else right[at]
            out[row, t % classes] += left[at]
