"""A step of the loop hands its work to the device and reads nothing back: a GPU would stand still for it."""

import pytest
import torch

from benchmarks._traffic import Traffic
from gristmill.training.loop import Run
from gristmill.training.transformer import Transformer, TransformerConfig

READS_BACK = {"_local_scalar_dense", "item", "nonzero", "masked_select", "is_nonzero"}
CONFIG = TransformerConfig(1, 16, 2, 2, 32, vocab_size=64, max_len=32)
KINDS = {
    "adamw": {}, "muon": {"optimiser": {"name": "muon"}}, "lion": {"optimiser": {"name": "lion"}},
    "sophia": {"optimiser": {"name": "sophia", "every": 2}}, "micro-batches": {"micro_tokens": 64},
    "z-loss": {"z_loss": 1e-4}, "document mask": {"document_mask": True},
    "reweighting": {"reweighting": {"strategy": "linupper", "warmup": 0.1}},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_reads_no_number_back(run, pool, tmp_path, monkeypatch, kind):
    learn, found = Run.learn, []

    def counted(self, batch, rate):
        if self.step == 0:  # state of optimisers is made
            return learn(self, batch, rate)
        with Traffic() as told:
            losses = learn(self, batch, rate)
        found.append({name: count for name, count in told.calls.items() if name in READS_BACK})
        assert told.calls["mm"] > 0
        return losses

    monkeypatch.setattr(Run, "learn", counted)
    run(pool, {}, tmp_path, steps=4, model=Transformer(CONFIG, 1), **KINDS[kind])
    assert found == [{}] * 3


def test_a_number_that_is_read_back_would_be_counted():
    with Traffic() as told:
        float(torch.ones(3).sum())
    assert told.calls["_local_scalar_dense"] == 1
