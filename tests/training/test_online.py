"""Shares that move while a model trains: the stream follows them, a stopped run goes on alike, caps hold."""

import json
import os
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.online import ADO
from gristmill.training import checkpoint
from gristmill.training.data import prefetch
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.online import Online, stretches
from gristmill.training.loggers.metrics import read_metrics
from gristmill.training.loop import Run, pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(2, 32, 2, 2, 64, vocab_size=64, max_len=32)
SHARES = {"ones": 0.5, "twos": 0.25, "threes": 0.25}
BATCH, LENGTH = 256, 32


class Swap:
    """Two mixtures by turns, and a memory of what it was told."""

    def __init__(self):
        self.told = []

    def next(self, steps, tokens, losses):
        self.told.append([steps, tokens.tolist(), losses.tolist()])
        return np.array([0.5, 0.25, 0.25] if len(self.told) % 2 == 0 else [0.1, 0.8, 0.1])

    def state(self):
        return {"told": self.told}

    def load(self, state):
        self.told = list(state["told"])


def online(pool, policy, steps=40, every=8, phases=None, ceilings=None, packing="concat"):
    phases = stretches(phases or [Phase(1.0, SHARES, LENGTH, packing)], steps, BATCH, every)
    return Online(Loader(pool, phases, steps * BATCH, BATCH, 1, planned=0), policy, ceilings)


def train(moving, folder, held, **settings):
    model = Transformer(CONFIG, seed=1)
    fast = {"device": "cpu", "compile": False, "checkpoint_every": 10, "log_every": 5}
    card = pretrain(model, moving.loader, LoopSettings(**(fast | settings)), str(folder), held, online=moving)
    return model, card


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class Stopped(Exception):
    """Stands for a power cut."""


def stop_at(patch, step):
    learn = Run.learn

    def stopping(self, *given):
        if self.step == step:
            raise Stopped
        return learn(self, *given)

    patch.setattr(Run, "learn", stopping)


def ado(pool, every=4):
    moving = online(pool, Swap(), every=every)
    moving.policy = ADO(moving.prior, after=4 * BATCH)
    return moving


def test_a_stopped_run_ends_with_the_weights_and_the_shares_of_an_uninterrupted_one(pool, held, tmp_path, monkeypatch):
    whole, card = train(ado(pool), tmp_path / "whole", held)
    for step in (7, 20, 33):  # within a stretch, at its end, and after shares have moved
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Stopped):
                train(ado(pool), tmp_path / "cut", held)
    resumed, again = train(ado(pool), tmp_path / "cut", held)
    assert torch.equal(weights(whole), weights(resumed))
    assert again["online"] == card["online"]
    assert again["realised"] == card["realised"]
    shares = [phase["shares"]["threes"] for phase in card["online"]]
    assert shares[0] == 0.25
    assert len(set(shares)) > 3  # they did move


def test_what_is_read_ahead_changes_nothing(pool, held, tmp_path, monkeypatch):
    near, _ = train(ado(pool), tmp_path / "near", held)
    monkeypatch.setattr(prefetch, "AHEAD", 7)
    far, _ = train(ado(pool), tmp_path / "far", held, log_every=3, checkpoint_every=17)
    assert torch.equal(weights(near), weights(far))


def test_the_policy_hears_the_mean_training_loss_of_each_domain(pool, tmp_path, monkeypatch):
    moving, seen = online(pool, Swap(), steps=8, every=4), {"nats": np.zeros(3), "tokens": np.zeros(3)}
    forward = torch.nn.functional.cross_entropy

    learn = Run.learn

    def watched(self, batch, rate):
        if self.step < 4:
            with torch.no_grad():
                logits = self.model(batch.ids) @ self.model.head_weight.T
            nll = forward(logits.transpose(1, 2)[:, :64], batch.targets, ignore_index=-100, reduction="none")
            for row, domain in enumerate(batch.domains.tolist()):
                seen["nats"][domain] += float(nll[row].sum())
                seen["tokens"][domain] += int((batch.targets[row] >= 0).sum())
        return learn(self, batch, rate)

    monkeypatch.setattr(Run, "learn", watched)
    train(moving, tmp_path, {}, micro_tokens=64)
    steps, tokens, losses = moving.policy.told[0]
    assert steps == 4
    assert tokens == pytest.approx(seen["tokens"] / 2)
    assert losses == pytest.approx(seen["nats"] / seen["tokens"], rel=1e-5)


def test_new_shares_are_drawn_from_the_next_stretch_on_and_told(pool, tmp_path):
    moving = online(pool, Swap(), steps=24, every=8)
    _, card = train(moving, tmp_path, {})
    assert [phase["until"] for phase in card["online"]] == pytest.approx([1 / 3, 2 / 3, 1])
    asked = [[phase["shares"][name] for name in moving.loader.names] for phase in card["online"]]
    assert asked == [[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.5, 0.25, 0.25]]
    drawn = np.array([np.bincount(moving.loader.batch(step).domains, minlength=3) for step in range(24)])
    rows = drawn.reshape(3, 8, 3).sum(1) / 64
    assert np.abs(rows - asked).max() <= 1 / 64
    lines = {line["step"]: line["shares"] for line in read_metrics(str(tmp_path / "metrics.jsonl"))}
    assert lines[8]["threes"] == 0.25
    assert lines[10]["threes"] == 0.8


def test_every_row_of_a_domain_is_drawn_once_before_any_is_drawn_again(pool):
    moving = online(pool, Swap(), steps=12, every=4)
    moving.reach(0, 11)
    draws = [part.stretch.locate(np.arange(part.stretch.rows)) for (part,) in moving.loader.parts]
    for domain in range(3):
        drawn = np.concatenate([numbers[domains == domain] for domains, numbers in draws])
        assert sorted(drawn) == list(range(len(drawn)))
    assert [len(domains) for domains, _ in draws] == [32, 32, 32]


def test_a_cap_on_tokens_holds_whatever_the_policy_says(pool, tmp_path):
    moving = online(pool, Swap(), steps=40, every=4, ceilings={"threes": 40 * BATCH * 0.3})
    _, card = train(moving, tmp_path, {})
    assert card["realised"]["threes"]["tokens"] <= 40 * BATCH * 0.3 * 1.02
    assert card["realised"]["threes"]["tokens"] > 40 * BATCH * 0.25


def test_a_spike_rolls_shares_back_with_the_weights(pool, held, tmp_path, monkeypatch):
    learn, struck = Run.learn, []

    def spiking(self, *given):
        loss = learn(self, *given)
        if self.step == 22 and not struck:
            struck.append(self.step)
            loss[0] = float("nan")
        return loss

    monkeypatch.setattr(Run, "learn", spiking)
    moving = ado(pool)
    _, card = train(moving, tmp_path, held)
    assert card["rollbacks"] == 1
    assert card["steps"] == 40
    assert [phase["until"] for phase in card["online"]] == pytest.approx([n / 10 for n in range(1, 11)])
    assert all(np.isfinite(list(phase["shares"].values())).all() for phase in card["online"])


def test_phases_that_only_differ_in_metadata_keep_their_ends(pool):
    phases = [Phase(0.5, SHARES, LENGTH, metadata=True), Phase(1.0, SHARES, LENGTH)]
    cut = stretches(phases, 20, BATCH, 8)
    assert [phase.until for phase in cut] == [0.4, 0.5, 0.8, 1.0]
    assert [phase.metadata for phase in cut] == [True, True, False, False]


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([Phase(1.0, {"ones": 1.0}, LENGTH)], "one domain"),
        ([Phase(0.5, SHARES, LENGTH), Phase(1.0, {**SHARES, "ones": 0.9}, LENGTH)], "phase 2 has shares of its own"),
        ([Phase(1.0, SHARES, LENGTH, "decompose")], "row lengths"),
    ],
)
def test_what_shares_cannot_move_in_is_refused(phases, message):
    with pytest.raises(RequestError, match=message):
        stretches(phases, 40, BATCH, 8)


def test_a_run_that_began_without_moving_shares_does_not_go_on_with_them(pool, held, tmp_path, monkeypatch):
    plain = Loader(pool, [Phase(1.0, SHARES, LENGTH)], 40 * BATCH, BATCH, 1)
    fast = LoopSettings(device="cpu", compile=False, checkpoint_every=10)
    with monkeypatch.context() as patch:
        stop_at(patch, 15)
        with pytest.raises(Stopped):
            pretrain(Transformer(CONFIG, seed=1), plain, fast, str(tmp_path), held)
    with pytest.raises(RequestError, match="stream"):
        train(ado(pool), tmp_path, held)


PROGRAM = textwrap.dedent(
    """
    import sys
    sys.path[:0] = [sys.argv[1]]
    import torch
    torch.set_num_threads(1)
    from conftest import counting
    from test_online import ado, train
    pool = {"ones": counting("ones", 1, 120, 0), "twos": counting("twos", 2, 60, 1),
            "threes": counting("threes", 3, 200, 2)}
    moving = ado(pool)
    train(moving, sys.argv[2], {})
    print([one.shares.tolist() for one in moving.past], flush=True)
    """
)


@pytest.mark.slow
def test_two_ranks_choose_alike_and_as_one_rank_does(pool, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, os.path.dirname(__file__), str(tmp_path / "two")],
            env=os.environ | {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1",
                              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said[0][1][-2000:]
    assert said[0][0] == said[1][0]
    _, card = train(ado(pool), tmp_path / "one", {})
    alone = [list(phase["shares"].values()) for phase in card["online"]][:-1]
    assert np.abs(np.array(json.loads(said[0][0])) - alone).max() < 0.02  # sums are in another order
    state = checkpoint.load(checkpoint.path(str(tmp_path / "two" / "checkpoints"), 40))[2]["online"]
    assert sum(state["tokens"]) + sum(state["running"][2]) == pytest.approx(40 * BATCH, rel=0.05)
