"""One contract over every optimiser, and each against its formula."""

import pytest
import torch

from gristmill.corpus.store.errors import WorkspaceError
from gristmill.training.optimisers import Optimiser, OptimiserSettings
from gristmill.training.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(1, 16, 2, 2, 24, 64, 16)
NAMES = ("adamw", "muon", "lion", "sophia")


def gradients(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-2


def stepped(name, steps, **settings):
    model = Transformer(CONFIG, 1)
    optimiser = Optimiser(model, OptimiserSettings(name=name, rate=1e-3, clip=0.0, **settings))
    for step in range(steps):
        if optimiser.estimates(step):
            gradients(model, 100 + step)
            optimiser.estimate(64)
        gradients(model, step)
        optimiser.step(1.0)
    return model, optimiser


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_steps_as_the_original_would(name):
    model, optimiser = stepped(name, 3)
    copy = Transformer(CONFIG, 1)
    copy.load_state_dict(model.state_dict())
    other = Optimiser(copy, optimiser.settings)
    other.load({key: value.clone() for key, value in optimiser.state().items()})
    for target, using in ((model, optimiser), (copy, other)):
        gradients(target, 9)
        using.step(0.5)
    for a, b in zip(model.parameters(), copy.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_only_matrices_of_the_blocks_decay(name):
    model = Transformer(CONFIG, 1)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    settings = OptimiserSettings(name=name, rate=0.1, muon_rate=0.1, weight_decay=0.5, clip=0.0)
    optimiser = Optimiser(model, settings)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step(1.0)
    for name_, parameter in model.named_parameters():
        shrunk = 0.95 if "blocks" in name_ and parameter.ndim == 2 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name_] * shrunk)


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_of_zero_changes_nothing(name):
    model = Transformer(CONFIG, 1)
    before = [p.detach().clone() for p in model.parameters()]
    optimiser = Optimiser(model, OptimiserSettings(name=name))
    gradients(model, 0)
    optimiser.step(0.0)
    for a, b in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(a, b.detach())


def test_lion_moves_by_the_sign_of_its_interpolated_momentum():
    model, optimiser = stepped("lion", 1, beta2=0.95, weight_decay=0.0)
    before = model.embed.weight.detach().clone()
    average = optimiser.state()["embed.weight/exp_avg"].clone()
    gradients(model, 5)
    direction = torch.sign(0.9 * average + 0.1 * model.embed.weight.grad)
    optimiser.step(1.0)
    torch.testing.assert_close(model.embed.weight.detach(), before - 1e-3 * direction)


def test_muon_moves_matrices_by_a_nearly_orthogonal_step_scaled_by_their_shape():
    model = Transformer(CONFIG, 1)
    optimiser = Optimiser(model, OptimiserSettings(name="muon", muon_rate=0.1, weight_decay=0.0, clip=0.0))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients(model, 5)
    optimiser.step(1.0)
    for name, parameter in model.named_parameters():
        if "blocks" not in name or parameter.ndim != 2:
            continue
        rows, columns = parameter.shape
        moved = (before[name] - parameter.detach()) / (0.1 * max(1.0, rows / columns) ** 0.5)
        values = torch.linalg.svdvals(moved)
        assert 0.5 < float(values.min()) <= float(values.max()) < 1.3  # five steps of Newton-Schulz
        u, _, v = torch.linalg.svd(parameter.grad, full_matrices=False)
        assert float((moved * (u @ v)).sum() / min(rows, columns)) > 0.8  # along the polar factor of the gradient


def test_sophia_weighs_the_curvature_by_the_tokens_it_was_averaged_over():
    model = Transformer(CONFIG, 1)
    optimiser = Optimiser(model, OptimiserSettings(name="sophia", beta2=0.75))
    gradients(model, 3)
    optimiser.estimate(64)
    expected = 0.25 * 64 * model.embed.weight.grad.square()
    torch.testing.assert_close(optimiser.state()["embed.weight/hessian"], expected)


def test_sophia_clips_the_quotient_of_momentum_and_curvature():
    model, optimiser = stepped("sophia", 1, beta1=0.9, beta2=0.95, weight_decay=0.0, gamma=5.0)
    before = model.embed.weight.detach().clone()
    state = {key: value.clone() for key, value in optimiser.state().items()}
    gradients(model, 5)
    average = 0.9 * state["embed.weight/exp_avg"] + 0.1 * model.embed.weight.grad
    ratio = (average / (5.0 * state["embed.weight/hessian"]).clamp(min=1e-12)).clamp(-1, 1)
    optimiser.step(1.0)
    assert 0.05 < (ratio.abs() < 1).float().mean() < 0.95
    torch.testing.assert_close(model.embed.weight.detach(), before - 1e-3 * ratio)


def test_a_state_of_another_model_is_refused():
    _, optimiser = stepped("adamw", 1)
    larger = Transformer(TransformerConfig(2, 24, 2, 2, 24, 64, 16))
    with pytest.raises(WorkspaceError, match="this model has not"):
        Optimiser(larger, OptimiserSettings()).load(optimiser.state())
