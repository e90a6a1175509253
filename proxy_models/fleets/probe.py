"""How many models of a fleet to stack at a time: what memory holds, and what a few timed steps say.

Stacking pays where one model's step is too small to outweigh the cost of launching its operations; where steps are
large, or the vocabulary is, fewer models at a time keep their activations in the cache. Which it is here is measured.
"""

import os
import time

import numpy as np
import torch

from .graph import group_of
from .order import DataOrder
from .pool import TokenPool

STEPS = 3  # timed steps of each candidate; the fastest counts
SIZES = {"cpu": (4, 16, 64), "cuda": (4, 16, 64, 128, 256)}  # a GPU is not full before
CLEARLY = 1.03  # a larger group has to be this much faster than the best smaller one


def state_bytes(pool: TokenPool, settings) -> tuple[int, int]:
    """Bytes of one model: weights, moments and gradients, and the activations of one step."""
    config = settings.config(pool.vocab_size)
    width = config.qkv_width + config.d_model * 4 + 5 * config.d_ff
    table = config.padded_vocab * config.d_model * (1 if config.tied else 2)
    block = config.d_model * (config.qkv_width + config.d_model) + 3 * config.d_model * config.d_ff
    tokens = settings.sequences * settings.seq_len
    return 16 * (table + config.n_layers * block), 4 * tokens * config.n_layers * width * 2


def fits(pool: TokenPool, settings, models: int) -> int:
    """Models that fit into half of the free memory of the device, at least one."""
    if settings.where() == "cuda":
        free = torch.cuda.mem_get_info()[0]  # of the first; several are taken to be alike
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(models, int(0.5 * free / sum(state_bytes(pool, settings)))))


def probe(pool: TokenPool, mixtures: np.ndarray, settings, seeds: list[int], most: int) -> tuple[int, str]:
    """The fastest group size of 1, and those of SIZES up to `most`, and the reason with the measured rates.

    Costs about `STEPS` + 1 steps of each candidate: skipped, for one model at a time, where nothing can be gained.
    """
    if most == 1:
        return 1, "one model at a time: there is only one, or memory holds one"
    rates = measured(pool, mixtures, settings, seeds, most)
    best = fastest(rates)
    told = ", ".join(f"{size}: {rate:,.0f}" for size, rate in rates.items())
    what = "one model after another" if best == 1 else f"groups of {best}"
    return best, f"{what}: fastest in the probe (tokens/s by models stacked: {told})"


def wait(device: str) -> None:
    """Until the device has done what it was given: a step on a GPU returns before it has begun."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def fastest(rates: dict[int, float]) -> int:
    """The group size to take: a larger one only where it is clearly faster."""
    best = min(rates)
    for size, rate in sorted(rates.items()):
        if rate > CLEARLY * rates[best]:
            best = size
    return best


def measured(pool: TokenPool, mixtures: np.ndarray, settings, seeds: list[int], most: int) -> dict[int, float]:
    """Group size -> tokens of all its models per second of training."""
    # on a CPU its own time, with all threads in it: what else the machine does is no reason to choose one or the other
    own = time.thread_time if settings.threads == 1 else time.process_time
    clock = own if settings.where() == "cpu" else time.perf_counter
    per_step = settings.sequences * settings.seq_len
    candidates = SIZES[settings.where()]
    sizes = sorted({1, *(size for size in candidates if size < most), min(most, candidates[-1])})
    rates: dict[int, float] = {}
    for size in sizes:
        models = np.arange(size) % len(mixtures)
        order = DataOrder(pool, mixtures[models], [seeds[k] for k in models], settings.seq_len, settings.sequences)
        group = group_of(pool, order, settings, [1e-6] * size)
        group.step()  # the first step allocates
        took = []
        for _ in range(STEPS):
            wait(group.device)
            began = clock()
            group.step()
            wait(group.device)
            took.append(clock() - began)
        rates[size] = size * per_step / min(took)
        if len(rates) > 1 and rates[size] < max(rates.values()) / 1.2:
            break  # larger ones will not come back
    return rates
