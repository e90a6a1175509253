"""Rows against the documents they were cut from."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.training.data.packing import IGNORED, Packing, Rows, best_fit, fit
from gristmill.training.data.permutation import key_of, permute_all
from gristmill.training.data.shards import TokenDomain, TokenFacts

BOS, EOS = 0, 1
FACTS = TokenFacts("t", 60_000, BOS, EOS)
lengths = st.lists(st.integers(0, 40), min_size=1, max_size=25)


def corpus(sizes, prefix=0, facts=FACTS):
    """Documents whose tokens are all different, so that a token names its place."""
    documents, at = [], 2
    for size in sizes:
        body = list(range(at, at + size + prefix))
        documents.append(np.array([BOS, *body, *([] if facts.eos is None else [facts.eos])], np.uint16))
        at += size + prefix
    return TokenDomain.from_documents("d", documents, facts, metadata_tokens=[prefix] * len(sizes))


def epoch(domain, packing):
    rows = Rows(domain, packing)
    shape = (len(rows), packing.seq_len)
    ids, targets, documents = np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape, np.int32)
    order = np.arange(len(rows))
    rows.fill(order, order, ids, targets, documents)
    return rows, ids, targets, documents


def learnt(domain, kind, length, keep):
    """(every target of an epoch, the rows' own count of them); decompose has an epoch of each of its lengths."""
    packings = [Packing(kind, length, keep)]
    if kind == "decompose":
        packings = [Packing(kind, 1 << k, keep, length, 2) for k in range(1, length.bit_length())]
    seen, counted = Counter(), 0
    for packing in packings:
        rows, _, targets, _ = epoch(domain, packing)
        seen.update(targets[targets != IGNORED].tolist())
        assert (targets != IGNORED).sum(1).tolist() == rows.row_targets.tolist()
        counted += rows.targets
    return seen, counted


@given(
    lengths,
    st.sampled_from(
        [("concat", 5), ("concat", 16), ("bestfit", 2), ("bestfit", 9), ("decompose", 4), ("decompose", 16)]
    ),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([EOS, None]),
)
def test_every_token_and_every_end_is_a_target_exactly_once_in_an_epoch(sizes, packing, prefix, keep, eos):
    domain = corpus(sizes, prefix, TokenFacts("t", 60_000, BOS, eos))
    seen, counted = learnt(domain, *packing, keep)
    expected = Counter()
    for i in range(domain.documents):
        expected.update(domain.document(i)[1 + prefix :].tolist())
        expected.update([BOS] if eos is None else [])
    assert seen == expected
    assert counted == sum(expected.values())


@given(lengths, st.integers(2, 16), st.sampled_from(["concat", "bestfit"]), st.integers(0, 3), st.booleans())
def test_a_target_is_what_follows_its_input_in_the_document(sizes, seq_len, kind, prefix, keep):
    domain = corpus(sizes, prefix)
    follows = {}
    for i in range(domain.documents):
        tokens = domain.document(i).tolist()
        tokens = tokens if keep else [BOS, *tokens[1 + prefix :]]
        follows.update({b: a for a, b in itertools.pairwise(tokens) if b != EOS})
    _, ids, targets, _ = epoch(domain, Packing(kind, seq_len, metadata=keep))
    for given_, target in zip(ids.ravel().tolist(), targets.ravel().tolist(), strict=True):
        if target not in (IGNORED, EOS):
            # behind a cut, best fit puts a BOS of its own
            assert follows[target] == given_ or (kind == "bestfit" and given_ == BOS)


@given(lengths, st.integers(2, 16))
def test_best_fit_rows_start_with_bos_and_number_their_documents(sizes, seq_len):
    _, ids, targets, documents = epoch(corpus(sizes), Packing("bestfit", seq_len))
    if len(ids):
        assert (ids[:, 0] == BOS).all()
        assert (targets[:, 0] != IGNORED).all()
    for row, owner in zip(ids, documents, strict=True):
        for piece in set(owner[owner >= 0].tolist()):
            assert row[owner == piece][0] == BOS


@given(lengths, st.sampled_from([2, 4, 8, 16]), st.integers(0, 3), st.booleans())
def test_decomposed_pieces_are_inside_one_document_and_rows_are_of_their_length(sizes, longest, prefix, keep):
    domain = corpus(sizes, prefix)
    bucket = 2
    while bucket <= longest:
        rows, ids, targets, _ = epoch(domain, Packing("decompose", bucket, keep, longest, 2))
        for number, (row, target) in enumerate(zip(ids.tolist(), targets.tolist(), strict=True)):
            tokens = domain.document(int(rows.plan[1][number])).tolist()
            tokens = tokens if keep else [BOS, *tokens[1 + prefix :]]
            begin, size = int(rows.plan[2][number]), int(rows.plan[3][number])
            assert row[: size - 1] == tokens[begin : begin + size - 1]
            assert all(t in (IGNORED, after) for t, after in zip(target, tokens[begin + 1 :], strict=False))
            assert len(row) == bucket
            assert size == bucket + 1 or bucket == 2
        bucket *= 2


def test_without_an_end_token_the_next_start_is_the_target_that_ends_a_document():
    domain = corpus([3, 2], facts=TokenFacts("t", 100, BOS, None))
    rows, ids, targets, _ = epoch(domain, Packing("concat", 4))
    assert ids.tolist() == [[0, 2, 3, 4], [0, 5, 6, 0]]
    assert targets.tolist() == [[2, 3, 4, 0], [5, 6, 0, IGNORED]]
    assert rows.targets == 7


def test_rows_do_not_depend_on_how_documents_are_cut_into_record_batches():
    whole = corpus([5, 9, 30, 2, 7])
    cut = [whole.offsets[0], whole.offsets[2], whole.offsets[2], whole.offsets[4], whole.offsets[5]]
    flat = whole.flat()
    parts = tuple(flat[a:b] for a, b in itertools.pairwise(cut))
    split = TokenDomain("d", "train", FACTS, "f", parts, whole.offsets, whole.n_bytes, whole.metadata_tokens)
    for packing in (Packing("concat", 8), Packing("bestfit", 8), Packing("decompose", 8, False, 8, 2)):
        for a, b in zip(epoch(whole, packing)[1:], epoch(split, packing)[1:], strict=True):
            assert np.array_equal(a, b)
    assert [split.document(i).tolist() for i in range(5)] == [whole.document(i).tolist() for i in range(5)]


@given(st.lists(st.integers(2, 17), min_size=1, max_size=60), st.integers(1, 20))
def test_fitted_rows_never_overflow(size, window):
    row, rows = best_fit(np.array(size), 17, window)
    filled = np.bincount(row, weights=size, minlength=rows)
    assert filled.max() <= 17
    assert (filled > 0).all()


def test_best_fit_wastes_little():
    generator = np.random.default_rng(0)
    size = np.clip(generator.lognormal(5, 1.2, 20_000).astype(np.int64), 2, None)
    first, _, _, pieces = fit(size, 1025)
    assert pieces.sum() / ((len(first) - 1) * 1025) > 0.995


@given(st.integers(1, 3000), st.integers(0, 5))
def test_a_permutation_has_every_number_once(n, seed):
    assert sorted(permute_all(n, key_of(seed)).tolist()) == list(range(n))


def test_permutations_of_different_keys_and_sizes_are_uncorrelated():
    n = 5000
    orders = [permute_all(n, key_of("domain", k)) for k in range(6)]
    for a in range(6):
        assert abs(np.corrcoef(orders[a], np.arange(n))[0, 1]) < 0.05
        for b in range(a):
            assert (orders[a] == orders[b]).sum() < 10
            assert abs(np.corrcoef(orders[a], orders[b])[0, 1]) < 0.05


def test_permutation_is_the_same_for_ever():
    assert permute_all(10, key_of("golden")).tolist() == [7, 8, 0, 2, 1, 9, 6, 4, 3, 5]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_every_order_of_a_few_things_turns_up(n):
    orders = {tuple(permute_all(n, key_of(k))) for k in range(300)}
    assert len(orders) == [2, 6, 24][n - 2]
