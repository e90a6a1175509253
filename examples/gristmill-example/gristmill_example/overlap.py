"""Overlap: the share of a document's words that the target uses. The baseline that a trained method has to beat."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from gristmill.proxy_models.scoring.sampling import Samples
from gristmill.proxy_models.scoring.scorers import ScoringMethod
from gristmill.proxy_models.settings import ScoreSettings

SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), ("score", pa.float64())])  # null: no words


class Overlap:
    """Scores by the words of the target."""

    schema = SCHEMA

    def __init__(self, known: frozenset[str]) -> None:
        self.known = known

    def score(self, ids: Sequence[str], texts: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """One batch, rows in the order given."""
        words = [text.split() for text in texts]
        scores = [sum(word in self.known for word in row) / len(row) if row else None for row in words]
        yield pa.RecordBatch.from_arrays([pa.array(list(ids)), pa.array(scores, pa.float64())], schema=SCHEMA)


def fit(samples: Samples, settings: ScoreSettings, tokenizer: str | None) -> dict[str, bytes]:
    """The artefact: the words of all targets, sorted, so that equal samples leave equal bytes."""
    words = {word for texts in samples.targets.values() for text in texts for word in text.split()}
    return {"words.txt": "\n".join(sorted(words)).encode()}


def open_overlap(artefacts: Mapping[str, bytes]) -> Overlap:
    """The scorer of that artefact."""
    return Overlap(frozenset(artefacts["words.txt"].decode().split("\n")))


OVERLAP = ScoringMethod(fit, open_overlap)
