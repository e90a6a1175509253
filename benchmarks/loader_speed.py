"""The loader: realised shares of ten random recipes, random access far into a run, and tokens per second of one core.

Reads the domain files of GRISTMILL_DATA (default ../shared/data) as bytes, one token per byte, so that nothing but the
loader is measured. Beside it, in the same run, the trivial baseline: a row at a random place of one token array, which
mixes nothing, packs nothing and repeats at random. Asserted: shares within 0.1 % of those requested, a row at position
10^9 in under 1 ms, 20 million tokens per CPU second, and every token once in an epoch.

    python -m benchmarks.loader_speed
"""

import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.packing import IGNORED
from gristmill.training.data.shards import TokenDomain, TokenFacts

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / "../shared/data"))
FACTS = TokenFacts("bytes", 258, 256, 257)
LENGTH, BATCH = 1024, 1 << 16


def pool() -> dict[str, TokenDomain]:
    files = sorted((DATA / "domains").glob("*.parquet"))
    if not files:
        sys.exit(f"no domains under {DATA}; set GRISTMILL_DATA to the folder of the shared data")
    found = {}
    for file in files:
        texts = pq.read_table(file, columns=["text"])["text"].to_pylist()
        documents = [np.array([256, *text.encode(), 257], np.uint16) for text in texts]
        found[file.stem] = TokenDomain.from_documents(file.stem, documents, FACTS)
    return found


def shares_after_packing(domains: dict[str, TokenDomain]) -> list[str]:
    """Ten random recipes: what the batches really hold, counted, against what was asked."""
    generator = np.random.default_rng(0)
    lines = []
    for packing in ("concat", "bestfit", "decompose"):
        worst = 0.0
        for recipe in range(10):
            asked = generator.dirichlet(np.full(len(domains), 0.7))
            asked = np.maximum(asked, 1e-4) / np.maximum(asked, 1e-4).sum()
            phase = Phase(1.0, dict(zip(domains, asked, strict=True)), LENGTH, packing)
            loader = Loader(domains, [phase], 20_000 * LENGTH, BATCH, seed=recipe)
            counts = np.zeros(len(domains))
            for step in range(loader.steps):
                batch = loader.batch(step)
                counts += np.bincount(batch.domains, (batch.targets != IGNORED).sum(1), len(domains))
            worst = max(worst, float(np.abs(counts / counts.sum() - asked).max()))
        lines.append(f"{packing}: largest difference of a realised share over 10 recipes of 20M tokens: {worst:.5%}")
        assert worst < 1e-3, lines[-1]
    return lines


def far_access(domains: dict[str, TokenDomain]) -> str:
    phase = Phase(1.0, {name: 1.0 + i for i, name in enumerate(domains)}, LENGTH)
    loader = Loader(domains, [phase], 2 * 10**9 * LENGTH, LENGTH)
    loader.batch(0)
    places = [10**9 + 7919 * i for i in range(200)]
    times = []
    for place in places:
        begin = time.perf_counter()
        loader.batch(place)
        times.append(time.perf_counter() - begin)
    median = statistics.median(times)
    assert median < 1e-3, median
    return f"a row at position 10^9 and after: median {median * 1e6:.0f} us, slowest of 200 {max(times) * 1e6:.0f} us"


def speed(domains: dict[str, TokenDomain]) -> list[str]:
    lines = []
    shares = {name: 1.0 + i for i, name in enumerate(domains)}
    flat = np.concatenate([domain.flat() for domain in domains.values()])
    generator = np.random.default_rng(0)

    def baseline() -> None:
        starts = generator.integers(0, len(flat) - LENGTH - 1, BATCH // LENGTH)
        rows = flat[starts[:, None] + np.arange(LENGTH + 1)].astype(np.int64)
        rows[:, :-1].copy(), rows[:, 1:].copy()

    plain = rate(lambda step: baseline())
    lines.append(f"baseline, rows at random places of one array: {plain / 1e6:.0f} M tokens per CPU second")
    for packing, documents in (("concat", False), ("bestfit", False), ("bestfit", True), ("decompose", False)):
        loader = Loader(domains, [Phase(1.0, shares, LENGTH, packing)], 2000 * BATCH, BATCH)
        found = rate(lambda step, loader=loader, documents=documents: loader.batch(step, documents=documents))
        what = packing + (" with document numbers" if documents else "")
        lines.append(f"{what}: {found / 1e6:.0f} M tokens per CPU second, {found / plain:.2f} x the baseline")
        assert found > 20e6, lines[-1]
    return lines


def rate(work) -> float:
    for step in range(5):
        work(step)
    rates = []
    for block in range(5):
        begin = time.process_time()
        for step in range(40):
            work(5 + 40 * block + step)
        rates.append(40 * BATCH / (time.process_time() - begin))
    return statistics.median(rates)


def epochs(domains: dict[str, TokenDomain]) -> str:
    """Whole epochs of the smallest domain: every row once in each, counted by its bytes."""
    name = min(domains, key=lambda n: domains[n].tokens)
    loader = Loader({name: domains[name]}, [Phase(1.0, {name: 1.0}, LENGTH)], LENGTH, LENGTH)
    rows = len(loader.rows(name, loader.parts[0][0].packing))
    loader = Loader({name: domains[name]}, [Phase(1.0, {name: 1.0}, LENGTH)], 3 * rows * LENGTH, LENGTH)
    targets = sum(int((loader.batch(step).targets != IGNORED).sum()) for step in range(loader.steps))
    expected = 3 * (domains[name].tokens - domains[name].documents)
    assert targets == expected, (targets, expected)
    return f"three epochs of {name}: {targets:,} targets, exactly 3 x its {expected // 3:,}"


def main() -> None:
    domains = pool()
    print("\n".join([*shares_after_packing(domains), far_access(domains), *speed(domains), epochs(domains)]))


if __name__ == "__main__":
    main()
