"""The compiled pass through the trees of the block model against a walk from root to leaf."""

from importlib.resources import files

import numpy as np

from gristmill.corpus.text import content


def test_rows_fall_into_the_leaves_that_a_walk_down_each_tree_reaches():
    weights, trees = content._model()
    with files("gristmill.corpus.text").joinpath(content.MODEL).open("rb") as file, np.load(file) as held:
        model = {name: held[name] for name in held.files}
    draw = np.random.default_rng(0)
    table = np.zeros((300, len(weights)), np.float32)
    inner = model["left"] >= 0
    for column in range(len(weights)):  # values at, beside and far from the thresholds, and such as no threshold has
        near = model["threshold"][inner & (model["column"] == column)]
        values = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), near - 1, near + 1, [0, 1, np.nan]])
        table[:, column] = draw.choice(values, len(table))
    prior = draw.normal(0, 2, len(table)).astype(np.float32)
    sums = prior.astype(float)
    for row in range(len(table)):
        for root in model["roots"]:
            at = root
            while model["left"][at] >= 0:
                goes_left = table[row, model["column"][at]] <= model["threshold"][at]
                at = model["left" if goes_left else "right"][at]
            sums[row] += model["value"][at]
    limit = float(np.median(sums))
    assert (content._above(table, prior, limit, *trees) == (sums > limit)).all()
    assert 100 < (sums > limit).sum() < 200
