"""Pieces of a text, as the log of removals knows them and as the proof of absence looks for them.

A piece is a run of 25 words, folded as `dedup` folds; one in eight is kept, chosen by its hash, so that the same pieces
are chosen wherever they stand, and any copied run of a few sentences holds one with near certainty. A text shorter than
a piece is known by its words in order. Refuses nothing.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ...dedup.shingles import shingle

WORDS, KEPT = 25, 8


def wholes(texts: pa.Array) -> list[bytes]:
    """16 bytes of each text's words in order; equal for texts that differ in case, spaces and signs alone."""
    return [row.tobytes() for row in shingle(texts).content]


def chosen_pieces(texts: pa.Array) -> Iterator[np.ndarray]:
    """(P,) uint64 hashes of each text's chosen pieces, distinct."""
    sets = shingle(texts, size=WORDS, one_in=KEPT)
    for d in range(len(texts)):
        yield sets.hashes[sets.offsets[d] : sets.offsets[d + 1]]


def known_by(texts: pa.Array) -> tuple[list[bytes], np.ndarray]:
    """`wholes` of the texts, and (P,) uint64 the chosen pieces of all of them, in one pass."""
    sets = shingle(texts, size=WORDS, one_in=KEPT)
    return [row.tobytes() for row in sets.content], sets.hashes
