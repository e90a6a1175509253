"""The compiled model on a CPU: the twin of what runs on CUDA."""

import shutil

import pytest

from gristmill.training.loggers.metrics import read_metrics


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_run_loses_what_an_eager_one_loses(run, pool, held, tmp_path):
    eager = run(pool, held, tmp_path / "eager", steps=10)[1]
    compiled = run(pool, held, tmp_path / "compiled", steps=10, compile=True)[1]
    losses = [
        [line["loss"] for line in read_metrics(str(tmp_path / name / "metrics.jsonl"))]
        for name in ("eager", "compiled")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert compiled["bits_per_byte"] == pytest.approx(eager["bits_per_byte"], rel=1e-3)
