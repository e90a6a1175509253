"""Connected components, survivors."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.dedup.clusters import components, large_star, small_star
from gristmill.dedup.survivors import check_order, choose, order_columns

edges = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60)


def star_rounds(a, b):
    """Alternate the two stars until nothing changes; every node of an edge with its component."""
    nodes = np.unique(np.r_[a, b])
    while True:
        before = set(zip(a.tolist(), b.tolist(), strict=True))
        a, b = large_star(np.r_[a, b], np.r_[b, a])
        a, b = small_star(np.maximum(a, b), np.minimum(a, b))
        if set(zip(a.tolist(), b.tolist(), strict=True)) == before:
            label = dict(zip(a.tolist(), b.tolist(), strict=True))
            return {int(n): label.get(int(n), int(n)) for n in nodes}


@given(edges)
def test_star_rounds_and_scipy_agree(pairs):
    a = np.array([x for x, _ in pairs], np.uint64)
    b = np.array([y for _, y in pairs], np.uint64)
    nodes, component = components(a, b)
    assert star_rounds(a, b) == dict(zip(nodes.tolist(), component.tolist(), strict=True))


def test_a_chain_is_one_component_named_by_its_smallest_node():
    nodes, component = components(np.arange(5, 105, dtype=np.uint64), np.arange(6, 106, dtype=np.uint64))
    assert len(nodes) == 101
    assert set(component.tolist()) == {5}


rows = st.lists(
    st.tuples(st.integers(0, 3), st.none() | st.integers(0, 2), st.integers(1, 3), st.none() | st.integers(0, 1)),
    min_size=1,
    max_size=12,
)


@given(rows, st.randoms())
def test_the_survivor_is_the_first_in_the_declared_order_whatever_the_arrival(rows, rng):
    order = ("highest:quality.score", "earliest", "longest")

    def survivors(rows):
        def values(k):
            return np.array([np.nan if r[0][k] is None else r[0][k] for r in rows], float)

        columns = order_columns(order, values(1), values(2), {"quality.score": values(3)})
        ids = pa.array([r[1] for r in rows])
        best = choose(np.array([r[0][0] for r in rows]), columns, ids)
        return {r[0][0]: rows[b][1] for r, b in zip(rows, best.tolist(), strict=True)}

    def key(row):
        (_, date, length, quality), name = row
        absent = float("inf")
        return (absent if quality is None else -quality, absent if date is None else date, -length, name)

    named = [(row, f"{i:02d}") for i, row in enumerate(rows)]
    defined = {cluster: min((r for r in named if r[0][0] == cluster), key=key)[1] for cluster, *_ in rows}
    assert survivors(named) == defined
    rng.shuffle(named)
    assert survivors(named) == defined


def test_an_order_that_does_not_exist_is_refused():
    with pytest.raises(RequestError, match="did you mean earliest"):
        check_order(("earlyest",))
