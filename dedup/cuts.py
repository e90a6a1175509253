"""Which repeats are cut out of a document, and the text that is left.

The most frequent repeats go first; a cut that would leave less than the protected share of the document's characters
is not made. So a document made of boilerplate alone keeps its rarest part, and no cut ever leaves an empty text.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Cut(NamedTuple):
    """A span of bytes to be cut: where, by which rule, and how many documents contain it."""

    start: int
    end: int
    rule: str
    documents: int


def choose_cuts(cuts: Sequence[Cut], size: int, protected: float) -> list[Cut]:
    """The cuts to be made, by start, not overlapping. size: bytes of the text; protected: share that must stay."""
    budget = size - max(1, int(protected * size + 0.999999))
    taken: list[Cut] = []
    free = _Free(cuts)
    for cut in sorted(cuts, key=lambda c: (-c.documents, c.start, -c.end, c.rule)):
        for first, last in free.parts(cut):
            piece = cut._replace(start=free.places[first], end=free.places[last])
            if piece.end - piece.start <= budget:
                budget -= piece.end - piece.start
                taken.append(piece)
                free.take(first, last)
    return sorted(taken)


class _Free:
    """Which stretches between neighbouring ends of cuts are not taken yet. A taken one is passed over but once."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self.places = sorted({place for cut in cuts for place in (cut.start, cut.end)})
        self._number = {place: number for number, place in enumerate(self.places)}
        self._next = list(range(len(self.places) + 1))  # the first free stretch from each on, by path halving

    def _from(self, stretch: int) -> int:
        while self._next[stretch] != stretch:
            self._next[stretch] = self._next[self._next[stretch]]
            stretch = self._next[stretch]
        return stretch

    def parts(self, cut: Cut) -> list[tuple[int, int]]:
        """(first, last) numbers of the places that bound each free part of a cut."""
        at, end = self._number[cut.start], self._number[cut.end]
        found: list[tuple[int, int]] = []
        while (at := self._from(at)) < end:
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], at + 1)
            else:
                found.append((at, at + 1))
            at += 1
        return found

    def take(self, first: int, last: int) -> None:
        """Take the stretches between two places."""
        for stretch in range(first, last):
            self._next[stretch] = stretch + 1


def apply_cuts(text: str, cuts: Sequence[Cut]) -> tuple[str, list[dict[str, Any]]]:
    """The text without the cuts, and what was cut as [start, end) in characters of the text before, with the rule."""
    octets = text.encode()
    parts, removed, position, place = [], [], 0, 0
    for cut in cuts:
        kept = octets[position : cut.start].decode()
        gone = octets[cut.start : cut.end].decode()
        parts.append(kept)
        removed.append({"start": place + len(kept), "end": place + len(kept) + len(gone), "rule": cut.rule})
        place += len(kept) + len(gone)
        position = cut.end
    parts.append(octets[position:].decode())
    return "".join(parts), removed


def merged(cuts: Sequence[Cut]) -> list[Cut]:
    """Overlapping spans of one rule as one span, which has the smallest count of its parts; neighbours stay apart."""
    out: list[Cut] = []
    for cut in sorted(cuts, key=lambda c: (c.rule, c.start, c.end)):
        if out and out[-1].rule == cut.rule and cut.start < out[-1].end:
            before = out.pop()
            cut = Cut(before.start, max(before.end, cut.end), cut.rule, min(before.documents, cut.documents))
        out.append(cut)
    return out
