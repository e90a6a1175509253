"""Code and formulas between kept blocks stay with them."""

import numpy as np

from ..text.blocks import Blocks
from ..text.formulas import OPEN


def keep_exact(blocks: Blocks, kept: np.ndarray, marked: bytes) -> None:
    """Keep code and formulas between kept blocks: they look like no prose and are not to be judged as such.

    marked   the serialised page where its formulas are marks, else nothing
    """
    special = blocks.pre > 0
    if MARK_BYTES in marked:
        for start, end, block, _ in blocks.segments.tolist():
            special[block] |= MARK_BYTES in marked[start:end]
    if not special.any():
        return
    prose = np.flatnonzero(kept & ~special)
    for b in np.flatnonzero(special & ~kept):
        near = np.searchsorted(prose, b)
        beside = [abs(int(prose[at]) - b) for at in (near - 1, near) if 0 <= at < len(prose)]
        kept[b] = bool(beside) and min(beside) <= NEAR_PROSE


NEAR_PROSE = 40  # blocks; a listing may have a block for every line
MARK_BYTES = OPEN.encode()
