"""What a fleet does on a GPU, as far as a CPU can tell: the bytes that its step moves, its devices, its probe."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks._traffic import Traffic
from gristmill.corpus.store.errors import RequestError
from gristmill.proxy_models.fleets import heads, probe
from gristmill.proxy_models.fleets.fleet import FleetSettings, spread, train_fleet
from gristmill.proxy_models.fleets.pool import TokenPool

SMALL = FleetSettings(
    n_layers=1, d_model=16, n_heads=2, d_ff=16, seq_len=8, sequences=1, steps=4, warmup=1, evaluations=2, device="cpu"
)
DOCUMENTS = [np.arange(1, 90, dtype=np.uint16)]
POOL = TokenPool.from_documents({"a": DOCUMENTS, "b": DOCUMENTS}, {"a": (DOCUMENTS, 200)}, 100)
MIXTURES = np.array([[0.5, 0.5], [0.1, 0.9], [1.0, 0.0], [0.3, 0.7], [0.0, 1.0]])


@pytest.mark.parametrize("devices", [2, 3])
def test_groups_on_several_devices_give_what_one_gives_to_the_bit(devices):
    one = train_fleet(POOL, MIXTURES, SMALL.model_copy(update={"group": 2}), keep_weights=True)
    several = train_fleet(POOL, MIXTURES, SMALL.model_copy(update={"group": 2, "devices": devices}), keep_weights=True)
    np.testing.assert_array_equal(one.bits_per_byte, several.bits_per_byte)
    np.testing.assert_array_equal(one.train_loss, several.train_loss)
    for a, b in zip(one.weights or [], several.weights or [], strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_fleet_leaves_no_device_without_a_group_where_it_may_choose():
    result = train_fleet(POOL, MIXTURES, SMALL.model_copy(update={"execution": "stacked", "devices": 2}))
    assert result.reason == "groups of 3: one for each device"


def test_groups_run_on_different_devices_at_once_and_come_back_in_their_order():
    both = threading.Barrier(2, timeout=60)  # passes only where two are at work together

    def work(first, place):
        both.wait()
        return {"first": first, "place": place}

    found = spread(range(0, 8, 2), ["cuda:0", "cuda:1"], work)
    assert [one["first"] for one in found] == [0, 2, 4, 6]
    assert {one["place"] for one in found} == {"cuda:0", "cuda:1"}


def test_the_error_of_a_group_is_raised_as_it_is():
    def work(first, place):
        if first == 1:
            raise RequestError("a group that cannot be trained")
        return {}

    with pytest.raises(RequestError, match="a group that cannot be trained"):
        spread(range(6), ["cpu", "cpu"], work)


def test_more_devices_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    settings = SMALL.model_copy(update={"device": "cuda", "devices": 3})
    with pytest.raises(RequestError, match="3 devices were asked for, torch sees 2"):
        settings.places()
    assert settings.model_copy(update={"devices": 2}).places() == ["cuda:0", "cuda:1"]


def test_the_probe_waits_for_the_device_before_and_after_each_step_that_it_times(monkeypatch):
    told = []

    def group_of(*_):
        return SimpleNamespace(device="cuda:0", step=lambda: told.append("step"))

    monkeypatch.setattr(probe, "group_of", group_of)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: told.append("wait"))
    probe.measured(POOL, MIXTURES, SMALL, [0] * 5, 1)
    assert told == ["step", *["wait", "step", "wait"] * probe.STEPS]


def test_a_gpu_is_probed_with_more_models_than_fill_a_cpu():
    assert max(probe.SIZES["cuda"]) > max(probe.SIZES["cpu"])


@pytest.mark.parametrize("tile_rows", [16, 4])
def test_low_precision_gradients_of_the_head_are_summed_in_one_pass_a_tile(monkeypatch, tile_rows):
    K, N, d, V = 2, 16, 8, 64
    monkeypatch.setattr(heads, "TILE_BYTES", 4 * V * tile_rows)
    monkeypatch.setattr(heads, "tiles", lambda *_: [
        (slice(k, k + 1), slice(n, n + tile_rows)) for k in range(K) for n in range(0, N, tile_rows)])  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(K, N, d, generator=generator), torch.randn(K, d, V, generator=generator)
    targets = torch.randint(0, V, (K, N), generator=generator)
    with Traffic() as told:
        loss, d_hidden, d_weight = heads.loss_and_gradients(hidden.bfloat16(), weight, targets, V)
    moved = sum(told.shapes[name, (1, d, V)] for name in ("copy_", "add_", "_to_copy", "div_", "mul", "add"))
    again = N // tile_rows - 1  # tiles after a model's first: two bytes read, four read and four written
    assert moved == K * d * V * (2 + 4 + again * (2 + 4 + 4))
    assert d_weight.dtype == torch.float32
    exact = heads.loss_and_gradients(hidden, weight, targets, V)
    for found, expected in zip((loss, d_hidden, d_weight), exact, strict=True):
        assert (found.float() - expected).norm() < 2e-2 * expected.norm()


def test_the_kernels_agree_with_their_twins_where_triton_can_be_interpreted(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    from gristmill.proxy_models.fleets import gpu_kernels

    for vocab in (5, 300):
        logits, targets = torch.randn(2, 3, vocab), torch.randint(0, vocab, (2, 3, 1))
        expected = heads.terms(logits.clone(), targets)
        torch.testing.assert_close(gpu_kernels.losses(logits, targets), expected[0])
        torch.testing.assert_close(gpu_kernels.terms(logits, targets), expected)
