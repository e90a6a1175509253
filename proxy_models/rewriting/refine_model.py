"""A small refiner that is trained on (document, program) pairs: one probability per line, one linear model.

It learns which lines the programs removed, from the words of a line and of its neighbours (hashed) and from their
shape, and writes `remove_lines` for lines above a threshold. Train it on the programs of a large model (a sample is
enough) and run it on everything. It never normalises and never drops a document by itself: refused, too little to see.
"""

import io
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import replacing
from .programs import DropDoc, Program, RemoveLines

BUCKETS = 1 << 16
SHAPES = 24


@dataclass(frozen=True)
class LineModel:
    """Weights (SHAPES + BUCKETS,) float32 and the probability from which a line is removed."""

    weights: np.ndarray
    bias: float
    threshold: float = 0.5

    def probabilities(self, text: str) -> np.ndarray:
        """(L,) probability that each line is to be removed; 0 for blank lines."""
        lines = text.split("\n")
        scores = (features([lines]) @ self.weights) + self.bias
        chances: np.ndarray = 1 / (1 + np.exp(-scores))
        return np.where([bool(line.strip()) for line in lines], chances, 0.0)

    def program(self, text: str) -> Program:
        """`remove_lines` over the runs of lines above the threshold."""
        runs: list[RemoveLines] = []
        for at in np.flatnonzero(self.probabilities(text) >= self.threshold).tolist():
            if runs and runs[-1].end == at - 1:
                runs[-1] = RemoveLines(runs[-1].start, at, "line_model")
            else:
                runs.append(RemoveLines(at, at, "line_model"))
        return Program(tuple(runs))


def train_line_model(pairs: Iterable[tuple[str, Program]], threshold: float = 0.5, penalty: float = 1.0) -> LineModel:
    """Fit the model to what the programs removed. Equal pairs in equal order, equal weights."""
    from sklearn.linear_model import LogisticRegression

    documents: list[list[str]] = []
    labels: list[bool] = []
    for text, program in pairs:
        if program.errors or any(isinstance(operation, DropDoc) for operation in program.operations):
            continue
        lines = text.split("\n")
        gone = set()
        for operation in program.operations:
            if isinstance(operation, RemoveLines):
                last = len(lines) - 1 if operation.end is None else min(operation.end, len(lines) - 1)
                gone.update(range(operation.start, last + 1))
        documents.append(lines)
        labels += [at in gone for at in range(len(lines))]
    if len(set(labels)) < 2:
        raise RequestError(
            "the programs to learn from remove either nothing or everything; there is nothing to tell apart"
        )
    filled = np.array([bool(line.strip()) for lines in documents for line in lines])
    fitted = LogisticRegression(C=1 / penalty, max_iter=300)
    fitted.fit(features(documents)[filled], np.array(labels)[filled])
    weights, bias = np.asarray(fitted.coef_)[0], np.asarray(fitted.intercept_)[0]
    return LineModel(weights.astype(np.float32), float(bias), threshold)


def features(documents: Sequence[Sequence[str]]) -> sparse.csr_matrix:
    """(all lines, SHAPES + BUCKETS): shape of the line and of its neighbours, then its hashed words, then theirs."""
    columns: list[np.ndarray] = []
    counts: list[int] = []
    for lines in documents:
        shapes = [_shape(line) for line in lines]
        words = [_words(line) for line in lines]
        empty: list[int] = []
        for at in range(len(lines)):
            row = [*shapes[at], int(8 * at / len(lines)) + 16]
            row += [SHAPES + word for word in words[at]]
            for side in (at - 1, at + 1):
                beside = words[side] if 0 <= side < len(lines) else empty
                row += [SHAPES + (word * 31 + 7) % BUCKETS for word in beside]
            columns.append(np.unique(np.array(row, np.int64)))
            counts.append(len(columns[-1]))
    indices = np.concatenate(columns) if columns else np.zeros(0, np.int64)
    ends = np.concatenate(([0], np.cumsum(counts)))
    return sparse.csr_matrix((np.ones(len(indices), np.float32), indices, ends), (len(counts), SHAPES + BUCKETS))


def _shape(line: str) -> list[int]:
    """Columns 0 to 15: length class, how the line ends and begins, whether it is indented or capitalised throughout."""
    bare = line.strip()
    if not bare:
        return [0]
    words = bare.split()
    shape = [1 + min(6, len(words) // 3)]
    shape.append(8 if bare[-1] in '.!?…"”' else 9 if bare[-1] in ",;:" else 10)
    shape.append(11 if bare[0].isalpha() else 12)
    if line[0].isspace():
        shape.append(13)
    if len(words) > 1 and sum(word[0].isupper() for word in words) * 3 >= 2 * len(words):
        shape.append(14)
    if any(character.isdigit() for character in bare):
        shape.append(15)
    return shape


def _words(line: str) -> list[int]:
    return [zlib.crc32(word.encode()) % BUCKETS for word in line.casefold().split()[:40]]


def save_line_model(model: LineModel, url: str) -> None:
    """Write the model as one `.npz` file."""
    told = json.dumps({"kind": "gristmill line model", "bias": model.bias, "threshold": model.threshold})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, weights=model.weights, told=np.frombuffer(told.encode(), np.uint8))
    with replacing(url) as scratch, open(scratch, "wb") as file:
        file.write(buffer.getvalue())


def load_line_model(path: str) -> LineModel:
    """Read what `save_line_model` wrote; loads numbers only, never code."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            told = json.loads(stored["told"].tobytes())
            if told["kind"] != "gristmill line model":
                raise KeyError(told["kind"])
            return LineModel(stored["weights"], told["bias"], told["threshold"])
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{path} is not a line model that gristmill wrote: {error}") from error
