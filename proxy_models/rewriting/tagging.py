"""Labels from an engine, distilled: a small classifier learns them from a sample and labels everything.

Two learners: `linear` (hashed word and pair counts, logistic regression) and `fasttext`. A fifth of the labelled
sample, drawn by id hash, is held back; agreement with the engine is measured on it and goes on record beside what
always saying the commonest label would reach. Refuses a sample in which a taxonomy has fewer than two labels.
"""

import hashlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from scipy import sparse

from ...corpus.store.errors import MissingExtra, RequestError, WorkspaceError

Learner = Literal["linear", "fasttext"]
BUCKETS = 1 << 16
_SPACE = re.compile(r"\s+")


class Labeller(Protocol):
    """Gives texts labels of one taxonomy."""

    def label(self, texts: Sequence[str]) -> list[tuple[str, float]]: ...


@dataclass(frozen=True)
class LinearLabeller:
    """weights (C, BUCKETS) float32, bias (C,) float32."""

    labels: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray

    def label(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest label of each text and its probability."""
        scores = counted(texts) @ self.weights.T + self.bias
        chances = np.exp(scores - scores.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        best = chances.argmax(1)
        return [(self.labels[at], float(chances[row, at])) for row, at in enumerate(best)]


class FastTextLabeller:
    """A fastText model: one we trained, or the user's own `.bin` or `.ftz` with labels `__label__NAME`."""

    def __init__(self, path: str) -> None:
        try:
            import fasttext
        except ImportError as error:
            raise MissingExtra("fasttext", "languages") from error
        try:
            self._model = fasttext.load_model(path)
        except ValueError as error:
            raise RequestError(f"{path} is not a fastText model: {error}") from error
        self.labels = tuple(str(label).removeprefix("__label__") for label in self._model.labels)

    def label(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest label of each text and its probability."""
        labelled = []
        for text in texts:
            # the binding beneath `predict`, whose own wrapper cannot run with numpy 2
            found = self._model.f.predict(plain(text) + "\n", 1, 0.0, "strict")
            probability, label = found[0] if found else (0.0, "__label__")
            labelled.append((label.removeprefix("__label__"), min(1.0, float(probability))))
        return labelled


def counted(texts: Sequence[str]) -> sparse.csr_matrix:
    """(D, BUCKETS) hashed counts of words and word pairs, logarithmic, rows of length one."""
    matrix = hashed_counts(texts, BUCKETS, pairs=True)
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / np.where(norms == 0, 1, norms)) @ matrix, dtype=np.float32)


def hashed_counts(texts: Sequence[str], buckets: int, pairs: bool) -> sparse.csr_matrix:
    """(D, buckets) float32: log(1 + count) of each text's words, and of its word pairs, by hash."""
    from sklearn.feature_extraction.text import HashingVectorizer

    options: dict[str, Any] = {"ngram_range": (1, 2 if pairs else 1), "alternate_sign": False, "norm": None}
    matrix = sparse.csr_matrix(HashingVectorizer(n_features=buckets, **options).transform(texts), dtype=np.float32)
    np.log1p(matrix.data, out=matrix.data)
    return matrix


def plain(text: str) -> str:
    """One line of lower-case text, as fastText is trained and asked."""
    return _SPACE.sub(" ", text).strip().casefold()


def held_back(id: str) -> bool:
    """Whether a labelled document is kept for measuring: a fifth of all, by id hash."""
    return hashlib.blake2b(f"agreement:{id}".encode(), digest_size=8).digest()[0] < 51


@dataclass(frozen=True)
class Lesson:
    """A labeller as bytes, and how well it agrees with its teacher."""

    kind: Learner
    labels: tuple[str, ...]
    model: bytes
    agreement: dict[str, Any]


def learn(rows: Sequence[tuple[str, str, str]], taxonomy: str, learner: Learner, seed: int) -> Lesson:
    """Train on (id, text, label); rows may come in any order. Equal rows and seed, equal bytes on one machine."""
    rows = sorted(rows)
    train = [row for row in rows if not held_back(row[0])]
    test = [row for row in rows if held_back(row[0])]
    labels = tuple(sorted({label for _, _, label in train}))
    if len(labels) < 2:
        found = ", ".join(labels) or "none"
        raise WorkspaceError(f"{taxonomy}: the labelled sample has too few labels to learn from ({found}); label more")
    fit = _fit_linear if learner == "linear" else _fit_fasttext
    model = fit([text for _, text, _ in train], [label for *_, label in train], labels, seed)
    labeller = open_labeller(learner, labels, model)
    told = [label for label, _ in labeller.label([text for _, text, _ in test])] if test else []
    return Lesson(learner, labels, model, agreement([label for *_, label in test], told, [r[2] for r in train]))


def agreement(taught: Sequence[str], told: Sequence[str], training: Sequence[str]) -> dict[str, Any]:
    """Share of equal labels, Cohen's kappa, and the share that the commonest label of the training rows reaches."""
    n = len(taught)
    if not n:
        return {"held_back": 0, "trained_on": len(training)}
    same = sum(a == b for a, b in zip(taught, told, strict=True)) / n
    a, b = Counter(taught), Counter(told)
    chance = sum(a[label] * b[label] for label in a) / (n * n)
    kappa = (same - chance) / (1 - chance) if chance < 1 else 1.0
    commonest = max(sorted(set(training)), key=Counter(training).__getitem__)
    return {
        "held_back": n,
        "trained_on": len(training),
        "agreement": round(same, 4),
        "kappa": round(kappa, 4),
        "commonest": commonest,
        "commonest_agreement": round(a[commonest] / n, 4),
    }


def _fit_linear(texts: list[str], taught: list[str], labels: tuple[str, ...], seed: int) -> bytes:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # one order of summation, equal bytes
        fitted = LogisticRegression(C=20.0, max_iter=200, random_state=seed).fit(counted(texts), taught)
    weights, bias = np.asarray(fitted.coef_, np.float32), np.asarray(fitted.intercept_, np.float32)
    if len(labels) == 2:  # one row of weights, for the second label
        weights, bias = np.concatenate((-weights / 2, weights / 2)), np.concatenate((-bias / 2, bias / 2))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, weights=weights, bias=bias)
    return buffer.getvalue()


def _fit_fasttext(texts: list[str], taught: list[str], labels: tuple[str, ...], seed: int) -> bytes:
    """Trained in a child of its own, whose allocator hands out zeroed pages.

    With one thread fastText 0.9.3 draws only the first tenth of its input matrix and leaves the rest as the allocator
    gave it: in a process with a used heap that is garbage, now and then NaN, and never the same model twice.
    """
    if importlib.util.find_spec("fasttext") is None:
        raise MissingExtra("fasttext", "languages")
    with tempfile.TemporaryDirectory() as folder:
        lines, path = os.path.join(folder, "train.txt"), os.path.join(folder, "model.bin")
        with open(lines, "w", encoding="utf-8") as file:
            file.writelines(f"__label__{label} {plain(text)}\n" for text, label in zip(texts, taught, strict=True))
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
        command = [sys.executable, "-c", _TRAINING, lines, path, str(seed), str(BUCKETS)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorkspaceError(f"fastText could not be trained: {done.stderr.strip().splitlines()[-1]}")
        with open(path, "rb") as file:
            return file.read()


_TRAINING = """
import sys
import fasttext
lines, path, seed, buckets = sys.argv[1:]
options = {"epoch": 25, "lr": 0.5, "wordNgrams": 2, "dim": 32, "bucket": int(buckets), "minCount": 1}
fasttext.train_supervised(lines, thread=1, seed=int(seed), verbose=0, **options).save_model(path)
"""


def open_labeller(kind: str, labels: Sequence[str], model: bytes) -> Labeller:
    """A labeller from what `learn` gave. Reads numbers only, never code."""
    if kind == "linear":
        with np.load(io.BytesIO(model), allow_pickle=False) as stored:
            return LinearLabeller(tuple(labels), stored["weights"], stored["bias"])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.bin")
        with open(path, "wb") as file:
            file.write(model)
        return FastTextLabeller(path)


def domain_name(values: Sequence[Any]) -> str:
    """The mixture unit that a combination of tags makes: values joined by dots, fit for a folder's name."""
    return ".".join(
        re.sub(r"[^\w-]+", "-", str(value)).strip("-") or "none" if value is not None else "none" for value in values
    )
