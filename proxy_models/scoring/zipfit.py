"""ZIP-FIT: how well a target example helps to compress a document (Obbad et al. 2024).

`score` is the mean over target examples x of 1 - NCD(x, y), where
NCD(x, y) = (C(xy) - min(C(x), C(y))) / max(C(x), C(y)) and C is the length after DEFLATE.

Pitfalls of the measure that are handled: level 0 of zlib stores and compresses nothing, so it is refused; DEFLATE sees
32 KiB back, so a document is cut into pieces that leave the example in sight, and scored by the mean of its pieces
weighted by their length; NCD compares lengths, so examples are no longer than pieces, and a long document is no less
like them than one piece of it. A document much shorter than a piece still looks unlike the examples whatever it says;
examples cut to its length select worse (see DECISIONS.md).
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from ...corpus.store.errors import RequestError
from ..settings import ZipfitSettings as ZipfitSettings
from .sampling import Samples

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("score", pa.float64()),  # null for an empty text
        ("pieces", pa.int64()),
    ]
)


class Zipfit:
    """Scores documents against target examples."""

    schema = SCHEMA

    def __init__(self, examples: Sequence[bytes], settings: ZipfitSettings) -> None:
        self.settings = settings
        self.alone = np.array([_length(example, settings.level) for example in examples])
        self.primed = []
        for example in examples:  # compressed once; each document goes on from a copy of the compressor
            compressor = zlib.compressobj(settings.level)
            self.primed.append((compressor, len(compressor.compress(example))))

    def score(self, ids: Sequence[str], texts: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """One batch, rows in the order given."""
        scores, counts = np.zeros(len(ids)), np.zeros(len(ids), np.int64)
        for row, text in enumerate(texts):
            own = pieces(text.encode(), self.settings.piece_bytes)
            counts[row] = len(own)
            if own:
                sizes = [len(piece) for piece in own]
                scores[row] = np.average([self._similarity(piece) for piece in own], weights=sizes)
        yield pa.RecordBatch.from_arrays(
            [pa.array(list(ids)), pa.array(scores, mask=counts == 0), pa.array(counts)], schema=SCHEMA
        )

    def _similarity(self, piece: bytes) -> float:
        alone = _length(piece, self.settings.level)
        together = np.empty(len(self.primed))
        for place, (compressor, before) in enumerate(self.primed):
            further = compressor.copy()
            together[place] = before + len(further.compress(piece)) + len(further.flush())
        distance = (together - np.minimum(self.alone, alone)) / np.maximum(self.alone, alone)
        return float(1 - distance.mean())


def pieces(data: bytes, size: int) -> list[bytes]:
    """Consecutive pieces of about equal length, none longer than `size`."""
    if not data:
        return []
    count = -(-len(data) // size)
    ends = [len(data) * (i + 1) // count for i in range(count)]
    return [data[first:end] for first, end in zip([0, *ends], ends, strict=False)]


def fit_zipfit(samples: Samples, settings: ZipfitSettings) -> dict[str, bytes]:
    """The artefacts: pieces of target documents, taken from the targets in turn."""
    if not any(samples.targets.values()):
        raise RequestError("ZIP-FIT needs a --target")
    queues = [
        [p for t in texts for p in pieces(t.encode(), settings.piece_bytes)[:1]] for texts in samples.targets.values()
    ]
    chosen: list[bytes] = []
    for turn in range(max(len(queue) for queue in queues)):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    examples = [piece.decode("latin-1") for piece in chosen[: settings.examples]]
    return {"examples.json": json.dumps({"settings": settings.model_dump(), "examples": examples}).encode()}


def open_zipfit(artefacts: Mapping[str, bytes]) -> Zipfit:
    told = json.loads(artefacts["examples.json"])
    return Zipfit([example.encode("latin-1") for example in told["examples"]], ZipfitSettings(**told["settings"]))


def _length(data: bytes, level: int) -> int:
    return len(zlib.compress(data, level))
