"""Where a document is read, against a reading of the whole run."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.permutation import permute, unpermute
from gristmill.training.data.shards import TokenDomain, TokenFacts
from gristmill.training.data.tracing import readings

EOS, OPEN = TokenFacts("t", 60_000, 0, 1), TokenFacts("t", 60_000, 0, None)


def domain(name, lengths, start, facts, prefixes=0):
    """Documents whose tokens stand in no other: token -> document can be told."""
    made, at = [], start
    for length in lengths:
        made.append(np.array([0, *range(at, at + length), *([1] if facts.eos is not None else [])], np.uint16))
        at += length
    held = [min(prefixes, length) for length in lengths]
    found = TokenDomain.from_documents(name, made, facts, metadata_tokens=held)
    return replace(found, quality=np.cos(np.arange(len(lengths))))


@given(st.integers(1, 2**40), st.integers(0, 2**63), st.integers(0, 2**40))
def test_a_permutation_is_undone(n, key, i):
    i %= n
    assert unpermute(permute(i, n, np.uint64(key)), n, np.uint64(key)) == i
    assert permute(unpermute(i, n, np.uint64(key)), n, np.uint64(key)) == i


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["concat", "bestfit", "decompose"]),
    st.sampled_from([EOS, OPEN]),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([{}, {"a": 0.4}, {"a": 0.5, "b": 0.3}]),
    st.booleans(),
    st.integers(0, 5),
)
def test_the_rows_named_are_those_that_hold_the_document(packing, facts, prefixes, keep, subset, best, seed):
    draw = np.random.default_rng(seed)
    pool = {
        name: domain(name, draw.integers(3, 90, count), start, facts, prefixes)
        for name, count, start in (("a", 30, 2), ("b", 50, 9000), ("c", 20, 20_000))
    }
    kind = {"packing": packing, "metadata": keep, "curriculum": "uniform", "shortest": 8}
    phases = [
        Phase(0.6, {"a": 0.5, "b": 0.3, "c": 0.2}, 32, **kind),
        Phase(1.0, {"a": 0.1, "b": 0.9}, 32, subset=subset, best=best, **kind),
    ]
    loader = Loader(pool, phases, 12_000, 128, seed)
    batches = [loader.batch(step) for step in range(loader.steps)]
    for name, document in (("a", 0), ("a", 17), ("b", 49), ("c", 5)):
        tokens = pool[name].document(document)
        own = tokens[tokens > 1]
        seen = {
            (step, int(place))
            for step, batch in enumerate(batches)
            for place in np.flatnonzero(np.isin(batch.ids, own).any(1) | np.isin(batch.targets, own).any(1))
        }
        found = readings(loader, name, document)
        named = {(one.step, one.place) for one in found}
        assert seen <= named
        # a row that is named and holds no token of the text holds its beginning or its end alone
        assert all(one.last - one.first <= 1 + prefixes for one in found if (one.step, one.place) not in seen)
        assert all(batches[one.step].phase + 1 == one.phase for one in found)


@pytest.mark.parametrize("packing", ["concat", "bestfit"])
def test_a_document_is_read_as_often_as_its_domain(packing):
    pool = {"a": domain("a", [31] * 40, 2, EOS), "b": domain("b", [31] * 40, 9000, EOS)}
    loader = Loader(pool, [Phase(1.0, {"a": 0.75, "b": 0.25}, 32, packing)], 9_600, 96, 3)
    times = Counter(len({one.epoch for one in readings(loader, "a", n)}) for n in range(40))
    epochs = next(row["passes"] for row in loader.plan() if row["domain"] == "a")
    assert set(times) <= {int(epochs), int(epochs) + 1}


def test_a_domain_without_a_share_is_read_nowhere():
    pool = {"a": domain("a", [31] * 40, 2, EOS)}
    loader = Loader(pool, [Phase(1.0, {"a": 1.0}, 32)], 1_000, 32)
    assert readings(loader, "b", 0) == []
