"""Which document of a cluster survives: a declared, total order over what is known of each, never over arrival.

An order is a sequence of keys, compared one after the other; the id decides what is left, so it is always total.
A document that lacks a key's value loses to one that has it.
"""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..corpus.store.errors import unknown_name

ORDERS = ("earliest", "latest", "longest", "shortest")
SIGNAL = re.compile(r"(highest|lowest):([A-Za-z_][\w]*(?:\.[A-Za-z_][\w]*)+)")


def check_order(order: tuple[str, ...]) -> None:
    """Refuse a key that is none of ORDERS, and neither `highest:FAMILY.SIGNAL` nor `lowest:FAMILY.SIGNAL`."""
    for key in order:
        if key not in ORDERS and not SIGNAL.fullmatch(key):
            raise unknown_name(
                "survivor order", key, [*ORDERS, "highest:family.signal", "lowest:family.signal"], "dedup"
            )


def signals_of(order: tuple[str, ...]) -> list[str]:
    """The signals that the order needs, as family.signal."""
    return [match[2] for key in order if (match := SIGNAL.fullmatch(key))]


def order_columns(
    order: tuple[str, ...], date: np.ndarray, length: np.ndarray, signals: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """The order as columns of float64 in which the smallest wins; an absent value is infinite.

    date (N,) float64 seconds, nan where absent; length (N,) int64; signals name -> (N,) float64, nan where absent
    """
    columns = []
    for key in order:
        match = SIGNAL.fullmatch(key)
        if match:
            values = signals[match[2]] if match[1] == "lowest" else -signals[match[2]]
        elif key in ("earliest", "latest"):
            values = date if key == "earliest" else -date
        else:
            values = np.asarray(length, np.float64) * (1 if key == "shortest" else -1)
        columns.append(np.where(np.isnan(values), np.inf, values))
    return columns


def choose(cluster: np.ndarray, columns: list[np.ndarray], ids: pa.Array) -> np.ndarray:
    """Index of the survivor of each row's cluster.

    cluster (N,) any integer; columns as from `order_columns`; ids (N,) string -> (N,) int64
    """
    by_id = np.empty(len(ids), np.int64)
    by_id[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    order = np.lexsort((by_id, *reversed(columns), cluster))
    ordered = np.asarray(cluster)[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]][: len(order)]
    best = order[first][np.cumsum(first) - 1]
    out = np.empty(len(order), np.int64)
    out[order] = best
    return out
