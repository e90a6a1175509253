"""Tokens/s, MFU and peak memory on a GPU: 60m, 150m and 350m at T = 1024 and 2048, compiled and not.

Beside each, in the same run, a minimal loop written here in the manner of nanoGPT: the same model under autocast,
full logits through cross_entropy, fused AdamW, no loader (one batch stays on the device), compiled as the case is.
MFU counts 6 FLOPs per matrix parameter and 12 L H E T for attention over the peak of `training.devices`; the rate of an
8192^3 bfloat16 product measured here is printed beside it, since no kernel runs faster than that.

    python -m benchmarks.training_gpu [size ...]

Exits cleanly where there is no CUDA device.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from gristmill.training import loss
from gristmill.training.devices import peak
from gristmill.training.loader import Loader, Phase
from gristmill.training.objective import Objective
from gristmill.training.optimisers import Optimiser, OptimiserSettings
from gristmill.training.prefetch import Prefetcher
from gristmill.training.shards import TokenDomain, TokenFacts
from gristmill.training.transformer import Transformer, flops_per_token, size

VOCAB, TOKENS_PER_STEP = 32_768, 1 << 17
MICRO = {"60m": 1 << 16, "150m": 1 << 15, "350m": 1 << 14}
WARM, STEPS = 4, 12


def domain() -> TokenDomain:
    generator = np.random.default_rng(0)
    documents = [
        generator.integers(2, VOCAB, size=int(n)).astype(np.uint16) for n in generator.integers(200, 4000, 4000)
    ]
    return TokenDomain.from_documents("random", documents, TokenFacts("random", VOCAB, 0, 1))


def ours(name: str, length: int, compiled: bool, source: TokenDomain) -> dict[str, float]:
    device = torch.device("cuda")
    model = Transformer(size(name, VOCAB, length), compute_dtype=torch.bfloat16).to(device)
    loss.TERMS = torch.compile(loss.chunk_terms, dynamic=False) if compiled else loss.chunk_terms
    if compiled:
        model.compile(dynamic=False)
    module, optimiser = Objective(model, 0.0), Optimiser(model, OptimiserSettings())
    loader = Loader(
        {"random": source}, [Phase(1.0, {"random": 1.0}, length)], (WARM + STEPS) * TOKENS_PER_STEP, TOKENS_PER_STEP
    )
    batches = iter(Prefetcher(loader.batch, 0, WARM + STEPS, device))
    rows = MICRO[name] // length

    def step() -> None:
        batch = next(batches)
        scale = (batch.targets >= 0) / (batch.targets >= 0).sum()
        for start in range(0, len(batch.ids), rows):
            part = slice(start, start + rows)
            total, _ = module(batch.ids[part], batch.targets[part], scale[part])
            total.backward()
        optimiser.clip()
        optimiser.step(1.0)
        optimiser.zero_grad()

    return timed(step, model, length)


def minimal(name: str, length: int, compiled: bool) -> dict[str, float]:
    device = torch.device("cuda")
    model = Transformer(size(name, VOCAB, length)).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    rows = MICRO[name] // length
    ids = torch.randint(2, VOCAB, (rows, length + 1), device=device)

    def forward(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        logits = F.linear(model.forward(x), model.head_weight)
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())

    call = torch.compile(forward, dynamic=False) if compiled else forward
    micros = TOKENS_PER_STEP // MICRO[name]
    model.compute_dtype = torch.float32

    def step() -> None:
        for _ in range(micros):
            with torch.autocast("cuda", torch.bfloat16):
                total = call(ids[:, :-1], ids[:, 1:]) / micros
            total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return timed(step, model, length)


def timed(step, model: Transformer, length: int) -> dict[str, float]:
    torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM):
        step()
    times = []
    for _ in range(STEPS):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    rate = TOKENS_PER_STEP / statistics.median(times)
    flops = flops_per_token(model.config, length) * rate
    limit = peak(torch.device("cuda"))
    return {
        "tokens_per_second": rate,
        "tflops": flops / 1e12,
        "mfu": flops / limit if limit else float("nan"),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def ceiling() -> float:
    """FLOP/s of a large bfloat16 product, the best of ten."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(13):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return 2 * 8192**3 / best


def main() -> None:
    if not torch.cuda.is_available():
        print("training_gpu needs a CUDA device; torch finds none here, nothing was measured")
        return
    torch.backends.cuda.matmul.allow_tf32 = True
    said = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "product_tflops": ceiling() / 1e12}
    print(json.dumps(said))
    source, rows = domain(), []
    for name in sys.argv[1:] or list(MICRO):
        for length in (1024, 2048):
            for compiled in (False, True):
                for who in ("gristmill", "minimal"):
                    torch.cuda.empty_cache()
                    found = (
                        ours(name, length, compiled, source) if who == "gristmill" else minimal(name, length, compiled)
                    )
                    row = {"who": who, "model": name, "T": length, "compiled": compiled} | found
                    rows.append(row)
                    print(
                        json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}), flush=True
                    )
    out = Path(__file__).parent / "results" / "training_gpu.json"
    out.write_text(json.dumps({**said, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
