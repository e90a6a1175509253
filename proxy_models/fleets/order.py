"""The data order of a fleet: which rows each model reads at each step, a pure function of (seed, mixture, step).

Two pure parts. Which domain: after n rows a domain has had its share of n to within one row (the domain that lags
furthest behind its share is next). Which row of it: the domain's rows in an order that depends on the seed, the
domain's name and the epoch alone. So every model with the same seed reads a prefix of the same stream of each domain,
whatever its mixture: differences between mixtures are paired, and no state but the step has to be kept.
"""

import hashlib

import numpy as np

from ...corpus.compiling import compiled
from ...corpus.store.errors import RequestError
from .pool import TokenPool


class DataOrder:
    """Rows for K models. Steps may be asked in any order; going forward is cheapest.

    mixtures  (K, D) token shares, rows sum to one
    seeds     K integers: of the streams, one a model (equal seeds share streams)
    used      (K, D) rows of each domain that were read before, after which its stream goes on; none
    """

    def __init__(
        self,
        pool: TokenPool,
        mixtures: np.ndarray,
        seeds: list[int],
        seq_len: int,
        batch: int,
        used: np.ndarray | None = None,
    ) -> None:
        self.pool, self.seq_len, self.batch = pool, seq_len, batch
        self.mixtures, self.seeds = checked(pool, mixtures, seq_len), seeds
        self._base = np.concatenate([[0], np.cumsum(pool.tokens)])[:-1]  # (D,) where a domain begins in the pool
        self._streams: dict[tuple[int, int], np.ndarray] = {}
        self._step, self._counts = 0, np.zeros(self.mixtures.shape, np.int64)
        self._used = np.zeros(self.mixtures.shape, np.int64) if used is None else used

    def starts(self, step: int) -> np.ndarray:
        """(K, batch) int64: where each row of the step begins in the concatenated pool."""
        if step < self._step:
            self._step, self._counts = 0, np.zeros(self.mixtures.shape, np.int64)
        _skip(self.mixtures, self._counts, self._step * self.batch, (step - self._step) * self.batch)
        domains, uses = _draw(self.mixtures, self._counts, step * self.batch, self.batch)
        self._step = step + 1
        uses += np.take_along_axis(self._used, domains, 1)
        starts = np.empty_like(uses)
        for seed in set(self.seeds):
            models = np.array([other == seed for other in self.seeds])
            for d in np.unique(domains[models]):
                chosen = (domains == d) & models[:, None]
                stream = self._stream(seed, int(d), int(uses[chosen].max()) + 1)
                starts[chosen] = stream[uses[chosen]]
        return starts

    def counts(self, steps: int) -> np.ndarray:
        """(K, D) int64: rows that each model reads of each domain in `steps` steps."""
        counts = np.zeros(self.mixtures.shape, np.int64)
        _skip(self.mixtures, counts, 0, steps * self.batch)
        return counts

    def epochs(self, steps: int) -> np.ndarray:
        """(K, D) float64: passes over each domain in `steps` steps."""
        rows = np.array([domain.rows(self.seq_len) for domain in self.pool.domains])
        return self.counts(steps) / np.maximum(rows, 1)

    def _stream(self, seed: int, d: int, length: int) -> np.ndarray:
        """At least `length` row starts of domain d in the order of the seed, epoch after epoch."""
        known = self._streams.get((seed, d), np.zeros(0, np.int64))
        if len(known) < length:
            rows = self.pool.domains[d].rows(self.seq_len)
            parts = [known]
            for epoch in range(len(known) // rows, -(-length // rows)):
                order = row_order(seed, self.pool.domains[d].name, epoch, rows)
                parts.append(self._base[d] + order * self.seq_len)
            known = self._streams[(seed, d)] = np.concatenate(parts)
        return known


class TwoPhases(DataOrder):
    """The order of a run that changes its mixture: from step `begin` on the same streams under (K, D) `last`."""

    def __init__(
        self, pool: TokenPool, mixtures: np.ndarray, seeds: list[int], seq_len: int, batch: int,
        begin: int, last: np.ndarray,
    ) -> None:  # fmt: skip
        super().__init__(pool, mixtures, seeds, seq_len, batch)
        self.begin = begin
        self.last = DataOrder(pool, last, seeds, seq_len, batch, super().counts(begin))

    def starts(self, step: int) -> np.ndarray:
        return super().starts(step) if step < self.begin else self.last.starts(step - self.begin)

    def counts(self, steps: int) -> np.ndarray:
        return super().counts(min(steps, self.begin)) + self.last.counts(max(0, steps - self.begin))


def checked(pool: TokenPool, mixtures: np.ndarray, seq_len: int) -> np.ndarray:
    """The mixtures with rows that sum to one exactly; a RequestError for shares that cannot be honoured."""
    mixtures = np.array(mixtures, np.float64)
    if mixtures.ndim != 2 or mixtures.shape[1] != len(pool.domains):
        raise RequestError(
            f"mixtures have shape {mixtures.shape}, the pool has {len(pool.domains)} domains: {pool.names}"
        )
    if not np.isfinite(mixtures).all() or (mixtures < 0).any() or (abs(mixtures.sum(1) - 1) > 1e-6).any():
        raise RequestError("a mixture needs shares of at least 0 that sum to 1")
    for d, domain in enumerate(pool.domains):
        if not domain.rows(seq_len) and (mixtures[:, d] > 0).any():
            raise RequestError(
                f"domain {domain.name} has {len(domain.tokens)} tokens, a row needs {seq_len + 1}; "
                f"give it no share, or shorten seq_len"
            )
    return mixtures / mixtures.sum(1, keepdims=True)


def row_order(seed: int, name: str, epoch: int, rows: int) -> np.ndarray:
    """(rows,) int64: a permutation that depends on nothing but the arguments (splitmix64 of the row under a key)."""
    key = hashlib.blake2b(f"{seed}/{name}/{epoch}".encode(), digest_size=8).digest()
    mixed = np.arange(rows, dtype=np.uint64) + np.uint64(int.from_bytes(key, "little"))
    with np.errstate(over="ignore"):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")


@compiled
def _next(shares, counts, n):  # (D,), (D,) int64, rows drawn after this one -> the domain furthest behind its share
    best, lag = 0, -np.inf
    for d in range(len(shares)):
        behind = shares[d] * n - counts[d]
        if shares[d] > 0 and behind > lag:
            best, lag = d, behind
    return best


@compiled
def _draw(mixtures, counts, first, n):  # (K, D), (K, D) int64 in and out -> domain (K, n), use of that domain (K, n)
    K = len(mixtures)
    domains, uses = np.empty((K, n), np.int64), np.empty((K, n), np.int64)
    for k in range(K):
        for i in range(n):
            d = _next(mixtures[k], counts[k], first + i + 1)
            domains[k, i], uses[k, i] = d, counts[k, d]
            counts[k, d] += 1
    return domains, uses


@compiled
def _skip(mixtures, counts, first, n):  # the same, but for the counts alone
    for k in range(len(mixtures)):
        for i in range(n):
            counts[k, _next(mixtures[k], counts[k], first + i + 1)] += 1
