"""The loop: resuming, spikes, refusals, and that each of its options does what it says."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.training import checkpoint
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.evaluation import bits_per_byte, held_out_rows
from gristmill.training.loggers.metrics import read_metrics
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.optimisers import OptimiserSettings
from gristmill.training.schedules import Schedule
from gristmill.training.spikes import is_spike
from gristmill.training.transformer import Transformer, TransformerConfig

TINY = TransformerConfig(2, 32, 2, 2, 64, vocab_size=64, max_len=32)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class Stopped(Exception):
    """Stands for a power cut."""


def stop_at(monkeypatch, step):
    """Raise when the run has made so many optimiser steps."""
    from gristmill.training.loop import Run

    learn = Run.learn

    def stopping(self, *given):
        if self.step == step:
            raise Stopped
        return learn(self, *given)

    monkeypatch.setattr(Run, "learn", stopping)


@pytest.mark.parametrize("name", ["adamw", "muon", "lion", "sophia"])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(run, name, pool, held, tmp_path, monkeypatch):
    options = {"optimiser": OptimiserSettings(name=name, rate=1e-3), "evaluate_every": 20}
    whole, card = run(pool, held, tmp_path / "whole", **options)
    for step in (7, 33):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Stopped):
                run(pool, held, tmp_path / "cut", **options)
    resumed, again = run(pool, held, tmp_path / "cut", **options)
    assert torch.equal(weights(whole), weights(resumed))
    assert again["bits_per_byte"] == card["bits_per_byte"]
    lines = [read_metrics(str(tmp_path / part / "metrics.jsonl")) for part in ("whole", "cut")]
    for a, b in zip(*lines, strict=True):
        assert (a["step"], a["loss"], a.get("bits_per_byte")) == (b["step"], b["loss"], b.get("bits_per_byte"))


def test_a_finished_run_is_loaded_and_not_trained_again(run, pool, held, tmp_path, monkeypatch):
    trained, card = run(pool, held, tmp_path, steps=12)
    stop_at(monkeypatch, 0)
    loaded, again = run(pool, held, tmp_path, steps=12)
    assert torch.equal(weights(trained), weights(loaded))
    assert again == json.loads(json.dumps(card))


def test_a_run_stopped_after_its_last_checkpoint_still_gets_its_card(run, pool, held, tmp_path, monkeypatch):
    _, card = run(pool, held, tmp_path, steps=12)
    os.remove(tmp_path / "run_card.json")
    stop_at(monkeypatch, 0)
    assert run(pool, held, tmp_path, steps=12)[1] == card


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_the_same_command_completes(run, pool, held, tmp_path):
    program = textwrap.dedent(
        """
        import os, signal, sys
        sys.path.insert(0, sys.argv[3])
        import torch
        from conftest import counting, run
        torch.set_num_threads(1)
        from gristmill.training.loop import Run
        learn, die = Run.learn, int(sys.argv[2])
        def dying(self, *given):
            if self.step == die:
                os.kill(os.getpid(), signal.SIGKILL)
            return learn(self, *given)
        Run.learn = dying
        pool = {"ones": counting("ones", 1, 120, 0), "twos": counting("twos", 2, 60, 1),
                "threes": counting("threes", 3, 200, 2)}
        run(pool, {}, sys.argv[1], steps=30)
        """
    )
    here = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "killed"), "25", here], check=False)
    assert done.returncode == -signal.SIGKILL
    killed, _ = run(pool, {}, tmp_path / "killed", steps=30)
    whole, _ = run(pool, {}, tmp_path / "whole", steps=30)
    assert torch.equal(weights(killed), weights(whole))


def test_a_run_goes_on_only_with_what_it_began_with(run, pool, held, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 15)
        with pytest.raises(Stopped):
            run(pool, held, tmp_path)
    with pytest.raises(RequestError, match=r"z_loss: 0.0 then, 0.1 now"):
        run(pool, held, tmp_path, z_loss=0.1)
    with pytest.raises(RequestError, match=r"stream: .* then, .* now"):
        run(pool, held, tmp_path, steps=41)
    with pytest.raises(RequestError, match="another shape"):
        run(pool, held, tmp_path, model=Transformer(TransformerConfig(1, 32, 2, 2, 64, 64, 32)))
    run(pool, held, tmp_path, evaluate_every=7, log_every=3)  # what does not change the weights may change


def test_a_spike_rolls_back_and_skips_the_data_that_caused_it(run, pool, held, tmp_path, monkeypatch):
    from gristmill.training.loop import Run

    learn, read = Run.learn, []

    def poisoned(self, batch, rate):
        position = self.position(self.step)
        read.append(position)
        loss = learn(self, batch, rate)
        return loss * float("nan") if position == 23 else loss

    monkeypatch.setattr(Run, "learn", poisoned)
    _, card = run(pool, held, tmp_path)
    assert card["rollbacks"] == 1
    assert read.count(23) == 1
    after = read[read.index(24) + 1 :] if 24 in read[:25] else read[read.index(23) + 1 :]
    assert np.isfinite(card["loss"])
    assert after[-1] == 3  # 24 of 40 positions were left after the skip of 20 to 23; the last ones start over
    monkeypatch.setattr(Run, "learn", lambda self, batch, rate: learn(self, batch, rate) * float("nan"))
    with pytest.raises(WorkspaceError, match="after 3 rollbacks"):
        run(pool, held, tmp_path / "hopeless")


def test_a_loss_far_above_its_past_is_a_spike():
    calm = list(np.random.default_rng(0).normal(3.0, 0.05, 40))
    assert not is_spike(3.2, calm, 8.0)
    assert is_spike(3.6, calm, 8.0)
    assert is_spike(float("inf"), [], 8.0)
    assert not is_spike(9.0, calm[:10], 8.0)


def test_the_model_learns_and_the_card_says_on_what(run, pool, held, tmp_path):
    before = bits_per_byte(Transformer(TINY, seed=1), held)
    _, card = run(pool, held, tmp_path, steps=150)
    assert all(card["bits_per_byte"][name] < 0.7 * value for name, value in before.items())
    shares = {name: row["share"] for name, row in card["realised"].items()}
    assert shares == pytest.approx({"ones": 0.5, "twos": 0.25, "threes": 0.25}, abs=0.01)
    assert sum(row["tokens"] for row in card["realised"].values()) <= card["tokens"] == 150 * 256
    assert "threes" not in " ".join(card["warnings"])


def test_gradient_accumulation_changes_the_loss_by_rounding_only(run, pool, held, tmp_path):
    once, a = run(pool, held, tmp_path / "a", steps=20)
    pieces, b = run(pool, held, tmp_path / "b", steps=20, micro_tokens=64)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    torch.testing.assert_close(weights(once), weights(pieces), rtol=1e-2, atol=2e-3)


def test_a_domain_without_loss_weight_teaches_nothing(run, pool, held, tmp_path):
    _, card = run(pool, held, tmp_path, steps=120, loss_weights={"ones": 0.0})
    assert card["bits_per_byte"]["ones"] > 1.5 * card["bits_per_byte"]["threes"]


def test_a_document_mask_keeps_training_exact_for_packed_rows(run, pool, held, tmp_path):
    """Rows of one document each and rows of many, masked, give one gradient."""
    from gristmill.training.data.prefetch import on_device
    from gristmill.training.objectives.objective import Objective
    from gristmill.training.transformer import document_mask

    loader = Loader(pool, [Phase(1.0, {"ones": 1}, 32, "bestfit")], 2560, 256)
    batch = on_device(loader.batch(0, documents=True), torch.device("cpu"))
    model = Transformer(TINY, seed=1)
    _, packed = Objective(model, 0.0)(
        batch.ids, batch.targets, (batch.targets >= 0).float(), document_mask(batch.documents)
    )
    for row, owners, losses in zip(batch.ids, batch.documents, packed, strict=True):
        for owner in owners[owners >= 0].unique():
            inside = (owners == owner).nonzero().flatten()
            alone = model.nll(row[None, inside[:-1]], row[None, inside[1:]])
            torch.testing.assert_close(losses[inside[:-1]], alone[0], rtol=1e-3, atol=1e-4)


def test_bits_per_byte_divides_the_loss_of_the_text_by_its_bytes(pool):
    domain = pool["twos"]
    model = Transformer(TINY, seed=1)
    rows = held_out_rows(domain, 32)
    assert rows.tokens == domain.tokens - 2 * domain.documents
    assert rows.bytes == domain.bytes
    per_token = model.nll(torch.from_numpy(rows.ids), torch.from_numpy(rows.targets)).sum() / rows.tokens
    expected = per_token.item() / np.log(2) * rows.tokens / domain.bytes
    assert bits_per_byte(model, {"twos": rows}, rows=5)["twos"] == pytest.approx(expected, rel=1e-5)
    part = held_out_rows(domain, 32, max_tokens=500)
    assert part.tokens < 600
    assert part.bytes == 3 * part.tokens


def test_averaging_checkpoints_averages_their_weights(run, pool, held, tmp_path):
    first, _ = run(pool, held, tmp_path / "a", steps=10)
    second, _ = run(pool, held, tmp_path / "b", steps=10, optimiser=OptimiserSettings(rate=3e-3))
    folders = [checkpoint.path(str(tmp_path / part / "checkpoints"), 10) for part in "ab"]
    merged = Transformer(TINY)
    merged.load_state_dict(checkpoint.average(folders))
    torch.testing.assert_close(weights(merged), (weights(first) + weights(second)) / 2)


def test_a_checkpoint_that_was_cut_short_is_refused(run, pool, held, tmp_path):
    run(pool, held, tmp_path, steps=10)
    folder = checkpoint.path(str(tmp_path / "checkpoints"), 10)
    with open(f"{folder}/model.safetensors", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(WorkspaceError, match="not a whole checkpoint"):
        checkpoint.load(folder)


def test_only_the_newest_checkpoints_are_kept(run, pool, held, tmp_path):
    run(pool, held, tmp_path, steps=40, keep=2)
    assert checkpoint.steps(str(tmp_path / "checkpoints")) == [30, 40]


def test_bfloat16_learns_like_float32(run, pool, held, tmp_path):
    _, exact = run(pool, held, tmp_path / "exact", steps=60)
    _, rough = run(pool, held, tmp_path / "rough", steps=60, dtype="bfloat16")
    assert rough["loss"] == pytest.approx(exact["loss"], rel=0.03)


def test_the_learning_rate_of_a_report_is_that_of_its_step(run, pool, held, tmp_path):
    run(pool, held, tmp_path, steps=20, schedule=Schedule(kind="linear", warmup=0.0), log_every=5)
    rates = [line["lr"] for line in read_metrics(str(tmp_path / "metrics.jsonl"))]
    assert rates == pytest.approx([2e-3 * part for part in (0.8, 0.55, 0.3, 0.05)])


def test_the_board_holds_what_the_reports_say(run, pool, held, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(pool, held, tmp_path, steps=20, tensorboard=True, evaluate_every=10)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    reports = read_metrics(str(tmp_path / "metrics.jsonl"))
    assert [event.step for event in board.Scalars("loss")] == [line["step"] for line in reports]
    assert [event.value for event in board.Scalars("loss")] == pytest.approx([line["loss"] for line in reports])
    measured = [line["bits_per_byte"]["twos"] for line in reports if "bits_per_byte" in line]
    assert [event.value for event in board.Scalars("bits_per_byte/twos")] == pytest.approx(measured)
    assert len(measured) == 2


def test_each_interval_is_kept_whatever_the_others_are(run, pool, held, tmp_path):
    run(pool, held, tmp_path, steps=20, evaluate_every=4, log_every=7, checkpoint_every=15)
    lines = read_metrics(f"{tmp_path}/metrics.jsonl")
    assert [line["step"] for line in lines if "bits_per_byte" in line] == [4, 8, 12, 16, 20]
    assert [line["step"] for line in lines] == [4, 7, 8, 12, 14, 15, 16, 20]
    assert checkpoint.steps(f"{tmp_path}/checkpoints")[-1] == 20


def test_targets_are_measured_where_no_text_is_held_out(run, pool, tmp_path):
    def score(model):
        return {"quiz": {"accuracy": 0.5}}

    _, card = run(pool, {}, tmp_path, steps=8, evaluate_every=4, log_every=8, probe=score)
    told = [line["step"] for line in read_metrics(f"{tmp_path}/metrics.jsonl") if "targets" in line]
    assert told == [4, 8]
    assert card["targets"] == {"quiz": {"accuracy": 0.5}}
    assert card["bits_per_byte"] == {}


def test_a_step_without_a_counted_token_has_no_loss_and_does_not_end_the_run(run, pool, held, tmp_path):
    silent = {"loss_weights": {"ones": 0.0, "twos": 0.0, "threes": 0.0}}
    for changes in ({}, {"reweighting": {"strategy": "linupper", "warmup": 0.0}}, {"z_loss": 0.1, "micro_tokens": 64}):
        model, card = run(pool, held, tmp_path / str(len(str(changes))), steps=3, **silent, **changes)
        assert card["loss"] == 0.0
        assert card["rollbacks"] == 0
        assert weights(model).isfinite().all()


@pytest.mark.parametrize("strategy", ["linupper", "quadratic", "extremes"])
def test_rows_are_reweighted_by_the_whole_step_and_keep_their_z_loss(run, pool, held, tmp_path, strategy):
    options = {"steps": 6, "reweighting": {"strategy": strategy, "warmup": 0.0, "temperature": 0.05}}
    whole, _ = run(pool, held, tmp_path / "whole", **options)
    micro, _ = run(pool, held, tmp_path / "micro", micro_tokens=32, **options)  # one row at a time
    plain, _ = run(pool, held, tmp_path / "plain", steps=6)
    still, _ = run(pool, held, tmp_path / "z", z_loss=0.5, **options)
    apart = (weights(whole) - weights(micro)).norm()
    assert apart < 0.005 * (weights(whole) - weights(plain)).norm()  # Adam makes a step of any gradient
    assert (weights(whole) - weights(plain)).abs().max() > 1e-3
    assert (weights(whole) - weights(still)).abs().max() > 1e-3


def test_weights_that_are_not_finite_are_never_saved_and_never_gone_back_to(run, pool, held, tmp_path, monkeypatch):
    from gristmill.training.loop import Run

    learn, broken = Run.learn, []

    def breaking(self, batch, rate):
        loss = learn(self, batch, rate)
        if self.step == 9 and not broken:  # after the loss, in the step of a checkpoint
            broken.append(self.step)
            with torch.no_grad():
                self.model.final_norm.weight.fill_(torch.inf)
        return loss

    monkeypatch.setattr(Run, "learn", breaking)
    model, card = run(pool, held, tmp_path, steps=20, checkpoint_every=5, keep=9)
    assert broken == [9]
    assert card["rollbacks"] == 1
    assert weights(model).isfinite().all()
    for step in checkpoint.steps(f"{tmp_path}/checkpoints"):
        loaded = checkpoint.load(checkpoint.path(f"{tmp_path}/checkpoints", step))[0]
        assert all(tensor.isfinite().all() for tensor in loaded.values())


def test_a_step_is_told_once_also_after_a_rollback(run, pool, held, tmp_path, monkeypatch):
    from gristmill.training.loop import Run

    learn, spiked = Run.learn, []

    def spiking(self, batch, rate):
        loss = learn(self, batch, rate)
        if self.step == 17 and not spiked:
            spiked.append(1)
            return loss * torch.inf
        return loss

    monkeypatch.setattr(Run, "learn", spiking)
    run(pool, held, tmp_path, steps=20, log_every=2, checkpoint_every=10)
    told = [line["step"] for line in read_metrics(f"{tmp_path}/metrics.jsonl")]
    assert told == list(range(2, 21, 2))


def test_no_room_for_a_checkpoint_is_said_in_words_and_the_run_goes_on_when_there_is(run, pool, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    whole, _ = run(pool, {}, tmp_path / "whole", steps=30)
    for after in (0, 2):
        folder, saved = tmp_path / f"after-{after}", []

        def failing(tensors, path, saved=saved, after=after):
            saved.append(path)
            if len(saved) > 2 * after:
                full()
            save_file(tensors, path)

        from safetensors.torch import save_file

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save_file", failing)
            with pytest.raises(WorkspaceError, match=r"cannot be written: .*No space left on device; make room"):
                run(pool, {}, folder, steps=30)
        again, _ = run(pool, {}, folder, steps=30)
        assert torch.equal(weights(again), weights(whole))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 512}, "its steps are of 256 tokens, not of 512"),
        ({"steps": 10}, "newest checkpoint is of step 20, and the run asked for ends at 10"),
        ({"optimiser": {"name": "lion"}}, "it was trained by adamw, whose state is of no use to lion"),
    ],
)
def test_what_a_run_cannot_go_on_from_is_refused_even_by_force_and_leaves_the_run_as_it_was(
    pool, held, tmp_path, changes, said
):
    def trained(steps=20, batch=256, force=False, **settings):
        loader = Loader(pool, [Phase(1.0, {"ones": 1, "twos": 1}, 32)], steps * 256, batch, seed=1)
        fast = {"device": "cpu", "compile": False, "checkpoint_every": 10, "log_every": 5}
        return pretrain(
            Transformer(TINY, 1), loader, LoopSettings(**(fast | settings)), str(tmp_path), held, force=force
        )

    card = trained()
    before = sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(RequestError, match=said):
        trained(force=True, **changes)
    assert sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()) == before
    assert trained() == card


def test_the_card_counts_what_the_plan_says(run, pool, held, tmp_path):
    _, card = run(pool, held, tmp_path, steps=20)
    told = {row["domain"]: row["tokens"] for row in card["plan"]}
    assert {name: row["tokens"] for name, row in card["realised"].items()} == told
