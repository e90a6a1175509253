"""The language model that gristmill brings: hashed character n-grams with small vectors and one linear layer.

A text is cut into runs of letters, in lower case and with a mark at both ends. Every n-gram of one to `LONGEST` marks
and letters that the model knows adds its vector (int8, so the sum is exact on any machine); the mean goes through the
layer, and a softmax gives the scores. Letters that the model has never seen count as n-grams without a vector, so that
an unknown script lowers the scores instead of leaving the word to the few letters that are known.

How the model was made, from what, and how well it does: `benchmarks/train_language_model.py`.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from .compiling import compiled

LONGEST = 5
SLICE, SLICES = 256, 3  # a longer text is judged by its first characters, by as many from the middle, and by its last
_FILE = files(__package__ or "") / "language_model.npz"
_WORD = 62  # letters; a longer run is cut
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FINISH = np.uint64(0xD6E8FEB86659FD93)
_START, _END, _SHIFT, _LOW = np.uint64(2), np.uint64(3), np.uint64(7), np.uint64(0xFFFFFFFF)
_HALF, _TURN = np.uint64(32), np.uint64(29)


class Model(NamedTuple):
    """A model as it is in memory: what it holds on file, and the hash table over its n-grams."""

    labels: tuple[str, ...]
    fold: np.ndarray  # (65536,) uint16: the lower case of a letter, 0 for what is none
    keys: np.ndarray  # (slots,) uint32: hashes of n-grams
    rows: np.ndarray  # (slots,) int32: their vectors, -1 where a slot is free
    vectors: np.ndarray  # (n-grams, size) int8
    head: np.ndarray  # (labels, size) float32
    bias: np.ndarray  # (labels,) float32


@cache
def shipped_checksum() -> str:
    """Tells the model of this package from that of another version."""
    return hashlib.blake2b(_FILE.read_bytes(), digest_size=16).hexdigest()


@cache
def shipped() -> Model:
    """The model of this package, read once a process."""
    with _FILE.open("rb") as file, np.load(file) as saved:
        keys, rows = table(saved["keys"])
        labels = tuple(str(saved["labels"]).split())
        return Model(labels, saved["fold"], keys, rows, saved["vectors"], saved["head"], saved["bias"])


def folding() -> np.ndarray:
    """The lower case of each letter of the basic plane, as this Python knows them, 0 for what is no letter."""
    return np.array([ord(chr(c).lower()[0]) if chr(c).isalpha() else 0 for c in range(0x10000)], np.uint16)


def characters(text: str) -> np.ndarray:
    """The code points of a text, or of its slices where it is long."""
    if len(text) > SLICE * SLICES:
        middle = (len(text) - SLICE) // 2
        text = " ".join((text[:SLICE], text[middle : middle + SLICE], text[-SLICE:]))
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def predict(texts: Sequence[str], model: Model, best: int) -> list[list[tuple[str, float]]]:
    """Per text the best (label, score), best first; empty for a text without a letter that the model knows."""
    found: list[list[tuple[str, float]]] = []
    for text in texts:
        found_scores = scores(text, model)
        order = np.argsort(-found_scores, kind="stable")[:best] if found_scores.any() else ()
        found.append([(model.labels[place], float(found_scores[place])) for place in order])
    return found


def scores(text: str, model: Model) -> np.ndarray:
    """The score of every label; all zero for a text without a letter that the model knows."""
    return _scores(characters(text), *model[1:])


def table(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A hash table (keys, rows) with free slots, at most half full."""
    size = 1 << (2 * len(hashes) - 1).bit_length()
    keys, rows = np.zeros(size, np.uint32), np.full(size, -1, np.int32)
    _fill(hashes, keys, rows)
    return keys, rows


@compiled
def _fill(hashes, keys, rows):
    for row in range(len(hashes)):
        slot = np.int64(hashes[row]) & (len(keys) - 1)
        while rows[slot] >= 0:
            slot = (slot + 1) & (len(keys) - 1)
        keys[slot], rows[slot] = hashes[row], row


@compiled
def row_of(keys, rows, hashed):
    """The row of a hash in a table, -1 if it has none."""
    slot = np.int64(hashed) & (len(keys) - 1)
    while rows[slot] >= 0:
        if keys[slot] == hashed:
            return rows[slot]
        slot = (slot + 1) & (len(keys) - 1)
    return -1


@compiled
def next_word(codes, at, fold, word):
    """Put the next run of letters, marked at both ends, into `word`. Returns (its length, where to go on)."""
    while at < len(codes) and (codes[at] > 0xFFFF or fold[codes[at]] == 0):
        at += 1
    if at == len(codes):
        return 0, at
    size = 1
    word[0] = _START
    while at < len(codes) and size <= _WORD and codes[at] <= 0xFFFF and fold[codes[at]] != 0:
        word[size] = fold[codes[at]]
        size += 1
        at += 1
    word[size] = _END
    return size + 1, at


@compiled
def longer(state, code):
    """The running state of an n-gram with one more letter."""
    state = (state + code + _SHIFT) * _STEP
    return state ^ (state >> _TURN)


@compiled
def hash_of(state):
    """The 32-bit hash of a running state."""
    state = (state ^ (state >> _HALF)) * _FINISH
    return np.uint32((state ^ (state >> _HALF)) & _LOW)


@compiled
def ngrams(codes, fold, out):
    """Write the hashes of a text's n-grams to `out` until it is full. Returns their number."""
    word = np.empty(_WORD + 2, np.uint64)
    number, at = 0, 0
    while True:
        size, at = next_word(codes, at, fold, word)
        if size == 0 or number + size * LONGEST > len(out):
            return number
        for start in range(size):
            state = np.uint64(0)
            for end in range(start, min(start + LONGEST, size)):
                state = longer(state, word[end])
                if end > 0 and (end > start or end < size - 1):
                    out[number] = hash_of(state)
                    number += 1


@compiled
def _scores(codes, fold, keys, rows, vectors, head, bias):
    """Probabilities of the labels; zeros for a text without a letter that the model knows."""
    sums = np.zeros(vectors.shape[1], np.int32)
    word = np.empty(_WORD + 2, np.uint64)
    scores = np.zeros(len(head), np.float32)
    known, strange, at = 0, 0, 0
    while True:
        size, at = next_word(codes, at, fold, word)
        if size == 0:
            break
        for start in range(size):
            state = np.uint64(0)
            for end in range(start, min(start + LONGEST, size)):
                state = longer(state, word[end])
                if end == 0 or (end == start and end == size - 1):
                    continue
                row = row_of(keys, rows, hash_of(state))
                if row >= 0:
                    known += 1
                    vector = vectors[row]
                    for j in range(len(sums)):
                        sums[j] += vector[j]
                elif end == start:
                    strange += 1
    if known == 0:
        return scores
    share = np.float32(1.0) / np.float32(known + LONGEST * strange)
    top = np.float32(-np.inf)
    for label in range(len(head)):
        total = np.float32(0.0)
        for j in range(len(sums)):
            total += head[label, j] * np.float32(sums[j])
        scores[label] = total * share + bias[label]
        top = max(top, scores[label])
    whole = np.float32(0.0)
    for label in range(len(head)):
        scores[label] = np.exp(scores[label] - top)
        whole += scores[label]
    for label in range(len(head)):
        scores[label] /= whole
    return scores
