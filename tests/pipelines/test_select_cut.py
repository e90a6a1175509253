"""The cut that is found from summaries of parts takes what sorting everything takes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.stages.select import cut
from gristmill.pipelines.stages.select.cut import cut_of, grouped, inside, interval, places_of
from gristmill.pipelines.stages.select.passes import least_key
from gristmill.pipelines.stages.select.settings import SelectSettings
from gristmill.proxy_models.scoring.selection import prefix, ranking, uniform

KEYS = st.floats(-3, 3) | st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf"), float("-inf")])
ROWS = st.lists(st.tuples(KEYS, st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=60)


def by_parts(keys, sizes, part, ids, budget, most):
    """Ids that are taken, each part summarised in at most so many groups."""
    own = []
    for number in sorted(set(part.tolist())):
        rows = np.flatnonzero((part == number) & ~np.isnan(keys) & (sizes <= budget))
        names = [ids[row] for row in rows]
        own.append((places_of(keys[rows], uniform(names, 7)), sizes[rows], names))
    cut.GROUPS, before = most, cut.GROUPS
    try:
        between = interval([grouped(places, sizes, 1 << 30) for places, sizes, _ in own], budget)
    finally:
        cut.GROUPS = before
    looked = [inside(*one, between) for one in own]
    found = cut_of(looked, budget)
    taken = {name for places, _, names in own for name, kept in zip(names, found.taken(places, names)) if kept}  # noqa: B905
    return taken, sum(len(one.units) for one in looked)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.integers(0, 700), st.integers(1, 16))
def test_a_cut_from_parts_takes_what_sorting_everything_takes(rows, budget, most):
    keys, sizes, part = (np.array([row[place] for row in rows]) for place in range(3))
    ids = [f"{n * 7919 % 61:032x}/0" for n in range(len(rows))]
    order = ranking(keys, ids, 7)
    right = {ids[row] for row in prefix(order[~np.isnan(keys[order])], sizes, budget)}
    assert by_parts(keys, sizes, part, ids, budget, most)[0] == right


def test_few_rows_are_looked_at_one_by_one_even_where_all_scores_are_equal():
    rng = np.random.default_rng(0)
    for keys in (rng.normal(size=20_000), np.zeros(20_000), rng.integers(0, 3, 20_000).astype(float)):
        sizes, part = rng.integers(1, 900, 20_000), rng.integers(0, 4, 20_000)
        ids = [f"{n:032x}/0" for n in range(20_000)]
        right = {ids[row] for row in prefix(ranking(keys, ids, 7), sizes, 1_000_000)}
        taken, looked = by_parts(keys, sizes, part, ids, 1_000_000, 16)
        assert taken == right
        assert looked < 6000


@pytest.mark.parametrize(
    ("threshold", "smallest", "largest_key", "said"),
    [(2.0, False, 1.5, "above.*largest is 1.5"), (-3.0, True, 1.0, "below.*smallest is -1"), (0.5, False, 0.5, None),
     (-1.0, True, 1.0, None), (5.0, False, None, None)],
)  # fmt: skip
def test_a_threshold_is_one_that_some_score_reaches(threshold, smallest, largest_key, said):
    asked = SelectSettings(by=("s",), threshold=threshold, smallest=smallest)
    if said is None:
        assert least_key(asked, largest_key) == (-threshold if smallest else threshold)
    else:
        with pytest.raises(RequestError, match=said):
            least_key(asked, largest_key)
