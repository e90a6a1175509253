"""Every optimiser on one stream: held-out bits per byte and CPU seconds after equal tokens, at a few rates each.

Defaults of each otherwise. The best rate of each is taken on the same held-out text, so it flatters all alike.

    python -m benchmarks.training_optimisers
"""

import tempfile
import time

import torch

from benchmarks._training_pairs import BATCH, LENGTH, MODEL, STEPS, VOCAB, even, new_model, pool
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.optimisers import OptimiserSettings

TRIED = {
    "adamw": [{"rate": rate} for rate in (2e-3, 4e-3, 8e-3)],
    "muon": [{"rate": 4e-3, "muon_rate": rate} for rate in (0.01, 0.02, 0.04)],
    "lion": [{"rate": rate} for rate in (2e-4, 6e-4, 2e-3)],
    "sophia": [{"rate": rate} for rate in (1e-3, 2e-3, 4e-3)],
}


def main() -> None:
    torch.set_num_threads(1)
    domains, held = pool()
    print(
        f"{MODEL}, V={VOCAB}, T={LENGTH}, {STEPS * BATCH:,} tokens, one seed; held-out bits per byte, mean of domains"
    )
    for name, tried in TRIED.items():
        for given in tried:
            loader = Loader(domains, [Phase(1.0, even(domains), LENGTH)], STEPS * BATCH, BATCH, 0)
            settings = LoopSettings(
                optimiser=OptimiserSettings(name=name, **given), device="cpu", compile=False, log_every=50,
                checkpoint_every=10_000, spike_sigma=1e9,
            )  # fmt: skip
            begin = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                card = pretrain(new_model(domains, 0), loader, settings, folder, held)
            measured = sum(card["bits_per_byte"].values()) / len(card["bits_per_byte"])
            told = ", ".join(f"{key} {value:g}" for key, value in given.items())
            print(f"  {name:7} {told:28} {measured:.4f}  {time.process_time() - begin:.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
