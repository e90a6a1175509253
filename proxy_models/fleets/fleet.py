"""A fleet: many small language models, one mixture each, trained in one program.

Groups of models are trained with stacked weights (`stacked`), so that one operation serves the whole group; how many
go together is chosen by a short probe (`probe`) or given. Models share nothing but the arithmetic: losses,
gradients, clipping, learning rate and life are each model's own, and a model that diverges is stopped and reported
while the others go on. With equal seeds models start equal and read prefixes of the same streams (`order`), so that
differences between mixtures are paired; other seeds measure the noise.

Refuses mixtures that cannot be honoured, rows longer than a domain, and more evaluations than steps.
"""

import hashlib
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import fingerprint
from ..settings import FleetSettings as FleetSettings
from .checkpoint import Trail
from .graph import group_of
from .order import DataOrder, TwoPhases, checked
from .pool import TokenPool
from .probe import fits, probe


@dataclass(frozen=True)
class FleetResult:
    """What a fleet measured. K models, C checkpoints, E targets, D domains.

    bits_per_byte  (K, C, E) float64; NaN from the checkpoint after a model diverged
    train_loss     (K, C) float64, nats per token of the step before each checkpoint
    steps          (C,) int64
    alive          (K,) bool
    stopped        (K,) int64: the step at which a model diverged, -1 for those that did not
    epochs         (K, D) float64: passes over each domain
    reason         why so many models were stacked at a time
    weights        each model's state for `Transformer.load_state_dict`, where they were asked for
    """

    bits_per_byte: np.ndarray
    train_loss: np.ndarray
    steps: np.ndarray
    targets: list[str]
    domains: list[str]
    mixtures: np.ndarray
    seeds: np.ndarray
    alive: np.ndarray
    stopped: np.ndarray
    epochs: np.ndarray
    tokens_per_model: int
    reason: str
    seconds: float
    weights: list[dict[str, Tensor]] | None = None

    @property
    def final(self) -> np.ndarray:
        """(K, E): bits per byte at the end."""
        return self.bits_per_byte[:, -1]

    def noise(self) -> np.ndarray:
        """(E,) standard deviation at the end between seeds of the same mixture, pooled; NaN without replicates."""
        squares, freedom = np.zeros(len(self.targets)), 0
        mixture = np.unique(np.round(self.mixtures, 12), axis=0, return_inverse=True)[1].ravel()
        for one in np.unique(mixture):
            values = self.final[(mixture == one) & self.alive]
            if len(values) > 1:
                squares += ((values - values.mean(0)) ** 2).sum(0)
                freedom += len(values) - 1
        return np.sqrt(squares / freedom) if freedom else np.full(len(self.targets), np.nan)


def train_fleet(
    pool: TokenPool,
    mixtures: np.ndarray,
    settings: FleetSettings,
    seeds: Sequence[int] = (0,),
    *,
    checkpoint: str | None = None,
    start_from: Sequence[Mapping[str, Tensor]] | None = None,
    keep_weights: bool = False,
    after: Callable[[int, int], None] | None = None,
    last: tuple[int, np.ndarray] | None = None,
) -> FleetResult:
    """Train one model for each row of `mixtures` and measure all of them on every held-out set of the pool.

    mixtures    (K, D) shares of training tokens, domains as in pool.names
    seeds       one for all models (differences between mixtures are then paired), or one a model
    checkpoint  a folder (or URL) in which groups leave their state at each evaluation; the same call resumes there
    start_from  states to start from instead of seeded ones: one for all, or one a model
    after       called after each step of a group with its number and how many there are
    last        a step and the (K, D) mixtures that the models go on with from there: runs of two phases
    """
    mixtures = checked(pool, mixtures, settings.seq_len)
    K = len(mixtures)
    seeds = _one_each(list(seeds), K, "seeds")
    rates = _one_each(list(settings.lr) if isinstance(settings.lr, tuple) else [settings.lr], K, "lr")
    states = None if start_from is None else _one_each(list(start_from), K, "start_from")
    made_from = "" if checkpoint is None else _made_from(pool, settings, states)
    began, before = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        size, reason = _group_size(pool, mixtures, settings, seeds)

        def train_group(first: int, device: str) -> dict[str, Any]:
            models = slice(first, min(first + size, K))
            order = _order(pool, mixtures[models], seeds[models], settings, last and (last[0], last[1][models]))
            own = None if states is None else states[models]
            group = group_of(pool, order, settings, rates[models], own, device)
            told = [last[0], last[1][models].tolist()] if last else []
            work = fingerprint(made_from, mixtures[models].tolist(), seeds[models], rates[models], *told)
            return group.train(Trail(checkpoint, first, work), keep_weights, after)

        parts = spread(range(0, K, size), settings.places(), train_group)
    finally:
        torch.set_num_threads(before)
    return FleetResult(
        bits_per_byte=np.concatenate([part["bits_per_byte"] for part in parts]),
        train_loss=np.concatenate([part["train_loss"] for part in parts]),
        steps=np.array(settings.evaluated(), np.int64),
        targets=pool.targets,
        domains=pool.names,
        mixtures=mixtures,
        seeds=np.array(seeds, np.int64),
        alive=np.concatenate([part["stopped"] for part in parts]) < 0,
        stopped=np.concatenate([part["stopped"] for part in parts]),
        epochs=_order(pool, mixtures, seeds, settings, last).epochs(settings.steps),
        tokens_per_model=settings.tokens_per_model,
        reason=reason,
        seconds=time.perf_counter() - began,
        weights=[state for part in parts for state in part["weights"]] if keep_weights else None,
    )


def spread(
    firsts: Sequence[int], places: Sequence[str], work: Callable[[int, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    """work(first, place) of each, in their order; each place takes the next when it is done with one, in a thread of
    its own. The first error of any is raised once the others have ended what they are at."""
    if len(places) == 1:
        return [work(first, places[0]) for first in firsts]
    free: queue.SimpleQueue[str] = queue.SimpleQueue()
    for place in places:
        free.put(place)

    def one(first: int) -> dict[str, Any]:
        place = free.get()
        try:
            return work(first, place)
        finally:
            free.put(place)

    with ThreadPoolExecutor(len(places), thread_name_prefix="fleet") as threads:
        futures = [threads.submit(one, first) for first in firsts]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            threads.shutdown(wait=True, cancel_futures=True)
        for future in done:
            future.result()  # an error is that of the group, not of one that was cancelled for it
        return [future.result() for future in futures]


def _order(
    pool: TokenPool,
    mixtures: np.ndarray,
    seeds: list[int],
    settings: FleetSettings,
    last: tuple[int, np.ndarray] | None,
) -> DataOrder:
    if last is None:
        return DataOrder(pool, mixtures, seeds, settings.seq_len, settings.sequences)
    return TwoPhases(pool, mixtures, seeds, settings.seq_len, settings.sequences, *last)


def _made_from(pool: TokenPool, settings: FleetSettings, states: list[Mapping[str, Tensor]] | None) -> str:
    """What a checkpoint is only good for: the same tokens, settings and starting weights."""
    digest = hashlib.blake2b(digest_size=16)
    for state in states or ():
        for name in sorted(state):
            digest.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    told = settings.model_dump(mode="json", exclude={"threads", "execution", "group", "compile", "devices"})
    return fingerprint(pool.fingerprint, told, digest.hexdigest())


def _group_size(pool: TokenPool, mixtures: np.ndarray, settings: FleetSettings, seeds: list[int]) -> tuple[int, str]:
    """Models to stack at a time, and why."""
    K = len(mixtures)
    if settings.group is not None:
        return min(settings.group, K), f"groups of {min(settings.group, K)}: as asked"
    if settings.execution == "sequential":
        return 1, "one model after another: as asked"
    most = min(fits(pool, settings, K), -(-K // settings.devices))  # no device goes without a group
    if settings.execution == "stacked":
        why = f"groups of {most}: memory holds no more"
        if most == -(-K // settings.devices):
            why = "all together: as asked" if settings.devices == 1 else f"groups of {most}: one for each device"
        return min(most, K), why
    return probe(pool, mixtures, settings, seeds, min(most, K))


def _one_each(values: list[Any], K: int, what: str) -> list[Any]:
    if len(values) == 1:
        return values * K
    if len(values) != K:
        raise RequestError(f"{what} has {len(values)} entries for {K} mixtures; give one for all or one for each")
    return values
