"""Bits per byte against loops over single tokens: by the loop, by fleets, with masks, prefixes and every tokenizer."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.proxy_models.fleets.group import HeldOutRows
from gristmill.proxy_models.fleets.pool import HeldOutTokens, TokenPool
from gristmill.proxy_models.fleets.stacked import StackedTransformer
from gristmill.training import checkpoint
from gristmill.training.branches import Ensemble
from gristmill.training.data.shards import TokenDomain, TokenFacts
from gristmill.training.evaluation import bits_per_byte, held_out_rows
from gristmill.training.objectives.objective import Objective
from gristmill.training.transformer import PLAIN, ReadingMode, Transformer, TransformerConfig

CONFIG = TransformerConfig(2, 16, 2, 2, 24, 50, 8)


def model(reading=PLAIN):
    made = Transformer(CONFIG, 1)
    made.reading = reading
    with torch.no_grad():
        made.head.weight.mul_(60)
        for block in made.blocks:
            block.attention_out.weight.normal_(0, 1, generator=torch.Generator().manual_seed(2))
    return made


@st.composite
def held(draw):
    eos, prefix = draw(st.sampled_from([1, None])), draw(st.integers(0, 3))
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=6))
    sizes[0] += 1
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    made = [
        np.array([0, *rng.integers(2, 50, prefix + size), *([] if eos is None else [eos])], np.uint16) for size in sizes
    ]
    bytes_ = [3 * size for size in sizes]
    return TokenDomain.from_documents("d", made, TokenFacts("t", 50, 0, eos), bytes_, [prefix] * len(made), "heldout")


def by_hand(made, domain, seq_len, masked, keep):
    """Rows end to end, one token after the other; what is scored is the text alone."""
    tokens, owner, text = [], [], []
    for i in range(domain.documents):
        prefix = int(domain.metadata_tokens[i])
        own = domain.document(i).tolist()
        last = len(own) - (domain.facts.eos is not None)
        for place, token in enumerate(own):
            if keep or place == 0 or place > prefix:
                tokens.append(token)
                owner.append(i)
                text.append(prefix < place < last)
    nats = 0.0
    for begin in range(0, len(tokens) - 1, seq_len):
        ids = torch.tensor([tokens[begin : begin + seq_len]][0][: len(tokens) - 1 - begin])
        n = len(ids)
        see = torch.ones(n, n, dtype=torch.bool).tril()
        if masked:
            same = torch.tensor(owner[begin : begin + n])
            see &= same[:, None] == same[None]
        logp = torch.log_softmax(made.logits(ids[None], see[None, None]), -1)[0]
        nats -= sum(float(logp[t, tokens[begin + t + 1]].detach()) for t in range(n) if text[begin + t + 1])
    return nats / math.log(2) / domain.bytes


@settings(max_examples=25, deadline=None)
@given(held(), st.integers(2, 8), st.booleans(), st.booleans())
def test_held_out_text_is_measured_as_the_model_was_trained(domain, seq_len, masked, keep):
    reading = ReadingMode(masked, keep)
    made = model(reading)
    rows = {"d": held_out_rows(domain, seq_len, reading=reading)}
    expected = pytest.approx(by_hand(made, domain, seq_len, masked, keep), rel=1e-4)
    assert bits_per_byte(made, rows, rows=2)["d"] == expected
    assert bits_per_byte(Objective(made, 0.0), rows)["d"] == expected
    assert bits_per_byte(Ensemble([made, made]), rows)["d"] == expected


@settings(max_examples=15, deadline=None)
@given(held(), st.integers(2, 8))
def test_a_fleet_measures_what_the_loop_measures(domain, seq_len):
    made = model()
    documents, offsets = domain.plain()
    own = [documents[a:b] for a, b in itertools.pairwise(offsets)]
    pool = TokenPool.from_documents({"d": own * 4}, {"d": (own, domain.bytes)}, 50, 0, domain.facts.eos)
    net = StackedTransformer.stack(CONFIG, [made.state_dict()] * 2, "cpu")
    found = HeldOutRows(pool, seq_len, "cpu").bits_per_byte(net)
    loop = bits_per_byte(made, {"d": held_out_rows(domain, seq_len)})["d"]
    np.testing.assert_allclose(found, [[loop], [loop]], rtol=1e-4)
    assert pool.text_tokens(pool.heldout[0]) == held_out_rows(domain, seq_len).tokens


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=6))
def test_a_fleet_measures_what_stands_behind_a_head_and_only_reads_the_head(sizes):
    made, rng = model(), np.random.default_rng(0)
    items = [np.array([0, *rng.integers(2, 50, head + end - 1)], np.uint16) for head, end in sizes]
    targets = [
        HeldOutTokens(f"t{n}", item, 7, np.array([0, len(item)]), np.array([head]))
        for n, (item, (head, _)) in enumerate(zip(items, sizes, strict=True))
    ]
    pool = TokenPool.from_documents({"d": items * 4}, {}, 50, 0).measured_on(*targets)
    net = StackedTransformer.stack(CONFIG, [made.state_dict()] * 2, "cpu")
    expected = []
    for item, (head, _) in zip(items, sizes, strict=True):
        ids = torch.tensor(item.astype(np.int64))
        logp = torch.log_softmax(made.logits(ids[None]), -1)[0]
        expected.append(-sum(float(logp[t - 1, ids[t]].detach()) for t in range(head, len(ids))) / math.log(2) / 7)
    np.testing.assert_allclose(HeldOutRows(pool, 8, "cpu").bits_per_byte(net), [expected] * 2, rtol=1e-4)


def test_how_a_model_reads_is_stored_with_its_weights(tmp_path):
    made = model(ReadingMode(True, True))
    state = {"step": 1, "config": vars(CONFIG), "reading": vars(made.reading)}
    checkpoint.save(str(tmp_path / "c"), made.state_dict(), {}, state)
    assert checkpoint.load_model(str(tmp_path / "c"))[0].reading == ReadingMode(True, True)
