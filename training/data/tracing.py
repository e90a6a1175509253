"""Where a document is read: the loader's arithmetic, backwards.

A document lies in a few rows of its domain's packing; a row is drawn at a few places of the run. Both directions are
permutations that can be computed either way, so the steps that read a document are found without reading the run.
Refuses nothing: a document of a domain without a share is read nowhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .loader import Loader, Part, Stretch
from .packing import Rows
from .permutation import derive, key_of, unpermute


@dataclass(frozen=True, order=True)
class TokenReading:
    """One row of one step that holds tokens of the document.

    step, place  of the run, from 0; the row within the step, over all ranks
    phase        from 1
    epoch        passes over what the phase uses of the domain that came before
    row          of the domain's packing, `seq_len` tokens long
    first, last  tokens of the document that the row holds, as [first, last) in the document as it is packed
    """

    step: int
    place: int
    phase: int
    epoch: int
    row: int
    seq_len: int
    first: int
    last: int


def readings(loader: Loader, name: str, document: int) -> list[TokenReading]:
    """Every row of the run in which a document of a domain (its number in `TokenDomain`) is read, in run order."""
    if name not in loader.names:
        return []
    d = loader.names.index(name)
    return sorted(one for number in range(len(loader.parts)) for one in _of_phase(loader, number, d, document))


def rows_of(rows: Rows, document: int) -> list[tuple[int, int, int]]:
    """(row, first, last) of the rows that hold tokens of a document, as inputs or as the last target.

    document  its number among those that the rows were made of
    """
    length = rows.packing.seq_len
    if rows.packing.kind == "concat":
        begin, end = int(rows.stream[document]), int(rows.stream[document + 1])
        held = range(max(0, -(-(begin - length) // length)), min((end - 1) // length, len(rows) - 1) + 1)
        return [(r, max(0, r * length - begin), min(end, (r + 1) * length + 1) - begin) for r in held]
    first, doc, begin, size, _ = rows.plan
    found = []
    for piece in np.flatnonzero(doc == document).tolist():
        row = int(np.searchsorted(first, piece, side="right")) - 1
        found.append((row, int(begin[piece]), int(min(begin[piece] + size[piece], rows.lengths[document]))))
    return found


def _of_phase(loader: Loader, number: int, d: int, document: int) -> Iterator[TokenReading]:
    begin = int(loader.ends[number - 1]) if number else 0
    for bucket, part in enumerate(loader.parts[number]):
        source = part.sources[d]
        if source is None or not len(source):
            continue
        own = _number_among(loader, number, d, document)
        for row, first, last in rows_of(source, own) if own is not None else ():
            for epoch, place in _draws(loader, part, d, row):
                count = loader.batch_tokens // part.packing.seq_len
                step = place // count
                if len(loader.orders[number]):
                    step = int(np.flatnonzero(loader.orders[number] == bucket)[step])
                yield TokenReading(
                    begin + step, place % count, number + 1, epoch, row, part.packing.seq_len, first, last
                )


def _number_among(loader: Loader, number: int, d: int, document: int) -> int | None:
    """The document's number among those that a phase reads of its domain; None where it reads only better ones."""
    phase, name = loader.phases[number], loader.names[d]
    share = phase.subset.get(name, 1.0)
    if not phase.best or share >= 1.0:
        return document
    best = loader.domains[name].best(share)
    at = int(np.searchsorted(best, document))
    return at if at < len(best) and best[at] == document else None


def _draws(loader: Loader, part: Part, d: int, row: int) -> Iterator[tuple[int, int]]:
    """(epoch, place among the part's rows) of every time a row of a domain is drawn."""
    source, used = part.sources[d], int(part.subset[d])
    assert source is not None
    key = key_of(loader.seed, "rows", loader.names[d], part.packing.name)
    slot = int(unpermute(row, len(source), _derived(key, 0))) if used < len(source) else row
    if slot >= used:
        return  # in no part that the phase repeats
    first = int(part.stretch.before[d])
    last = first + int(part.stretch.draws[d])
    for epoch in range(first // used, -(-last // used)):
        draw = epoch * used + int(unpermute(slot, used, _derived(key, epoch + 1)))
        if first <= draw < last:
            yield epoch, place_of(part.stretch, d, draw - first)


def place_of(stretch: Stretch, d: int, draw: int) -> int:
    """Row number within a stretch of the `draw`-th row of domain d in it: what `Stretch.locate` undoes."""
    counts = int(stretch.counts[d])
    number = min(draw // counts, stretch.full) if counts else stretch.full
    own = stretch.tail if number == stretch.full else stretch.counts
    slot = int(own[:d].sum()) + draw - number * counts
    return number * stretch.block + int(unpermute(slot, int(own.sum()), _derived(stretch.key, number)))


def _derived(key: np.uint64, number: int) -> np.uint64:
    return np.uint64(derive(key, number))  # compiled functions give back a Python integer
