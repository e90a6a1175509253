"""DSIR: importance of a document under hashed n-gram models of the target and of the corpus (Xie et al. 2023).

Words are lower-cased runs of word characters or of punctuation; unigrams and bigrams are hashed into buckets;
the log weight of a document is the sum over its n-grams of log p_target - log p_corpus. `score` is that sum divided
by the number of n-grams, `log_weight` the sum itself. The sum favours long documents, which is why the authors cut
text to equal lengths; take the mean for whole documents, and the sum with Gumbel noise
(`select --by dsir.log_weight --draw gumbel`) for chunks of one length.

Departs from the reference code: buckets by splitmix of the words' crc32, not sha256 (the reference's bottleneck), and
add-one smoothing of both models instead of adding 1e-8 to the probabilities.
"""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from ...corpus.store.errors import RequestError
from .sampling import Samples

WORDS = re.compile(r"\w+|[^\w\s]+")
BUCKETS = 10_000

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("score", pa.float64()),  # null where the text has no word
        ("log_weight", pa.float64()),
        ("n_words", pa.int64()),
    ]
)


class Dsir:
    """Scores documents by the log ratio (BUCKETS,) float64 of two bags of hashed n-grams."""

    schema = SCHEMA

    def __init__(self, log_ratio: np.ndarray) -> None:
        self.log_ratio = log_ratio
        self._hashes = WordHashes()

    def score(self, ids: Sequence[str], texts: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """One batch, rows in the order given."""
        sums, counts, words = np.zeros(len(ids)), np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        for row, text in enumerate(texts):
            buckets, words[row] = n_grams(text, self._hashes)
            sums[row], counts[row] = self.log_ratio[buckets].sum(), len(buckets)
        empty = counts == 0
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(list(ids)),
                pa.array(sums / np.maximum(counts, 1), mask=empty),
                pa.array(sums, mask=empty),
                pa.array(words),
            ],
            schema=SCHEMA,
        )


class WordHashes(dict[str, int]):
    """word -> its hash, worked out when it is first asked for; forgotten where there are too many."""

    def __missing__(self, word: str) -> int:
        if len(self) > 1 << 20:
            self.clear()
        value = self[word] = zlib.crc32(word.encode()) + 1
        return value


def n_grams(text: str, known: WordHashes) -> tuple[np.ndarray, int]:
    """Buckets of the text's unigrams and bigrams, and its number of words."""
    words = WORDS.findall(text.lower())
    hashes = np.fromiter(map(known.__getitem__, words), np.uint64, len(words))
    with np.errstate(over="ignore"):
        pairs = _mixed(hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) + hashes[1:])
    return (np.concatenate([_mixed(hashes), pairs]) % np.uint64(BUCKETS)).astype(np.int64), len(words)


def fit_dsir(samples: Samples) -> dict[str, bytes]:
    """The artefact: log p_target - log p_corpus of each bucket. All targets together are one target here."""
    wanted = [text for texts in samples.targets.values() for text in texts]
    if not wanted:
        raise RequestError("DSIR needs a --target")
    target, corpus = _bag(wanted), _bag(samples.random)
    return {"log_ratio.f64": (np.log(target) - np.log(corpus)).astype("<f8").tobytes()}


def open_dsir(artefacts: Mapping[str, bytes]) -> Dsir:
    return Dsir(np.frombuffer(artefacts["log_ratio.f64"], "<f8"))


def _bag(texts: Iterable[str]) -> np.ndarray:
    """(BUCKETS,) share of n-grams in each bucket, add-one smoothed."""
    counts, known = np.ones(BUCKETS), WordHashes()
    for text in texts:
        counts += np.bincount(n_grams(text, known)[0], minlength=BUCKETS)
    return counts / counts.sum()


def _mixed(values: np.ndarray) -> np.ndarray:
    """splitmix64 of each value."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
