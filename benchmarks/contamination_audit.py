"""Claim: the audit scores tell examples that a model was trained on from examples of the same task that it was not.

    GRISTMILL_DATA=../shared/data python benchmarks/contamination_audit.py

A proxy model (2 layers, d=64) is trained on a sample of the six domains in which examples of a task were planted: 120
once, 120 four times, 120 sixteen times, among many more documents. 240 further examples were not planted. Printed for
each score of `gristmill decontaminate --audit` is the ROC-AUC of planted against not planted: 0.5 is chance. The plain
loss is the baseline; n-gram search, which sees the documents, finds all of them.
"""

import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from sklearn.metrics import roc_auc_score

from gristmill.filters.decontamination import read_examples
from gristmill.pipelines.stages.decontaminate.exposure import SCORES, scored
from gristmill.proxy_models.fleets.fleet import FleetSettings
from gristmill.proxy_models.scoring.color import ColorSettings, fit_color
from gristmill.proxy_models.scoring.sampling import Samples
from gristmill.training.data.tokenizer import train_tokenizer

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TASKS, TIMES, PLANTED = ("arc_easy", "gsm8k"), (1, 4, 16), 120
MODEL = FleetSettings(
    n_layers=2, d_model=64, n_heads=2, d_ff=192, seq_len=256, sequences=8, steps=300, lr=4e-3, warmup=30,
    evaluations=1, execution="stacked",
)  # fmt: skip


def main() -> None:
    if not (DATA / "targets").exists():
        sys.exit(f"no data in {DATA}: set GRISTMILL_DATA")
    torch.set_num_threads(1)
    dice = random.Random(0)
    documents: list[str] = []
    for path in sorted((DATA / "domains").glob("*.parquet")):
        texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
        documents += texts[: len(texts) // 60]
    seen: dict[tuple[str, int], list[str]] = {}
    unseen: dict[str, list[str]] = {}
    for task in TASKS:
        examples = dice.sample(read_examples(str(DATA / "targets" / f"{task}.jsonl")), len(TIMES) * PLANTED + 240)
        for place, times in enumerate(TIMES):
            seen[task, times] = examples[place * PLANTED : (place + 1) * PLANTED]
            documents += seen[task, times] * times
        unseen[task] = examples[len(TIMES) * PLANTED :]
    dice.shuffle(documents)
    began = time.process_time()
    tokenizer = train_tokenizer(documents[:1500], 2048)
    settings = ColorSettings(prior=MODEL, conditional_steps=1)
    model = fit_color(Samples(documents, {"t": documents[:5]}), settings, 0, tokenizer)["prior.safetensors"]
    print(f"{len(documents):,} documents, {sum(map(len, documents)) / 1e6:.1f} MB; {MODEL.tokens_per_model:,} tokens "
          f"seen in training, {time.process_time() - began:.0f} CPU s")  # fmt: skip
    print("task      planted   " + "".join(f"{name:>12s}" for name in SCORES))
    for task in TASKS:
        absent = scored(unseen[task], model, tokenizer)
        for times in TIMES:
            present = scored(seen[task, times], model, tokenizer)
            labels = np.array([0] * len(absent) + [1] * len(present))
            aucs = []
            for name in SCORES:
                values = np.array([row[name] for row in absent + present], float)
                aucs.append(roc_auc_score(labels, -values if name == "nll" else values))
            print(f"{task:9s} {times:3d} times " + "".join(f"{auc:12.3f}" for auc in aucs))


if __name__ == "__main__":
    main()
