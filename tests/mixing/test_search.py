"""Designs and searches keep to the limits whatever they are, and find the optimum of a law that is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.regression.ensemble import fit_swarm
from gristmill.mixing.search import baselines
from gristmill.mixing.search.designs import dirichlet_swarm, nested_swarm, next_round, spread_swarm, tempered
from gristmill.mixing.search.optimise import Terms, compare, descend, evolve, propose, simulate
from gristmill.mixing.search.rounds import acquire, round_sizes
from gristmill.mixing.search.simplex import Limits, without_crumbs
from gristmill.mixing.search.units import UNCHANGED, Units
from gristmill.mixing.swarm import Swarm

NAMES = ("a", "b", "c", "d")
NATURAL = np.array([0.6, 0.25, 0.1, 0.05])


@st.composite
def limits(draw):
    low = np.array(draw(st.lists(st.floats(0, 0.24), min_size=4, max_size=4)))
    high = low + np.array(draw(st.lists(st.floats(0.02, 1), min_size=4, max_size=4)))
    high = np.minimum(high + max(0, 1 - high.sum()) / 3, 1.0)
    made = Limits(NAMES, low, high)
    if high.sum() < 1:
        made = Limits(NAMES, low, np.ones(4))
    return made


@given(limits(), st.lists(st.floats(-2, 2), min_size=4, max_size=4))
def test_a_projection_keeps_the_limits_and_moves_no_mixture_that_does(limit, point):
    made = limit.project(np.array(point))
    assert limit.contains(made, 1e-7)[0]
    assert limit.project(made) == pytest.approx(made, abs=1e-7)
    draws = limit.project(np.random.default_rng(0).dirichlet(np.ones(4), 50))
    nearest = ((draws - point) ** 2).sum(1).min()
    assert ((made - point) ** 2).sum() <= nearest + 1e-6


@given(limits(), st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_rescaling_keeps_the_limits_and_the_proportions_of_what_is_free(limit, point):
    made = limit.rescale(np.array(point))
    assert limit.contains(made, 1e-7)[0]
    free = (made > limit.low + 1e-6) & (made < limit.high - 1e-6)
    ratio = made[free] / np.array(point)[free]
    assert ratio == pytest.approx(np.full(free.sum(), ratio.mean() if free.any() else 0.0), rel=1e-3)


@pytest.mark.parametrize("design", [lambda n, s, lim: dirichlet_swarm(NATURAL, n, s, lim), spread_swarm])
def test_a_swarm_is_distinct_within_limits_and_a_function_of_its_seed(design):
    limit = Limits.of(NAMES, available=np.array([60, 25, 10, 5]), total_tokens=100, max_epochs=4)
    made = design(40, 7, limit)
    assert limit.contains(made).all()
    assert len(np.unique(np.round(made, 5), axis=0)) == 40
    assert (design(40, 7, limit) == made).all()
    assert not np.array_equal(design(40, 8, limit), made)


def test_the_dirichlet_swarm_centres_on_the_tempered_natural_mixture():
    made = dirichlet_swarm(NATURAL, 3000, 0, Limits.free(NAMES), strengths=(5.0,))
    assert made.mean(0) == pytest.approx(tempered(NATURAL), abs=0.02)
    assert tempered(NATURAL) == pytest.approx(np.sqrt(NATURAL) / np.sqrt(NATURAL).sum())
    assert ((made == 0) | (made >= 2e-4 * 0.99)).all()


def test_the_spread_swarm_leaves_no_mixture_far_away():
    made = np.sqrt(spread_swarm(30, 0, Limits.free(NAMES)))
    drawn = np.sqrt(dirichlet_swarm(NATURAL, 30, 0, Limits.free(NAMES)))
    probes = np.sqrt(np.random.default_rng(1).dirichlet(np.ones(4), 500))

    def farthest(points):
        return np.sqrt(((probes[:, None] - points[None]) ** 2).sum(2)).min(1).max()

    assert farthest(made) < farthest(drawn)


def test_nested_swarms_hold_each_domain_once_and_refuse_others():
    groups = {"first": ["a", "b"], "second": ["c", "d"]}
    made = nested_swarm(groups, NATURAL, 20, 0, Limits.free(NAMES))
    assert made.shape == (20, 4)
    assert made.sum(1) == pytest.approx(np.ones(20))
    with pytest.raises(RequestError, match="exactly once"):
        nested_swarm({"first": ["a", "b"]}, NATURAL, 20, 0, Limits.free(NAMES))


def test_another_round_prefers_what_is_promising_and_unknown():
    seen = np.array([[0.05, 0.05, 0.05, 0.85]])

    def predict(rows):
        return -rows[:, 3], np.full(len(rows), 0.0)

    made = next_round(seen, predict, np.full(4, 0.25), 5, 0, Limits.free(NAMES), boldness=0.0)
    assert made[:, 3].mean() > 0.9
    unknown = next_round(
        seen, lambda rows: (np.zeros(len(rows)), np.ones(len(rows))), np.full(4, 0.25), 5, 0, Limits.free(NAMES)
    )
    distances = np.sqrt(((np.sqrt(unknown)[:, None] - np.sqrt(np.vstack([unknown, seen]))[None]) ** 2).sum(2))
    assert (np.sort(distances, 1)[:, 1] > 0.1).all()


def test_unchanged_domains_keep_their_proportions_and_act_as_one():
    units = Units.reused(NAMES, {"a": 0.6, "b": 0.2, "gone": 0.2}, ["c", "d"])
    assert units.names == (UNCHANGED, "c", "d")
    made = units.expand(dirichlet_swarm(units.collapse(NATURAL), 10, 0, units.limits(Limits.free(NAMES))))
    made = made[made[:, 0] > 1e-6]  # where the unchanged domains were drawn at all
    assert len(made) > 5
    assert made.sum(1) == pytest.approx(np.ones(len(made)))
    assert made[:, 0] / made[:, 1] == pytest.approx(np.full(len(made), 3.0), rel=1e-6)
    assert all(units.reach(row) for row in made)
    assert not units.reach(np.full(4, 0.25))


def test_the_limits_of_units_keep_every_domain_within_its_own():
    units = Units.reused(NAMES, {"a": 0.75, "b": 0.25}, ["c", "d"])
    within = units.limits(Limits.of(NAMES, ceilings={"a": 0.3, "b": 0.2}, floors={"b": 0.05}))
    assert within.high[0] == pytest.approx(0.4)  # a reaches 0.3 when both have 0.4
    assert within.low[0] == pytest.approx(0.2)  # b has 0.05 when both have 0.2


def test_reuse_is_refused_where_nothing_stays_or_nothing_changed():
    with pytest.raises(RequestError, match="from the start"):
        Units.reused(NAMES, {"gone": 1.0}, ["c", "d"])
    with pytest.raises(RequestError, match="nothing to search"):
        Units.reused(NAMES, {"a": 1.0}, [])
    with pytest.raises(RequestError, match="no domain"):
        Units.reused(NAMES, {"a": 1.0}, ["z"])


@given(st.integers(8, 500), st.integers(1, 4))
def test_rounds_sum_to_the_mixtures_asked_for_and_the_first_holds_half_of_them(mixtures, rounds):
    sizes = round_sizes(mixtures, rounds)
    assert sum(sizes) == mixtures
    assert sizes[0] >= min(8, mixtures)
    assert rounds == 1 or sizes[0] in (8, -(-mixtures // 2))
    assert max(sizes[1:], default=0) - min(sizes[1:], default=0) <= 1
    assert len(sizes) == rounds


def test_a_search_stops_where_nothing_is_expected_to_be_gained():
    first = dirichlet_swarm(NATURAL, 16, 0, Limits.free(NAMES))
    swarm = Swarm(NAMES, ("t",), first, 1 + 0.1 * first[:, :1])
    given = {"regressors": None, "seed": 1}
    assert len(acquire(swarm, np.ones(1), NATURAL, Limits.free(NAMES), 4, **given, least_gain=0.0)) == 4
    assert len(acquire(swarm, np.ones(1), NATURAL, Limits.free(NAMES), 4, **given, least_gain=5.0)) == 0
    assert len(acquire(swarm, np.ones(1), NATURAL, Limits.free(NAMES), 0, **given)) == 0


def test_later_rounds_find_a_narrow_optimum_that_one_round_of_the_same_size_misses():
    best = np.array([0.02, 0.08, 0.6, 0.3])

    def loss(rows):
        return ((np.sqrt(rows) - np.sqrt(best)) ** 2).sum(1)[:, None]

    first = dirichlet_swarm(NATURAL, 16, 0, Limits.free(NAMES))
    swarm = Swarm(NAMES, ("t",), first, loss(first))
    more = acquire(swarm, np.ones(1), NATURAL, Limits.free(NAMES), 8, regressors=("gp_sqrt",), seed=1, boldness=1.0)
    blind = dirichlet_swarm(NATURAL, 24, 0, Limits.free(NAMES))
    assert loss(more).min() < 0.5 * loss(blind).min()
    assert np.median(loss(more)) < np.median(loss(blind))


def test_unimax_fills_small_domains_to_the_cap_and_shares_the_rest():
    made = baselines.unimax(np.array([1000.0, 100.0, 10.0]), 600, 2)
    assert made == pytest.approx(np.array([380, 200, 20]) / 600)
    assert baselines.unimax(np.array([1e6, 1e6]), 600, 1) == pytest.approx([0.5, 0.5])


def test_temperature_goes_from_natural_to_uniform():
    assert baselines.temperature(np.array([90.0, 10.0]), 1) == pytest.approx([0.9, 0.1])
    assert baselines.temperature(np.array([90.0, 10.0]), 1e9) == pytest.approx([0.5, 0.5])


def test_doremi_moves_weight_to_the_domain_with_excess_loss():
    excess = np.tile([0.5, 0.0, -1.0], (50, 1))
    made = baselines.doremi_style(excess, np.full(3, 1 / 3))
    assert made[0] > 0.9
    assert made[1] == pytest.approx(made[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": 0.5, "available": np.ones(4), "total_tokens": 4}, "allow only 0.5"),
        ({"floors": {"a": 0.6}, "ceilings": {"a": 0.5}}, "floor of a lies above"),
        ({"floors": {"x": 0.6}}, "no domain 'x'"),
    ],
)
def test_limits_that_no_mixture_satisfies_are_refused(options, message):
    with pytest.raises(RequestError, match=message):
        Limits.of(NAMES, **options)


def bowl(rows):
    """Lowest at the mixture (0.1, 0.2, 0.3, 0.4)."""
    return ((np.atleast_2d(rows) - np.array([0.1, 0.2, 0.3, 0.4])) ** 2).sum(1)


def test_every_search_finds_the_lowest_point():
    limit = Limits.free(NAMES)
    averaged, best = simulate(bowl, NATURAL, limit, 0)
    assert averaged == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.12)  # an average of the best is rough
    assert descend(bowl, best[:1], limit) == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-3)
    assert evolve(bowl, NATURAL, limit, 0) == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.02)


def test_every_search_stays_within_the_limits():
    limit = Limits.of(NAMES, ceilings={"d": 0.2})
    for found in (
        simulate(bowl, NATURAL, limit, 0)[0],
        descend(bowl, limit.project(NATURAL[None]), limit),
        evolve(bowl, NATURAL, limit, 0),
    ):
        assert limit.contains(found)[0]
        assert found[3] == pytest.approx(0.2, abs=1e-3)


@pytest.fixture(scope="module")
def fitted():
    weights = np.random.default_rng(0).dirichlet(np.full(4, 0.7), 120)
    losses = np.column_stack([2 + (weights[:, d] + 0.05) ** -0.3 for d in range(4)])
    losses += 0.01 * np.random.default_rng(1).standard_normal(losses.shape)
    return fit_swarm(Swarm(NAMES, NAMES, weights, losses), ["gp_sqrt", "bimix"])


def test_the_proposal_balances_equal_targets_and_its_gain_is_proven(fitted):
    equal = np.full(4, 0.25)
    made = propose(fitted, equal, NATURAL, Limits.free(NAMES), draws=3000)
    assert made.weights == pytest.approx(equal, abs=0.06)
    assert made.low < made.predicted < made.high
    assert made.gain["proven"]
    assert made.gain["low"] > 0
    for name, row in made.sensitivity.items():
        assert row["low"] <= row["share"] <= row["high"], name
    rows = compare(fitted, equal, {"natural": NATURAL, "fitted": made.weights})
    assert rows["fitted"]["predicted"] < rows["natural"]["predicted"]


def test_a_gain_over_itself_is_not_proven(fitted):
    equal = np.full(4, 0.25)
    made = propose(fitted, equal, equal, Limits.free(NAMES), draws=3000)
    assert not made.gain["proven"]


def test_terms_pull_the_proposal_their_way(fitted):
    equal = np.full(4, 0.25)
    free = propose(fitted, equal, NATURAL, Limits.free(NAMES), draws=3000).weights
    near = propose(fitted, equal, NATURAL, Limits.free(NAMES), draws=3000, terms=Terms(NATURAL, kl=10.0)).weights
    assert near == pytest.approx(NATURAL, abs=0.02)
    cost = np.array([0, 0, 0, 5.0])
    assert propose(fitted, equal, NATURAL, Limits.free(NAMES), draws=3000, terms=Terms(cost=cost)).weights[3] < free[3]
    only_a = np.array([1.0, 0, 0, 0])
    bound = float(fitted.combined(np.array([[0.2, 0.3, 0.3, 0.2]]), np.array([0, 0, 0, 1.0]))[0])
    held = propose(
        fitted,
        only_a,
        NATURAL,
        Limits.free(NAMES),
        draws=3000,
        terms=Terms(at_most=((np.array([0, 0, 0, 1.0]), bound),)),
    )
    assert fitted.combined(held.weights[None], np.array([0, 0, 0, 1.0]))[0] <= bound + 2e-3


def test_a_share_that_no_run_can_draw_becomes_zero_and_the_others_keep_to_their_limits():
    limits = Limits.of(["a", "b", "c", "d"], floors={"d": 1e-5}, ceilings={"b": 0.4})
    found = without_crumbs(np.array([0.59994, 0.4, 5e-5, 1e-5]), 1e-3, limits)
    assert found.tolist() == pytest.approx([0.59999, 0.4, 0.0, 1e-5])
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert found[1] <= 0.4
    assert found[2] == 0.0
