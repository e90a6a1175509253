"""The ladder compares the order of mixtures at one size with their order at the next."""

from dataclasses import replace

import numpy as np
import pytest

from gristmill.corpus.refusal import RequestError
from gristmill.proxy_models.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.ladder import climb, compare
from gristmill.proxy_models.pool import TokenPool

SMALL = FleetSettings(
    n_layers=1, d_model=8, n_heads=2, d_ff=8, seq_len=8, sequences=2, steps=3, warmup=1, evaluations=1,
    execution="stacked",
)  # fmt: skip
MIXTURES = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    train = {name: [rng.integers(1, 40, 120)] for name in "ab"}
    return TokenPool.from_documents(train, {"a": ([rng.integers(1, 40, 20)], 60)}, 40)


def with_losses(result, losses, alive=(True,) * 4):
    return replace(result, bits_per_byte=np.array(losses, float)[:, None, None], alive=np.array(alive))


def test_agreement_is_counted_over_pairs_of_living_models(pool):
    result = train_fleet(pool, MIXTURES, SMALL)
    small = with_losses(result, [1.0, 2.0, 3.0, 9.0])
    large = with_losses(result, [5.0, 7.0, 6.0, np.nan], (True, True, True, False))
    rung = compare("s", small, "l", large)
    assert rung.models == 3
    assert rung.pairwise.tolist() == [pytest.approx(2 / 3)]
    assert rung.spearman.tolist() == [pytest.approx(0.5)]


def test_every_size_is_trained_and_compared_with_the_next(pool):
    sizes = {"d8": SMALL, "d16": SMALL.model_copy(update={"d_model": 16}), "d8 again": SMALL}
    results, rungs = climb(pool, MIXTURES, sizes)
    assert [(rung.small, rung.large) for rung in rungs] == [("d8", "d16"), ("d16", "d8 again")]
    again = compare("d8", results["d8"], "d8 again", results["d8 again"])
    assert again.spearman.tolist() == [pytest.approx(1.0)]
    assert again.pairwise.tolist() == [1.0]


def test_a_ladder_of_one_rung_and_strangers_are_refused(pool):
    with pytest.raises(RequestError, match="needs two sizes and three mixtures, got 1 and 4"):
        climb(pool, MIXTURES, {"d8": SMALL})
    a, b = train_fleet(pool, MIXTURES, SMALL), train_fleet(pool, MIXTURES[::-1], SMALL)
    with pytest.raises(RequestError, match="not trained on the same mixtures"):
        compare("a", a, "b", b)
