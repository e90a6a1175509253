"""A selection by one score, pass by pass: sizes, summaries of the order, the rows near the cut. No pass holds all rows.

Refuses a budget that is smaller than every unit, and a threshold that no score reaches.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ....corpus.store.errors import RequestError
from ....proxy_models.scoring import selection
from ...engine.graph import Work
from ...engine.stage import Plan
from .cut import EDGES, Groups, Inside, cut_of, grouped, inside, interval, places_of
from .rows import ScoredUnits, units_of
from .settings import SelectSettings

Measured = tuple[Work, int, float, float, float]
Told = dict[str, Any]  # what a shard is told: budget, then the interval, then the cut; or which units are kept


def measure(work: Work, plan: Plan[SelectSettings]) -> Iterator[Measured]:
    """(item, units, their size, the smallest one's, the largest key; nan where none has a score)."""
    own = units_of(work, plan)
    smallest = float(own.sizes.min()) if len(own.sizes) else float("inf")
    known = own.keys[~np.isnan(own.keys)]
    yield work, len(own.sizes), float(own.sizes.sum()), smallest, float(known.max()) if len(known) else float("nan")


def within(read: Iterator[Measured], plan: Plan[SelectSettings]) -> Iterator[tuple[str, tuple[Work, Told]]]:
    """Every shard with the budget; a threshold is the cut already."""
    settings = plan.settings
    parts = sorted(read, key=lambda part: part[0].name)
    told: Told = {"parts": len(parts), "units": sum(part[1] for part in parts)}
    keys = [part[4] for part in parts if not np.isnan(part[4])]
    told |= {"smallest": min((part[3] for part in parts), default=0.0), "scored": bool(keys)}
    if settings.threshold is not None:
        told |= {"budget": float("inf"), "least": least_key(settings, max(keys, default=None))}
    else:
        told["budget"] = settings.tokens or (settings.share or 0.0) * sum(part[2] for part in parts)
    yield from ((part[0].name, (part[0], told)) for part in parts)


def least_key(settings: SelectSettings, largest: float | None) -> float:
    """The threshold as a key. RequestError where not even the largest key (None: nothing has a score) reaches it."""
    assert settings.threshold is not None
    sign = -1.0 if settings.smallest else 1.0
    if largest is not None and largest < sign * settings.threshold:
        found = "below" if settings.smallest else "above"
        raise RequestError(
            f"select: no score is {settings.threshold:g} or {found}, so nothing would be kept; the "
            f"{'smallest' if settings.smallest else 'largest'} is {sign * largest:g}"
        )
    return sign * settings.threshold


def group_shard(group: tuple[str, Iterable[Any]], plan: Plan[SelectSettings]) -> Iterator[tuple[Work, Told, Groups]]:
    """The summary of each shard."""
    for work, told in group[1]:
        own = units_of(work, plan)
        stand = own.standing(told["budget"])
        yield work, told, grouped(standing_places(own, stand, plan), own.sizes[stand], told["parts"])


def standing_places(own: ScoredUnits, stand: np.ndarray, plan: Plan[SelectSettings]) -> np.ndarray:
    return places_of(own.keys[stand], selection.uniform([own.names[row] for row in stand], plan.settings.seed))


def narrow(read: Iterator[Any], plan: Plan[SelectSettings]) -> Iterator[tuple[str, tuple[Work, Told]]]:
    """Every shard with the interval that the cut lies in."""
    parts = sorted(read, key=lambda part: part[0].name)
    if parts:
        between = interval([groups for _, _, groups in parts], parts[0][1]["budget"])
        yield from ((work.name, (work, {**told, "between": between})) for work, told, _ in parts)


def look_inside(group: tuple[str, Iterable[Any]], plan: Plan[SelectSettings]) -> Iterator[tuple[Work, Told, Inside]]:
    """What each shard has of the interval."""
    for work, told in group[1]:
        own = units_of(work, plan)
        stand = own.standing(told["budget"])
        names = [own.names[row] for row in stand]
        yield work, told, inside(standing_places(own, stand, plan), own.sizes[stand], names, told["between"])


def settle(read: Iterator[Any], plan: Plan[SelectSettings]) -> Iterator[tuple[str, tuple[Work, Told]]]:
    """Every shard with the cut. RequestError where nothing fits into the budget."""
    parts = sorted(read, key=lambda part: part[0].name)
    if not parts:
        return
    told = parts[0][1]
    found = cut_of([own for _, _, own in parts], told["budget"])
    if found.place == EDGES[0] and told["scored"]:
        raise too_small(plan, told["budget"], told["units"], told["smallest"])
    yield from ((work.name, (work, {"budget": told["budget"], "cut": found})) for work, _, _ in parts)


def too_small(plan: Plan[SelectSettings], budget: float, units: int, smallest: float) -> RequestError:
    return RequestError(
        f"select: nothing fits into a budget of {budget:,.0f}: the smallest of {units:,} {plan.settings.unit} "
        f"has {smallest:,.0f}; ask for a larger share or for more tokens"
    )
