"""An update of stacked weights is the update of each model, to the bit, however the models lie beside each other."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.proxy_models.fleets.stacked_optimizer import AdamState, AdamW

SHAPES = st.lists(st.integers(1, 70), min_size=1, max_size=3)  # elements of a model's part, whole vectors and rests
UPDATE = AdamW(0.9, 0.95, 1e-8, 0.1, (True, False, True))


def updated(sizes: list[int], models: list[int], rates: list[float], alive: list[bool], steps: int = 2):
    """Weights (of each shape) of `models` after a few steps; what a model starts from and sees depends on it alone."""

    def drawn(k: int, size: int, number: int) -> torch.Tensor:
        return torch.randn(size, generator=torch.Generator().manual_seed(1000 * k + 10 * size + number))

    weights = [torch.stack([drawn(k, size, 0) for k in models]) for size in sizes]
    update = AdamW(0.9, 0.95, 1e-8, 0.1, UPDATE.decays[: len(sizes)])
    state = AdamState.zeros(weights)
    for step in range(steps):
        gradients = [torch.stack([drawn(k, size, step + 1) for k in models]) for size in sizes]
        update.fused(weights, gradients, state, rates, alive)
    return weights


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(2, 5), st.data())
def test_neighbours_their_rates_and_their_end_leave_a_models_last_bit_alone(sizes, count, data):
    whole = updated(sizes, list(range(count)), [1e-2] * count, [True] * count)
    other = data.draw(st.integers(0, count - 1))
    stopped = updated(sizes, list(range(count)), [1e-2] * count, [k != other for k in range(count)])
    faster = updated(sizes, list(range(count)), [1e-1 if k == other else 1e-2 for k in range(count)], [True] * count)
    alone = [updated(sizes, [k], [1e-2], [True]) for k in range(count)]
    for i in range(len(sizes)):
        for k in range(count):
            assert torch.equal(whole[i][k], alone[k][i][0])
            if k != other:
                assert torch.equal(whole[i][k], stopped[i][k])
                assert torch.equal(whole[i][k], faster[i][k])


@given(SHAPES)
def test_a_stopped_model_keeps_its_weights(sizes):
    before = updated(sizes, [0, 1], [1e-2] * 2, [True] * 2, steps=0)
    after = updated(sizes, [0, 1], [1e-2] * 2, [True, False])
    assert all(torch.equal(one[1], other[1]) for one, other in zip(before, after, strict=True))
