"""Claim (needs a CUDA device): a fleet of RegMix's trunk (2 layers, d=256, 8 heads, SwiGLU 512) with a vocabulary of
8,192 trains at least 10M tokens per second in all on one H100, and at least 8 times what the same models reach one
after another in eager mode.

Peers in the same run: plain `Transformer`s one after another with bfloat16 activations, the chunked loss and fused
AdamW, eager; and the fleet itself with one model at a time, which is the sequential run under a CUDA graph. For K in
1 ... 256: aggregate tokens per second (median of rounds, synchronised) and peak memory per model; then the best K again
with the trunk compiled, and with tiles of logits of other sizes (smaller ones may stay in the second-level cache). Each
is a line of JSON. `--size 15m` and `--size 30m` take larger models, whose goals are 3 and 1.5 times one after another.

Without a CUDA device it exits 77 and measures nothing; `--quick` runs every line of it on small models wherever it is,
and claims nothing.

Usage: python benchmarks/fleet_gpu.py [--sequences 8] [--length 256] [--size 15m] [--quick]
"""

import argparse
import json
import statistics
import sys
import time

import numpy as np
import torch

from gristmill.proxy_models.fleets import heads
from gristmill.proxy_models.fleets.fleet import FleetSettings
from gristmill.proxy_models.fleets.graph import group_of
from gristmill.proxy_models.fleets.order import DataOrder
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.training.objectives.loss import weighted_loss
from gristmill.training.transformer import Transformer

VOCABULARY, RATE, SPEEDUP = 8192, 10e6, 8.0
STEPS, ROUNDS = 20, 5
# name -> layers, width, heads, feed-forward width; how many models; how many times one after another is the goal
SIZES: dict[str, tuple[tuple[int, int, int, int], tuple[int, ...], float]] = {
    "regmix": ((2, 256, 8, 512), (1, 4, 16, 64, 256, 2, 8, 32, 128), SPEEDUP),
    "15m": ((8, 384, 6, 1024), (1, 4, 16, 64), 3.0),
    "30m": ((8, 512, 8, 1408), (1, 4, 16), 1.5),
}
TILES = (16 << 20, 64 << 20, 1 << 30)  # bytes of float32 logits; half of them in bfloat16
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def timed(run, tokens: int) -> float:
    """Median tokens per second."""
    rates = []
    for _ in range(ROUNDS):
        wait()
        began = time.perf_counter()
        run()
        wait()
        rates.append(tokens / (time.perf_counter() - began))
    return statistics.median(rates)


def eager(pool: TokenPool, settings: FleetSettings) -> float:
    """Tokens per second of one plain model; more of them one after another go no faster."""
    model = Transformer(settings.config(VOCABULARY), 0, torch.bfloat16).to(DEVICE)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ids = torch.from_numpy(pool.domains[0].tokens.astype(np.int64)).to(DEVICE)
    rows = settings.sequences * settings.seq_len
    inputs = ids[:rows].view(settings.sequences, -1)
    targets, scale = ids[1 : rows + 1], torch.full((rows,), 1 / rows, device=DEVICE)

    def run() -> None:
        for _ in range(STEPS):
            hidden = model(inputs).flatten(0, 1)
            loss, _ = weighted_loss(hidden, model.head_weight, targets, scale, VOCABULARY)
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()

    run()
    return timed(run, STEPS * rows)


def fleet(pool: TokenPool, settings: FleetSettings, models: int) -> tuple[float, float]:
    """Tokens per second of all models together, and peak bytes per model."""
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    mixtures = np.random.default_rng(0).dirichlet([1.0, 1.0], models)
    order = DataOrder(pool, mixtures, [0] * models, settings.seq_len, settings.sequences)
    group = group_of(pool, order, settings, [1e-3] * models)

    def run() -> None:
        for _ in range(STEPS):
            group.step()

    run()  # captures the graph
    rate = timed(run, STEPS * models * settings.sequences * settings.seq_len)
    return rate, torch.cuda.max_memory_allocated() / models if DEVICE == "cuda" else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--size", choices=SIZES, default="regmix")
    parser.add_argument("--quick", action="store_true", help="small models, on a CPU too: does it run?")
    arguments = parser.parse_args()
    if DEVICE == "cpu" and not arguments.quick:
        print("fleet_gpu needs a CUDA device and torch sees none here; nothing was measured")
        return 77
    (layers, width, n_heads, d_ff), many, goal = SIZES[arguments.size]
    if arguments.quick:
        (layers, width, n_heads, d_ff), many = (1, 32, 2, 64), (1, 2)
        arguments.sequences, arguments.length = 1, 32
    settings = FleetSettings(
        n_layers=layers, d_model=width, n_heads=n_heads, d_ff=d_ff, seq_len=arguments.length,
        sequences=arguments.sequences, steps=10_000, schedule="constant", warmup=0, evaluations=1, device=DEVICE,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    train = {name: [rng.integers(1, VOCABULARY, 2_000_000)] for name in "ab"}
    pool = TokenPool.from_documents(train, {"a": ([rng.integers(1, VOCABULARY, 4096)], 16_384)}, VOCABULARY)
    alone = eager(pool, settings)
    tell(arguments.size, "one after another, eager", 1, alone, alone, 0.0)
    best, largest = 0.0, 1
    for models in many:
        try:
            rate, memory = fleet(pool, settings, models)
        except torch.cuda.OutOfMemoryError:
            print(f"K={models:3d}: does not fit")
            continue
        best, largest = max((best, largest), (rate, models))
        tell(arguments.size, "stacked", models, rate, alone, memory)
    for size in TILES[:1] if arguments.quick else TILES:
        before, heads.DEVICE_TILE_BYTES = heads.DEVICE_TILE_BYTES, size
        rate, memory = fleet(pool, settings, largest)
        heads.DEVICE_TILE_BYTES = before
        tell(arguments.size, f"stacked, tiles of {size >> 20} MiB", largest, rate, alone, memory)
    rate, memory = fleet(pool, settings.model_copy(update={"compile": not arguments.quick}), largest)
    tell(arguments.size, "stacked, compiled", largest, rate, alone, memory)
    if arguments.quick:
        print("quick: it runs; no claim is made")
        return 0
    best = max(best, rate)
    met = best >= goal * alone and (arguments.size != "regmix" or best >= RATE)
    print(f"best {best / 1e6:.2f}M tokens/s, {best / alone:.1f}x eager: {'goals met' if met else 'GOALS MISSED'}")
    return 0


def tell(size: str, how: str, models: int, rate: float, alone: float, memory: float) -> None:
    row = {"fleet": size, "how": how, "models": models, "tokens_per_second": round(rate)}
    print(json.dumps(row | {"times_one_after_another": round(rate / alone, 2), "MiB_a_model": round(memory / 2**20)}))
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
