"""Laws find the constants that made the data, give the published check values, and do not extrapolate in silence."""

import warnings

import numpy as np
import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.laws.chinchilla import constants, fit_chinchilla, fit_error, loss, optimal_split
from gristmill.mixing.laws.downstream import fit_downstream
from gristmill.mixing.laws.mixture import best_share, dcpt, fit_dcpt, fit_power, nested_prediction, power, projected
from gristmill.mixing.laws.repetition import Bucket, DataConstrained, best_cutoff, filtered_loss, fit_bucket
from gristmill.mixing.laws.robust import Extrapolation, LawFit
from gristmill.mixing.regression.regressors import Exponential
from gristmill.mixing.search.convex import bucket_limits, exact
from gristmill.mixing.search.optimise import Terms
from gristmill.mixing.search.simplex import Limits

PUBLISHED = np.array([np.log(482.0), np.log(2085.4), np.log(1.817), 0.348, 0.366])


@pytest.fixture(scope="module")
def chinchilla():
    draw = np.random.default_rng(0)
    sizes, tokens = 10 ** draw.uniform(8, 10, 60), 10 ** draw.uniform(9, 11, 60)
    made = loss(PUBLISHED, np.column_stack([sizes, tokens]))
    return fit_chinchilla(sizes, tokens, made, bootstrap=3)


def test_chinchilla_constants_are_recovered(chinchilla):
    found = constants(chinchilla)
    assert found["E"] == pytest.approx(1.817, rel=0.005)
    assert found["alpha"] == pytest.approx(0.348, rel=0.03)
    assert found["beta"] == pytest.approx(0.366, rel=0.03)
    n, d = optimal_split(chinchilla, 1e21)
    assert 6 * n * d == pytest.approx(1e21)
    here = chinchilla.predict(np.array([[n, d]]), allow=True)[0]
    for factor in (0.8, 1.25):
        assert chinchilla.predict(np.array([[n * factor, d / factor]]), allow=True)[0] > here


def test_a_law_warns_beyond_its_data_and_refuses_far_beyond(chinchilla):
    with pytest.warns(Extrapolation):
        chinchilla.predict(np.array([[2e10, 1e10]]))
    with pytest.raises(RequestError, match="times beyond"):
        chinchilla.predict(np.array([[1e13, 1e10]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chinchilla.predict(np.array([[1e9, 1e10]]))
    low, high = chinchilla.interval(np.array([[1e9, 1e10]]))
    assert low[0] <= high[0]


def test_too_few_rows_are_refused():
    with pytest.raises(RequestError, match="cannot determine 5"):
        fit_chinchilla(np.ones(3), np.ones(3), np.ones(3))


def test_the_data_constrained_law_gives_its_published_check_value():
    assert DataConstrained.published().loss(6.34e9, 242e9, 25e9) == pytest.approx(2.2256440889984477, abs=1e-9)


def test_repeated_tokens_are_worth_less_and_less():
    law = DataConstrained.published()
    worth = [law.effective_tokens(1e9, epochs * 1e9) for epochs in (1, 2, 5, 50, 5000)]
    gains = np.diff(worth) / np.diff([1, 2, 5, 50, 5000])
    assert worth[0] == 1e9
    assert (np.diff(gains) < 0).all()
    assert worth[-1] == pytest.approx(1e9 * (1 + law.repeated_tokens), rel=1e-6)


def test_little_compute_wants_the_best_bucket_and_much_wants_more():
    buckets = [Bucket("top", 1e6, -0.30, 1.5), Bucket("middle", 1e6, -0.25, 2.0), Bucket("low", 1e6, -0.05, 2.0)]
    assert best_cutoff(buckets, 1e6, unit=1e3)[0] == ["top"]
    assert best_cutoff(buckets, 2e7, unit=1e3)[0][:2] == ["top", "middle"]


def test_the_filtering_law_is_the_one_computed_by_hand():
    bucket = Bucket("x", 100, -0.2, 2.0)
    by_hand = 100**-0.2 * 2 ** (-0.2 * 0.5 ** (1 / 2)) * 1.25 ** (-0.2 * 0.5 ** (2 / 2))
    assert filtered_loss([bucket], 250, floor=0.1) == pytest.approx(0.1 + by_hand)


def test_a_buckets_utility_and_half_life_are_recovered():
    samples = np.array([50, 100, 200, 400, 800.0])
    true = Bucket("x", 100, -0.2, 4.0)
    utility, half_life = fit_bucket(samples, 100, np.array([filtered_loss([true], n) for n in samples]))
    assert utility == pytest.approx(-0.2, abs=0.01)
    assert half_life == pytest.approx(4.0, rel=0.15)


@pytest.mark.filterwarnings("ignore::gristmill.mixing.laws.robust.Extrapolation")
def test_a_nested_law_foretells_a_longer_run():
    draw = np.random.default_rng(0)
    mixtures, steps = draw.dirichlet(np.ones(3), 12), np.array([100, 200, 400, 800, 1600.0])
    slope = np.array([-1.0, 0.2, 0.5])

    def true(rows, step):
        return 1 + 0.8 * np.exp(rows @ slope) + 8 * step**-0.5

    losses = np.array([[true(row, steps)] for row in mixtures])
    unseen = draw.dirichlet(np.ones(3), 10)
    found = nested_prediction(mixtures, steps, np.array([1.0]), losses, step=6400, size=1.0, unseen=unseen)
    assert found == pytest.approx(true(unseen, 6400), rel=0.01)
    with pytest.raises(RequestError, match="one size was measured"):
        nested_prediction(mixtures, steps, np.array([1.0]), losses, step=6400, size=2.0, unseen=unseen)


def test_a_power_law_with_a_floor_is_recovered():
    x = np.array([1e2, 3e2, 1e3, 3e3, 1e4])
    fit = fit_power(x, power(np.array([np.log(2.0), np.log(5.0), 0.4]), x[:, None]))
    assert np.exp(fit["log_c"]) == pytest.approx(2.0, rel=0.02)
    assert fit["alpha"] == pytest.approx(0.4, rel=0.05)


def test_the_dcpt_share_keeps_the_general_loss_within_its_bound():
    true = np.array([np.log(1.5), 4.0, 4.0, -2.0, 0.3, 0.3, 0.4, 0.3])
    low, high = np.array([1e8, 1e9, 0.0]), np.array([1e9, 1e10, 1.0])
    law = LawFit(dcpt, ("E", "A", "B", "C", "a", "b", "g", "h"), true, np.zeros((0, 8)), 0.0, 1.0, low, high)
    baseline = float(law.predict(np.array([[5e8, 5e9, 0.9]]))[0])
    tight = best_share(law, law, 5e8, 5e9, baseline, tolerance=0.005)
    loose = best_share(law, law, 5e8, 5e9, baseline, tolerance=0.05)
    assert tight["general_loss"] <= 1.005 * baseline
    assert tight["share"] < loose["share"]
    assert tight["domain_loss"] > loose["domain_loss"]
    with pytest.raises(RequestError, match="no share keeps"):
        best_share(law, law, 5e8, 5e9, baseline * 0.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::gristmill.mixing.laws.robust.Extrapolation")
def test_the_dcpt_law_predicts_what_it_was_not_shown():
    true = np.array([np.log(1.5), 4.0, 4.0, -2.0, 0.3, 0.3, 0.4, 0.3])
    draw = np.random.default_rng(0)
    rows = np.column_stack([10 ** draw.uniform(8, 9, 60), 10 ** draw.uniform(9, 10, 60), draw.uniform(0.05, 1, 60)])
    fit = fit_dcpt(rows[:40, 0], rows[:40, 1], rows[:40, 2], dcpt(true, rows[:40]))
    assert fit.predict(rows[40:]) == pytest.approx(dcpt(true, rows[40:]), rel=0.01)


def test_projection_is_linear_in_the_logarithm():
    assert projected(1e4, (1e2, 1.0), (1e3, 2.0)) == pytest.approx(3.0)
    assert projected(1e3, (1e2, 1.0), (1e3, 2.0)) == pytest.approx(2.0)


def test_task_error_flattens_at_chance_and_clusters_are_foretold_apart():
    losses = np.linspace(4, 2, 12)
    rising = 1 - (0.75 - np.exp(1.0 - 1.0 * losses))
    correct = np.column_stack([np.tile(rising[:, None], 6), np.full((12, 4), 0.25)])
    fit = fit_downstream(losses, correct, clusters=2)
    assert fit.predict(np.array([2.5]))[0] == pytest.approx(0.6 * (0.25 + np.exp(-1.5)) + 0.4 * 0.25, rel=0.02)
    assert sum(curve is None for curve in fit.curves) == 1
    assert fit_error(losses, 1 - rising)["epsilon"] == pytest.approx(0.75, rel=0.05)


def laws():
    made = []
    for slope in ([-2.0, 0, 0], [0, -2.0, 0], [0, 0, -2.0]):
        law = Exponential()
        law.bias, law.floor, law.slope = 0.0, 1.0, np.array(slope)
        made.append(law)
    return made


def test_the_exact_programme_finds_the_optimum_and_keeps_caps():
    free = Limits.free(("a", "b", "c"))
    equal = np.full(3, 1 / 3)
    weights, value = exact(laws(), equal, free)
    assert weights == pytest.approx(equal, abs=1e-4)
    assert value == pytest.approx(1 + np.exp(-2 / 3), rel=1e-6)
    capped, _ = exact(laws(), equal, Limits.of(("a", "b", "c"), ceilings={"a": 0.1}))
    assert capped == pytest.approx([0.1, 0.45, 0.45], abs=1e-4)


def test_the_exact_programme_goes_to_a_corner_without_kl_and_to_the_prior_with_much():
    free, prior = Limits.free(("a", "b", "c")), np.array([0.2, 0.3, 0.5])
    one = np.array([1.0, 0, 0])
    assert exact(laws(), one, free)[0][0] > 0.999
    assert exact(laws(), one, free, Terms(prior, kl=100.0))[0] == pytest.approx(prior, abs=0.01)
    bound = ((np.array([0, 0, 1.0]), 1 + np.exp(-2 * 0.4)),)
    assert exact(laws(), one, free, Terms(at_most=bound))[0] == pytest.approx([0.6, 0, 0.4], abs=1e-3)
    with pytest.raises(RequestError, match="no mixture satisfies"):
        exact(laws(), one, free, Terms(at_most=((np.array([0, 0, 1.0]), 1.0),)))
    with pytest.raises(RequestError, match="not convex"):
        exact(laws(), -one, free)


def test_quality_buckets_are_domains_with_caps_of_their_own():
    limits, pairs = bucket_limits(("x", "y"), np.array([[10, 90], [100, 0]]), np.array([[4, 1], [2, 1]]), 200)
    assert pairs == [("x", 0), ("x", 1), ("y", 0)]
    assert limits.high == pytest.approx([0.2, 0.45, 1.0])
