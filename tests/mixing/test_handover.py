"""What is handed over: proven by fresh seeds or natural, and never the last of its own validation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.mixing.handover import paired, ranking, same_mixtures, settled
from gristmill.mixing.search.rounds import Surrogate, chosen_from, expected_gain, round_sizes
from gristmill.mixing.verdict import verdict

NAMES = ["natural", "uniform", "best_of_swarm", "fitted"]
LOSS = st.floats(1.0, 4.0)


@given(
    validation=st.fixed_dictionaries(dict.fromkeys(NAMES, LOSS)),
    fresh=st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, LOSS)), min_size=1, max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_what_is_handed_over_is_never_last_and_is_proven_or_natural(validation, fresh):
    ranked = ranking(validation, {})
    values = {name: {seed: row[name] for seed, row in enumerate(fresh)} for name in NAMES}
    every = {name: {**values[name], 99: validation[name]} for name in NAMES}
    found = settled(ranked, values, every)
    means = {name: np.mean(list(seeds.values())) for name, seeds in every.items()}
    if found["name"] == "natural":
        assert ranked[0] == "natural" or len(set(means.values())) < 4 or means["natural"] < max(means.values())
    else:
        assert found["name"] == ranked[0]
        proven = paired(values[ranked[0]], values["natural"])["proven"]
        assert proven or means["natural"] == max(means.values())


def test_one_fresh_seed_proves_nothing_and_says_so():
    fresh = {"natural": {1: 2.0}, "fitted": {1: 1.0}, "uniform": {1: 2.5}}
    found = settled(["fitted", "natural", "uniform"], fresh, fresh)
    assert found["name"] == "natural"
    assert "one fresh seed proves nothing" in found["reason"]
    assert found["against"]["uniform"]["low"] is None
    every = {**fresh, "natural": {1: 2.0, 2: 9.0}}
    assert "cannot prove" in settled(["fitted", "natural", "uniform"], fresh, every)["reason"]


def test_a_gain_is_proven_by_pairs_of_seeds_and_not_by_means():
    natural = {1: 2.00, 2: 2.50, 3: 3.00}
    steady = {seed: value - 0.01 * (1 + 0.01 * seed) for seed, value in natural.items()}
    lucky = {1: 1.0, 2: 2.6, 3: 3.1}
    assert paired(steady, natural)["proven"]
    assert not paired(lucky, natural)["proven"]
    assert paired(lucky, natural)["gain"] > paired(steady, natural)["gain"]


def test_prices_and_bounds_rank_candidates_too():
    values = {"natural": 2.0, "fitted": 1.9, "uniform": 1.8}
    assert ranking(values, {})[0] == "uniform"
    assert ranking(values, {"uniform": 0.15})[0] == "fitted"
    assert ranking(values, {}, {"uniform": False}) == ["fitted", "natural", "uniform"]


def test_equal_mixtures_are_trained_once_under_the_first_of_their_names():
    same = same_mixtures(
        {"natural": (0.5, 0.5), "uniform": (0.5, 0.5), "fitted": (0.1, 0.9)}, ["natural", "uniform", "fitted"]
    )
    assert same == {"natural": "natural", "uniform": "natural", "fitted": "fitted"}


@pytest.mark.parametrize("ours", [1.0, 3.0])
def test_a_verdict_by_one_seed_states_no_spread_and_no_win(ours):
    rows = {"fitted": {"bits_per_byte": ours, "spread": None}, "natural": {"bits_per_byte": 2.0, "spread": None}}
    told = verdict(rows)
    assert "one seed, so no spread was measured" in told
    assert "0.0000" not in told
    assert "wins" not in told


def test_expected_gain_is_the_mean_of_what_lies_below_the_best():
    draw = np.random.default_rng(0).normal(1.2, 0.3, 200_000)
    assert expected_gain(np.array([1.2]), np.array([0.3]), 1.0)[0] == pytest.approx(
        np.maximum(1.0 - draw, 0).mean(), rel=0.03
    )
    assert expected_gain(np.array([2.0]), np.array([0.0]), 1.0)[0] == pytest.approx(0.0)


def test_rounds_chosen_by_the_surrogate_find_what_as_many_random_mixtures_miss():
    draw = np.random.default_rng(0)
    table = draw.dirichlet(np.full(6, 0.5), 400)
    best = table[17]
    losses = 2 + ((np.sqrt(table) - np.sqrt(best)) ** 2).sum(1) + draw.normal(0, 0.002, 400)
    first, *later = round_sizes(32, 5)
    order = np.random.default_rng(1).permutation(400)
    seen = order[:first].tolist()
    for size in later:
        seen += chosen_from(table, seen, losses[seen], size)
    assert len(set(seen)) == 32
    assert losses[seen].min() <= np.sort(losses)[4] < losses[order[:32]].min()


def test_the_surrogate_smooths_replicates_by_the_noise_they_show():
    rows = np.repeat(np.random.default_rng(0).dirichlet(np.ones(3), 10), 2, axis=0)
    values = 1 + rows[:, 0] + np.tile([0.05, -0.05], 10)
    smoothed, deviation = Surrogate.of(rows, values, 0.005).predict(rows)
    assert np.abs(smoothed - (1 + rows[:, 0])).max() < 0.05
    assert (deviation > 0).all()
