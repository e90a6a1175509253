"""Tokens/s, MFU and peak memory on a GPU: 60m, 150m, 350m and d12 at T = 1024 and 2048, compiled and not.

Beside each, in the same run, a minimal loop written here in the manner of nanoGPT: the same model under autocast,
full logits through cross_entropy, fused AdamW, no loader (one batch stays on the device), compiled as the case is; and
at d12 one in the published habits of nanochat (`_nanochat_style`), against which tokens/s are to be 1.1 times.
Attention is SDPA's in all of them: by the kernel that it chooses, and for ours once more by cuDNN's.
MFU counts 6 FLOPs per matrix parameter and 12 L H E T for attention over the peak of `training.devices`; the rate of an
8192^3 bfloat16 product measured here is printed beside it, since no kernel runs faster than that.

    python -m benchmarks.training_gpu [size ...] [--length T]   most telling cases first; none begins after 7 minutes
    python -m benchmarks.training_gpu --quick                   the same code with toy shapes, on a CPU too

Every case is a line of JSON, which `benchmarks/gpu.py` keeps. Exits 77 where there is no CUDA device.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks._nanochat_style import NanochatStyle
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.prefetch import Prefetcher
from gristmill.training.data.shards import TokenDomain, TokenFacts
from gristmill.training.devices import peak
from gristmill.training.objectives import loss
from gristmill.training.objectives.objective import Objective
from gristmill.training.optimisers import Optimiser, OptimiserSettings
from gristmill.training.transformer import Transformer, flops_per_token, size

WARM, STEPS = 3, 9
SECONDS = 420  # after these no case begins


@dataclass(frozen=True)
class Shapes:
    """What is measured, and on what."""

    device: torch.device
    vocab: int
    tokens: int  # per step
    micro: dict[str, int]  # model -> tokens per forward pass
    lengths: tuple[int, ...]


D12 = "12x768x6"
MICRO = {"150m": 1 << 15, "350m": 1 << 14, "60m": 1 << 16, D12: 1 << 15}
FULL = Shapes(torch.device("cuda"), 32_768, 1 << 17, MICRO, (2048, 1024))
QUICK = Shapes(torch.device("cpu"), 512, 512, {"1x32x1": 256}, (64, 32))


def domain(vocab: int) -> TokenDomain:
    generator = np.random.default_rng(0)
    documents = [
        generator.integers(2, vocab, size=int(n)).astype(np.uint16) for n in generator.integers(200, 4000, 1000)
    ]
    return TokenDomain.from_documents("random", documents, TokenFacts("random", vocab, 0, 1))


def ours(shapes: Shapes, name: str, length: int, compiled: bool, source: TokenDomain) -> dict[str, float]:
    device = shapes.device
    model = Transformer(size(name, shapes.vocab, length), compute_dtype=torch.bfloat16).to(device)
    terms = loss.compiled_terms() if compiled else loss.chunk_terms
    if compiled:
        model.compile(dynamic=False)
    module, optimiser = Objective(model, 0.0, terms), Optimiser(model, OptimiserSettings())
    phases = [Phase(1.0, {"random": 1.0}, length)]
    loader = Loader({"random": source}, phases, (WARM + STEPS) * shapes.tokens, shapes.tokens)
    prefetcher = Prefetcher(loader.batch, 0, WARM + STEPS, device)
    batches = iter(prefetcher)
    rows = shapes.micro[name] // length

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

    try:
        return timed(shapes, step, model, length)
    finally:
        prefetcher.close()


def minimal(shapes: Shapes, name: str, length: int, compiled: bool) -> dict[str, float]:
    device = shapes.device
    model = Transformer(size(name, shapes.vocab, length)).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    rows = shapes.micro[name] // length
    ids = torch.randint(2, shapes.vocab, (rows, length + 1), device=device)

    def forward(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        logits = F.linear(model.forward(x), model.head_weight)
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())

    call = torch.compile(forward, dynamic=False) if compiled else forward
    micros = shapes.tokens // shapes.micro[name]
    model.compute_dtype = torch.float32

    def step() -> None:
        for _ in range(micros):
            with torch.autocast(device.type, torch.bfloat16):
                total = call(ids[:, :-1], ids[:, 1:]) / micros
            total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return timed(shapes, step, model, length)


def nanochat(shapes: Shapes, name: str, length: int, compiled: bool) -> dict[str, float]:
    """The habits of nanochat at this shape; FLOPs are counted as for ours, whose products are as large."""
    device, config = shapes.device, size(name, shapes.vocab, length)
    model = NanochatStyle(config).to(device)
    optimisers = model.optimisers()
    rows = shapes.micro[name] // length
    ids = torch.randint(2, shapes.vocab, (rows, length + 1), device=device)
    call = torch.compile(model, dynamic=False) if compiled else model
    micros = shapes.tokens // shapes.micro[name]

    def step() -> None:
        for _ in range(micros):
            with torch.autocast(device.type, torch.bfloat16):
                total = call(ids[:, :-1], ids[:, 1:]) / micros
            total.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    return timed(shapes, step, Transformer(config), length)


def by_cudnn(shapes: Shapes, name: str, length: int, compiled: bool, source: TokenDomain) -> dict[str, float]:
    """Ours with cuDNN's attention in place of flash attention."""
    for kernel in (torch.backends.cuda.enable_flash_sdp, torch.backends.cuda.enable_mem_efficient_sdp):
        kernel(False)
    try:
        return ours(shapes, name, length, compiled, source)
    finally:
        for kernel in (torch.backends.cuda.enable_flash_sdp, torch.backends.cuda.enable_mem_efficient_sdp):
            kernel(True)


def timed(shapes: Shapes, step: Callable[[], None], model: Transformer, length: int) -> dict[str, float]:
    cuda = shapes.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM):
        step()
    times = []
    for _ in range(STEPS):
        wait(shapes.device)
        begin = time.perf_counter()
        step()
        wait(shapes.device)
        times.append(time.perf_counter() - begin)
    rate = shapes.tokens / statistics.median(times)
    flops = flops_per_token(model.config, length) * rate
    limit = peak(shapes.device)
    return {
        "tokens_per_second": rate,
        "tflops": flops / 1e12,
        "mfu": flops / limit if limit else float("nan"),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if cuda else float("nan"),
    }


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


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


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sizes", nargs="*")
    parser.add_argument("--length", type=int)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    shapes = QUICK if asked.quick else FULL
    said: dict[str, object] = {"torch": torch.__version__}
    if not asked.quick:
        if not torch.cuda.is_available():
            print("training_gpu needs a CUDA device; torch finds none here, nothing was measured")
            return 77
        said |= {"device": torch.cuda.get_device_name(), "product_tflops": round(ceiling() / 1e12, 1)}
    print(json.dumps(said))
    source, began = domain(shapes.vocab), time.perf_counter()
    names = list(shapes.micro) if asked.quick or not asked.sizes else [D12 if n == "d12" else n for n in asked.sizes]
    lengths = shapes.lengths if asked.quick or asked.length is None else (asked.length,)
    for compiled in (False,) if asked.quick else (True, False):
        for name in names:
            for length in lengths:
                peers: list[tuple[str, Callable[..., dict[str, float]]]] = [("gristmill", ours), ("minimal", minimal)]
                if name == D12 or asked.quick:
                    peers.append(("nanochat's habits", nanochat))
                if compiled or asked.quick:
                    peers.append(("gristmill, cuDNN attention", by_cudnn))
                for who, measure in peers:
                    if time.perf_counter() - began > SECONDS:
                        print(f"left out for time: {who} {name} T={length} compiled={compiled}")
                        continue
                    own = (source,) if measure in (ours, by_cudnn) else ()
                    found = measure(shapes, name, length, compiled, *own)
                    rounded = {
                        key: round(value, 4) if value == value else None for key, value in found.items()
                    }  # null: unknown
                    print(
                        json.dumps({"who": who, "model": name, "T": length, "compiled": compiled} | rounded), flush=True
                    )
                    torch.compiler.reset()
                    if not asked.quick:
                        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
