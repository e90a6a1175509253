"""The order of data: exact counts, epochs, ranks, phases and refusals."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.training.data.lengths import bucket_order, bucket_sizes
from gristmill.training.data.loader import Loader, Phase, apportion, stretch
from gristmill.training.data.packing import IGNORED
from gristmill.training.data.permutation import key_of
from gristmill.training.data.repetition import effective_epochs, fill_in, fill_in_phases, repetition_warnings
from gristmill.training.data.shards import TokenDomain, TokenFacts

FACTS = TokenFacts("t", 60_000, 0, 1)


def domain(name, documents, size, start):
    """Documents of `size` tokens that are different over all domains of a test."""
    made = []
    for i in range(documents):
        begin = start + i * size
        made.append(np.array([0, *range(begin, begin + size), 1], np.uint16))
    return TokenDomain.from_documents(name, made, FACTS)


POOL = {"a": domain("a", 40, 30, 2), "b": domain("b", 25, 80, 5000), "c": domain("c", 60, 11, 10_000)}
START = {"a": 2, "b": 5000, "c": 10_000}


def owner(tokens):
    """Domain of each token that is neither BOS nor EOS."""
    return np.where(tokens >= 10_000, "c", np.where(tokens >= 5000, "b", "a"))


def stream(loader, **options):
    return [loader.batch(step, **options) for step in range(loader.steps)]


@pytest.mark.parametrize("packing", ["concat", "bestfit"])
def test_realised_shares_are_those_requested_after_packing(packing):
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    loader = Loader(POOL, [Phase(1.0, shares, 16, packing)], 80_000, 320, seed=1)
    targets = np.concatenate([batch.targets.ravel() for batch in stream(loader)])
    counts = Counter(owner(targets[targets > 1]))
    kept = {name: counts[name] / POOL[name].tokens * loader_targets(loader, name) for name in shares}
    for name, share in shares.items():
        assert kept[name] / sum(kept.values()) == pytest.approx(share, abs=0.01)
    for row in loader.plan():
        assert row["realised"] == pytest.approx(shares[row["domain"]], abs=0.002)


def loader_targets(loader, name):
    """Targets per token of text that is neither BOS nor EOS: how EOS dilutes short documents."""
    text = POOL[name].tokens - 2 * POOL[name].documents
    return (text + POOL[name].documents) / text * POOL[name].tokens


@pytest.mark.slow
@given(st.lists(st.floats(0.05, 1), min_size=3, max_size=3))
def test_whole_steps_of_each_length_leave_the_shares_what_they_were(weights):
    loader = Loader(POOL, [Phase(1.0, dict(zip("abc", weights, strict=True)), 16, "decompose")], 64_000, 640)
    assert max(abs(row["realised"] - row["requested"]) for row in loader.plan()) < 2e-3


@st.composite
def runs(draw):
    """A loader of one to three phases over domains with and without prefixes and an end token of their own."""
    eos, prefix = draw(st.sampled_from([1, None])), draw(st.integers(0, 2))
    facts = TokenFacts("t", 60_000, 0, eos)
    pool = {}
    for name, sizes in (("a", [30, 3, 50]), ("b", [90]), ("c", [7, 1, 12, 0])):
        made = [
            np.array([0, *range(2, 2 + prefix + size), *([] if eos is None else [1])], np.uint16) for size in sizes * 4
        ]
        pool[name] = TokenDomain.from_documents(name, made, facts, metadata_tokens=[prefix] * len(made))
    ends = draw(st.sampled_from([[1.0], [0.5, 1.0], [0.25, 0.75, 1.0]]))
    phases = []
    for until in ends:
        shares = {name: draw(st.floats(0.05, 1)) for name in draw(st.sampled_from(["abc", "ab", "c"]))}
        subset = {name: draw(st.sampled_from([1.0, 0.5])) for name in shares}
        packing, keep = draw(st.sampled_from(["concat", "bestfit", "decompose"])), draw(st.booleans())
        phases.append(Phase(until, shares, 16, packing, keep, subset, shortest=4))
    return Loader(pool, phases, draw(st.integers(20, 160)) * 64, 64, seed=draw(st.integers(0, 9)))


@settings(max_examples=40, deadline=None)
@given(runs())
def test_the_plan_counts_to_the_token_what_is_drawn(loader):
    drawn = Counter()
    for batch in stream(loader):
        for d, name in enumerate(loader.names):
            drawn[batch.phase + 1, name] += int((batch.targets[batch.domains == d] != IGNORED).sum())
        assert batch.ids.size == 64
    plan = loader.plan()
    assert {(row["phase"], row["domain"]): row["tokens"] for row in plan} == {
        (row["phase"], row["domain"]): drawn[row["phase"], row["domain"]] for row in plan
    }


def test_decomposed_steps_have_rows_of_every_length_and_the_same_size():
    loader = Loader(POOL, [Phase(1.0, {"a": 2, "b": 1, "c": 1}, 16, "decompose")], 40_000, 160, seed=4)
    assert {batch.ids.shape[1] for batch in stream(loader)} >= {2, 4, 8, 16}
    assert {batch.ids.size for batch in stream(loader)} == {160}


def test_a_share_that_gets_no_row_is_refused_by_its_name():
    shares = {"a": 0.5, "b": 0.49, "c": 0.01}
    with pytest.raises(RequestError, match=r"2 rows of 16 tokens, in which the share of c gets no row"):
        Loader(POOL, [Phase(1.0, shares, 16)], 32, 32)


@pytest.mark.parametrize("packing", ["concat", "bestfit"])
def test_an_epoch_has_every_token_once_and_the_next_one_another_order(packing):
    loader = Loader({"b": POOL["b"]}, [Phase(1.0, {"b": 1}, 16, packing)], 16 * 400, 16, seed=2)
    part = loader.parts[0][0]
    rows = len(loader.rows("b", part.packing))
    draws = {}
    for number in range(part.stretch.rows):
        draw = int(part.stretch.locate(np.array([number]))[1][0])
        draws[draw] = loader.read(0, part, np.array([number])).targets[0]
    expected = Counter(range(5000, 5000 + 25 * 80))
    for epoch in range(2):
        targets = np.concatenate([draws[draw] for draw in range(epoch * rows, (epoch + 1) * rows)])
        assert Counter(targets[targets > 1].tolist()) == expected
    assert [draws[i][0] for i in range(rows)] != [draws[rows + i][0] for i in range(rows)]


@given(
    st.sampled_from(["concat", "bestfit", "decompose"]), st.sampled_from([1.0, 0.5, 0.2]), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
def test_no_row_of_an_epoch_is_missing_or_read_twice(packing, fraction, best, seed):
    """Whatever the packing, the mixture and the part of a domain that is read; tokens are all different here."""
    pool = {name: replace(domain, quality=np.arange(domain.documents) % 7.0) for name, domain in POOL.items()}
    phase = Phase(1.0, {"b": 2, "c": 1}, 16, packing, subset={"b": fraction}, best=best)
    loader = Loader(pool, [phase], 30_000, 160, seed)
    for part in loader.parts[0]:
        rows = np.arange(part.stretch.rows)
        domains, draws = part.stretch.locate(rows)
        read = loader.read(0, part, rows, documents=True)
        content = np.concatenate([read.targets, read.documents], 1)  # rows of ends alone differ by their pieces
        for d in np.unique(domains):
            mine = domains == d
            assert sorted(draws[mine]) == list(range(mine.sum()))
            size, source = int(part.subset[d]), part.sources[d]
            whole = [set(map(bytes, content[mine & (draws // size == epoch)])) for epoch in range(mine.sum() // size)]
            assert all(len(found) == size for found in whole)
            assert all(found == whole[0] for found in whole)
            assert size == (len(source) if loader.names[d] == "c" or best else max(1, int(len(source) * fraction)))


@pytest.mark.parametrize("packing", ["concat", "bestfit"])
def test_a_run_of_three_epochs_reads_every_token_three_times(packing):
    rows = len(Loader({"b": POOL["b"]}, [Phase(1.0, {"b": 1}, 16, packing)], 16, 16)._rows.popitem()[1])
    loader = Loader({"b": POOL["b"]}, [Phase(1.0, {"b": 1}, 16, packing)], 3 * rows * 16, 16, seed=2)
    targets = np.concatenate([batch.targets.ravel() for batch in stream(loader)])
    assert Counter(targets[targets > 1].tolist()) == Counter(dict.fromkeys(range(5000, 5000 + 25 * 80), 3))


@given(st.integers(1, 4), st.sampled_from(["concat", "bestfit", "decompose"]), st.integers(0, 3))
def test_ranks_together_read_what_one_rank_reads(power, packing, seed):
    world = 1 << (power - 1)
    loader = Loader(POOL, [Phase(1.0, {"a": 1, "b": 3}, 16, packing)], 5000, 256, seed=seed)
    for step in range(0, loader.steps, 3):
        whole = loader.batch(step, documents=True)
        parts = [loader.batch(step, rank, world, documents=True) for rank in range(world)]
        for field in ("ids", "targets", "documents", "domains"):
            assert np.array_equal(getattr(whole, field), np.concatenate([getattr(part, field) for part in parts]))


def test_a_step_is_the_same_whether_or_not_others_were_read_before():
    phases = [Phase(0.5, {"a": 1, "b": 1}, 16), Phase(1.0, {"a": 1, "c": 3}, 32, "bestfit")]
    first, second = Loader(POOL, phases, 9000, 128, 7), Loader(POOL, phases, 9000, 128, 7)
    forward = stream(first)
    for step in reversed(range(second.steps)):
        assert np.array_equal(second.batch(step).ids, forward[step].ids)


def test_a_phase_reads_its_own_mixture_and_length():
    phases = [Phase(0.25, {"a": 1}, 16), Phase(1.0, {"c": 1}, 32)]
    batches = stream(Loader(POOL, phases, 6400, 64))
    assert [b.ids.shape for b in batches] == [(4, 16)] * 25 + [(2, 32)] * 75
    assert set(owner(np.concatenate([b.ids.ravel() for b in batches[:25]])[:])) == {"a"}
    late = np.concatenate([b.ids.ravel() for b in batches[25:]])
    assert set(owner(late[late > 1])) == {"c"}


def test_a_phase_goes_on_where_the_phase_before_left_a_domain():
    one = Loader({"b": POOL["b"]}, [Phase(1.0, {"b": 1}, 16)], 1600, 32)
    two = Loader({"b": POOL["b"]}, [Phase(0.5, {"b": 1}, 16), Phase(1.0, {"b": 1}, 16)], 1600, 32)
    rows = [Counter(map(bytes, np.concatenate([b.ids for b in stream(loader)]))) for loader in (one, two)]
    assert rows[0] == rows[1]


def test_a_subset_is_repeated_instead_of_reading_on():
    phase = Phase(1.0, {"b": 1}, 16, subset={"b": 0.25})
    batches = stream(Loader({"b": POOL["b"]}, [phase], 16 * 256, 16))
    counts = Counter(batch.ids.tobytes() for batch in batches)
    rows = -(-(25 * 82 - 1) // 16)
    assert len(counts) == rows // 4
    assert max(counts.values()) - min(counts.values()) <= 1


def test_mixtures_with_common_domains_read_them_in_the_same_order():
    """Differences between mixtures are then paired."""
    thin = Loader(POOL, [Phase(1.0, {"a": 1, "b": 1}, 16)], 3200, 64, 3)
    thick = Loader(POOL, [Phase(1.0, {"a": 1, "b": 3}, 16)], 3200, 64, 3)

    def rows_of_b(loader):
        draws = {}
        part = loader.parts[0][0]
        for row in range(part.stretch.rows):
            d, draw = part.stretch.locate(np.array([row]))
            if loader.names[int(d[0])] == "b":
                draws[int(draw[0])] = loader.read(0, part, np.array([row])).ids.tobytes()
        return draws

    first, second = rows_of_b(thin), rows_of_b(thick)
    assert all(second[draw] == row for draw, row in first.items())


@given(st.lists(st.floats(1e-4, 1), min_size=1, max_size=8), st.integers(1, 300_000))
def test_every_row_of_a_stretch_belongs_to_exactly_one_draw(weights, rows):
    made = stretch(key_of("x"), np.array(weights), rows)
    assert int(made.draws.sum()) == rows
    assert (made.tail >= 0).all()
    sample = np.unique(np.linspace(0, rows - 1, min(rows, 500)).astype(np.int64))
    domains, draws = made.locate(sample)
    assert len({(d, k) for d, k in zip(domains.tolist(), draws.tolist(), strict=True)}) == len(sample)
    assert (draws < made.draws[domains]).all()


@given(st.lists(st.floats(1e-5, 1), min_size=1, max_size=12), st.integers(20_000, 5_000_000))
def test_a_share_is_missed_by_less_than_a_thousandth(weights, rows):
    made = stretch(key_of("x"), np.array(weights), rows)
    shares = np.array(weights) / sum(weights)
    assert np.abs(made.draws / rows - shares).max() < 1e-3
    assert (made.draws > 0).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda w: sum(w) > 1e-6), st.integers(0, 1000))
def test_seats_add_up_and_a_zero_weight_gets_none(weights, seats):
    counts = apportion(np.array(weights), seats)
    assert counts.sum() == seats
    assert (counts >= 0).all()
    assert all(c == 0 for c, w in zip(counts, weights, strict=True) if w == 0)


def test_short_rows_come_first_in_each_cycle_of_a_growing_curriculum():
    counts = np.array([400, 400, 400])
    order = bucket_order(counts, "grow-p100", 4, key_of(1))
    assert np.bincount(order).tolist() == counts.tolist()
    for cycle in np.split(order, 4):
        assert cycle[:80].mean() < 0.3 < 1.7 < cycle[-80:].mean()
    flat = bucket_order(counts, "natural", 1, key_of(1))
    assert abs(flat[:600].mean() - flat[600:].mean()) < 0.15


@pytest.mark.parametrize(
    ("curriculum", "odds"),
    [("uniform", [1, 1, 1]), ("grow-linear", [3, 2, 1]), ("grow-p2", [4, 2, 1]), ("shrink-p2", [1, 2, 4])],
)
def test_a_curriculum_draws_lengths_by_its_odds(curriculum, odds):
    order = bucket_order(np.array([90_000] * 3), curriculum, 1, key_of(1))
    assert np.bincount(order[:30_000]) / 30_000 == pytest.approx(np.array(odds) / sum(odds), abs=0.015)


def test_buckets_are_powers_of_two():
    assert bucket_sizes(1024) == [32, 64, 128, 256, 512, 1024]
    with pytest.raises(RequestError, match="powers of two"):
        bucket_sizes(1000)


@pytest.mark.parametrize(
    ("phases", "batch", "said"),
    [
        ([Phase(1.0, {"x": 1}, 16)], 64, "no domain 'x'"),
        ([Phase(1.0, {"a": 1}, 48)], 64, "try 48"),
        ([Phase(0.9, {"a": 1}, 16)], 64, "the last at 1.0"),
        ([Phase(1.0, {"a": -1, "b": 2}, 16)], 64, "negative"),
        ([Phase(1.0, {"a": 0}, 16)], 64, "not all zero"),
        ([Phase(1.0, {"a": 1}, 16, subset={"a": 1.5})], 64, "subset of a"),
        ([Phase(0.0001, {"a": 1}, 16), Phase(1.0, {"a": 1}, 16)], 64, "too few"),
    ],
)
def test_what_cannot_be_honoured_is_refused(phases, batch, said):
    with pytest.raises(RequestError, match=said):
        Loader(POOL, phases, 6400, batch)


def test_the_fingerprint_follows_the_data_the_phases_and_the_seed():
    base = [Phase(1.0, {"a": 1}, 16)]
    prints = {
        Loader(POOL, base, 6400, 64).fingerprint,
        Loader(POOL, base, 6400, 64, seed=1).fingerprint,
        Loader(POOL, base, 3200, 64).fingerprint,
        Loader(POOL, [Phase(1.0, {"a": 1}, 16, "bestfit")], 6400, 64).fingerprint,
        Loader({"a": domain("a", 40, 31, 2)}, base, 6400, 64).fingerprint,
    }
    assert len(prints) == 5
    assert Loader(dict(reversed(POOL.items())), base, 6400, 64).fingerprint in prints


def test_repetition_is_worth_what_the_law_says():
    assert effective_epochs(0.5) == 0.5
    assert effective_epochs(4) == pytest.approx(1 + 15.387756 * (1 - np.exp(-3 / 15.387756)))
    loader = Loader({"a": POOL["a"]}, [Phase(1.0, {"a": 1}, 16)], 12_000, 64)
    assert "a is repeated for 9" in repetition_warnings(loader.plan())[0]


@given(
    st.lists(st.lists(st.floats(0.02, 1), min_size=3, max_size=3), min_size=1, max_size=4),
    st.lists(st.integers(50, 2000), min_size=3, max_size=3),
    st.integers(100, 4000),
    st.floats(0.5, 4),
)
def test_a_cap_holds_over_the_phases_of_a_run_and_changes_nothing_where_it_is_kept(weights, sizes, total, cap):
    available = dict(zip("abc", sizes, strict=True))
    shares = [dict(zip("abc", (w / sum(row) for w in row), strict=True)) for row in weights]
    spans = [1 / len(shares)] * len(shares)
    if cap * sum(sizes) < 1.02 * total:
        if cap * sum(sizes) < 0.98 * total:
            with pytest.raises(RequestError, match="cannot be filled"):
                fill_in_phases(list(zip(spans, shares, strict=True)), available, total, cap)
        return
    found = fill_in_phases(list(zip(spans, shares, strict=True)), available, total, cap)

    def epochs(phases, name):
        return sum(s * phase[name] for s, phase in zip(spans, phases, strict=True)) * total / available[name]

    assert all(sum(phase.values()) == pytest.approx(1, abs=1e-9) for phase in found)
    assert all(epochs(found, name) <= cap * (1 + 1e-5) for name in "abc")
    if all(epochs(shares, name) <= cap for name in "abc"):
        assert found == [pytest.approx(phase) for phase in shares]


def test_what_a_small_domain_lacks_is_filled_in_by_the_others():
    shares = fill_in({"small": 0.5, "big": 0.3, "huge": 0.2}, {"small": 10, "big": 1000, "huge": 10_000}, 1000, 4)
    assert shares == pytest.approx({"small": 0.04, "big": 0.576, "huge": 0.384})
    with pytest.raises(RequestError, match="cannot be filled"):
        fill_in({"small": 1.0}, {"small": 10}, 1000)
