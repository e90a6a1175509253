"""The whole search on six real domains, for a target that is none of them: four tasks, as bits per byte of their text.

The domains hold unequal amounts (AMOUNTS, fixed before any run), so that natural, uniform and UniMax differ and the cap
of four epochs binds. A swarm of proxies in two rounds (as `gristmill mix` does; --rounds 1 draws all at once), the
stacked fit and the optimum; then every mixture is trained on five times the proxies' tokens with three seeds. Proxies
see a fifth of each domain, so that they repeat it as often as the run.
The tasks' texts are divided by their hash: proxies are measured on one half, the result on the other.

Prints bits per byte, paired gains over natural, what was predicted, whether the order held, the baselines that need no
proxy, and the cost of the search in FLOPs as a share of the target run. Nothing is asserted about who wins: the verdict
is printed as it is. `doremi` is group DRO between stretches of a proxy (`mixing.online`), `unimax` makes one pass.

    python benchmarks/mixing_end_to_end.py [--quick] [--rounds N]

Needs GRISTMILL_DATA (default ../shared/data). About 40 minutes on one thread; --quick one minute.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gristmill.mixing.online import doremi
from gristmill.mixing.proxies import fleet_flops, fraction
from gristmill.mixing.regression.measures import spearman
from gristmill.mixing.search import baselines
from gristmill.mixing.search.designs import dirichlet_swarm
from gristmill.mixing.search.rounds import acquire, round_sizes
from gristmill.mixing.search.simplex import Limits
from gristmill.mixing.swarm import Swarm
from gristmill.mixing.verdict import choose, validate
from gristmill.proxy_models.fleets.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.training.data.shards import held_out
from gristmill.training.data.tokenizer import encode, load_tokenizer, token_facts, train_tokenizer

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
AMOUNTS = {  # characters of training text
    "law": 5_000_000,
    "chat": 3_000_000,
    "maths": 2_500_000,
    "technical_prose": 1_500_000,
    "books": 250_000,
    "how_to": 120_000,
}
TASKS = ("arc_easy", "piqa", "openbook_qa", "lambada_openai")
SEEDS = (101, 102, 103)
TIMES = 5  # the run's tokens over a proxy's
MAX_EPOCHS = 4.0
SEARCHED, JUDGED = "/search", "/judge"  # the two halves of a task


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    if not (DATA / "domains").exists():
        sys.exit(f"no data at {DATA}; set GRISTMILL_DATA to the folder that holds domains/ and targets/")
    steps, count, replicates = (30, 12, 1) if asked.quick else (300, 48, 2)
    proxy = FleetSettings.model_validate({"steps": steps, "evaluations": 3, "group": 8, "warmup": steps // 10})
    run = proxy.model_copy(update={"steps": TIMES * steps, "evaluations": 1})
    pool = make_pool(2048, 1000 if asked.quick else 6000)
    limits = Limits.of(pool.names, available=pool.tokens, total_tokens=run.tokens_per_model, max_epochs=MAX_EPOCHS)
    began = time.perf_counter()
    small = fraction(pool, 1 / TIMES, proxy.seq_len)
    natural = limits.rescale(pool.natural)
    target = {name: 1 / len(TASKS) for name in pool.targets if name.endswith(SEARCHED)}
    judge = {name.replace(SEARCHED, JUDGED): weight for name, weight in target.items()}
    swarm = search(small, limits, proxy, round_sizes(count, asked.rounds), replicates, target)
    dro = doremi(small, natural, proxy)
    others = {
        "unimax": baselines.unimax(pool.tokens, float(run.tokens_per_model), 1.0),
        "temperature": baselines.temperature(pool.tokens, 2.0),
        "doremi": dro.mixture,
    }
    choice = choose(
        swarm.only([*target]), natural, limits, target=target, regressors=None, seed=0, draws=20_000, others=others
    )
    rows = [(name, seed) for name in choice.mixtures for seed in SEEDS]
    shares = np.array([choice.mixtures[name] for name, _ in rows])
    checked = train_fleet(pool, shares, run, [seed for _, seed in rows])
    results: dict[str, dict[int, dict[str, float]]] = {}
    for (name, seed), losses in zip(rows, checked.final, strict=True):
        results.setdefault(name, {})[seed] = dict(zip(pool.targets, map(float, losses), strict=True))
    told = validate(results, choice.report["predicted"], judge)
    print_search(swarm.only([*target]), choice.report, proxy, natural)
    print_result(told, choice, pool.names, run)
    cost = fleet_flops(proxy, pool.vocab_size, count + replicates + 2)  # two for doremi
    one = fleet_flops(run, pool.vocab_size, 1)
    print(
        f"search {cost:.3g} FLOPs: {cost / one:.1f} x the run of {run.tokens_per_model:,} tokens trained here, "
        f"{cost / (one * 1e9 / run.tokens_per_model):.2%} of a run of the same model on a billion tokens; "
        f"{time.perf_counter() - began:.0f} s wall, one thread"
    )


def search(
    pool: TokenPool,
    limits: Limits,
    proxy: FleetSettings,
    sizes: Sequence[int],
    replicates: int,
    target: dict[str, float],
) -> Swarm:
    """The measured swarm, round by round; the natural mixture comes first, with its `replicates` behind the first."""
    natural = limits.rescale(pool.natural)
    drawn = dirichlet_swarm(pool.natural, sizes[0] - 1, 0, limits)
    weights = np.vstack([natural, drawn, np.repeat(natural[None], replicates, 0)])
    losses = train_fleet(pool, weights, proxy, [0] * sizes[0] + list(range(1, replicates + 1))).final
    for number, size in enumerate(sizes[1:], 1):
        known = Swarm(tuple(pool.names), tuple(pool.targets), weights, losses).only([*target])
        combination = np.array([target[name] for name in known.targets])
        rows = acquire(known, combination, natural, limits, size, regressors=None, seed=number, boldness=1.0)
        weights = np.vstack([weights, rows])
        losses = np.vstack([losses, train_fleet(pool, rows, proxy, [0] * size).final])
    return Swarm(tuple(pool.names), tuple(pool.targets), weights, losses)


def print_search(swarm: Swarm, report: dict[str, Any], proxy: FleetSettings, natural: np.ndarray) -> None:
    """What the swarm measured on the searched half, and how well the fit and the trivial rules order it."""
    average = swarm.losses.mean(1)
    same = average[np.isclose(swarm.weights, natural).all(1)]
    print(
        f"{len(average) - len(same) + 1} mixtures x {proxy.tokens_per_model:,} tokens; target (mean of {len(TASKS)} "
        f"tasks) from {average.min():.4f} to {average.max():.4f}, sd {average.std():.4f}; "
        f"sd over seeds of one mixture {same.std(ddof=1):.4f}"
    )
    out = np.array([report["out_of_fold"]["predicted"][name] for name in swarm.targets]).mean(0)
    rules = ", ".join(
        f"minus {name} {spearman(-swarm.weights[:, place], average):.3f}" for place, name in enumerate(swarm.domains)
    )
    print(f"out of fold, Spearman on the target: fit {spearman(out, average):.3f}; shares alone: {rules}")


def print_result(told: dict[str, Any], choice: Any, names: Sequence[str], run: FleetSettings) -> None:
    """One row per mixture, best first, then the verdict."""
    print(f"trained on {run.tokens_per_model:,} tokens with {len(SEEDS)} seeds, judged on the other half of the tasks:")
    for name, row in sorted(told["mixtures"].items(), key=lambda item: item[1]["bits_per_byte"]):
        guess = choice.report["predicted"][name]
        shares = ", ".join(f"{d} {share:.3f}" for d, share in zip(names, choice.mixtures[name], strict=True))
        print(
            f"  {name:<14} {row['bits_per_byte']:.4f} ± {row['spread']:.4f}; gain over natural "
            f"{row['gain_over_natural']:+.4f} ± {row['gain_spread']:.4f}; proxies' prediction {guess['predicted']:.4f} "
            f"[{guess['low']:.4f}, {guess['high']:.4f}]; {shares}"
        )
    print(told["verdict"])
    print(f"predicted order against measured: Spearman {told['order_held']:.3f}")


def make_pool(vocabulary: int, measured: int) -> TokenPool:
    """The six domains and the two halves of each task; a tenth of the documents is held out by the hash of its id."""
    train, held = {}, {}
    for name, amount in AMOUNTS.items():
        rows = pq.read_table(DATA / "domains" / f"{name}.parquet", columns=["id", "text"]).to_pylist()
        kept = [row["text"] for row in rows if not held_out(row["id"], 0.1)]
        lengths = np.cumsum([len(text) for text in kept])
        train[name] = kept[: int(np.searchsorted(lengths, amount)) + 1]
        held[name] = [row["text"] for row in rows if held_out(row["id"], 0.1)]
    for task in TASKS:
        halves: dict[bool, list[str]] = {True: [], False: []}
        for line in (DATA / "targets" / f"{task}.jsonl").read_text(encoding="utf-8").splitlines():
            text = task_text(json.loads(line))
            halves[hashlib.blake2b(text.encode(), digest_size=1).digest()[0] % 2 == 0].append(text)
        held[task + SEARCHED], held[task + JUDGED] = halves[True], halves[False]
    sample = [text for texts in train.values() for text in texts[: max(20, len(texts) // 20)]]
    content = train_tokenizer(sample, vocabulary)
    tokenizer, facts = load_tokenizer(content), token_facts(content)

    def tokens(texts: Sequence[str]) -> list[np.ndarray]:
        return encode(tokenizer, facts, list(texts), [""] * len(texts))

    sets = {}
    for name, texts in held.items():
        made = tokens(texts[:400])
        most = int(np.searchsorted(np.cumsum([len(part) for part in made]), measured)) + 1
        sets[name] = (made[:most], sum(len(text.encode()) for text in texts[:most]))
    return TokenPool.from_documents(
        {name: tokens(texts) for name, texts in train.items()}, sets, facts.vocab_size, facts.bos
    )


def task_text(row: dict[str, Any]) -> str:
    """A question with its right answer, or a passage with its last word."""
    if "query" in row:
        return f"{row['query']} {row['choices'][row['gold']]}"
    return f"{row['context']} {row['continuation']}"


if __name__ == "__main__":
    main()
