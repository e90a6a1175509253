"""The registered experiment: does what the search hands over train a better model, on 14 domains and five targets?

`mixing_registered.yaml` holds candidates, thresholds and predictions, frozen before any run. One pool of random proxies
measures all targets at once; baselines are its prefixes, fitted only: the best of N by measurement, RegMix's procedure
(LightGBM and simulation) and Olmix's (log-linear law). Ours shares its first round with the pool and chooses the rest
in four rounds a target; it hands over the best of its smoothed values. Then all are trained on five times the tokens
and twice the width, and compared seed by seed on the halves of the targets that no search has seen.

Every wave is a file of --work: killed anywhere, the same command goes on. The hours are printed before they are spent.

    python benchmarks/mixing_registered.py --work DIR [--hours]     # GRISTMILL_DATA; documents of installed packages
    python benchmarks/mixing_registered.py --work DIR --quick       # a few steps of everything, which judges nothing

About 4 CPU hours on an idle machine with AVX-512, at most 12 elsewhere. It has not been run yet.
"""

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from gristmill.corpus.store.shards import fingerprint
from gristmill.mixing.handover import paired
from gristmill.mixing.proxies import fraction
from gristmill.mixing.regression.regressors import Regressor, make_regressor
from gristmill.mixing.search.designs import dirichlet_swarm
from gristmill.mixing.search.optimise import descend, simulate
from gristmill.mixing.search.rounds import acquire, round_sizes, surrogate_of
from gristmill.mixing.search.simplex import Limits
from gristmill.mixing.swarm import Swarm
from gristmill.mixing.target_files import JUDGED, SEARCHED, halves, held_out, read_items
from gristmill.proxy_models.fleets.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.training.data.tokenizer import encode, load_tokenizer, token_facts, train_tokenizer

HERE = Path(__file__)
DATA = Path(os.environ.get("GRISTMILL_DATA", HERE.parents[1] / ".." / "shared" / "data"))
PLAN = HERE.with_suffix(".yaml")
FILES = {"wikitext": "wikitext-2/valid.txt"}  # of a target, where it is not NAME.jsonl
OWN = ("books", "chat", "how_to", "law", "maths", "technical_prose")
INSTALLED = {  # domain -> roots and patterns of packages that are installed here
    "changelogs": [("/usr/share/doc", "*/changelog*.gz")],
    "documentation": [("/usr/share/doc", "*/README*"), ("/usr/share/doc", "*/*.txt*")],
    "manuals": [("/usr/share/man", f"man{n}/*.gz") for n in range(1, 9)],
    "manuals_elsewhere": [("/usr/share/man", f"{lang}/man*/*.gz") for lang in ("de", "fr", "es", "it", "nl", "pl")],
    "code_python": [("/usr/lib/python3", "**/*.py"), (sys.prefix, "lib/**/*.py")],
    "code_c": [("/usr/include", "**/*.h")],
    "code_perl": [("/usr/share/perl", "**/*.pm"), ("/usr/lib", "**/perl*/**/*.pm")],
    "code_shell": [("/usr/share", "**/*.sh"), ("/etc", "**/*.sh"), ("/usr/share/bash-completion", "**/*")],
}
MOST = {"law": 5_000_000, "chat": 3_000_000, "maths": 2_500_000, "technical_prose": 1_500_000, "books": 400_000,
        "how_to": 250_000, "changelogs": 2_000_000, "documentation": 1_500_000, "manuals": 2_500_000,
        "manuals_elsewhere": 700_000, "code_python": 4_000_000, "code_c": 1_500_000, "code_perl": 600_000,
        "code_shell": 200_000}  # fmt: skip
LEAST = 60_000  # characters below which an installed domain is left out
MAX_EPOCHS, WAVE, VOCABULARY, REPLICATES = 4.0, 16, 4096, 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--hours", action="store_true")
    asked = parser.parse_args()
    if not (DATA / "domains").exists():
        print(f"no data at {DATA}; set GRISTMILL_DATA to the folder that holds domains/ and targets/")
        sys.exit(77)
    plan = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    commit = registered(asked.quick)
    asked.work.mkdir(parents=True, exist_ok=True)
    search, judge = pools(plan, asked.work, asked.quick)
    proxy, run = sizes(plan, asked.quick)
    print(
        f"{len(search.names)} domains: "
        + ", ".join(f"{n} {t:,}" for n, t in zip(search.names, search.tokens, strict=True))
    )
    limits = Limits.of(search.names, available=search.tokens, total_tokens=run.tokens_per_model, max_epochs=MAX_EPOCHS)
    print(f"about {hours(search, judge, proxy, run, plan, limits):.1f} CPU hours in all")
    if asked.hours:
        return
    chosen = candidates(plan, asked.work, search, proxy, run, limits, asked.quick)
    results = judged(plan, asked.work, judge, run, chosen, asked.quick)
    verdict(plan, results, commit, asked.quick)


def registered(quick: bool) -> str:
    """The hash of the commit that last changed the plan; refuses a plan that is not committed."""
    git = ["git", "-C", str(HERE.parent)]
    changed = subprocess.run([*git, "status", "--porcelain", "--", PLAN.name], capture_output=True, text=True)
    told = subprocess.run([*git, "log", "-1", "--format=%H", "--", PLAN.name], capture_output=True, text=True)
    if not quick and (changed.stdout.strip() or not told.stdout.strip()):
        sys.exit(f"{PLAN.name} is not committed as it stands: what is judged has to be registered first")
    return told.stdout.strip() or "not committed"


def sizes(plan: dict[str, Any], quick: bool) -> tuple[FleetSettings, FleetSettings]:
    """A proxy, and a judged run: five times its tokens and twice its width."""
    width, per_step = plan["pool"]["width"], 4 * 128
    steps = 12 if quick else round(plan["pool"]["tokens"] / per_step)
    common = {"evaluations": 1, "group": 8, "execution": "stacked"}
    proxy = {"d_model": width, "d_ff": 3 * width, "steps": steps, "warmup": max(1, steps // 10)}
    wide, times = width * plan["judge"]["times_width"], plan["judge"]["times_tokens"]
    large = {"d_model": wide, "d_ff": 3 * wide, "steps": steps * times, "warmup": max(1, steps * times // 10)}
    return FleetSettings.model_validate(common | proxy), FleetSettings.model_validate(common | large)


def texts_of(name: str) -> Iterator[str]:
    """Documents of a domain in an order of their own hashes."""
    if name in OWN:
        rows = pq.read_table(DATA / "domains" / f"{name}.parquet", columns=["text"])["text"].to_pylist()
        yield from sorted(rows, key=lambda text: hashlib.blake2b(text.encode()).digest())
        return
    paths = {path for root, pattern in INSTALLED[name] for path in Path(root).glob(pattern) if path.is_file()}
    for path in sorted(paths, key=lambda path: hashlib.blake2b(str(path).encode()).digest()):
        try:
            data = path.read_bytes()
            text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
        except (OSError, UnicodeDecodeError, EOFError):
            continue  # unreadable here, or no text: another file takes its place
        if len(text) > 200:
            yield text[:20_000]


def pools(plan: dict[str, Any], work: Path, quick: bool) -> tuple[TokenPool, TokenPool]:
    """The same domains measured on the searched and on the judged halves of the targets."""
    train: dict[str, list[str]] = {}
    for name, most in MOST.items():
        kept, size = [], 0
        for text in texts_of(name):
            kept.append(text)
            size += len(text)
            if size >= (most // 20 if quick else most):
                break
        if size >= LEAST or quick:
            train[name] = kept
    stored = work / "tokenizer.json"
    if not stored.exists():
        sample = [text for texts in train.values() for text in texts[: max(20, len(texts) // 20)]]
        stored.write_text(train_tokenizer(sample, 512 if quick else VOCABULARY), encoding="utf-8")
    content = stored.read_text(encoding="utf-8")
    tokenizer, facts = load_tokenizer(content), token_facts(content)
    tokens = {name: encode(tokenizer, facts, texts, [""] * len(texts)) for name, texts in train.items()}
    plain = TokenPool.from_documents(tokens, {}, facts.vocab_size, facts.bos, facts.eos)
    made = []
    for half in (SEARCHED, JUDGED):
        sets = []
        for target in plan["targets"]:
            items = read_items(str(DATA / "targets" / FILES.get(target, f"{target}.jsonl")))
            sets.append(held_out(target, halves(items)[half], tokenizer, facts, 500 if quick else 50_000))
        made.append(plain.measured_on(*sets))
    return made[0], made[1]


def train(
    work: Path, kind: str, pool: TokenPool, rows: np.ndarray, fleet: FleetSettings, seeds: list[int]
) -> np.ndarray:
    """(K, T) bits per byte; waves that are in place are read."""
    found = []
    for first in range(0, len(rows), WAVE):
        part, own = rows[first : first + WAVE], seeds[first : first + WAVE]
        made_from = fingerprint(pool.fingerprint, fleet.model_dump(mode="json"), part.tolist(), own)
        path = work / f"{kind}-{first // WAVE:04d}-{made_from[:16]}.npz"
        if not path.exists():
            began = time.perf_counter()
            result = train_fleet(pool, part, fleet, own, checkpoint=str(work / "unfinished" / path.stem))
            if not result.alive.all():
                sys.exit(f"{kind}: a model diverged; nothing can be judged")
            np.savez(path.with_suffix(".part.npz"), losses=result.final)
            path.with_suffix(".part.npz").rename(path)
            print(f"{path.name}: {len(part)} models, {time.perf_counter() - began:.0f} s", flush=True)
        found.append(np.load(path)["losses"])
    return np.vstack(found)


def candidates(
    plan: dict[str, Any],
    work: Path,
    pool: TokenPool,
    proxy: FleetSettings,
    run: FleetSettings,
    limits: Limits,
    quick: bool,
) -> dict[str, dict[str, np.ndarray]]:
    """target -> hand-over -> mixture."""
    part = proxy.tokens_per_model / run.tokens_per_model
    small = fraction(pool, part, proxy.seq_len)  # repeats a domain as often as the judged run will
    natural, count = limits.rescale(pool.natural), 24 if quick else plan["pool"]["mixtures"]
    weights = np.vstack([natural, dirichlet_swarm(pool.natural, count - 1, plan["pool"]["seed"], limits)])
    losses = train(work, "pool", small, weights, proxy, [0] * count)
    noise = train(work, "noise", small, np.repeat(natural[None], REPLICATES, 0), proxy, list(range(1, REPLICATES + 1)))
    print("sd over seeds of the natural mixture: " + ", ".join(
        f"{name} {value:.4f}" for name, value in zip(pool.targets, noise.std(0, ddof=1), strict=True)))  # fmt: skip
    ours_n, base_n = (16, 24) if quick else (64, 128)
    found: dict[str, dict[str, np.ndarray]] = {}
    for t, target in enumerate(pool.targets):
        rows, values = ours(work, small, proxy, limits, natural, weights, losses, noise, t, ours_n)
        swarm = Swarm(tuple(pool.names), (target,), np.vstack([rows, np.repeat(natural[None], REPLICATES, 0)]),
                      np.append(values, noise[:, t])[:, None])  # fmt: skip
        smoothed, _ = surrogate_of(swarm, np.ones(1)).predict(rows)
        w, y = weights[:base_n], losses[:base_n, t]
        found[target] = {
            f"ours-{plan['budgets']['ours'][-1]}": rows[int(np.argmin(smoothed))],
            "best-of-128": w[int(np.argmin(y))],
            "regmix-128": regmix(w, y, natural, limits),
            "olmix-128": olmix(w, y, natural, limits),
            "natural": natural,
            "uniform": limits.rescale(np.full(len(natural), 1 / len(natural))),
        }
    (work / "candidates.json").write_text(json.dumps(
        {t: {n: row.tolist() for n, row in rows.items()} for t, rows in found.items()}, indent=1))  # fmt: skip
    return found


def ours(
    work: Path, pool: TokenPool, proxy: FleetSettings, limits: Limits, natural: np.ndarray, weights: np.ndarray,
    losses: np.ndarray, noise: np.ndarray, t: int, count: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Mixtures and values of a search of `count` proxies for one target; its first round is the pool's beginning."""
    first, *later = round_sizes(count, 5)
    rows, values = weights[:first], losses[:first, t]
    for number, size in enumerate(later, 1):
        known = np.vstack([rows, np.repeat(natural[None], len(noise), 0)])
        swarm = Swarm(tuple(pool.names), (pool.targets[t],), known, np.append(values, noise[:, t])[:, None])
        more = acquire(swarm, np.ones(1), natural, limits, size, regressors=None, seed=number)
        got = train(work, f"ours-{pool.targets[t]}-{number}", pool, more, proxy, [0] * len(more))
        rows, values = np.vstack([rows, more]), np.append(values, got[:, t])
    return rows, values


def regmix(weights: np.ndarray, losses: np.ndarray, natural: np.ndarray, limits: Limits) -> np.ndarray:
    model: Regressor = make_regressor("lightgbm").fit(weights, losses)
    return simulate(model.predict, natural, limits, 0)[0]


def olmix(weights: np.ndarray, losses: np.ndarray, natural: np.ndarray, limits: Limits) -> np.ndarray:
    model: Regressor = make_regressor("exponential").fit(weights, losses)
    averaged, best = simulate(model.predict, natural, limits, 0)
    return descend(model.predict, np.vstack([averaged, best[:2]]), limits)


def judged(
    plan: dict[str, Any],
    work: Path,
    pool: TokenPool,
    run: FleetSettings,
    chosen: dict[str, dict[str, np.ndarray]],
    quick: bool,
) -> dict[str, dict[str, dict[int, float]]]:
    """target -> hand-over -> seed -> bits per byte of the target's judged half. Equal mixtures are trained once."""
    seeds = plan["judge"]["seeds"][: 2 if quick else None]
    distinct = {tuple(np.round(row, 9)): row for rows in chosen.values() for row in rows.values()}
    runs = [(key, seed) for key in distinct for seed in seeds]
    losses = train(work, "judge", pool, np.array([distinct[key] for key, _ in runs]), run, [seed for _, seed in runs])
    values = dict(zip(runs, losses, strict=True))
    return {
        target: {
            name: {seed: float(values[(tuple(np.round(row, 9)), seed)][t]) for seed in seeds}
            for name, row in rows.items()
        }
        for t, (target, rows) in enumerate(chosen.items())
    }


def verdict(plan: dict[str, Any], results: dict[str, dict[str, dict[int, float]]], commit: str, quick: bool) -> None:
    """Every difference, the thresholds, and the predictions beside what came."""
    name, level = f"ours-{plan['budgets']['ours'][-1]}", plan["judge"]["level"]
    against = {
        target: {other: paired(rows[name], rows[other], level) for other in rows if other != name}
        for target, rows in results.items()
    }
    print(f"registered in {commit}; {name} below the others by, bits per byte, paired over seeds [{level:.0%}]:")
    for target, rows in against.items():
        print(
            f"  {target:<16} "
            + "; ".join(f"{o} {r['gain']:+.4f} [{r['low']:+.4f}, {r['high']:+.4f}]" for o, r in rows.items())
        )
    bars = plan["thresholds"]
    both = sum(rows["natural"]["proven"] and rows["uniform"]["proven"] for rows in against.values())
    worst = max(-rows["best-of-128"]["low"] for rows in against.values())
    outcome = {
        f"{name} beats natural on": sum(rows["natural"]["proven"] for rows in against.values()),
        f"{name} beats uniform on": sum(rows["uniform"]["proven"] for rows in against.values()),
        f"{name} not worse than best-of-128 on": sum(
            -rows["best-of-128"]["low"] <= bars["worse_than_best_of_128_by_at_most"] for rows in against.values()
        ),
        f"{name} below regmix-128 on": sum(rows["regmix-128"]["gain"] > 0 for rows in against.values()),
        f"{name} below olmix-128 on": sum(rows["olmix-128"]["gain"] > 0 for rows in against.values()),
    }
    for what, predicted in plan["predictions"].items():
        print(f"  {what}: predicted {predicted}, found {outcome[what]}")
    claims = {
        f"beats natural and uniform on {both} of {len(against)}": both >= bars["beats_natural_and_uniform_on"],
        f"worse than best-of-128 by at most {worst:.4f}": worst <= bars["worse_than_best_of_128_by_at_most"],
    }
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    if quick:
        print("a quick pass through every step: nothing is judged by it")
    elif not all(claims.values()):
        sys.exit(1)


def hours(
    search: TokenPool, judge: TokenPool, proxy: FleetSettings, run: FleetSettings, plan: dict[str, Any], limits: Limits
) -> float:
    """CPU hours of all waves, by a probe of each size on the spot."""
    targets, total = len(plan["targets"]), 0.0
    ours_more = plan["budgets"]["ours"][-1] // 2
    for pool, fleet, models in (
        (search, proxy, plan["pool"]["mixtures"] + REPLICATES + targets * ours_more),
        (judge, run, (targets * 4 + 2) * len(plan["judge"]["seeds"])),
    ):
        rows = np.repeat(limits.rescale(pool.natural)[None], 8, 0)
        few = fleet.model_copy(update={"steps": 6, "warmup": 1})
        timed = [train_fleet(pool, rows, few.model_copy(update={"steps": steps}), [0]).seconds for steps in (2, 6)]
        step = max(timed[1] - timed[0], 1e-6) / 4 / 8
        once = max(timed[0] - 2 * 8 * step, 0.0) / 8
        total += models * (fleet.steps * step + once)
    return total / 3600


if __name__ == "__main__":
    main()
