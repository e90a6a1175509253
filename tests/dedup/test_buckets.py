"""Leader stars: what is compared, what is covered, and that it stays bounded."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gristmill.dedup.buckets import exact_stars, stars
from gristmill.pipelines.stages.dedup.bands import _sorted


def run(keys, similar, *, ranks=None, foreign=None, leaders=16, threshold=0.8):
    """Stars over entries (key, handle); `similar(a, b)` is the truth. Returns the edges that joined, and the counts."""
    key = np.array([k for k, _ in keys], np.uint64)
    handle = np.array([h for _, h in keys], np.uint64)
    asked = []

    def verify(a, b):
        asked.extend(zip(a.tolist(), b.tolist(), strict=True))
        return np.array([similar(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)], float)

    def rank(handles):
        return np.array([(ranks or {}).get(h, h) for h in handles.tolist()], np.uint64)

    def other(handles):
        return np.array([h in (foreign or ()) for h in handles.tolist()], bool)

    found = stars(key, handle, rank, other, threshold, leaders, verify)
    joined = {(int(a), int(b)) for a, b, s in zip(found.a, found.b, found.similarity, strict=True) if s >= threshold}
    return joined, asked, found


def test_a_bucket_of_copies_costs_one_comparison_a_member():
    joined, asked, _ = run([(1, h) for h in range(1000)], lambda a, b: 1.0)
    assert len(asked) == 999
    assert joined == {(0, h) for h in range(1, 1000)}


def test_a_pair_is_compared_once_however_many_buckets_it_shares():
    _, asked, _ = run([(k, h) for k in range(14) for h in (5, 9)], lambda a, b: 0.1)
    assert asked == [(5, 9)]


def test_members_that_the_leader_does_not_cover_find_each_other():
    joined, _, _ = run([(1, h) for h in range(10)], lambda a, b: float(a % 2 == b % 2))
    assert joined == {(0, h) for h in (2, 4, 6, 8)} | {(1, h) for h in (3, 5, 7, 9)}


def test_a_bucket_of_strangers_costs_a_bounded_number_of_comparisons_and_says_what_is_left():
    joined, asked, found = run([(1, h) for h in range(500)], lambda a, b: 0.0, leaders=4)
    assert not joined
    assert len(asked) == 499 + 498 + 497 + 496
    assert found.unexamined == 496


def test_documents_seen_elsewhere_lead_and_are_never_compared_with_each_other():
    joined, asked, _ = run([(1, h) for h in range(6)], lambda a, b: 1.0, foreign={4, 5}, ranks={4: 90, 5: 91})
    assert (4, 5) not in asked
    assert joined == {(0, 4), (1, 4), (2, 4), (3, 4)}


entries = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), max_size=30, unique=True)


@given(entries, st.randoms())
def test_the_order_of_entries_never_changes_the_edges(keys, rng):
    def similar(a, b):
        return 0.9 if a // 4 == b // 4 else 0.2

    shuffled = list(keys)
    rng.shuffle(shuffled)
    assert run(keys, similar)[0] == run(shuffled, similar)[0]


@given(entries)
def test_what_shares_a_bucket_and_is_alike_ends_in_one_component(keys):
    joined, _, _ = run(keys, lambda a, b: float(a // 4 == b // 4))
    root = {h: h for _, h in keys}
    for _ in keys:
        for a, b in joined:
            root[a] = root[b] = min(root[a], root[b])
    for k, a in keys:
        for other, b in keys:
            if k == other and a // 4 == b // 4:
                assert root[a] == root[b]


def test_exact_keys_that_differ_only_in_their_second_half_are_not_joined():
    column = np.array([7, 7, 7, 7], np.uint64)
    check = np.array([1, 2, 1, 2], np.uint64)
    handle = np.arange(4, dtype=np.uint64)
    _, a, b = exact_stars(column, check, handle, lambda h: h, lambda h: np.zeros(len(h), bool))
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 2), (1, 3)]


@given(st.lists(st.integers(0, 5)))
def test_entries_of_a_bucket_stay_in_the_order_in_which_they_came(keys: list[int]):
    key, row = np.array(keys, np.uint64), np.arange(len(keys), dtype=np.uint32)
    stable = np.argsort(key, kind="stable")
    found = _sorted(key, row)
    np.testing.assert_array_equal(found[0], key[stable])
    np.testing.assert_array_equal(found[1], stable)
