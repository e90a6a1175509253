"""A fleet is K independent models: the same as one after another, in any order, whatever becomes of a neighbour."""

import math

import numpy as np
import pytest
import torch

from gristmill.corpus.store.errors import RequestError
from gristmill.proxy_models.fleets import group as fleet_group
from gristmill.proxy_models.fleets.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.fleets.graph import GraphedStep
from gristmill.proxy_models.fleets.group import Group
from gristmill.proxy_models.fleets.order import DataOrder
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.training.transformer import Transformer

torch.set_num_threads(1)  # models this small only wait for each other on two
VOCAB = 120  # not a multiple of the padding
SMALL = FleetSettings(
    n_layers=2, d_model=16, n_heads=4, n_kv_heads=2, d_ff=24, seq_len=16, sequences=2, steps=20, warmup=3,
    evaluations=4, execution="stacked", lr=3e-3, epsilon=1e-6,  # Adam turns rounding of a gradient near 0 into a step
)  # fmt: skip


def make_pool() -> TokenPool:
    rng = np.random.default_rng(0)
    ranges = {"code": (1, 40), "law": (30, 80), "news": (60, VOCAB)}

    def documents(name: str, count: int) -> list[np.ndarray]:
        low, high = ranges[name]
        return [np.cumsum(rng.integers(1, 4, 90)) % (high - low) + low for _ in range(count)]

    train = {name: documents(name, 12) for name in ranges}
    return TokenPool.from_documents(train, {name: (documents(name, 1), 200) for name in ranges}, VOCAB)


POOL = make_pool()
MIXTURES = np.random.default_rng(1).dirichlet([1, 1, 1], 8)


def one_after_another(settings: FleetSettings) -> np.ndarray:
    """(K, steps): losses of plain transformers, trained by torch's own AdamW and clipping on the same rows."""
    told = np.zeros((len(MIXTURES), settings.steps))
    tokens = torch.from_numpy(np.concatenate([d.tokens for d in POOL.domains]).astype(np.int64))
    order = DataOrder(POOL, MIXTURES, [0] * len(MIXTURES), settings.seq_len, settings.sequences)
    for k in range(len(MIXTURES)):
        model = Transformer(settings.config(VOCAB), seed=0)
        groups = [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ]
        adam = torch.optim.AdamW(groups, betas=settings.betas, eps=settings.epsilon)
        for step in range(settings.steps):
            starts = torch.from_numpy(order.starts(step)[k])
            ids = tokens[starts[:, None] + torch.arange(settings.seq_len + 1)]
            loss = torch.nn.functional.cross_entropy(model.logits(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            for group in adam.param_groups:
                group["lr"] = settings.lr * settings.rate(step)
            adam.step()
            told[k, step] = float(loss.detach())
    return told


def stepwise(settings: FleetSettings, mixtures: np.ndarray = MIXTURES) -> np.ndarray:
    order = DataOrder(POOL, mixtures, [0] * len(mixtures), settings.seq_len, settings.sequences)
    group = Group(POOL, order, settings, [settings.lr] * len(mixtures))
    return np.stack([group.step().numpy() for _ in range(settings.steps)], 1)


@pytest.mark.parametrize("changes", [{}, {"tied": True, "qk_norm": False, "n_kv_heads": None}])
def test_stacked_models_learn_what_plain_transformers_learn_one_after_another(changes):
    settings = SMALL.model_copy(update=changes)
    stacked, plain = stepwise(settings), one_after_another(settings)
    assert np.abs(stacked - plain).max() < 1e-5
    assert plain[:, -1].mean() < plain[:, 0].mean() - 0.05  # they did learn


def test_permuting_the_models_permutes_the_results_to_the_bit():
    shuffle = np.random.default_rng(2).permutation(len(MIXTURES))
    straight, shuffled = train_fleet(POOL, MIXTURES, SMALL), train_fleet(POOL, MIXTURES[shuffle], SMALL)
    assert (straight.bits_per_byte[shuffle] == shuffled.bits_per_byte).all()


def test_a_diverging_model_is_stopped_and_the_others_do_not_notice():
    rates = [SMALL.lr] * 8
    rates[3] = 1e4
    wild = train_fleet(POOL, MIXTURES, SMALL.model_copy(update={"lr": tuple(rates)}))
    calm = train_fleet(POOL, MIXTURES, SMALL.model_copy(update={"lr": (SMALL.lr,) * 8}))
    assert wild.alive.tolist() == [k != 3 for k in range(8)]
    assert 0 < wild.stopped[3] < SMALL.steps
    assert np.isnan(wild.final[3]).all()
    others = np.arange(8) != 3
    assert (wild.bits_per_byte[others] == calm.bits_per_byte[others]).all()


def test_a_model_with_infinite_weights_leaves_the_others_alone():
    start = Transformer(SMALL.config(VOCAB), 0).state_dict()
    broken = {name: torch.full_like(weight, torch.inf) for name, weight in start.items()}
    states = [start] * 7 + [broken]
    result = train_fleet(POOL, MIXTURES, SMALL, start_from=states)
    whole = train_fleet(POOL, MIXTURES, SMALL)
    assert result.stopped.tolist() == [-1] * 7 + [0]
    assert (result.bits_per_byte[:7] == whole.bits_per_byte[:7]).all()


class Killed(Exception):
    pass


@pytest.mark.parametrize("dies_at", [7, 16])
def test_a_resumed_fleet_ends_as_an_uninterrupted_one_to_the_bit(tmp_path, monkeypatch, dies_at):
    settings = SMALL.model_copy(update={"group": 4})
    whole = train_fleet(POOL, MIXTURES, settings, keep_weights=True)
    step, calls = Group.step, []

    def dying(self):
        calls.append(1)
        if len(calls) == dies_at + 20:  # in the second group
            raise Killed
        return step(self)

    monkeypatch.setattr(fleet_group.Group, "step", dying)
    with pytest.raises(Killed):
        train_fleet(POOL, MIXTURES, settings, checkpoint=str(tmp_path))
    calls.clear()
    resumed = train_fleet(POOL, MIXTURES, settings, checkpoint=str(tmp_path), keep_weights=True)
    assert len(calls) == 20 - 5 * (dies_at // 5)  # the first group was not trained again
    assert (resumed.bits_per_byte == whole.bits_per_byte).all()
    assert (resumed.train_loss == whole.train_loss).all()
    assert all(torch.equal(a[n], b[n]) for a, b in zip(resumed.weights, whole.weights, strict=True) for n in a)


def test_a_checkpoint_of_other_work_is_not_resumed_from(tmp_path):
    train_fleet(POOL, MIXTURES, SMALL, checkpoint=str(tmp_path))
    other = SMALL.model_copy(update={"lr": 1e-3})
    resumed = train_fleet(POOL, MIXTURES, other, checkpoint=str(tmp_path))
    assert (resumed.bits_per_byte == train_fleet(POOL, MIXTURES, other).bits_per_byte).all()


def test_the_graphed_step_agrees_with_the_step_of_a_cpu():
    rates = [SMALL.lr] * 7 + [1e4]
    order = DataOrder(POOL, MIXTURES, [0] * 8, SMALL.seq_len, SMALL.sequences)
    plain, graphed = Group(POOL, order, SMALL, rates), Group(POOL, order, SMALL, rates)
    replay = GraphedStep(graphed)
    for _ in range(12):
        expected = plain.step().numpy()
        actual = replay.run().numpy().copy()
        np.testing.assert_allclose(actual, expected, atol=2e-5, equal_nan=True)
    assert np.isnan(expected[7])
    assert replay.stopped.tolist() == plain.stopped.tolist()


def test_bits_per_byte_are_those_of_the_plain_model():
    result = train_fleet(POOL, MIXTURES[:2], SMALL, keep_weights=True)
    for k in range(2):
        model = Transformer(SMALL.config(VOCAB))
        model.load_state_dict(result.weights[k])
        for e, target in enumerate(POOL.heldout):
            nats = 0.0
            tokens = torch.tensor([0, *target.tokens.tolist()])
            for first in range(0, len(tokens) - 1, SMALL.seq_len):
                row = tokens[first : first + SMALL.seq_len + 1]
                nats += float(model.nll(row[None, :-1], row[None, 1:]).sum().detach())
            assert result.final[k, e] == pytest.approx(nats / math.log(2) / target.n_bytes, rel=1e-5)


def test_replicates_measure_the_noise_between_seeds():
    mixtures = np.repeat(MIXTURES[:2], 3, axis=0)
    result = train_fleet(POOL, mixtures, SMALL, seeds=[0, 1, 2, 0, 1, 2])
    by_hand = np.sqrt((result.final.reshape(2, 3, -1).var(1, ddof=1)).mean(0))
    np.testing.assert_allclose(result.noise(), by_hand)
    assert np.isnan(train_fleet(POOL, MIXTURES[:2], SMALL).noise()).all()


def test_the_probe_says_which_group_it_chose_and_changes_no_result_beyond_rounding():
    probed = train_fleet(POOL, MIXTURES, SMALL.model_copy(update={"execution": "auto", "steps": 4}))
    alone = train_fleet(POOL, MIXTURES, SMALL.model_copy(update={"execution": "sequential", "steps": 4}))
    assert "fastest in the probe" in probed.reason
    np.testing.assert_allclose(probed.bits_per_byte, alone.bits_per_byte, atol=1e-4)


def test_settings_of_the_wrong_length_are_refused():
    with pytest.raises(RequestError, match="seeds has 3 entries for 8 mixtures"):
        train_fleet(POOL, MIXTURES, SMALL, seeds=[1, 2, 3])
    with pytest.raises(ValueError, match="30 evaluations do not fit"):
        FleetSettings(steps=20, evaluations=30)


@pytest.mark.parametrize("changes", [{}, {"tied": True, "qk_norm": False, "n_kv_heads": None}])
def test_the_pass_written_out_has_the_gradients_that_autograd_finds(changes):
    settings = SMALL.model_copy(update=changes)
    order = DataOrder(POOL, MIXTURES, [0] * 8, SMALL.seq_len, SMALL.sequences)
    group = Group(POOL, order, settings, [SMALL.lr] * 8)
    for _ in range(5):
        group.step()  # maps back into the stream start at zero, and hide what is wrong before them
    ids = group.rows(torch.from_numpy(order.starts(5)))
    names = [name for name in group.names if name not in fleet_group.TABLES]
    x = torch.randn((8, ids[0, :, :-1].numel(), SMALL.d_model), generator=torch.Generator().manual_seed(0))
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    leaf = x.clone().requires_grad_()
    hidden = group.net.trunk(leaf, ids[..., :-1].shape)
    expected = torch.autograd.grad(hidden, [leaf, *(group.net.weights[name] for name in names)], upstream)
    np.testing.assert_allclose(group._trunk.forward(x, ids[..., :-1].shape), hidden.detach(), atol=1e-5)
    actual = [group._trunk.backward(upstream), *(group.gradient[name] for name in names)]
    for name, one, other in zip(["embedded tokens", *names], expected, actual, strict=True):
        scale = float(one.abs().max())
        np.testing.assert_allclose(other / scale, one / scale, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_compiled_step_agrees_with_the_plain_one():
    plain, compiled = stepwise(SMALL), stepwise(SMALL.model_copy(update={"compile": True}))
    np.testing.assert_allclose(compiled, plain, atol=2e-5)
