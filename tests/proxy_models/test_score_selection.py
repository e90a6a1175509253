"""Selections keep to their budget, take nothing twice, and depend on ids and scores alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.proxy_models.scoring.selection import in_turn, overlap, perturbed, prefix, ranking, uniform

rows = st.lists(
    st.tuples(st.floats(-5, 5) | st.just(float("nan")) | st.sampled_from([0.0, 1.0]), st.integers(1, 50)),
    min_size=1,
    max_size=30,
)


@given(rows, st.integers(0, 600), st.permutations(range(30)))
def test_the_order_of_rows_changes_nothing_and_the_budget_holds(own, budget, shuffle):
    ids = [f"{i:04x}" for i in range(len(own))]
    keys, sizes = np.array([row[0] for row in own]), np.array([row[1] for row in own])
    taken = prefix(ranking(keys, ids, 0), sizes, budget)
    assert sizes[taken].sum() <= budget
    assert len(set(taken.tolist())) == len(taken)
    order = [i for i in shuffle if i < len(own)]
    again = prefix(ranking(keys[order], [ids[i] for i in order], 0), sizes[order], budget)
    assert {ids[i] for i in taken} == {ids[order[i]] for i in again}


@given(rows, st.integers(1, 60))
def test_a_row_larger_than_the_budget_does_not_end_the_selection(own, budget):
    ids = [f"{i:04x}" for i in range(len(own))]
    keys, sizes = np.array([row[0] for row in own]), np.array([row[1] for row in own])
    order = ranking(keys, ids, 0)
    for taken in (prefix(order, sizes, budget), in_turn([order, order[::-1]], sizes, budget)):
        assert sizes[taken].sum() <= budget
        assert len(taken) > 0 or (sizes > budget).all()


@given(rows)
def test_absent_scores_come_last_and_larger_ones_first(own):
    keys = np.array([row[0] for row in own])
    ordered = keys[ranking(keys, [str(i) for i in range(len(own))], 3)]
    known = ordered[~np.isnan(ordered)]
    assert np.isnan(ordered[len(known) :]).all()
    assert (np.diff(known) <= 0).all()


@given(st.lists(st.permutations(range(12)), min_size=1, max_size=3), st.integers(0, 12))
def test_taking_in_turn_gives_each_order_its_best_left(orders, budget):
    chosen = in_turn([np.array(order) for order in orders], np.ones(12), budget).tolist()
    assert len(chosen) == budget == len(set(chosen))
    left = [list(order) for order in orders]
    for turn, row in enumerate(chosen):
        own = left[turn % len(orders)]
        assert next(r for r in own if r not in chosen[:turn]) == row


def test_equal_scores_are_drawn_by_id_and_seed():
    ids = [f"{i:032x}" for i in range(200)]
    orders = [tuple(ranking(np.zeros(200), ids, seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_gumbel_noise_draws_in_proportion_to_the_exponential_of_the_score():
    scores, counts = np.log(np.array([1.0, 2.0, 5.0])), np.zeros(3)
    for seed in range(4000):
        counts[np.argmax(perturbed(scores, ["a", "b", "c"], seed, 1.0))] += 1
    np.testing.assert_allclose(counts / 4000, [1 / 8, 2 / 8, 5 / 8], atol=0.03)


def test_draws_are_uniform():
    draws = uniform([f"{i}" for i in range(20_000)], 5)
    assert abs(draws.mean() - 0.5) < 0.01
    assert np.abs(np.histogram(draws, 10, (0, 1))[0] / 2000 - 1).max() < 0.12


def test_overlap_is_relative_to_the_smaller_selection():
    sizes = np.array([1.0, 2.0, 3.0, 4.0])
    assert overlap(np.array([0, 1, 2]), np.array([2, 3]), sizes) == pytest.approx(3 / 6)
