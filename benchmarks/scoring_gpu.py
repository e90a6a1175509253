"""Claim (needs a CUDA device): two models of 150M score at least 2M tokens per second, the text's tokens times models.

The models read the same batches of documents of 64 to 1,024 tokens, sorted by length, in bfloat16 (`token_losses`, the
path of `gristmill score pair` after the tokenizer), with and without compiling; beside it the plain loop that scripts
around `transformers` run: padded batches in the order that documents come, full logits, cross-entropy. Losses of the
two must agree to 3e-2 nats a token.

    python -m benchmarks.scoring_gpu            exits 77 without a CUDA device
    python -m benchmarks.scoring_gpu --quick    small models on the CPU; claims nothing
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from gristmill.proxy_models.scoring.reader import Reader
from gristmill.proxy_models.scoring.token_losses import token_losses
from gristmill.training.transformer import Transformer, size

GOAL, ROUNDS, BATCH = 2e6, 3, 32


@torch.inference_mode()
def plain_loop(models: list[Transformer], chunks: list[np.ndarray], device: str) -> list[np.ndarray]:
    """Losses of all tokens under each model, in the order of the chunks."""
    found = []
    for model in models:
        own = []
        for first in range(0, len(chunks), BATCH):
            rows = chunks[first : first + BATCH]
            width = max(map(len, rows))
            ids = np.zeros((len(rows), width + 1), np.int64)
            for place, row in enumerate(rows):
                ids[place, 1 : 1 + len(row)] = row
            told = torch.from_numpy(ids).to(device)
            logits = F.linear(model(told[:, :-1]), model.head_weight.to(model.compute_dtype))
            nll = F.cross_entropy(logits.flatten(0, 1).float(), told[:, 1:].flatten(), reduction="none")
            own += [line[: len(row)] for line, row in zip(nll.view(len(rows), -1).cpu().numpy(), rows, strict=True)]
        found.append(np.concatenate(own))
    return found


def timed(run: Callable[[], object]) -> float:
    """Median seconds; each run ends with its losses on the host."""
    run()
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def main(arguments: list[str]) -> int:
    quick = arguments == ["--quick"]
    if not quick and not torch.cuda.is_available():
        print("scoring_gpu needs a CUDA device and torch sees none here; nothing was measured")
        return 77
    device, name, vocab, count = ("cpu", "1x32x2", 512, 12) if quick else ("cuda", "150m", 32_768, 2000)
    dtype = torch.float32 if quick else torch.bfloat16
    generator = np.random.default_rng(0)
    chunks = [generator.integers(2, vocab, n) for n in generator.integers(64, 1025, count)]
    models = [Transformer(size(name, vocab, 1024), seed, dtype).requires_grad_(False).eval() for seed in (0, 1)]
    models = [model.to(device) for model in models]
    readers = {str(place): Reader(model) for place, model in enumerate(models)}
    tokens = 2 * sum(map(len, chunks))
    own, plain = token_losses(readers, chunks, 0), plain_loop(models, chunks, device)
    off = max(float(np.abs(own[str(place)].nll - plain[place]).max()) for place in (0, 1))
    rates = {"plain loop": tokens / timed(lambda: plain_loop(models, chunks, device))}
    rates["gristmill"] = tokens / timed(lambda: token_losses(readers, chunks, 0))
    for model in models:
        model.compile(dynamic=True)
    if not quick:
        rates["gristmill, compiled"] = tokens / timed(lambda: token_losses(readers, chunks, 0))
    for who, rate in rates.items():
        print(json.dumps({"who": who, "model": name, "tokens_per_second": round(rate), "largest difference": off}))
    if quick:
        print("quick: it runs; no claim is made")
        return 0
    best = max(rates.values())
    print(f"{best / 1e6:.2f}M tokens/s of {GOAL / 1e6:.0f}M: {'goal met' if best >= GOAL else 'GOAL MISSED'}")
    return 0 if off < 3e-2 else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
