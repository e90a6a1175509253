"""Documents that are, or hold, a given text: every document is compared, none is guessed.

Two measures over word 5-grams, folded as `dedup` folds: Jaccard similarity, and containment, the share of the given
text's 5-grams that the document has, which finds a text within a longer page. Refuses a text without a word.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...corpus.store.errors import RequestError
from ...corpus.store.workspace import Workspace
from ...dedup.shingles import shingle

BATCH = 2048


@dataclass(frozen=True)
class NearCopy:
    """A document and the given text that it is near to."""

    id: str
    url: str | None
    named: str
    jaccard: float
    containment: float


def near_copies(workspace: Workspace, texts: Mapping[str, str], similarity: float) -> list[NearCopy]:
    """Documents of which Jaccard similarity or containment reaches `similarity` for one of the texts, best first."""
    asked = {}
    for name, text in texts.items():
        asked[name] = shingle(pa.array([text])).hashes
        if not len(asked[name]):
            raise RequestError(f"{name}: the text has no word to look for")
    found: list[NearCopy] = []
    for batch in workspace.table("documents").read(["id", "url", "text"]):
        sets = shingle(batch["text"])
        for name, own in asked.items():
            held = np.isin(sets.hashes, own, assume_unique=False)
            counts = np.concatenate(([0], np.cumsum(held)))
            shared = counts[sets.offsets[1:]] - counts[sets.offsets[:-1]]
            sizes = np.diff(sets.offsets)
            containment = shared / len(own)
            jaccard = shared / np.maximum(1, sizes + len(own) - shared)
            for row in np.flatnonzero(np.maximum(containment, jaccard) >= similarity):
                found.append(
                    NearCopy(
                        batch["id"][int(row)].as_py(),
                        batch["url"][int(row)].as_py(),
                        name,
                        round(float(jaccard[row]), 4),
                        round(float(containment[row]), 4),
                    )
                )
    return sorted(found, key=lambda one: (-max(one.jaccard, one.containment), one.id))
