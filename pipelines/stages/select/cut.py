"""The cut of a weighted order, found from summaries of parts that merge: no worker ever holds all rows.

Rows stand in the order of their places: largest key first, equal keys in the order of their draws, equal draws in that
of their ids (`proxy_models.scoring.selection.ranking`). A place is a complex number, minus key and draw: numpy orders
so. Each part gives a summary: its rows in `GROUPS` groups of about equal size. From all summaries follows an
interval of places that the cut lies in; the few rows inside are then looked at one by one. The choice is that of
sorting everything (`selection.prefix`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GROUPS, MOST = 1024, 1 << 22  # groups of a part, and of all parts together
EDGES = (complex(-np.inf, -np.inf), complex(np.inf, np.inf))


@dataclass(frozen=True)
class Groups:
    """Rows of a part in the order of their places: first and last place of each group, and its size."""

    first: np.ndarray
    last: np.ndarray
    size: np.ndarray


@dataclass(frozen=True)
class Inside:
    """What a part has of an interval of places: the size before it and the last place there, and the rows inside."""

    before: float
    last: complex
    places: np.ndarray
    sizes: np.ndarray
    units: Sequence[str]


@dataclass(frozen=True)
class WeightedCut:
    """The last row that is taken; `place` before all others where none is."""

    place: complex
    unit: str

    def taken(self, places: np.ndarray, units: Sequence[str]) -> np.ndarray:
        """(N,) bool: whether rows stand at or before the cut."""
        kept = places < self.place
        for row in np.flatnonzero(places == self.place).tolist():
            kept[row] = units[row] <= self.unit
        return kept


def places_of(keys: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(N,) places of rows by keys, which are numbers, and draws."""
    return np.negative(keys) + 0.0 + 1j * draws if np.isfinite(keys).all() else _exactly(keys, draws)


def _exactly(keys: np.ndarray, draws: np.ndarray) -> np.ndarray:
    places = np.empty(len(keys), np.complex128)
    places.real, places.imag = -keys, draws
    return places


def grouped(places: np.ndarray, sizes: np.ndarray, parts: int) -> Groups:
    """The summary of a part, one of so many."""
    order = np.argsort(places, kind="stable")
    places, sizes = places[order], sizes[order].astype(np.float64)
    most = min(GROUPS, max(16, MOST // max(1, parts)))
    if len(places) <= most:
        return Groups(places, places, sizes)
    total = np.cumsum(sizes)
    wanted = np.linspace(0, total[-1], most, endpoint=False)
    begins = np.unique(np.concatenate([[0], np.searchsorted(total, wanted[1:], "left")]))
    begins = begins[begins < len(places)]
    ends = np.append(begins[1:], len(places)) - 1
    return Groups(places[begins], places[ends], np.add.reduceat(sizes, begins))


def interval(parts: Sequence[Groups], budget: float) -> tuple[complex, complex]:
    """(a, b): every row at or before place a is taken, every row at or after place b is not."""
    if not parts or not sum(len(part.size) for part in parts):
        return EDGES
    first, last, size = (np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "last", "size"))
    by_first, by_last = np.argsort(first, kind="stable"), np.argsort(last, kind="stable")
    most = np.cumsum(size[by_first])  # no more than that stands at or before the first place of a group
    begins = first[by_first]
    least = np.cumsum(size[by_last])  # as much stands at or before the last place of a group
    ends = last[by_last]
    sure = np.flatnonzero(most <= budget)
    over = np.flatnonzero(least > budget)
    before = begins[sure[-1] + 1] if len(sure) and sure[-1] + 1 < len(begins) else None
    a = EDGES[0] if not len(sure) else EDGES[1] if before is None else _just_before(complex(before))
    return a, (EDGES[1] if not len(over) else _just_after(complex(ends[over[0]])))


def _just_before(place: complex) -> complex:
    return complex(place.real, np.nextafter(place.imag, -np.inf))


def _just_after(place: complex) -> complex:
    return complex(place.real, np.nextafter(place.imag, np.inf))


def inside(places: np.ndarray, sizes: np.ndarray, units: Sequence[str], between: tuple[complex, complex]) -> Inside:
    """What a part has of the interval."""
    before = places <= between[0]
    rows = np.flatnonzero(~before & (places < between[1]))
    last = complex(np.sort(places[before])[-1]) if before.any() else EDGES[0]
    return Inside(
        float(sizes[before].sum()),
        last,
        places[rows],
        sizes[rows].astype(np.float64),
        [units[r] for r in rows.tolist()],
    )


def cut_of(parts: Sequence[Inside], budget: float) -> WeightedCut:
    """Where the rows that fit into the budget end."""
    used = sum(part.before for part in parts)
    lasts = [part.last for part in parts]
    end = WeightedCut(complex(np.sort(np.array(lasts))[-1]) if lasts else EDGES[0], "\U0010ffff")
    places = np.concatenate([part.places for part in parts]) if parts else np.zeros(0, np.complex128)
    sizes = np.concatenate([part.sizes for part in parts]) if parts else np.zeros(0)
    units = np.array([unit for part in parts for unit in part.units])
    if not len(places):
        return end
    order = np.lexsort((units, np.imag(places), np.real(places)))
    fits = np.flatnonzero(used + np.cumsum(sizes[order]) <= budget)
    return WeightedCut(complex(places[order[fits[-1]]]), str(units[order[fits[-1]]])) if len(fits) else end
