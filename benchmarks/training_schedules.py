"""Loss curves of every learning-rate schedule: one model, one stream of data, one peak rate; a table and a plot.

python -m benchmarks.training_schedules
"""

import tempfile
from pathlib import Path
from typing import get_args

import torch

from benchmarks._training_pairs import BATCH, LENGTH, MODEL, STEPS, VOCAB, even, new_model, pool
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.loggers.metrics import read_metrics
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.optimisers import OptimiserSettings
from gristmill.training.schedules import Schedule

RESULTS = Path(__file__).parent / "results"
EVERY = 10  # steps that a point of a curve averages


def main() -> None:
    from matplotlib import pyplot as plt

    torch.set_num_threads(1)
    domains, held = pool()
    kinds = get_args(Schedule.model_fields["kind"].annotation)
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 6), height_ratios=(3, 1))
    print(f"{MODEL}, V={VOCAB}, T={LENGTH}, {STEPS * BATCH:,} tokens, one seed; loss in nats per token")
    for kind in kinds:
        loader = Loader(domains, [Phase(1.0, even(domains), LENGTH)], STEPS * BATCH, BATCH, 0)
        settings = LoopSettings(
            optimiser=OptimiserSettings(rate=4e-3), schedule=Schedule(kind=kind), device="cpu", compile=False,
            log_every=EVERY, checkpoint_every=10_000,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            card = pretrain(new_model(domains, 0), loader, settings, folder, held)
            curve = read_metrics(f"{folder}/metrics.jsonl")
        measured = sum(card["bits_per_byte"].values()) / len(card["bits_per_byte"])
        points = [curve[len(curve) * part // 5 - 1] for part in (1, 2, 3, 4, 5)]
        steps = "  ".join(f"step {line['step']} {line['loss']:.4f}" for line in points)
        print(f"  {kind:9} {steps}  held-out bits per byte {measured:.4f}", flush=True)
        above.plot([line["tokens"] for line in curve], [line["loss"] for line in curve], label=kind)
        below.plot([line["tokens"] for line in curve], [line["lr"] for line in curve])
    above.set(ylabel="loss, nats per token")
    above.legend()
    below.set(xlabel="tokens", ylabel="rate")
    figure.tight_layout()
    figure.savefig(RESULTS / "training_schedules.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
