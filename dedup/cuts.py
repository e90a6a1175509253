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
    for cut in sorted(cuts, key=lambda c: (-c.documents, c.start, -c.end, c.rule)):
        for piece in _without(cut, taken):
            if piece.end - piece.start <= budget:
                budget -= piece.end - piece.start
                taken.append(piece)
    return sorted(taken)


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


def _without(cut: Cut, taken: Sequence[Cut]) -> list[Cut]:
    """The parts of a cut that are not taken yet."""
    parts = [cut]
    for other in taken:
        parts = [
            part._replace(start=start, end=end)
            for part in parts
            for start, end in ((part.start, min(part.end, other.start)), (max(part.start, other.end), part.end))
            if start < end
        ]
    return parts
