"""Reweighting, distillation and labels that a model draws itself."""

import numpy as np
import pytest
import torch

from gristmill.corpus.refusal import RequestError
from gristmill.training.distillation import Cache, soft_targets, write_cache
from gristmill.training.loader import Loader, Phase
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.loss import sample_targets
from gristmill.training.reweighting import Reweighting, sample_weights
from gristmill.training.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(1, 32, 2, 2, 64, vocab_size=64, max_len=32)
LOSSES = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        ("linupper", [0, 1, 2, 3, 4]),
        ("quadratic", [0, 1, 2, 1, 0]),
        ("extremes", [2, 1, 0, 1, 2]),
    ],
)
def test_a_strategy_prefers_the_losses_it_is_named_for(strategy, order):
    weights = sample_weights(LOSSES, Reweighting(strategy=strategy, warmup=0.1), 1.0)
    assert weights.mean() == pytest.approx(1.0)
    for i in range(5):
        for j in range(5):
            if order[i] > order[j]:
                assert weights[i] > weights[j] + 1e-6
            elif order[i] == order[j]:
                assert weights[i] == pytest.approx(weights[j].item(), rel=1e-4)


def test_weights_are_uniform_before_the_warm_up_is_over_and_nearly_so_after():
    settings = Reweighting(strategy="extremes", warmup=0.2)
    assert sample_weights(LOSSES, settings, 0.1).tolist() == [1.0] * 5
    spreads = [float(sample_weights(LOSSES, settings, at).std()) for at in (0.2, 0.3, 0.4, 0.9)]
    assert 0 < spreads[0] < 0.01 < spreads[1] < spreads[2] == pytest.approx(spreads[3])


def test_linupper_does_not_put_outliers_above_hard_samples():
    weights = sample_weights(torch.tensor([0.0, 0.9, 1.0]), Reweighting(strategy="linupper"), 1.0)
    assert weights[0] < weights[1] == weights[2]


def test_equal_losses_get_equal_weights():
    assert sample_weights(torch.full((4,), 2.0), Reweighting(strategy="linupper"), 1.0).tolist() == [1.0] * 4


def test_soft_targets_mix_the_label_with_the_teacher():
    ids, shares = soft_targets(
        torch.tensor([5, -100]), torch.tensor([[1, 5], [2, 3]]), torch.tensor([[0.2, 0.6], [0.5, 0.5]]), 0.4
    )
    assert ids.tolist() == [[5, 1, 5], [-100, 2, 3]]
    assert shares[0].tolist() == pytest.approx([0.6, 0.1, 0.3])


def test_a_run_learns_from_a_cache_and_refuses_one_of_another_stream(pool, tmp_path):
    loader = Loader(pool, [Phase(1.0, {"ones": 1, "twos": 1}, 32)], 30 * 128, 128, seed=2)
    teacher = Transformer(CONFIG, 7)
    folder = str(tmp_path / "cache")
    write_cache(folder, teacher, loader, 10, k=4)
    cache = Cache(folder, loader)
    whole = cache.read(3)
    halves = [cache.read(3, rank, 2) for rank in range(2)]
    assert torch.equal(whole[0], torch.cat([half[0] for half in halves]))
    ids = torch.from_numpy(loader.batch(3).ids)
    expected = torch.softmax(teacher.logits(ids), -1).topk(4)
    torch.testing.assert_close(whole[1], expected.values, rtol=2e-3, atol=1e-4)

    def trained(**options):
        model = Transformer(CONFIG, 1)
        settings = LoopSettings(device="cpu", compile=False, log_every=5, checkpoint_every=30, **options)
        pretrain(model, loader, settings, str(tmp_path / f"run-{len(options)}"), {})
        return model

    distilled, plain = trained(teacher=folder, teacher_share=0.9), trained()
    assert not torch.equal(distilled.embed.weight, plain.embed.weight)
    with pytest.raises(RequestError, match="another stream"):
        Cache(folder, Loader(pool, [Phase(1.0, {"ones": 1}, 32)], 30 * 128, 128))
    with pytest.raises(RequestError, match="no finished teacher cache"):
        Cache(str(tmp_path), loader)


def test_drawn_labels_follow_the_models_distribution():
    hidden = torch.tensor([[1.0, 0.0]]).repeat(20_000, 1)
    weight = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [50.0, 0.0]])
    drawn = sample_targets(hidden, weight, seed=1, vocab=3)
    expected = torch.softmax(torch.tensor([0.0, 1.0, 2.0]), 0).numpy()
    assert np.bincount(drawn.numpy(), minlength=3) / 20_000 == pytest.approx(expected, abs=0.015)


def test_reweighted_runs_differ_from_uniform_ones_only_after_the_warm_up(pool, tmp_path):
    loader = Loader(pool, [Phase(1.0, {"ones": 1, "threes": 1}, 32)], 20 * 256, 256)

    def losses(strategy):
        from gristmill.training.metrics import read_metrics

        settings = LoopSettings(
            device="cpu", compile=False, log_every=1, reweighting=Reweighting(strategy=strategy, warmup=0.5)
        )
        pretrain(Transformer(CONFIG, 1), loader, settings, str(tmp_path / strategy), {})
        return [line["loss"] for line in read_metrics(str(tmp_path / strategy / "metrics.jsonl"))]

    uniform, weighted = losses("none"), losses("extremes")
    assert weighted[:10] == pytest.approx(uniform[:10], rel=1e-4)
    assert weighted[15:] != pytest.approx(uniform[15:], rel=1e-6)
