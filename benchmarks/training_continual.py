"""Continual pre-training: a model of five domains goes on with a sixth, with and without replay and what else there is.

Every variant starts from the same trained weights, re-warms and decays its rate, and reads the same number of tokens;
printed are bits per byte on the five old domains (mean) and on the new one, mean and spread over seeds. Quality is
the negative loss of the model before: the documents nearest to what it knows.

python -m benchmarks.training_continual
"""

import copy
import statistics
from dataclasses import replace

import numpy as np
import torch

from benchmarks._training_pairs import BATCH, LENGTH, MODEL, SEEDS, STEPS, VOCAB, Pool, new_model, pool, run
from gristmill.training.data.loader import Phase
from gristmill.training.data.shards import TokenDomain
from gristmill.training.transformer import Transformer

NEW = "law"
EPOCHS = 4  # passes over the subset


def phase(old: dict[str, float], replay: float, **rest: object) -> list[Phase]:
    shares = {name: share * replay for name, share in old.items()} | {NEW: 1.0 - replay}
    return [Phase(1.0, {name: share for name, share in shares.items() if share}, LENGTH, **rest)]  # type: ignore[arg-type]


@torch.no_grad()
def nearness(model: Transformer, domain: TokenDomain) -> np.ndarray:
    """(documents,) negative mean loss of each document's first tokens."""
    found = []
    for i in range(domain.documents):
        tokens = torch.from_numpy(domain.document(i)[: LENGTH + 1].astype(np.int64))[None]
        found.append(-float(model.nll(tokens[:, :-1], tokens[:, 1:]).mean()))
    return np.array(found)


def variants(domains: Pool, old: dict[str, float]) -> dict[str, list[Phase]]:
    part = min(1.0, STEPS * BATCH / (EPOCHS * domains[NEW].tokens))
    return {
        "no replay": phase(old, 0.0),
        "5 % replay": phase(old, 0.05),
        "25 % replay": phase(old, 0.25),
        "50 % replay (near the old mixture)": phase(old, 0.5),
        f"25 % replay, {EPOCHS} passes over a subset": phase(old, 0.25, subset={NEW: part}),
        f"25 % replay, {EPOCHS} passes over the best": phase(old, 0.25, subset={NEW: part}, best=True),
    }


def main() -> None:
    torch.set_num_threads(1)
    domains, held = pool()
    old = {name: 1.0 / (len(domains) - 1) for name in domains if name != NEW}
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in SEEDS:
        base = new_model(domains, seed)
        before = run(domains, held, [Phase(1.0, old, LENGTH)], seed, base)
        own = domains | {NEW: replace(domains[NEW], quality=nearness(base, domains[NEW]))}
        results = {"before": before} | {
            name: run(own, held, phases, seed, copy.deepcopy(base)) for name, phases in variants(own, old).items()
        }
        for name, measured in results.items():
            found.setdefault(name, []).append((statistics.mean(measured[n] for n in old), measured[NEW]))
    print(
        f"continual pre-training on {NEW}, {MODEL}, V={VOCAB}, T={LENGTH}, {STEPS * BATCH:,} tokens before and after,"
    )
    print(f"{len(SEEDS)} seeds; bits per byte (spread over seeds)")
    for name, pairs in found.items():
        columns = []
        for values in zip(*pairs, strict=True):
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            columns.append(f"{statistics.mean(values):.4f} ({spread:.4f})")
        print(f"  {name:40} old {columns[0]}  new {columns[1]}")


if __name__ == "__main__":
    main()
