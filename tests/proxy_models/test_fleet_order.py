"""What a fleet reads, in which order: the pool, the streams, and the shares that are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.proxy_models.fleets.order import DataOrder, TwoPhases, row_order
from gristmill.proxy_models.fleets.pool import HeldOutTokens, TokenPool

HELD = {"a": ([np.array([1, 2])], 2)}


def pool_of(**lengths: int) -> TokenPool:
    train = {name: [np.arange(1, length + 1) % 97] for name, length in lengths.items()}
    return TokenPool.from_documents(train, HELD, vocab_size=97)


@given(st.integers(0, 2**40), st.integers(0, 5), st.integers(1, 300))
def test_an_epoch_reads_every_row_once(seed, epoch, rows):
    assert sorted(row_order(seed, "books", epoch, rows)) == list(range(rows))


def test_the_order_of_rows_never_changes_between_versions():
    assert row_order(7, "books", 1, 10).tolist() == [5, 8, 7, 2, 3, 1, 9, 4, 6, 0]


def test_epochs_seeds_and_domains_have_orders_of_their_own():
    orders = [row_order(s, name, e, 50).tolist() for s, name, e in ((0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1))]
    assert len({tuple(order) for order in orders}) == 4


@given(st.lists(st.integers(0, 9), min_size=2, max_size=5).filter(sum), st.integers(1, 40), st.integers(1, 7))
def test_realised_shares_stay_within_a_row_or_two_of_the_mixture(weights, steps, batch):
    pool = pool_of(**{f"d{i}": 50 + 30 * i for i in range(len(weights))})
    mixture = np.array([weights]) / sum(weights)
    counts = DataOrder(pool, mixture, [0], 8, batch).counts(steps)
    assert counts.sum() == steps * batch
    assert np.abs(counts - mixture * steps * batch).max() <= 2
    assert not counts[mixture == 0].any()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_a_step_reads_the_same_rows_whatever_was_asked_before(asked):
    pool = pool_of(a=90, b=60)
    mixtures = np.array([[0.3, 0.7], [0.9, 0.1]])
    order = DataOrder(pool, mixtures, [3, 4], 8, 3)
    for step in asked:
        fresh = DataOrder(pool, mixtures, [3, 4], 8, 3)
        assert (order.starts(step) == fresh.starts(step)).all()


def test_models_with_one_seed_read_prefixes_of_one_stream_of_each_domain():
    pool = pool_of(a=200, b=200)
    order = DataOrder(pool, np.array([[0.25, 0.75], [0.75, 0.25]]), [5, 5], 8, 4)
    starts = np.concatenate([order.starts(step) for step in range(10)], axis=1)
    for first, end in ((0, 200), (200, 400)):
        one, other = ([s for s in row if first <= s < end] for row in starts)
        n = min(len(one), len(other))
        assert n > 5
        assert one[:n] == other[:n]


@given(st.integers(0, 12), st.lists(st.integers(0, 11), min_size=1, max_size=8))
def test_a_second_phase_goes_on_with_the_streams_under_its_own_shares(begin, asked):
    pool = pool_of(a=200, b=200)
    first, last = np.array([[0.25, 0.75]]), np.array([[1.0, 0.0]])
    order = TwoPhases(pool, first, [5], 8, 4, begin, last)
    stream = DataOrder(pool, last, [5], 8, 4)  # a alone
    only_a = np.concatenate([stream.starts(step)[0] for step in range(12)]).tolist()
    whole = [order.starts(step)[0] for step in range(12)]
    read = np.concatenate(whole)
    assert [start for start in read if start < 200] == only_a[: int((read < 200).sum())]
    assert order.counts(12).tolist() == [[4 * 12 - int((read >= 200).sum()), int((read >= 200).sum())]]
    assert abs(int((read >= 200).sum()) - 3 * begin) <= 1
    for step in asked:
        assert (order.starts(step)[0] == whole[step]).all()


def test_a_row_never_crosses_into_the_next_domain():
    pool = pool_of(a=50, b=33)
    order = DataOrder(pool, np.array([[0.5, 0.5]]), [0], 8, 5)
    for step in range(12):
        starts = order.starts(step)
        ends = np.where(starts < 50, 50, 83)
        assert (starts + 9 <= ends).all()


@pytest.mark.parametrize(
    ("mixtures", "said"),
    [
        ([[0.5, 0.6]], "sum to 1"),
        ([[1.5, -0.5]], "at least 0"),
        ([[1.0]], "2 domains"),
        ([[0.5, 0.5]], "domain b has 5 tokens, a row needs 9"),
    ],
)
def test_a_mixture_that_cannot_be_honoured_is_refused(mixtures, said):
    with pytest.raises(RequestError, match=said):
        DataOrder(pool_of(a=50, b=5), np.array(mixtures), [0], 8, 2)


def test_a_domain_without_a_row_may_have_no_share():
    assert DataOrder(pool_of(a=50, b=5), np.array([[1.0, 0.0]]), [0], 8, 2).counts(4).tolist() == [[8, 0]]


def test_a_pool_refuses_tokens_beyond_the_vocabulary_and_empty_targets():
    with pytest.raises(RequestError, match="holds token 12, the vocabulary has 10"):
        TokenPool.from_documents({"a": [np.array([1, 12])]}, {}, vocab_size=10)
    with pytest.raises(RequestError, match="held-out set of a is empty"):
        TokenPool((), (HeldOutTokens("a", np.zeros(0, np.uint16), 0),), 10)
