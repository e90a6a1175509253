"""Reweighting, distillation and labels that a model draws itself."""

import numpy as np
import pytest
import torch

from gristmill.corpus.store.errors import RequestError
from gristmill.training.checkpoint import save
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.distributed import Ranks
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.objectives.distillation import Cache, Teacher, soft_targets, teach
from gristmill.training.objectives.loss import sample_targets
from gristmill.training.objectives.reweighting import Reweighting, sample_weights
from gristmill.training.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(1, 32, 2, 2, 64, vocab_size=64, max_len=32)
CPU = torch.device("cpu")
FAST = {"device": "cpu", "compile": False, "log_every": 5, "checkpoint_every": 30}
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


def trained_by(teacher, loader, folder):
    model = Transformer(CONFIG, 1)
    pretrain(model, loader, LoopSettings(**FAST, teacher=teacher), str(folder), {})
    return model


def test_a_run_learns_from_its_teacher_for_the_part_it_says(pool, tmp_path):
    loader = Loader(pool, [Phase(1.0, {"ones": 1, "twos": 1}, 32)], 30 * 128, 128, seed=2)
    teacher = Transformer(CONFIG, 7)
    save(str(tmp_path / "teacher"), teacher.state_dict(), {}, {"config": vars(CONFIG)})
    settings = Teacher(checkpoint=str(tmp_path / "teacher"), until=0.34, k=4, share=0.9)
    distilled = trained_by(settings, loader, tmp_path / "taught")
    assert not torch.equal(distilled.embed.weight, trained_by(None, loader, tmp_path / "plain").embed.weight)

    stored = sorted(path.name for path in (tmp_path / "taught" / "teacher").glob("*.safetensors"))
    assert stored == [f"{step:08d}.safetensors" for step in range(10)]
    cache = Cache(str(tmp_path / "taught" / "teacher"), {"stream": loader.fingerprint}, 0.9)
    whole = cache.read(3)
    halves = [cache.read(3, rank, 2) for rank in range(2)]
    assert torch.equal(whole[0], torch.cat([half[0] for half in halves]))
    expected = torch.softmax(teacher.logits(torch.from_numpy(loader.batch(3).ids)), -1).topk(4)
    torch.testing.assert_close(whole[1], expected.values, rtol=2e-3, atol=1e-4)


def test_labels_of_another_stream_are_refused_and_lost_ones_missed(pool, tmp_path):
    loader = Loader(pool, [Phase(1.0, {"ones": 1}, 32)], 4 * 128, 128)
    save(str(tmp_path / "teacher"), Transformer(CONFIG, 7).state_dict(), {}, {"config": vars(CONFIG)})
    save(str(tmp_path / "foreign"), Transformer(CONFIG).state_dict(), {},
         {"config": vars(CONFIG), "fingerprints": {"tokenizer": "other"}})  # fmt: skip
    with pytest.raises(RequestError, match="reads another tokenizer"):
        teach(Teacher(checkpoint=str(tmp_path / "foreign")), str(tmp_path / "none"), loader, Ranks(), CPU)
    folder = tmp_path / "labels"
    settings = Teacher(checkpoint=str(tmp_path / "teacher"), until=1.0)
    teach(settings, str(folder), loader, Ranks(), CPU)
    with pytest.raises(RequestError, match="another stream"):
        Cache(str(folder), {"stream": "other"}, 0.5)
    (folder / "00000002.safetensors").unlink()
    with pytest.raises(RequestError, match="labels of 1 steps, first 2"):
        Cache(str(folder), {}, 0.5)
    with pytest.raises(RequestError, match="holds no teacher's labels"):
        Cache(str(tmp_path), {}, 0.5)


def test_labels_of_another_teacher_are_made_again(pool, tmp_path):
    loader = Loader(pool, [Phase(1.0, {"ones": 1}, 32)], 2 * 128, 128)
    found = []
    for seed in (7, 8):
        save(str(tmp_path / "teacher"), Transformer(CONFIG, seed).state_dict(), {}, {"config": vars(CONFIG)})
        settings = Teacher(checkpoint=str(tmp_path / "teacher"), until=1.0)
        found.append(teach(settings, str(tmp_path / "labels"), loader, Ranks(), CPU).read(0)[1])
    assert not torch.equal(*found)


def test_drawn_labels_follow_the_models_distribution():
    hidden = torch.tensor([[1.0, 0.0]]).repeat(20_000, 1)
    weight = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [50.0, 0.0]])
    drawn = sample_targets(hidden, weight, seed=1, vocab=3)
    expected = torch.softmax(torch.tensor([0.0, 1.0, 2.0]), 0).numpy()
    assert np.bincount(drawn.numpy(), minlength=3) / 20_000 == pytest.approx(expected, abs=0.015)


def test_reweighted_runs_differ_from_uniform_ones_only_after_the_warm_up(pool, tmp_path):
    loader = Loader(pool, [Phase(1.0, {"ones": 1, "threes": 1}, 32)], 20 * 256, 256)

    def losses(strategy):
        from gristmill.training.loggers.metrics import read_metrics

        settings = LoopSettings(
            device="cpu", compile=False, log_every=1, reweighting=Reweighting(strategy=strategy, warmup=0.5)
        )
        pretrain(Transformer(CONFIG, 1), loader, settings, str(tmp_path / strategy), {})
        return [line["loss"] for line in read_metrics(str(tmp_path / strategy / "metrics.jsonl"))]

    uniform, weighted = losses("none"), losses("extremes")
    assert weighted[:10] == pytest.approx(uniform[:10], rel=1e-4)
    assert weighted[15:] != pytest.approx(uniform[15:], rel=1e-6)
