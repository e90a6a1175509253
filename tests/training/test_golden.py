"""Loss curves pinned in a file: a change of numerics is seen, and must be meant.

`golden_losses.json` holds the losses of 200 steps of one run, and of 60 steps under each schedule and optimiser. Write
it anew with `GRISTMILL_GOLDEN=write pytest tests/training/test_golden.py` after a change that is meant to change them.
"""

import json
import os
from pathlib import Path

import pytest

from gristmill.training.data.loader import Loader, Phase
from gristmill.training.loggers.metrics import read_metrics
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.optimisers import OptimiserSettings
from gristmill.training.schedules import Schedule
from gristmill.training.transformer import Transformer, TransformerConfig

GOLDEN = Path(__file__).with_name("golden_losses.json")
RUNS = {
    "adamw wsd 200": (200, {}),
    **{
        f"adamw {kind} 60": (60, {"schedule": Schedule(kind=kind)})
        for kind in ("constant", "wsd", "cosine", "linear", "power", "infinite")
    },
    **{
        f"{name} wsd 60": (60, {"optimiser": OptimiserSettings(name=name, rate=rate)})
        for name, rate in (("muon", 2e-3), ("lion", 3e-4), ("sophia", 1e-3))
    },
}


def losses(pool, folder, steps, settings):
    phases = [Phase(0.8, {"ones": 2, "twos": 1, "threes": 1}, 32), Phase(1.0, {"ones": 1, "threes": 3}, 32, "bestfit")]
    loader = Loader(pool, phases, steps * 256, 256, seed=1)
    loop = LoopSettings(device="cpu", compile=False, log_every=10, checkpoint_every=1000, **settings)
    pretrain(Transformer(TransformerConfig(2, 32, 2, 2, 64, 64, 32), 1), loader, loop, str(folder), {})
    return [line["loss"] for line in read_metrics(f"{folder}/metrics.jsonl")]


@pytest.mark.parametrize("name", RUNS)
def test_losses_are_those_on_file(name, pool, tmp_path):
    steps, settings = RUNS[name]
    found = losses(pool, tmp_path, steps, settings)
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("GRISTMILL_GOLDEN") == "write":
        GOLDEN.write_text(json.dumps(known | {name: [round(loss, 4) for loss in found]}, indent=1) + "\n")
        return
    assert found == pytest.approx(known[name], rel=0.03)
    assert found[-1] < 0.95 * found[0]
