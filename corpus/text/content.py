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


def is_content(blocks: Blocks) -> np.ndarray:
    """(B,) bool: whether the log-odds that a block is content are above the threshold."""
    if not len(blocks.node):
        return np.zeros(0, bool)
    weights, trees = _model()
    table = features(blocks)
    return _above(table, table @ weights, THRESHOLD, *trees)


@cache
def _model() -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """(weights of the priors (F,), trees as `_above` takes them: those that say most first)."""
    columns = names()
    weights = np.zeros(len(columns), np.float32)
    for name, value in PRIORS.items():
        weights[columns.index(name)] = value
    with files(__package__ or "").joinpath(MODEL).open("rb") as file, np.load(file) as held:
        if list(held["columns"]) != columns:
            raise RuntimeError(f"{MODEL} was fitted on other features; run benchmarks/train_content_model.py")
        roots, left, value = held["roots"], held["left"], held["value"]
        leaves = np.where(left < 0, value, 0.0)  # an inner node's value is 0, which can only widen the bounds
        low, high = np.minimum.reduceat(leaves, roots), np.maximum.reduceat(leaves, roots)
        order = np.argsort(low - high, kind="stable")
        least, most = (np.append(np.cumsum(bound[order][::-1])[::-1], 0.0) for bound in (low, high))
        return weights, (roots[order], least, most, held["column"], held["threshold"], left, held["right"], value)


@compiled
def _above(table, prior, limit, roots, least, most, column, threshold, left, right, value):
    """(B,) bool: whether a row's prior and the leaves that it falls into sum to more than the limit.

    least, most   (T + 1,) what the trees from the t-th on can add; a row is settled as soon as they cannot turn it
    """
    out = np.zeros(len(table), np.bool_)
    for row in range(len(table)):
        total = float(prior[row])
        for t in range(len(roots)):
            if total + most[t] < limit - 1e-9 or total + least[t] > limit + 1e-9:
                break
            at = roots[t]
            while left[at] >= 0:
                at = left[at] if table[row, column[at]] <= threshold[at] else right[at]
            total += value[at]
        out[row] = total > limit
    return out
