"""ADO in the training loop against mixtures that stay: natural, uniform, and one fitted by a swarm, at equal tokens.

Six real domains of unequal size (AMOUNTS of `mixing_end_to_end`), one small model, the loop of `gristmill train`; every
run of a seed starts from the same weights. `ado` begins at the natural mixture and moves it; `ado from uniform` begins
at the uniform one. The fitted mixture is that of a swarm of proxies with the mean of the six held-out losses as target
(`--fitted`; it costs the search, which the others do not). Printed: held-out bits per byte by domain and their mean,
over seeds, the path of the shares, and what the policy costs in CPU seconds. Nothing is asserted about who wins.

Asserted: less than 3 % of a run's CPU seconds go into moving its shares. Beside it whole runs with and without, in
turns. --cost tells this alone.

    python -m benchmarks.mixing_online [--fitted] [--cost] [--quick]

Needs GRISTMILL_DATA (default ../shared/data). About 5 minutes of one thread, 8 with --fitted.
"""

import argparse
import statistics
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks._training_pairs import BATCH, DATA, LENGTH, MODEL, VOCAB, Pool, new_model
from benchmarks.mixing_end_to_end import AMOUNTS
from gristmill.mixing.search.baselines import natural, uniform
from gristmill.mixing.search.designs import dirichlet_swarm
from gristmill.mixing.search.simplex import Limits
from gristmill.mixing.settings import OnlineSettings
from gristmill.mixing.swarm import Swarm
from gristmill.mixing.verdict import choose
from gristmill.proxy_models.fleets.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.online import Online, stretches
from gristmill.training.data.shards import TokenDomain
from gristmill.training.data.tokenizer import encode, load_tokenizer, token_facts, train_tokenizer
from gristmill.training.evaluation import HeldOut, held_out_rows
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.optimisers import OptimiserSettings

SEEDS = (0, 1, 2)
OVERHEAD = 0.03


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fitted", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if not (DATA / "domains").exists():
        sys.exit(f"no data at {DATA}; set GRISTMILL_DATA to the folder that holds domains/")
    torch.set_num_threads(1)
    steps, seeds = (100, SEEDS[:1]) if asked.quick else (250, SEEDS)
    online = OnlineSettings(every=10)
    pool, held, searched = make_pool()
    names = sorted(pool)
    if asked.cost:
        print_overhead(pool, dict.fromkeys(names, 1 / len(names)), min(steps, 100), online)
        return
    available = np.array([pool[name].tokens for name in names], float)
    rows = {"natural": (natural(available), False), "uniform": (uniform(len(names)), False),
            "ado": (natural(available), True), "ado from uniform": (uniform(len(names)), True)}  # fmt: skip
    if asked.fitted:
        began = time.process_time()
        rows["fitted"] = (fitted(pool, searched, names, available, steps, 12 if asked.quick else 32), False)
        print(f"search of the fitted mixture: {time.process_time() - began:.0f} CPU s")
    print(
        f"{MODEL}, V={VOCAB}, T={LENGTH}, {steps * BATCH:,} tokens, shares anew every {online.every} steps, "
        f"{len(seeds)} seeds; tokens available: " + ", ".join(f"{name} {pool[name].tokens:,}" for name in names)
    )
    found: dict[str, list[dict[str, float]]] = {}
    for name, (shares, moves) in rows.items():
        for seed in seeds:
            card, _ = run(pool, held, dict(zip(names, shares, strict=True)), seed, steps, online if moves else None)
            found.setdefault(name, []).append(card["bits_per_byte"])
        if moves:
            print_path(name, names, card)
    print_table(found, names)
    print_overhead(pool, dict(zip(names, natural(available), strict=True)), min(steps, 100), online)


def make_pool() -> tuple[Pool, dict[str, HeldOut], dict[str, Any]]:
    """Train tokens of the six domains, as many characters of each as AMOUNTS says, and two held-out halves: what runs
    are judged by, and what a search is measured on (documents and bytes)."""
    texts = {}
    for name, amount in AMOUNTS.items():
        column = pq.read_table(DATA / "domains" / f"{name}.parquet", columns=["text"])["text"].to_pylist()
        held = max(2, len(column) // 12)
        ends = np.cumsum([len(text) for text in column[held:]])
        texts[name] = (column[held : held + int(np.searchsorted(ends, amount)) + 1], column[:held])
    content = train_tokenizer(
        (text for train, _ in texts.values() for text in train[:: max(1, len(train) // 60)]), VOCAB
    )
    tokenizer, facts = load_tokenizer(content), token_facts(content)

    def ids_of(rows: list[str]) -> list[np.ndarray]:
        return encode(tokenizer, facts, rows, [""] * len(rows))

    def domain(name: str, rows: list[str], split: str) -> TokenDomain:
        return TokenDomain.from_documents(name, ids_of(rows), facts, [len(text.encode()) for text in rows], split=split)

    train = {name: domain(name, rows, "train") for name, (rows, _) in texts.items()}
    held, searched = {}, {}
    for name, (_, rows) in texts.items():
        held[name] = held_out_rows(domain(name, rows[::2], "heldout"), LENGTH, 6_000)
        ids = ids_of(rows[1::2])
        most = int(np.searchsorted(np.cumsum([len(one) for one in ids]), 6_000)) + 1
        searched[name] = (ids[:most], sum(len(text.encode()) for text in rows[1::2][:most]))
    return train, held, searched


def run(
    pool: Pool,
    held: dict[str, HeldOut],
    shares: dict[str, float],
    seed: int,
    steps: int,
    online: OnlineSettings | None,
) -> tuple[dict[str, Any], "Timed | None"]:
    """The card of one run, and what moved its shares where `online` says so."""
    phases, total = [Phase(1.0, shares, LENGTH)], steps * BATCH
    moving = None
    if online is None:
        loader = Loader(pool, phases, total, BATCH, seed)
    else:
        loader = Loader(pool, stretches(phases, steps, BATCH, online.every), total, BATCH, seed, planned=0)
        prior = np.array([shares[name] for name in loader.names])
        moving = Timed(loader, online.choose(prior, steps * BATCH))
    loop = LoopSettings(
        optimiser=OptimiserSettings(rate=4e-3), device="cpu", compile=False, log_every=50, checkpoint_every=10_000
    )
    with tempfile.TemporaryDirectory() as folder:
        return pretrain(new_model(pool, seed), loader, loop, folder, held, online=moving), moving


def fitted(
    pool: Pool, searched: dict[str, Any], names: list[str], available: np.ndarray, steps: int, count: int
) -> np.ndarray:
    """The mixture that a swarm of proxies on a fifth of the tokens finds best for the mean of the domains."""
    proxy = FleetSettings(seq_len=LENGTH, sequences=4, steps=steps * BATCH // 5 // (4 * LENGTH), evaluations=1, group=8)
    documents = {name: [pool[name].document(i) for i in range(pool[name].documents)] for name in names}
    facts = pool[names[0]].facts
    proxies = TokenPool.from_documents(documents, searched, facts.vocab_size, facts.bos)
    limits = Limits.of(names, available=available, total_tokens=steps * BATCH, max_epochs=4.0)
    weights = np.vstack([natural(available), dirichlet_swarm(natural(available), count - 1, 0, limits)])
    swarm = Swarm(tuple(names), tuple(names), weights, train_fleet(proxies, weights, proxy).final)
    choice = choose(swarm, natural(available), limits, target={}, regressors=None, seed=0, draws=20_000)
    return np.array(choice.mixtures["fitted"])


def print_path(name: str, names: list[str], card: dict[str, Any]) -> None:
    """The shares at the beginning, the middle and the end of the last seed."""
    path = card["online"]
    for place in (0, len(path) // 2, len(path) - 1):
        shares = ", ".join(f"{domain} {path[place]['shares'][domain]:.3f}" for domain in names)
        print(f"  {name} at {path[place]['until']:.0%}: {shares}")


def print_table(found: dict[str, list[dict[str, float]]], names: list[str]) -> None:
    """Bits per byte by mixture, the best mean first, and the paired difference to natural."""
    means = {name: [statistics.fmean(one.values()) for one in runs] for name, runs in found.items()}
    print(f"{'held-out bits per byte':<18}{'mean':>8}  (over natural, seed by seed)  " + "  ".join(names))
    for name in sorted(means, key=lambda name: statistics.fmean(means[name])):
        gap = [a - b for a, b in zip(means[name], means["natural"], strict=True)]
        spread = statistics.stdev(gap) if len(gap) > 1 else float("nan")
        domains = "  ".join(f"{statistics.fmean(one[domain] for one in found[name]):.3f}" for domain in names)
        print(
            f"  {name:<18} {statistics.fmean(means[name]):.4f}  {statistics.fmean(gap):+.4f} ± {spread:.4f}  {domains}"
        )


class Timed(Online):
    """Counts the CPU seconds that the loop spends on moving shares: sums by domain, choices, and planning stretches."""

    seconds = 0.0

    def sums_of(self, nll: torch.Tensor, targets: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return self._timed(super().sums_of, nll, targets, domains)

    def observe(self, sums: Any) -> None:
        self._timed(super().observe, sums)

    def reach(self, step: int, position: int) -> int:
        return self._timed(super().reach, step, position)

    def _timed(self, call: Any, *given: Any) -> Any:
        began = time.thread_time()
        try:
            return call(*given)
        finally:
            self.seconds += time.thread_time() - began


def print_overhead(pool: Pool, shares: dict[str, float], steps: int, online: OnlineSettings) -> None:
    """CPU seconds inside the calls that move shares, and those of whole runs with and without them, in pairs."""
    pairs, inside = [], []
    for number in range(4):
        seconds = {}
        for moves in (False, True) if number % 2 else (True, False):
            began = time.process_time()
            moving = run(pool, {}, shares, 0, steps, online if moves else None)[1]
            seconds[moves] = time.process_time() - began
            if moving is not None:
                inside.append(moving.seconds / seconds[True])
        pairs.append(seconds[True] / seconds[False] - 1)
    print(
        f"cost of ADO every {online.every} steps, {steps} steps: {statistics.median(inside):.2%} of the run's CPU "
        f"seconds are spent in it; whole runs with and without, in pairs: {statistics.median(pairs):+.2%} "
        f"({min(pairs):+.2%} to {max(pairs):+.2%})"
    )
    assert statistics.median(inside) < OVERHEAD


if __name__ == "__main__":
    main()
