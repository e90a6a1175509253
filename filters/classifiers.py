"""Classifiers as signals: fastText models trained here, and any fastText or scikit-learn model by its path.

A model measures: its score is a column of signals, and a rule decides. A trained model is judged on texts that it did
not see (a text is held out by the hash of its words): precision and recall at each threshold, and a table that tells
whether a score of 0.8 is right in 8 cases of 10. For a data filtering network, train on a small clean set and judge
by models trained on what it keeps (`gristmill run` with and without the rule): its accuracy says little.

A scikit-learn model stored by joblib (`.joblib`, `.pkl`) is a pickle, which runs code when it is opened: give only
files that you made. One stored by skops (`.skops`) runs none: what is not scikit-learn's own in it is refused.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..corpus.readers.texts import read_rows
from ..corpus.store.errors import MissingExtra, RequestError, WorkspaceError, unknown_name
from ..corpus.store.shards import checksum, filesystem, replacing

KEEP, DROP = "__label__positive", "__label__negative"


@dataclass(frozen=True)
class Judged:
    """What a classifier did on held-out texts."""

    documents: int
    positive: int
    auc: float
    thresholds: list[dict[str, float]]  # threshold, precision, recall, kept
    calibration: list[dict[str, float]]  # from, to, documents, mean score, share that is positive


def flat(text: str) -> str:
    """One line of white-space words, as fastText reads it."""
    return re.sub(r"\s+", " ", text).strip()


def held_out(text: str, share: float, seed: int = 0) -> bool:
    """Whether a text is held out: by the hash of its words, so copies are always on one side."""
    digest = hashlib.blake2b(f"{seed}\x00{flat(text).lower()}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < share


def _fasttext():
    try:
        import fasttext
    except ImportError as error:
        raise MissingExtra("fasttext", "languages") from error
    setattr(fasttext.FastText, "eprint", lambda *_: None)  # noqa: B010 (the name is not in its types)  # it writes a warning on every load
    return fasttext


def train(
    positive: Sequence[str], negative: Sequence[str], path: str, *, share: float = 0.1, seed: int = 0, epochs: int = 5,
    ngrams: int = 2, dimensions: int = 64
) -> Judged:  # fmt: skip
    """Train a fastText model on what is not held out, write it to `path`, and judge it on the rest.

    One thread and a fixed seed, in a process of its own: the same texts give the same model. (With one thread fastText
    0.9.3 draws only a part of its first matrix and leaves the rest as the allocator gave it, so the allocator is told
    to hand out fresh pages.) Refuses a side without texts to learn or to judge.
    """
    sides = {KEEP: [flat(text) for text in positive], DROP: [flat(text) for text in negative]}
    learn, judge = [], []
    for label, texts in sides.items():
        out = [held_out(text, share, seed) for text in texts]
        if all(out) or not any(out):
            raise RequestError(
                f"{label.removeprefix('__label__')} texts: {len(texts)} are too few to learn and to judge"
            )
        learn += [f"{label} {text}" for text, held in zip(texts, out, strict=True) if not held]
        judge += [(text, label == KEEP) for text, held in zip(texts, out, strict=True) if held]
    order = sorted(range(len(learn)), key=lambda n: hashlib.blake2b(learn[n].encode(), digest_size=8).digest())
    fasttext = _fasttext()
    options = {"epoch": epochs, "wordNgrams": ngrams, "dim": dimensions, "seed": seed, "thread": 1, "bucket": 1 << 20}
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/learn.txt", "w", encoding="utf-8") as file:
            file.writelines(f"{learn[n]}\n" for n in order)
        command = [sys.executable, "-c", _TRAINING, f"{folder}/learn.txt", f"{folder}/model.bin", json.dumps(options)]
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorkspaceError(f"fastText could not be trained: {done.stderr.strip().splitlines()[-1]}")
        model = fasttext.load_model(f"{folder}/model.bin")
        with replacing(path) as scratch:
            shutil.copyfile(f"{folder}/model.bin", scratch)
    scores = np.array([_positive(model, text) for text, _ in judge])
    return judged(scores, np.array([label for _, label in judge]))


_TRAINING = """
import json, sys
import fasttext
learn, path, options = sys.argv[1:]
fasttext.train_supervised(learn, verbose=0, **json.loads(options)).save_model(path)
"""


def _positive(model, text: str, label: str = KEEP) -> float:
    """The probability of `label`; 0 for a text without a word."""
    answers = dict((name, p) for p, name in model.f.predict(flat(text) + "\n", -1, 0.0, "strict"))  # noqa: C402
    return float(min(max(answers.get(label, 0.0), 0.0), 1.0))


def judged(scores: np.ndarray, labels: np.ndarray) -> Judged:
    """Precision, recall and calibration of scores against true labels."""
    from sklearn.metrics import roc_auc_score

    rows, bins = [], []
    for threshold in np.arange(1, 10) / 10:
        kept = scores >= threshold
        right = int((kept & labels).sum())
        precision = right / max(int(kept.sum()), 1)
        rows.append({"threshold": float(threshold), "precision": precision, "recall": right / max(int(labels.sum()), 1),
                     "kept": float(kept.mean())})  # fmt: skip
        low = threshold - 0.1
        inside = (scores >= low) & (scores < threshold) if threshold < 0.95 else scores >= low
        if inside.any():
            bins.append(_bin(scores, labels, inside, low, threshold))
    inside = scores >= 0.9
    if inside.any():
        bins.append(_bin(scores, labels, inside, 0.9, 1.0))
    auc = float(roc_auc_score(labels, scores)) if 0 < labels.sum() < len(labels) else float("nan")
    return Judged(len(scores), int(labels.sum()), auc, rows, bins)


def _bin(scores: np.ndarray, labels: np.ndarray, inside: np.ndarray, low: float, high: float) -> dict[str, float]:
    return {"from": round(float(low), 1), "to": round(float(high), 1), "documents": int(inside.sum()),
            "score": float(scores[inside].mean()), "positive": float(labels[inside].mean())}  # fmt: skip


@functools.lru_cache(8)
def _load(path: str, digest: str):
    """A model, kept by the process that opened it; the digest makes a changed file another model."""
    fs, plain = filesystem(path)
    if path.endswith((".joblib", ".pkl")):
        import joblib

        with fs.open(plain, "rb") as file:
            return joblib.load(file)
    if path.endswith(".skops"):
        return _skops(fs, plain, path)
    with tempfile.NamedTemporaryFile(suffix=".bin") as local:
        fs.get_file(plain, local.name)
        try:
            return _fasttext().load_model(local.name)
        except ValueError as error:
            raise RequestError(f"{path} is no fastText model: {error}") from error


def _skops(fs, plain: str, path: str):
    """A model stored by skops; a RequestError where it holds a type that scikit-learn and numpy do not bring."""
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtra("skops", "classifiers") from error
    with fs.open(plain, "rb") as file:
        data = file.read()
    unknown = skops.io.get_untrusted_types(data=data)
    if unknown:
        raise RequestError(f"classifier {path} holds types that could run code: {', '.join(sorted(unknown))}")
    return skops.io.loads(data)


def score(text: pa.Array, path: str) -> dict[str, pa.Array]:
    """`score` of every text: the probability of the positive label. Null for a null text, and where it is not a number.

    path    of the model, or `PATH::LABEL` for the probability of another label than the positive one
    A scikit-learn model must take texts (a pipeline with its vectoriser) and have `predict_proba`; its positive label
    is the last of its classes, that of a fastText model `__label__positive`, else the last in the order of letters.
    """
    place, _, asked = path.partition("::")
    model: Any = _load(place, model_checksum(place))
    texts = text.to_pylist()
    if hasattr(model, "predict_proba"):
        column = _label(asked, [str(name) for name in model.classes_], len(model.classes_) - 1, place)
        known = model.predict_proba([words or "" for words in texts])[:, column]
        values = [float(value) for value in known]
    else:
        labels = sorted(str(label) for label in model.get_labels())
        asked = asked and "__label__" + asked.removeprefix("__label__")
        usual = labels.index(KEEP) if KEEP in labels else len(labels) - 1  # __label__1 over 0, __label__hq over cc
        label = labels[_label(asked, labels, usual, place)]
        values = [_positive(model, words or "", label) for words in texts]
    absent = [words is None or not np.isfinite(value) for words, value in zip(texts, values, strict=True)]
    return {"score": pa.array(values, pa.float64(), mask=np.array(absent, bool))}


def _label(asked: str, labels: list[str], usual: int, path: str) -> int:
    """The place of the label that is asked for, or of the usual one."""
    if asked and asked not in labels:
        raise unknown_name("label", asked, labels, f"classifier {path}")
    return labels.index(asked) if asked else usual


def model_checksum(path: str) -> str:
    """blake2b of the file, and the label where one is asked for; a RequestError where there is no file."""
    place, _, asked = path.partition("::")
    fs, plain = filesystem(place)
    if not fs.exists(plain):
        raise RequestError(f"classifier {place} does not exist")
    return f"{checksum(place)}::{asked}" if asked else checksum(place)


def read_texts(path: str) -> list[str]:
    """Texts of a file: the column `text` of Parquet, the field `text` of JSON lines, else one text a line.

    They are in the form that documents are in; RequestErrors name the file and the row that cannot be read.
    """
    found: list[str] = []
    for row in read_rows(path, "texts"):
        if isinstance(row.content, str):
            found.extend(line for line in row.content.split("\n") if line.strip())
        elif isinstance(text := row.content.get("text"), str):
            found.append(text)
        elif text is not None or "text" not in row.content:
            raise RequestError(f"texts {row.place} has no text in the field `text`")
    return [text for text in found if text.strip()]
