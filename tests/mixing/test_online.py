"""Mixtures found while a model trains follow the rules that they are named after."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.online import ADO, GroupDRO, doremi, falling, phases, train_online
from gristmill.mixing.recipe import RecipePhase
from gristmill.mixing.settings import OnlineSettings
from gristmill.proxy_models.fleets.fleet import FleetSettings
from gristmill.proxy_models.fleets.pool import TokenPool

PRIOR = np.array([0.5, 0.3, 0.2])


def pool():
    draw = np.random.default_rng(0)
    spans = {"easy": (1, 3), "hard": (3, 60), "middle": (60, 80)}
    train = {name: [draw.integers(*span, 6000)] for name, span in spans.items()}
    held = {name: ([draw.integers(*span, 300)], 600) for name, span in spans.items()}
    return TokenPool.from_documents(train, held, 80)


SETTINGS = FleetSettings(n_layers=1, d_model=16, n_heads=1, d_ff=32, seq_len=16, sequences=4, steps=30, warmup=2)


def test_group_dro_raises_only_what_is_worse_than_the_reference_once_a_step():
    policy = GroupDRO(np.array([1.0, 1.0, 1.0]), PRIOR, smoothing=0.0)
    made = policy.next(2, np.zeros(3), np.array([1.5, 1.0, 0.2]))
    expected = PRIOR * np.exp([1.0, 0.0, 0.0])  # two steps of half a nat
    assert made == pytest.approx(expected / expected.sum())
    assert GroupDRO(np.ones(3), PRIOR).next(500, np.zeros(3), np.array([9.0, 1, 1])).min() >= 1e-3 / 3


def test_ado_keeps_the_prior_until_it_can_fit_and_then_prefers_what_still_falls():
    policy = ADO(PRIOR)
    for number in range(1, 6):
        total = 1000.0 * number
        losses = np.array([2.0, 2.0 + 30 * total**-0.5, 2.0])  # only the second still learns
        made = policy.next(10, PRIOR * total, losses)
        if number < 4:
            assert made == pytest.approx(PRIOR)
    assert made[1] > PRIOR[1]
    assert made.sum() == pytest.approx(1)
    assert made.min() >= 1e-2 / 1.03


@given(st.lists(st.lists(st.floats(0.1, 9), min_size=3, max_size=3), min_size=1, max_size=6))
def test_whatever_the_losses_shares_are_a_mixture(path):
    policy = GroupDRO(np.full(3, 2.0), PRIOR)
    for losses in path:
        made = policy.next(5, PRIOR, np.array(losses))
        assert made.sum() == pytest.approx(1)
        assert (made > 0).all()


def test_ado_gives_every_domain_its_least_though_losses_rise():
    policy = ADO(PRIOR)
    for number, losses in enumerate(([3.0, 2, 1], [2.0, 3, 1], [4.0, 4, 1], [5.0, 3, 1]), 1):
        made = policy.next(5, PRIOR * 1000.0 * number, np.array(losses))
    assert made.sum() == pytest.approx(1)
    assert made.min() >= 1e-2 / 1.03


def test_doremi_begins_at_the_prior_moves_away_and_its_path_is_a_recipe():
    run = doremi(pool(), PRIOR, SETTINGS, stretches=5)
    assert run.shares[0] == pytest.approx(PRIOR)
    assert np.abs(run.shares[-1] - PRIOR).max() > 0.1
    assert run.mixture == pytest.approx(run.shares.mean(0))
    assert run.tokens_per_model == SETTINGS.tokens_per_model
    made = [RecipePhase.model_validate({**one, "shares": dict(zip("abc", one["shares"], strict=True))})
            for one in phases(run, 16)]  # fmt: skip
    assert made[-1].until == 1.0
    assert len(made) == 5


def test_a_run_is_cut_into_stretches_that_continue_its_training():
    class Fixed:
        def next(self, steps, tokens, losses):
            return PRIOR

    run = train_online(pool(), Fixed(), PRIOR, SETTINGS, 3)
    assert (run.losses[-1] < run.losses[0]).all()
    with pytest.raises(RequestError, match="cannot be cut into 31 stretches"):
        train_online(pool(), Fixed(), PRIOR, SETTINGS, 31)


def test_a_domain_that_is_not_measured_is_refused():
    with pytest.raises(RequestError, match="no held-out set of hard"):
        doremi(pool().measured_on(*(one for one in pool().heldout if one.name != "hard")), PRIOR, SETTINGS)


def test_shares_move_a_hundred_times_a_run_unless_the_least_share_needs_longer_stretches():
    assert OnlineSettings().stride(10_000, 32, 6) == 100
    assert OnlineSettings().stride(300, 16, 6) == 7  # 112 rows: one of a hundred for the least share
    assert OnlineSettings(least=0.0).stride(300, 4, 6) == 3
    assert OnlineSettings(every=20).stride(300, 16, 6) == 20
    with pytest.raises(RequestError, match="every to 7 or more"):
        OnlineSettings(every=6).stride(300, 16, 6)
    with pytest.raises(RequestError, match="over before shares that move every 7 steps"):
        OnlineSettings().stride(30, 16, 6)


def test_the_speed_of_a_power_law_is_its_exponent_times_what_is_left_above_the_floor():
    tokens = np.geomspace(1e6, 1e8, 30)
    losses = np.stack([2 + 50 * tokens**-0.3, 3 + 0 * tokens, 1 + tokens * 1e-9, 400 * tokens**-0.5], 1)
    expected = [0.3 * 50 * 1e8**-0.3, 0, 0, 0.5 * 400 * 1e8**-0.5]
    assert falling(tokens, losses) == pytest.approx(expected, rel=0.02, abs=1e-9)


def test_a_policy_put_away_and_taken_up_again_chooses_alike():
    def told(policy, numbers):
        for number in numbers:
            total = 1000.0 * number
            policy.next(10, PRIOR * total, 2 + np.array([9, 30, 20]) * total ** -np.array([0.2, 0.5, 0.3]))
        return policy

    whole, resumed = told(ADO(PRIOR), range(1, 12)), ADO(PRIOR)
    resumed.load(json.loads(json.dumps(told(ADO(PRIOR), range(1, 7)).state())))
    assert told(resumed, range(7, 12)).shares.tolist() == whole.shares.tolist()
