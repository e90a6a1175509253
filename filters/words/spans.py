"""Pieces of the texts of a batch: offsets into its bytes and hashes, never strings. Measures and refuses nothing."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spans:
    """Pieces of the texts of a batch, in order. S pieces in D documents."""

    bounds: np.ndarray  # (D+1,) int64, document d has the pieces bounds[d] to bounds[d+1]
    start: np.ndarray  # (S,) int64 first byte
    end: np.ndarray  # (S,) int64 byte after the last
    hash: np.ndarray  # (S,) uint64 of the bytes
    chars: np.ndarray  # (S,) int32 code points
    flags: np.ndarray  # (S,) uint16, classes of the characters, or-ed; of words only

    def __len__(self) -> int:
        return len(self.start)
