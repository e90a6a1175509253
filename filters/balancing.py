"""Balancing by concept (MetaCLIP, Xu et al. 2023): frequent concepts are thinned, rare ones are kept whole.

A concept with c matches keeps each of its documents with probability min(1, cap / c), by independent draws; a document
with several concepts stays if any draw keeps it, so one with a tail concept always stays. The draw of a document and
a concept is a hash of both and the seed: the same on any machine, in any order, with any sharding. Hosts and clusters
are concepts like any other.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..corpus.store.errors import RequestError
from .urls import automaton


class Concepts:
    """Concepts of a list, looked for as whole words in one pass over a text; ASCII case is ignored."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted({name.strip().lower() for name in names if name.strip()}))
        if not self.names:
            raise RequestError("a list of concepts without a single concept")
        self._automaton = automaton()
        for place, name in enumerate(self.names):
            self._automaton.add_word(name, (place, len(name)))
        self._automaton.make_automaton()

    def of(self, text: str) -> list[int]:
        """Places in `names` of the concepts that occur in the text, each once, in order."""
        text = text.lower()
        found = set()
        for end, (place, size) in self._automaton.iter(text):
            start = end - size + 1
            before = start == 0 or not (text[start - 1].isalnum() and text[start].isalnum())
            after = end + 1 == len(text) or not (text[end + 1].isalnum() and text[end].isalnum())
            if before and after:
                found.add(place)
        return sorted(found)


def count(matches: Iterable[Sequence[int]], concepts: int) -> np.ndarray:
    """(concepts,) int64: in how many documents each concept occurs. Counts of parts add up."""
    totals = np.zeros(concepts, np.int64)
    for found in matches:
        totals[list(found)] += 1
    return totals


def draw(document: str, concept: str, seed: int) -> float:
    """A number in [0, 1) that depends on these three alone."""
    text = f"{seed}\x00{concept}\x00{document}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64


def keeps(
    document: str, found: Sequence[str], counts: Mapping[str, int], cap: int, seed: int = 0
) -> tuple[bool, float]:
    """Whether the document stays, and the chance that it had; without a concept it goes (chance 0)."""
    chances = [min(1.0, cap / counts[name]) for name in found]
    stays = any(draw(document, name, seed) < chance for name, chance in zip(found, chances, strict=True))
    lost = 1.0
    for chance in chances:
        lost *= 1 - chance
    return stays, 1 - lost


def cap_for_tail_share(counts: np.ndarray, share: float) -> int:
    """The cap at which concepts not thinned hold this share of all matches; MetaCLIP 2 fixes the share, not the cap."""
    if not 0 < share < 1:
        raise RequestError(f"the tail's share must lie between 0 and 1, not {share}")
    ordered = np.sort(counts[counts > 0])
    within = np.cumsum(ordered) / ordered.sum() if len(ordered) else np.zeros(0)
    place = int(np.searchsorted(within, share, side="right"))
    return int(ordered[max(place - 1, 0)]) if len(ordered) else 1
