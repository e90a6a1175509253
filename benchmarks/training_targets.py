"""Capability curves: every target file scored while a small model trains on the six domains.

Printed at each evaluation: bits per byte of the right answer, and for multiple choice the accuracy beside two trivial
baselines, chance and the most frequent place of the right answer. A model of this size learns little; the curve shows
which score moves first.

python -m benchmarks.training_targets
"""

import statistics
import sys
import tempfile
from collections import Counter

import torch

from benchmarks._training_pairs import BATCH, DATA, LENGTH, MODEL, STEPS, VOCAB, even, new_model, train_and_held_out
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.loggers.metrics import read_metrics
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.optimisers import OptimiserSettings
from gristmill.training.targets import Target, load_target, score

ITEMS = 150  # of each file


def baselines(target: Target) -> str:
    chance = statistics.mean(1 / len(item.continuations) for item in target.items)
    common = Counter(item.gold for item in target.items).most_common(1)[0][1] / len(target.items)
    return f"chance {chance:.3f}, most frequent place {common:.3f}"


def main() -> None:
    torch.set_num_threads(1)
    files = sorted([*(DATA / "targets").glob("*.jsonl"), *(DATA / "targets").glob("*/*.txt")])
    if not files:
        sys.exit(f"no targets under {DATA}; set GRISTMILL_DATA to the folder of the shared data")
    domains, held, tokenizer = train_and_held_out()
    targets = [load_target(str(file), ITEMS) for file in files]
    facts = next(iter(domains.values())).facts
    loader = Loader(domains, [Phase(1.0, even(domains), LENGTH)], STEPS * BATCH, BATCH, 0)
    settings = LoopSettings(
        optimiser=OptimiserSettings(rate=4e-3), device="cpu", compile=False, log_every=max(1, STEPS // 5),
        evaluate_every=max(1, STEPS // 5), checkpoint_every=10_000,
    )  # fmt: skip

    model = new_model(domains, 0)
    begin = {target.name: score(model, target, tokenizer, facts) for target in targets}
    with tempfile.TemporaryDirectory() as folder:
        pretrain(model, loader, settings, folder, held, probe=lambda module: {
            target.name: score(module, target, tokenizer, facts, LENGTH) for target in targets
        })  # fmt: skip
        curve = [(0, begin)] + [(line["step"], line["targets"]) for line in read_metrics(f"{folder}/metrics.jsonl")
                                if "targets" in line]  # fmt: skip
    print(f"{MODEL}, V={VOCAB}, T={LENGTH}, {STEPS * BATCH:,} tokens; up to {ITEMS} items of each target")
    for target in targets:
        print(f"{target.name} ({len(target.items)} items{', ' + baselines(target) if target.choices else ''})")
        for step, found in curve:
            print(f"  step {step:4}  " + "  ".join(f"{name} {value:.4f}" for name, value in found[target.name].items()))


if __name__ == "__main__":
    main()
