"""Last phases keep the whole run within its limits, and a gain is what a branch has over going on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.search.designs import dirichlet_swarm
from gristmill.mixing.search.simplex import Limits
from gristmill.mixing.swarm import Swarm
from gristmill.mixing.two_phase import best_last_phase, branches, last_limits, last_mixtures, phase_steps
from gristmill.proxy_models.fleets.fleet import FleetSettings
from gristmill.proxy_models.fleets.pool import TokenPool

NAMES = ("a", "b", "c")
FIRST = np.array([0.5, 0.3, 0.2])


@given(st.floats(0.05, 0.95), st.integers(0, 50))
def test_whatever_the_last_phase_the_run_keeps_its_caps(length, seed):
    limits = Limits.of(NAMES, ceilings={"a": 0.55, "c": 0.4}, floors={"b": 0.1})
    for row in last_mixtures(FIRST, np.full(3, 1 / 3), length, 8, seed, limits):
        assert limits.contains((1 - length) * FIRST + length * row, 1e-6)[0]


def test_the_longer_phase_wins_where_its_gain_over_going_on_is_larger():
    def swarm(length):
        rows = np.vstack([FIRST, dirichlet_swarm(FIRST, 23, 1, last_limits(Limits.free(NAMES), FIRST, length))])
        losses = 3 - 2 * length - length * np.sqrt(rows[:, 2])  # a longer decay lowers every loss, c helps in addition
        return Swarm(NAMES, ("t",), rows, losses[:, None])

    found = best_last_phase(
        {length: swarm(length) for length in (0.1, 0.3)},
        FIRST,
        np.ones(1),
        Limits.free(NAMES),
        regressors=("gp_sqrt",),
        draws=2000,
    )
    assert [one.length for one in found] == [0.3, 0.1]
    assert found[0].shares[2] > 0.9
    assert found[0].gain["value"] == pytest.approx(0.3 * (1 - np.sqrt(0.2)), rel=0.1)
    assert found[0].gain["proven"]


def test_a_share_that_the_run_cannot_draw_is_none():
    limits = Limits.free(NAMES)
    rows = np.vstack([FIRST, dirichlet_swarm(FIRST, 23, 1, last_limits(limits, FIRST, 0.2))])
    losses = 3 - 0.4 * np.sqrt(rows[:, 2]) - 0.02 * np.sqrt(rows[:, 0])

    def shares(smallest):
        swarm = {0.2: Swarm(NAMES, ("t",), rows, losses[:, None])}
        options = {"regressors": ("gp_sqrt",), "draws": 2000, "smallest": smallest}
        return best_last_phase(swarm, FIRST, np.ones(1), limits, **options)[0].shares

    free = shares(0.0)
    crumb = free[free > 0].min()
    assert crumb < 0.1
    cut = shares(0.2 * crumb * 1.01)
    assert cut.sum() == pytest.approx(1)
    assert (cut == 0).sum() == (free == 0).sum() + 1
    assert shares(0.2 * crumb * 0.99) == pytest.approx(free)


def test_branches_share_their_trunk_and_differ_by_their_end():
    draw = np.random.default_rng(0)
    train = {"a": [draw.integers(1, 20, 4000)], "b": [draw.integers(20, 40, 4000)]}
    held = {"a": ([draw.integers(1, 20, 200)], 400), "b": ([draw.integers(20, 40, 200)], 400)}
    pool = TokenPool.from_documents(train, held, 40)
    settings = FleetSettings(n_layers=1, d_model=16, n_heads=1, d_ff=32, seq_len=16, sequences=4, steps=40, warmup=2)
    made = branches(pool, np.array([1.0, 0.0]), np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]), 0.5, settings, 0)
    assert made.steps.tolist() == [40]
    assert made.final[1, 1] < made.final[0, 1] - 0.1  # b was never seen by the first
    assert made.final[1] == pytest.approx(made.final[2], abs=1e-5)


@pytest.mark.parametrize("length", [0.0, 0.001, 1.0])
def test_a_phase_without_a_step_is_refused(length):
    with pytest.raises(RequestError, match="leaves one of the phases empty"):
        phase_steps(FleetSettings(steps=100), length)
