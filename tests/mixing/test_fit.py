"""Regressors find the law that made the data, ensembles choose by cross-validation, intervals cover, noise is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.regression.ensemble import (
    conformal_quantile,
    evaluate,
    fit_swarm,
    fold_of,
    report,
    stack,
    target_weights,
)
from gristmill.mixing.regression.gaussian_process import GaussianProcess, Hyper, objective
from gristmill.mixing.regression.measures import measure, pairwise_accuracy, replicate_noise, spearman, trivial
from gristmill.mixing.regression.regressors import REGRESSORS, make_regressor
from gristmill.mixing.swarm import Swarm

D = 4


def mixtures(rows, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(D, 0.7), rows)


def law(weights):
    """Two targets: a power law in an own domain with some transfer, and an exponential law."""
    first = 2 + 0.8 * (weights[:, 0] + 0.2 * weights[:, 1] + 0.01) ** -0.25
    second = 1.5 + np.exp(0.3 - 1.7 * weights[:, 1] - 0.8 * weights[:, 2] + 0.4 * weights[:, 3])
    return np.column_stack([first, second])


def swarm(rows, seed=0, noise=0.0):
    weights = mixtures(rows, seed)
    losses = law(weights) + noise * np.random.default_rng(seed + 100).standard_normal((rows, 2))
    return Swarm(("a", "b", "c", "d"), ("a", "b"), weights, losses)


@pytest.mark.parametrize("name", sorted({*REGRESSORS} - {"gp_along"}))
def test_every_regressor_beats_the_mean_on_unseen_mixtures(name):
    train, test = swarm(200), swarm(100, seed=1)
    for t in range(2):
        fitted = make_regressor(name).fit(train.weights, train.losses[:, t])
        assert measure(fitted.predict(test.weights), test.losses[:, t])["r2"] > 0.5


@pytest.mark.parametrize(("name", "target"), [("exponential", 1), ("bimix", 0)])
def test_a_law_is_recovered_where_it_holds(name, target):
    train, test = swarm(100), swarm(100, seed=1)
    true = test.losses[:, 1] if name == "exponential" else 3 + 0.5 * (test.weights[:, 0] + 1e-2) ** -0.4
    seen = train.losses[:, 1] if name == "exponential" else 3 + 0.5 * (train.weights[:, 0] + 1e-2) ** -0.4
    fitted = make_regressor(name).fit(train.weights, seen)
    assert measure(fitted.predict(test.weights), true)["r2"] > 0.9999
    assert target in (0, 1)


def test_gaussian_process_is_the_one_of_scikit_learn():
    x, y = mixtures(40), law(mixtures(40))[:, 0]
    hyper = Hyper(np.log([0.5, 1.0, 2.0, 3.0]), np.log(1.7), np.log(0.01))
    ours = GaussianProcess()
    ours.fit(x, y)
    ours.hyper = hyper
    ours.condition()
    kernel = ConstantKernel(1.7) * Matern([0.5, 1.0, 2.0, 3.0], nu=1.5) + WhiteKernel(0.01)
    theirs = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-10).fit(ours.x, ours.y)
    value, gradient = objective(hyper.pack(), ours.x, ours.y, prior=False)
    kernel_theta = np.concatenate([[np.log(1.7)], hyper.lengths, [np.log(0.01)]])
    likelihood, slope = theirs.log_marginal_likelihood(kernel_theta, eval_gradient=True)
    assert value == pytest.approx(-likelihood, rel=1e-9)
    assert gradient == pytest.approx(-np.concatenate([slope[1:5], slope[:1], slope[5:]]), rel=1e-6, abs=1e-9)
    new = mixtures(7, seed=3)
    mean, deviation = theirs.predict((new - ours.centre) / ours.spread, return_std=True)
    assert ours.predict(new) == pytest.approx(ours.mean + ours.scale * mean, rel=1e-9)
    assert ours.deviation(new) == pytest.approx(ours.scale * deviation, rel=1e-6)


def test_gaussian_process_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="finite"):
        GaussianProcess().fit(mixtures(10), np.full(10, np.nan))


def test_the_ensemble_ranks_unseen_mixtures_and_its_intervals_cover():
    fit = fit_swarm(swarm(160, noise=0.02), ["linear", "bimix", "gp_sqrt", "exponential"])
    told = evaluate(fit, swarm(400, seed=5, noise=0.02))
    assert told["mean_spearman"] > 0.97
    for row in [*told["targets"].values(), told["average"]]:
        assert 0.85 <= row["coverage"] <= 0.95


def test_cross_validation_gives_the_weight_to_the_member_that_predicts():
    fit = fit_swarm(swarm(120), ["linear", "gp_cbrt"])
    for target in fit.targets:
        shares = dict(zip(target.names, [share for share, _ in target.members], strict=True))
        assert shares["gp_cbrt"] > 0.9
        assert target.cv["ensemble"]["spearman"] >= target.cv["linear"]["spearman"]


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing():
    one, two = (fit_swarm(swarm(40), ["linear", "gp_sqrt"], jobs=jobs) for jobs in (1, 2))
    assert (one.predict(mixtures(9)) == two.predict(mixtures(9))).all()


def test_replicates_share_a_fold_and_tell_the_noise():
    weights = np.repeat(mixtures(30), 4, axis=0)
    losses = law(weights) + 0.05 * np.random.default_rng(0).standard_normal((120, 2))
    assert np.sqrt(replicate_noise(weights, losses)) == pytest.approx([0.05, 0.05], rel=0.2)
    fold = fold_of(weights, 5, seed=0).reshape(30, 4)
    assert (fold == fold[:, :1]).all()
    assert replicate_noise(mixtures(30), law(mixtures(30))) is None


def test_a_report_sets_the_trivial_rules_beside_the_fit():
    made = swarm(60)
    told = report(fit_swarm(made, ["linear"]))
    rules = told["targets"]["a"]["baselines"]
    assert rules["own_weight"] == pytest.approx(spearmanr(-made.weights[:, 0], made.losses[:, 0])[0])
    assert told["targets"]["a"]["replicate_sd"] is None


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.integers(0, 2**32 - 1))
def test_spearman_is_the_one_of_scipy_ties_and_all(values, seed):
    a = np.array(values, float)
    b = np.random.default_rng(seed).integers(0, 4, len(values)).astype(float)
    theirs = spearmanr(a, b)[0] if len(set(values)) > 1 and len(set(b)) > 1 else np.nan
    assert spearman(a, b) == pytest.approx(theirs, nan_ok=True)


def test_pairwise_accuracy_counts_pairs_by_hand():
    true = np.array([1.0, 2.0, 3.0, 3.0])
    assert pairwise_accuracy(np.array([1.0, 3.0, 2.0, 9.0]), true) == pytest.approx(4 / 5)
    assert pairwise_accuracy(np.zeros(4), true) == 0.5


@given(st.integers(1, 200), st.floats(0.5, 0.99))
def test_the_conformal_quantile_is_a_score_with_enough_scores_below(n, level):
    scores = np.random.default_rng(n).random(n)
    found = conformal_quantile(scores, level)
    assert found == scores.max() or (scores <= found).sum() >= level * (n + 1) - 1e-9


@given(st.integers(1, 5), st.integers(0, 99))
def test_stacking_weights_are_shares(members, seed):
    draw = np.random.default_rng(seed)
    losses = draw.random(30)
    shares = stack(losses[:, None] + 0.1 * draw.standard_normal((30, members)), losses)
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()


def test_target_weights_are_found_by_plain_name():
    names = ("metric/the_pile_arxiv_val_loss", "metric/the_pile_github_val_loss")
    assert list(target_weights(names, {"the_pile_github": 3, "the_pile_arxiv": 1})) == [0.25, 0.75]
    assert list(target_weights(names, None)) == [0.5, 0.5]


def test_the_own_weight_rule_is_nan_without_an_own_domain():
    assert np.isnan(trivial(mixtures(5), np.full(D, 1 / D), None, np.arange(5.0))["own_weight"])


def test_trajectories_are_extra_information_where_the_last_losses_are_noisy():
    draw = np.random.default_rng(0)
    weights = draw.dirichlet(np.ones(3), 40)
    unseen = draw.dirichlet(np.ones(3), 200)
    steps = np.array([10.0, 20.0, 40.0])

    def clean(rows):
        return np.array([3 + 4 * step**-0.3 + np.sqrt(rows[:, 0]) for step in steps]).T

    paths = clean(weights) + 0.1 * draw.standard_normal((40, 3))
    swarm = Swarm(("a", "b", "c"), ("t",), weights, paths[:, -1:], (), steps, paths[:, :, None])

    def error(name):
        fit = fit_swarm(swarm, (name,))
        return np.sqrt(np.mean((fit.predict(unseen)[:, 0] - clean(unseen)[:, -1]) ** 2))

    assert error("gp_along") < 0.9 * error("gp_sqrt")
    with pytest.raises(RequestError, match="two evaluations"):
        fit_swarm(replace(swarm, trajectories=None), ("gp_along",))
