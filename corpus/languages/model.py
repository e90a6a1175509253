"""The language model that gristmill brings: hashed n-grams of letters and words with small vectors, and a layer.

A text is cut into runs of letters, in lower case and with a mark at both ends. Every n-gram of one to `LONGEST` marks
and letters, every whole word and every two words in a row that the model knows add their vectors (int8, so the sum is
exact on any machine); the mean goes through the layer, and a softmax gives the scores. Letters that the model has never
seen count as n-grams without a vector, so that an unknown script lowers the scores instead of leaving the word to the
few letters that are known.

How the model was made, from what, and how well it does: `benchmarks/train_language_model.py`.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from .scripts import LEAST, UNDETERMINED, letters, says_too_little, written_in
from .serbo_croatian import told_apart

LONGEST = 5
SLICE, SLICES = 256, 3  # a longer text is judged by its first characters, by as many from the middle, and by its last
_FILE = files(__package__ or "") / "language_model.npz"
_WORD = 62  # letters; a longer run is cut
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FINISH = np.uint64(0xD6E8FEB86659FD93)
_START, _END, _SHIFT, _LOW = np.uint64(2), np.uint64(3), np.uint64(7), np.uint64(0xFFFFFFFF)
_HALF, _TURN = np.uint64(32), np.uint64(29)
_SINGLE = np.uint32(1 << 31)  # set in the hash of a single letter, and in no other


class LanguageIdentifier(NamedTuple):
    """A model as it is in memory: what it holds on file, and the hash table over its n-grams."""

    labels: tuple[str, ...]
    fold: np.ndarray  # (65536,) uint16: the lower case of a letter, 0 for what is none
    slots: (
        np.ndarray
    )  # uint64: the hash of an n-gram, and in the low half one more than the row of its vector; 0 is free
    vectors: np.ndarray  # (n-grams, size) int8
    head: np.ndarray  # (labels, size) float32
    bias: np.ndarray  # (labels,) float32


@cache
def shipped_checksum() -> str:
    """Tells the model of this package from that of another version."""
    return hashlib.blake2b(_FILE.read_bytes(), digest_size=16).hexdigest()


@cache
def shipped() -> LanguageIdentifier:
    """The model of this package, read once a process."""
    with _FILE.open("rb") as file, np.load(file) as saved:
        labels = tuple(str(saved["labels"]).split())
        return LanguageIdentifier(
            labels, saved["fold"], table(saved["keys"]), saved["vectors"], saved["head"], saved["bias"]
        )


def folding() -> np.ndarray:
    """The lower case of each letter of the basic plane, as this Python knows them, 0 for what is no letter.

    The vowel signs of Devanagari count as letters: they tell the languages that share it apart.
    """
    small = [ord(chr(c).lower()[0]) if chr(c).isalpha() else 0 for c in range(0x10000)]
    for sign in (c for c in range(0x900, 0x964) if chr(c).isprintable()):
        small[sign] = sign
    return np.array(small, np.uint16)


def characters(text: str) -> np.ndarray:
    """The code points of a text, or of its slices where it is long."""
    if len(text) > SLICE * SLICES:
        middle = (len(text) - SLICE) // 2
        text = " ".join((text[:SLICE], text[middle : middle + SLICE], text[-SLICE:]))
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def predict(texts: Sequence[str], model: LanguageIdentifier, best: int) -> list[list[tuple[str, float]]]:
    """Per text the best (label, score), best first; `und` with a low score for one that says too little, see
    `scripts.py`; empty for a text without a letter that the model knows."""
    found: list[list[tuple[str, float]]] = []
    for text in texts:
        codes = characters(text)
        found_scores = _scores(codes, *model[1:])
        if not found_scores.any():
            found.append([])
            continue
        seen = letters(codes)
        found_scores = np.where(written_in(model.labels, seen.scripts), found_scores, np.float32(0))
        order = np.argsort(-found_scores, kind="stable")[: max(best, 3)]
        ranked = [(model.labels[place], float(found_scores[place])) for place in order if found_scores[place] > 0]
        if not ranked or ranked[0][1] < LEAST or says_too_little(seen):
            found.append([(UNDETERMINED, min(ranked[0][1], LEAST) if ranked else 0.0)])
        else:
            found.append(told_apart(text, ranked)[:best])
    return found


def scores(text: str, model: LanguageIdentifier) -> np.ndarray:
    """The score of every label; all zero for a text without a letter that the model knows."""
    return _scores(characters(text), *model[1:])


def table(hashes: np.ndarray) -> np.ndarray:
    """A hash table from hashes to their places, at most half full."""
    slots = np.zeros(1 << (2 * len(hashes) - 1).bit_length(), np.uint64)
    _fill(hashes, slots)
    return slots


@compiled
def _fill(hashes, slots):
    for row in range(len(hashes)):
        slot = np.int64(hashes[row]) & (len(slots) - 1)
        while slots[slot] != 0:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = np.uint64(hashes[row]) << _HALF | np.uint64(row + 1)


@compiled
def row_of(slots, hashed):
    """The row of a hash in a table, -1 if it has none."""
    slot = np.int64(hashed) & (len(slots) - 1)
    while slots[slot] != 0:
        if slots[slot] >> _HALF == np.uint64(hashed):
            return np.int64(slots[slot] & _LOW) - 1
        slot = (slot + 1) & (len(slots) - 1)
    return np.int64(-1)


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
    before = np.uint64(0)
    while True:
        size, at = next_word(codes, at, fold, word)
        if size == 0 or number + size * LONGEST + 2 > len(out):
            return number
        whole = np.uint64(0)
        for start in range(size):
            whole = longer(whole, word[start])
            state = np.uint64(0)
            for end in range(start, min(start + LONGEST, size)):
                state = longer(state, word[end])
                if end > start:
                    out[number] = hash_of(state) & ~_SINGLE
                    number += 1
                elif 0 < start < size - 1:
                    out[number] = hash_of(state) | _SINGLE
                    number += 1
        if size > LONGEST:
            out[number] = hash_of(whole) & ~_SINGLE
            number += 1
        if before:
            out[number] = hash_of(longer(before * _FINISH, whole)) & ~_SINGLE
            number += 1
        before = whole


@compiled
def _scores(codes, fold, slots, vectors, head, bias):
    """Probabilities of the labels; zeros for a text without a letter that the model knows."""
    sums = np.zeros(vectors.shape[1], np.int32)
    scores = np.zeros(len(head), np.float32)
    hashes = np.empty((len(codes) + 1) * (LONGEST + 2) * 2, np.uint32)
    rows = np.empty(len(hashes), np.int32)
    known, strange = 0, 0
    for hashed in hashes[: ngrams(codes, fold, hashes)]:
        row = row_of(slots, hashed)
        rows[known] = row  # the next one takes the place of what is not known
        known += row >= 0
        strange += row < 0 and hashed & _SINGLE != 0
    if known == 0:
        return scores
    for row in rows[:known]:  # in a loop of its own, so that the processor fetches several vectors at once
        vector = vectors[row]
        for j in range(len(sums)):
            sums[j] += vector[j]
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
