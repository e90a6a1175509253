"""A search on a GPU: 256 proxies of 4M parameters on mixtures of eight made domains, as `mix` trains them.

A demonstration of the machinery at size (groups by memory and a probe, stacked steps, evaluations, one regression of
loss on shares), no evidence about mixtures: at 0.14 tokens a parameter and on made text the proxies have learned next
to nothing. Told: models, group size and why, tokens per second in all, and how well shares predict the loss of models
that the fit did not see (Spearman).

    python -m benchmarks.search_gpu [--minutes 4]    exits 77 without a CUDA device
    python -m benchmarks.search_gpu --quick          eight tiny proxies on the CPU
"""

import argparse
import json

import numpy as np
import torch
from scipy.stats import spearmanr

from gristmill.proxy_models.fleets.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.training.transformer import SIZES

VOCAB, DOMAINS = 8192, 8


def made_pool(vocab: int, tokens: int) -> TokenPool:
    """Domains that each use a part of the vocabulary, overlapping, by Zipf's law."""
    generator = np.random.default_rng(0)

    def text(domain: int, count: int) -> np.ndarray:
        rank = np.minimum(generator.zipf(1.3, count), vocab // 2) - 1
        return (1 + (rank + domain * (vocab // DOMAINS)) % (vocab - 1)).astype(np.uint16)

    train = {f"domain{d}": [text(d, tokens)] for d in range(DOMAINS)}
    held = {f"domain{d}": ([text(d, 8192 if tokens > 10_000 else 256)], 32_768) for d in range(DOMAINS)}
    return TokenPool.from_documents(train, held, vocab)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    if not quick and not torch.cuda.is_available():
        print("search_gpu needs a CUDA device and torch sees none here; nothing was measured")
        return 77
    layers, width, heads, kv_heads, d_ff = (1, 16, 1, 1, 32) if quick else SIZES["4m"]
    models, steps = (8, 6) if quick else (256, 70)
    settings = FleetSettings(
        n_layers=layers, d_model=width, n_heads=heads, n_kv_heads=kv_heads, d_ff=d_ff, seq_len=32 if quick else 512,
        sequences=1 if quick else 16, steps=steps, warmup=2, evaluations=2, device="cpu" if quick else "cuda",
    )  # fmt: skip
    pool = made_pool(256 if quick else VOCAB, 4096 if quick else 2_000_000)
    mixtures = np.random.default_rng(0).dirichlet([1.0] * DOMAINS, models)
    result = train_fleet(pool, mixtures, settings)
    loss = result.final.mean(1)
    half = models // 2
    design = np.column_stack([np.log(mixtures + 0.01), np.ones(models)])
    weights, *_ = np.linalg.lstsq(design[:half], loss[:half], rcond=None)
    found = spearmanr(design[half:] @ weights, loss[half:])[0]
    tokens = models * settings.tokens_per_model
    print(json.dumps({
        "models": models, "alive": int(result.alive.sum()), "tokens a model": settings.tokens_per_model,
        "seconds": round(result.seconds, 1), "tokens_per_second": round(tokens / result.seconds),
        "spearman of unseen mixtures": round(float(found), 3),
    }))  # fmt: skip
    print(result.reason)
    print("a demonstration: proxies this short are no evidence about mixtures")
    return 0 if np.isfinite(loss[result.alive]).all() else 1


if __name__ == "__main__":
    raise SystemExit(main())
