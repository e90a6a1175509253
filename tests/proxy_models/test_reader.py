"""A packed reader is the transformer, to rounding, whatever its shape and the shape of the batch."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.proxy_models.scoring.reader import PackedReader, Reader, reader
from gristmill.proxy_models.scoring.reader_attention import TILE, attend
from gristmill.proxy_models.scoring.reader_kernels import absorb, gate
from gristmill.training.transformer import Transformer, TransformerConfig

torch.set_num_threads(1)


def make_model(groups: int = 1, width: int = 6, tied: bool = False, qk_norm: bool = True, vocab: int = 70):
    """Two layers whose weights have all been moved: norms and maps back into the stream start at ones and zeros."""
    config = TransformerConfig(2, 2 * groups * width, 2 * groups, groups, 20, vocab, 600, tied, qk_norm)
    model = Transformer(config, 3).requires_grad_(False)
    generator = torch.Generator().manual_seed(5)
    for weight in model.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model


def draw_ids(model: Transformer, *shape: int) -> torch.Tensor:
    return torch.randint(model.config.vocab_size, shape, generator=torch.Generator().manual_seed(7))


@given(
    st.integers(1, 2), st.sampled_from([2, 6, 8]), st.booleans(), st.booleans(),
    st.integers(1, 5), st.sampled_from([1, 3, 4, 17, 66]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_hidden_states_and_losses_are_those_of_the_transformer(groups, width, tied, qk_norm, rows, length):
    model = make_model(groups, width, tied, qk_norm)
    packed, ids = reader(model), draw_ids(model, rows, length + 1)
    assert isinstance(packed, PackedReader)
    inputs, targets = ids[:, :-1], ids[:, 1:].flatten()
    hidden = packed.hidden(inputs)
    torch.testing.assert_close(hidden, model(inputs), rtol=1e-4, atol=1e-5)
    expected = model.nll(inputs, ids[:, 1:]).flatten()
    torch.testing.assert_close(packed.losses(hidden.flatten(0, 1), targets), expected, rtol=1e-4, atol=1e-5)
    plain = Reader(model)
    torch.testing.assert_close(
        plain.losses(plain.hidden(inputs).flatten(0, 1), targets), expected, rtol=1e-4, atol=1e-5
    )


def test_batches_of_several_blocks_and_tiles_and_vocabularies_of_several_panels_agree():
    model = make_model(vocab=2_501)
    ids = draw_ids(model, 2, 520)
    packed = reader(model)
    told = packed.losses(packed.hidden(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(told, model.nll(ids[:, :-1], ids[:, 1:]).flatten(), rtol=1e-4, atol=1e-5)


def test_a_batch_leaves_no_trace_in_the_next():
    model = make_model()
    packed, short = reader(model), draw_ids(model, 1, 3)
    fresh = packed.hidden(short).clone()
    packed.hidden(draw_ids(model, 3, 200))
    torch.testing.assert_close(packed.hidden(short), fresh, rtol=0, atol=0)


def test_threads_that_share_a_reader_do_not_write_into_each_others_results():
    model = make_model(groups=2, width=8)
    packed, rows = reader(model), [draw_ids(model, 1, length) for length in (200, 190, 210, 180)] * 4
    alone = [packed.hidden(ids).clone() for ids in rows]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda ids: packed.hidden(ids).clone(), rows))
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_reader_keeps_the_weights_of_the_moment_it_was_made():
    model, ids = make_model(), draw_ids(make_model(), 1, 9)
    packed = reader(model)
    before = packed.hidden(ids).clone()
    for name, weight in model.named_parameters():
        if name.endswith("qkv.weight"):
            weight.zero_()
    torch.testing.assert_close(packed.hidden(ids), before, rtol=0, atol=0)


def test_a_model_of_another_precision_is_read_as_it_is():
    model = Transformer(TransformerConfig(1, 8, 2, 2, 8, 70, 16), compute_dtype=torch.bfloat16)
    assert not isinstance(reader(model), PackedReader)


@pytest.mark.parametrize("length", [1, 2, 5, TILE - 1, TILE, TILE + 1, 2 * TILE + 3])
def test_attention_reads_every_position_up_to_its_own_and_none_after(length):
    generator = torch.Generator().manual_seed(length)
    heads = torch.randn(2 * length, 4 + 2 * 2, 10, generator=generator) * 3
    out = np.full((2 * length, 4, 10), np.nan, np.float32)
    attend(heads.numpy(), 2, 4, 2, out)
    q, k, v = heads.view(2, length, 8, 10).transpose(1, 2).double().split((4, 2, 2), 1)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    np.testing.assert_allclose(out, expected.transpose(1, 2).reshape(out.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [0.01, 1, 30, 1_000])
@pytest.mark.parametrize("shift", [-500.0, 0.0, 500.0])
def test_the_normaliser_holds_for_logits_of_any_size_and_panels_of_any_width(scale, shift):
    logits = torch.randn(5, 333, generator=torch.Generator().manual_seed(1)).mul(scale).add(shift).numpy()
    targets = np.array([0, 99, 100, 200, 332])
    for cuts in ([0, 333], [0, 100, 101, 333]):
        top, total, own = np.full(5, -np.inf, np.float32), np.zeros(5, np.float32), np.zeros(5, np.float32)
        for first, last in pairwise(cuts):
            absorb(np.ascontiguousarray(logits[:, first:last]), targets, first, top, total, own)
        exact = torch.nn.functional.cross_entropy(
            torch.from_numpy(logits).double(), torch.from_numpy(targets), reduction="none"
        )
        np.testing.assert_allclose(
            top + np.log(total) - own, exact, rtol=1e-6, atol=2e-4 if shift or scale > 100 else 1e-5
        )


def test_a_diverged_model_has_no_loss_and_harms_no_other_row():
    logits = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
    logits[1] = np.nan
    top, total, own = np.full(3, -np.inf, np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32)
    absorb(logits, np.array([1, 2, 3]), 0, top, total, own)
    assert np.isnan(top + np.log(total) - own).tolist() == [False, True, False]


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=40).filter(lambda x: len(x) % 2 == 0))
@settings(deadline=None)
def test_the_gate_is_silu_times_up_however_large(values):
    both = np.array([values], np.float32)
    out = np.empty((1, len(values) // 2), np.float32)
    gate(both, out)
    first, second = torch.from_numpy(both).double().chunk(2, 1)
    np.testing.assert_allclose(out, torch.nn.functional.silu(first) * second, rtol=1e-5, atol=1e-6)
