"""Which rows a score selects under a budget: pure functions of scores, sizes and ids.

Every choice is an order and a prefix of it. Ties and noise come from hashes of ids, so the outcome does not depend on
shards, workers or the order of rows, and no row is taken twice.

Shapes: N rows. A score that is NaN is absent: its row comes after all others and is never taken.
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def uniform(ids: Sequence[str], seed: int) -> np.ndarray:
    """(N,) float64 in (0, 1): a draw for each id that depends on the id and the seed alone."""
    key = f"select/{seed}/".encode()
    draws = (int.from_bytes(hashlib.blake2b(key + id.encode(), digest_size=8).digest(), "big") for id in ids)
    return (np.fromiter((draw >> 11 for draw in draws), np.float64, len(ids)) + 0.5) / 2.0**53


def perturbed(scores: np.ndarray, ids: Sequence[str], seed: int, temperature: float) -> np.ndarray:
    """(N,) scores plus Gumbel noise times temperature: their top n are n draws without replacement, in proportion to
    exp(score / temperature) (the Gumbel top-k of DSIR)."""
    return scores - temperature * np.log(-np.log(uniform(ids, seed)))


def ranking(keys: np.ndarray, ids: Sequence[str], seed: int) -> np.ndarray:
    """(N,) row numbers, the largest key first; equal keys in the order of their draws, absent ones last."""
    absent = np.isnan(keys)
    return np.lexsort((np.asarray(ids), uniform(ids, seed), -np.where(absent, 0, keys), absent))


def prefix(order: np.ndarray, sizes: np.ndarray, budget: float) -> np.ndarray:
    """The leading rows of the order whose sizes together do not exceed the budget.

    A row that alone is larger than the whole budget can never be taken, so it is passed over and does not end the rest.
    """
    order = order[sizes[order] <= budget]
    return order[np.cumsum(sizes[order]) <= budget]


def in_turn(orders: Sequence[np.ndarray], sizes: np.ndarray, budget: float) -> np.ndarray:
    """Rows taken from several orders in turn, each giving its best that no other has taken, within the budget.

    Rows larger than the whole budget are passed over, as by `prefix`.
    """
    orders = [order[sizes[order] <= budget] for order in orders]
    taken = np.zeros(len(sizes), bool)
    places, chosen, used = [0] * len(orders), [], 0.0
    while any(place < len(order) for place, order in zip(places, orders, strict=True)):
        for which, order in enumerate(orders):
            while places[which] < len(order) and taken[order[places[which]]]:
                places[which] += 1
            if places[which] == len(order):
                continue
            row = order[places[which]]
            if used + sizes[row] > budget:
                return np.array(chosen, np.int64)
            taken[row] = True
            used += sizes[row]
            chosen.append(row)
    return np.array(chosen, np.int64)


def overlap(a: np.ndarray, b: np.ndarray, sizes: np.ndarray) -> float:
    """Size of what both selections hold, relative to the smaller of them; NaN where one is empty."""
    smaller = min(sizes[a].sum(), sizes[b].sum())
    return float(sizes[np.intersect1d(a, b)].sum() / smaller) if smaller else float("nan")
