"""The transformer and its loss against plain restatements of the formulas."""

import pytest
import torch
import torch.nn.functional as F

from gristmill.corpus.store.errors import RequestError
from gristmill.training.objectives import loss as loss_module
from gristmill.training.objectives.loss import token_nll, weighted_loss
from gristmill.training.transformer import (
    SIZES,
    Transformer,
    TransformerConfig,
    block_parameters,
    document_mask,
    flops_per_token,
    size,
)

TINY = TransformerConfig(2, 32, 4, 2, 48, vocab_size=100, max_len=32)


def lively(config=TINY, seed=3):
    """A model whose every weight matters: the zero-initialised maps would hide faults."""
    model = Transformer(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def ids(rows=3, length=16, vocab=100, seed=0):
    return torch.randint(0, vocab, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_nll_equals_cross_entropy_over_the_real_vocabulary():
    model, x = lively(), ids()
    expected = F.cross_entropy(model.logits(x[:, :-1]).transpose(1, 2), x[:, 1:], reduction="none")
    torch.testing.assert_close(model.nll(x[:, :-1], x[:, 1:]), expected, rtol=1e-5, atol=1e-5)


def test_padding_of_the_vocabulary_gets_no_probability_and_no_gradient():
    model = lively()
    assert model.config.padded_vocab == 128
    model.nll(ids(), ids(seed=1)).sum().backward()
    assert model.head.weight.grad[100:].abs().max() == 0


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("chunk", [16 * 128, 1 << 20])
def test_gradients_equal_those_of_full_logits(tied, chunk, monkeypatch):
    monkeypatch.setitem(loss_module.CHUNK_LOGITS, "cpu", chunk)
    config = TransformerConfig(1, 32, 2, 2, 48, 100, 32, tied=tied)
    x, y = ids(4, 20), ids(4, 20, seed=1)
    weights = torch.rand(80, generator=torch.Generator().manual_seed(2))

    def gradients(loss_of):
        model = lively(config)
        loss_of(model).backward()
        return {name: p.grad for name, p in model.named_parameters()}

    def full(model):
        logits = model.logits(x).flatten(0, 1)
        lse = logits.logsumexp(-1)
        return ((F.cross_entropy(logits, y.flatten(), reduction="none") + 0.01 * lse**2) * weights).sum()

    def fused(model):
        return weighted_loss(model(x).flatten(0, 1), model.head_weight, y.flatten(), weights, 100, z=0.01)[0]

    def per_token(model):
        return (model.nll(x, y).flatten() * weights).sum()

    def full_without_z(model):
        return (F.cross_entropy(model.logits(x).flatten(0, 1), y.flatten(), reduction="none") * weights).sum()

    for ours, theirs in ((fused, full), (per_token, full_without_z)):
        expected = gradients(theirs)
        for name, gradient in gradients(ours).items():
            torch.testing.assert_close(gradient, expected[name], rtol=2e-4, atol=2e-5, msg=name)


def test_soft_targets_give_the_cross_entropy_of_their_distribution():
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(6, 8, generator=generator), torch.randn(64, 8, generator=generator)
    hidden.requires_grad_()
    candidates = torch.tensor([[1, 5, 5], [2, 3, 4], [9, 8, 7], [0, 1, 2], [60, 61, 1], [3, 3, 3]])
    shares = torch.softmax(torch.randn(6, 3, generator=generator), -1)
    dense = torch.zeros(6, 64).scatter_add_(1, candidates, shares)
    expected = F.cross_entropy(hidden @ weight.T, dense, reduction="none")
    expected_gradient = torch.autograd.grad(expected.sum(), hidden)[0]
    total, losses = weighted_loss(hidden, weight, candidates, torch.ones(6), shares=shares)
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(torch.autograd.grad(total, hidden)[0], expected_gradient, rtol=1e-4, atol=1e-5)


def test_a_negative_target_has_no_loss_and_no_gradient():
    hidden = torch.randn(5, 8, requires_grad=True)
    weight = torch.randn(64, 8)
    targets = torch.tensor([1, -100, 3, -100, 2])
    losses = token_nll(hidden, weight, targets)
    losses.sum().backward()
    assert losses[[1, 3]].abs().max() == 0
    assert hidden.grad[[1, 3]].abs().max() == 0
    assert losses[[0, 2, 4]].min() > 0


def test_a_position_never_sees_what_follows_it():
    model, x = lively(), ids()
    changed = x.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 100
    torch.testing.assert_close(model(x)[:, :9], model(changed)[:, :9])
    assert (model(x)[:, 9] - model(changed)[:, 9]).abs().max() > 1e-3


def test_a_masked_document_gets_the_states_it_has_alone():
    model, x = lively(), ids(2, 20)
    documents = torch.tensor([[0] * 7 + [1] * 13, [4] * 12 + [5] * 8])
    packed = model(x, document_mask(documents))
    torch.testing.assert_close(packed[:1, 7:], model(x[:1, 7:]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(packed[1:, 12:], model(x[1:, 12:]), rtol=1e-4, atol=1e-4)


def test_flex_attention_agrees_with_the_boolean_mask():
    from torch.nn.attention.flex_attention import create_block_mask

    model, x = lively(), ids(2, 16)
    documents = torch.tensor([[0] * 7 + [1] * 9, [4] * 12 + [5] * 4])

    def visible(b, h, q, k):
        return (q >= k) & (documents[b, q] == documents[b, k])

    flex = create_block_mask(visible, 2, None, 16, 16, device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(model(x, flex), model(x, document_mask(documents)), rtol=1e-4, atol=1e-4)


def test_grouped_heads_equal_repeated_key_value_heads():
    grouped, full = lively(), Transformer(TransformerConfig(2, 32, 4, 4, 48, 100, 32))
    state = grouped.state_dict()
    for name in list(state):
        if name.endswith("qkv.weight"):
            q, k, v = state[name].split((32, 16, 16))
            k, v = (part.view(2, 8, 32).repeat_interleave(2, 0).reshape(32, 32) for part in (k, v))
            state[name] = torch.cat((q, k, v))
    full.load_state_dict(state)
    torch.testing.assert_close(grouped(ids()), full(ids()), rtol=1e-4, atol=1e-4)


def test_bfloat16_activations_keep_float32_weights_and_gradients():
    model = lively()
    exact = model.nll(ids(), ids(seed=1)).mean()
    model.compute_dtype = torch.bfloat16
    rough = model.nll(ids(), ids(seed=1)).mean()
    rough.backward()
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    assert abs(rough.item() - exact.item()) < 0.05 * exact.item()


def test_weights_follow_from_the_seed_alone():
    torch.manual_seed(1)
    first = Transformer(TINY, seed=5)
    torch.manual_seed(2)
    for a, b in zip(first.parameters(), Transformer(TINY, seed=5).parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.embed.weight, Transformer(TINY, seed=6).embed.weight)


@pytest.mark.parametrize("name", SIZES)
def test_a_size_has_the_parameters_of_its_name(name):
    said = float(name[:-1]) * (1e9 if name.endswith("b") else 1e6)
    assert abs(block_parameters(size(name, 32_000)) / said - 1) < 0.1


def test_flops_count_matrices_and_attention():
    # 2 layers of (32 x (4 + 4) x 8 + 32 x 32 + 3 x 32 x 48), head 128 x 32, attention 12 x 2 x 32 x 16
    assert flops_per_token(TINY, 16) == 6 * (2 * (32 * 64 + 32 * 32 + 3 * 32 * 48) + 128 * 32) + 12 * 2 * 32 * 16


@pytest.mark.parametrize(("field", "value"), [("n_heads", 3), ("n_kv_heads", 3), ("n_layers", 0), ("d_model", 36)])
def test_a_shape_that_cannot_be_is_refused(field, value):
    numbers = {"n_layers": 1, "d_model": 32, "n_heads": 4, "n_kv_heads": 4, "d_ff": 8, "vocab_size": 10}
    with pytest.raises(RequestError):
        TransformerConfig(**(numbers | {field: value}))


def test_a_row_longer_than_the_model_is_refused():
    with pytest.raises(RequestError, match="max_len 32"):
        lively()(ids(1, 33))
