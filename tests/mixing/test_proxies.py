"""Waves keep their numbers, and a part of a pool is whole documents from its beginning."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gristmill.mixing.proxies import fraction, waves
from gristmill.proxy_models.fleets.pool import TokenPool


@given(st.lists(st.integers(1, 90), min_size=3, max_size=30), st.floats(0.01, 1.0))
def test_a_part_of_a_pool_is_whole_documents_and_holds_a_row_where_there_is_one(lengths, part):
    documents = [np.full(length, number % 50, np.uint16) for number, length in enumerate(lengths)]
    pool = TokenPool.from_documents({"a": documents, "b": documents[::-1]}, {"a": ([documents[0]], 9)}, 50)
    cut = fraction(pool, part, 16)
    for before, after in zip(pool.domains, cut.domains, strict=True):
        assert after.offsets.tolist() == before.offsets[: len(after.offsets)].tolist()
        assert after.tokens.tolist() == before.tokens[: after.offsets[-1]].tolist()
        assert len(after.tokens) >= min(part * len(before.tokens), len(before.tokens))
        assert after.rows(16) >= 1 or len(before.tokens) < 17
    assert cut.heldout == pool.heldout


def test_waves_of_a_later_round_go_on_counting():
    runs = [(f"m{number}", (0.5, 0.5), 0) for number in range(5)]
    made = waves("swarm", runs, 2, first=7)
    assert [wave.shard for wave in made] == ["swarm-0007.parquet", "swarm-0008.parquet", "swarm-0009.parquet"]
    assert [name for wave in made for name in wave.names] == [name for name, _, _ in runs]
