"""The loop against a bare forward-backward-step on the same shapes: what everything else in a step costs.

Both train the same model with torch's fused AdamW and gradient clipping; the bare loop has its batches in memory and
does nothing else. Blocks of steps alternate, so that a busy machine disturbs both alike; the claim is the ratio of
median CPU seconds per step (all threads of the process), wall time is printed beside it. Run with

    OMP_NUM_THREADS=2 python -m benchmarks.training_overhead
"""

import functools
import os
import statistics
import sys
import tempfile
import time

import numpy as np
import torch

from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.shards import TokenDomain, TokenFacts
from gristmill.training.distributed import Ranks
from gristmill.training.loop import Run
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.objectives.loss import weighted_loss
from gristmill.training.transformer import Transformer, size

SHAPES = [("2x64x1", 4096, 128, 2048), ("2x128x2", 4096, 256, 4096)]
STEPS, BLOCKS = 8, 5


def pool(vocab: int) -> dict[str, TokenDomain]:
    generator = np.random.default_rng(0)
    facts = TokenFacts("random", vocab, 0, 1)
    documents = [generator.integers(2, vocab, size=int(n)).astype(np.uint16) for n in generator.integers(50, 900, 4000)]
    half = len(documents) // 2
    return {n: TokenDomain.from_documents(n, d, facts) for n, d in (("a", documents[:half]), ("b", documents[half:]))}


def timed(work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - cpu) / STEPS, (time.perf_counter() - wall) / STEPS


def measure(
    name: str, vocab: int, length: int, batch_tokens: int
) -> tuple[list[float], list[float], list[float], list[float]]:
    domains = pool(vocab)
    steps = STEPS * (BLOCKS + 1)
    loader = Loader(domains, [Phase(1.0, {"a": 1, "b": 2}, length)], steps * batch_tokens, batch_tokens)
    batches = [loader.batch(step) for step in range(STEPS)]
    held = [(torch.from_numpy(b.ids), torch.from_numpy(b.targets)) for b in batches]
    bare = Transformer(size(name, vocab, length))
    optimiser = torch.optim.AdamW(bare.parameters(), 1e-3, fused=True)

    def bare_steps() -> None:
        for ids, targets in held:
            hidden = bare(ids).flatten(0, 1)
            scale = torch.full((ids.numel(),), 1.0 / ids.numel())
            loss, _ = weighted_loss(hidden, bare.head_weight, targets.flatten(), scale, vocab)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(bare.parameters(), 1.0, foreach=True)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    with tempfile.TemporaryDirectory() as folder:
        settings = LoopSettings(device="cpu", log_every=STEPS, checkpoint_every=STEPS, compile=False)
        run = Run(
            Transformer(size(name, vocab, length)), loader, settings, folder, {}, {}, Ranks(), torch.device("cpu"), True
        )
        times = ([], [], [], [])
        run.begin(False)
        from gristmill.training.loggers.metrics import Metrics

        run.metrics = Metrics(folder, 0, True, True)
        full = loader.steps
        save = run.save
        for block in range(BLOCKS + 1):
            run.save = save if block == BLOCKS else lambda: None  # one checkpoint in all, not one per block
            ours = timed(functools.partial(until, run, (block + 1) * STEPS, full))
            theirs = timed(bare_steps)
            if block:  # the first block warms up
                for store, value in zip(times, (*ours, *theirs), strict=True):
                    store.append(value)
        run.checkpoints.wait()
    return times


def until(run: Run, step: int, full: int) -> None:
    """Train on to `step`, with prefetching, reports and checkpoints as in any run."""
    run.loader.steps = step
    try:
        run.stretch_of_steps()
        run.checkpoints.wait()
    finally:
        run.loader.steps = full


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    lines = [
        f"threads {torch.get_num_threads()}, torch {torch.__version__}, medians of {BLOCKS} blocks of {STEPS} steps"
    ]
    worst = 0.0
    for name, vocab, length, batch_tokens in SHAPES:
        ours_cpu, ours_wall, bare_cpu, bare_wall = map(statistics.median, measure(name, vocab, length, batch_tokens))
        ratio = ours_cpu / bare_cpu
        worst = max(worst, ratio)
        lines.append(
            f"{name} V={vocab} T={length} {batch_tokens} tokens/step: loop {ours_cpu * 1e3:.1f} ms CPU "
            f"({batch_tokens / ours_wall:,.0f} tokens/s wall), bare {bare_cpu * 1e3:.1f} ms CPU "
            f"({batch_tokens / bare_wall:,.0f} tokens/s wall), ratio of CPU {ratio:.3f}, "
            f"of wall {ours_wall / bare_wall:.3f}"
        )
    lines.append(f"worst ratio of CPU seconds: {worst:.3f} (claim: at most 1.10)")
    print("\n".join(lines))
    sys.exit(worst > 1.10)


if __name__ == "__main__":
    main()
