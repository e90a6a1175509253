"""Which blocks of a page are its content: a small learned classifier and stated priors, added as log-odds.

The classifier (200 trees of 6 leaves, `content_model.npz`, made by `benchmarks/train_content_model.py`) learns from
page layout alone, so it holds for any language. It was fitted on a few hundred pages of older crawls; the priors say
what such pages rarely show: consent banners, newsletter forms, sharing bars, bylines, captions. A cue counts only
where the element that holds most of the text does not bear it too.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

from functools import cache
from importlib.resources import files

import numpy as np

from ..compiling import compiled
from .block_features import features, names
from .blocks import Blocks

THRESHOLD = -0.5  # log-odds above which a block is content
PRIORS = {  # log-odds that a cue, an ancestor or an element adds
    "cue_comment": -3.0,
    "cue_navigation": -2.0,
    "cue_footer": -2.5,
    "cue_sidebar": -1.5,
    "cue_related": -2.5,
    "cue_social": -1.5,
    "cue_advertising": -2.0,
    "cue_subscribe": -2.5,
    "cue_byline": -1.5,
    "cue_date": -1.0,
    "cue_caption": -1.5,
    "cue_tags": -1.0,
    "cue_tools": -1.0,
    "cue_hidden": -1.0,
    "cue_unseen": -1.0,
    "cue_header": -1.0,
    "cue_summary": -0.7,
    "cue_title": -0.7,
    "tag_h1": -2.5,  # the headline has a column of its own
    "tag_figcaption": -2.0,
    "in_figure": -1.5,
    "in_aside": -1.5,
    "in_form": -2.0,
    "in_nav": -3.0,
    "in_footer": -3.0,
    "in_header": -1.0,
}
MODEL = "content_model.npz"
MOST_LEAVES = 8  # of a tree: bits of a byte
FIRST_BIT = np.array([0] + [(byte & -byte).bit_length() - 1 for byte in range(1, 256)], np.uint8)


def is_content(blocks: Blocks) -> np.ndarray:
    """(B,) bool: whether the log-odds that a block is content are above the threshold."""
    if not len(blocks.node):
        return np.zeros(0, bool)
    weights, trees = _model()
    table = features(blocks)
    return _above(table, table @ weights, THRESHOLD, *trees)


@cache
def _model() -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """(weights of the priors (F,), trees as `_above` takes them)."""
    columns = names()
    weights = np.zeros(len(columns), np.float32)
    for name, value in PRIORS.items():
        weights[columns.index(name)] = value
    with files(__package__ or "").joinpath(MODEL).open("rb") as file, np.load(file) as held:
        if list(held["columns"]) != columns:
            raise RuntimeError(f"{MODEL} was fitted on other features; run benchmarks/train_content_model.py")
        roots, left, right = (held[name].tolist() for name in ("roots", "left", "right"))
        column, threshold, value = held["column"], held["threshold"], held["value"]
    tests: list[tuple[int, float, int, int]] = []
    leaves = np.zeros((len(roots), MOST_LEAVES))

    def number(t: int, at: int, first: int) -> int:
        """Note the tests at or below a node, whose leaves are numbered from the left. Returns the next number."""
        if left[at] < 0:
            leaves[t, first] = value[at]
            return first + 1
        middle = number(t, left[at], first)
        tests.append((int(column[at]), float(threshold[at]), t, ~((1 << middle) - (1 << first)) & 0xFF))
        return number(t, right[at], middle)

    for t, root in enumerate(roots):
        number(t, root, 0)
    ordered = np.array(sorted(tests))
    starts = np.searchsorted(ordered[:, 0], np.arange(len(columns) + 1))
    return weights, (starts, ordered[:, 1].astype(np.float32), ordered[:, 2].astype(np.uint16),
                     ordered[:, 3].astype(np.uint8), leaves)  # fmt: skip


@compiled
def _above(table, prior, limit, starts, threshold, tree, left_open, leaves):
    """(B,) bool: whether a row's prior and the leaves that it falls into sum to more than the limit.

    All tests of a column are made in one pass through its thresholds, in rising order; each that fails closes the
    leaves on the left of its node. The leaf of a tree is the first that is open then (QuickScorer, Lucchese et al.,
    SIGIR 2015, sections 2 and 3): no walk down a tree, hardly a branch that has to be guessed.

    starts     (F + 1,) where the tests of a column begin
    left_open  (tests,) uint8, a bit for each leaf of the tree that stays open where the value is above the threshold
    leaves     (T, MOST_LEAVES) log-odds
    """
    out = np.zeros(len(table), np.bool_)
    is_open = np.empty(len(leaves), np.uint8)
    for row in range(len(table)):
        is_open[:] = 0xFF
        for f in range(len(starts) - 1):
            for n in range(starts[f], starts[f + 1]):
                if table[row, f] <= threshold[n]:
                    break
                is_open[tree[n]] &= left_open[n]
        total = float(prior[row])
        for t in range(len(leaves)):
            total += leaves[t, FIRST_BIT[is_open[t]]]
        out[row] = total > limit
    return out
