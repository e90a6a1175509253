"""A recipe whose domains' documents differ tenfold in length, and what is needed to draw from it."""

import numpy as np

from gristmill.mixing.exporters.frame import ExportJob
from gristmill.mixing.recipe import RecipePhase, make_recipe

SHARES = {"books": 0.2, "chat": 0.05, "web": 0.75}
LENGTHS = {"books": 4000.0, "chat": 400.0, "web": 40.0}
DRAWS = 10_000


def recipe(phases=None, **changes):
    domains = {
        name: {"tokens_available": 10**8, "mean_tokens_per_document": length, "bytes_per_token": 4.0}
        for name, length in {**LENGTHS, "none": 100.0}.items()
    }
    for name, change in changes.items():
        domains[name].update(change)
    return make_recipe(
        total_tokens=256 * 64 * 400,
        domains=domains,
        phases=phases or [RecipePhase(until=1.0, seq_len=64, shares={**SHARES, "none": 0.0})],
    )


def job(tmp_path, made=None, **options):
    return ExportJob(made or recipe(), str(tmp_path / "out"), **{"batch": 64, **options})


def token_share(names, drawn, unit_tokens):
    tokens = np.bincount(drawn, minlength=len(names)) * np.array([unit_tokens[name] for name in names])
    return dict(zip(names, tokens / tokens.sum(), strict=True))


def close(found, within=0.01, shares=SHARES):
    return all(abs(found.get(name, 0.0) - share) <= within for name, share in shares.items())


def largest_deficit(weights, size):
    """Megatron's and nanotron's rule: the next sample comes from the data set that lags furthest behind."""
    counts, order = np.zeros(len(weights)), []
    for i in range(size):
        chosen = int(np.argmax(np.array(weights) * max(i, 1) - counts))
        counts[chosen] += 1
        order.append(chosen)
    return np.array(order)
