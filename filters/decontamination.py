"""Documents that hold pieces of evaluation sets: an index of word n-grams, and where a text touches it.

Words are those of `corpus/folding.py`, so case, punctuation, width and what cannot be seen do not hide a copy; examples
are brought into the normal form that documents are in. Where there are no spaces between words, letters are compared,
and as many of them count as a word as `folding.weight_of` says. An example of at least `n` words is indexed by its
n-grams (13 by default); a shorter one by the whole of it, if it has at least `shortest` words; anything shorter is too
common to prove something and is left out, and counted in `Index.too_short`. One n-gram in common is a hit; so is a
near copy (`near_copies.py`) of an example, or of 2n words of a long one. Chance agreement was not seen at these sizes,
see `benchmarks/meaning.py`.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..corpus.folding import WORD, Words, words
from ..corpus.readers.texts import read_rows
from ..corpus.store.errors import RequestError
from .near_copies import SEED, NearIndex, near_copies, near_index
from .words.kernels import NEXT, jit, slot, table_size

FIELDS = ("query", "question", "context", "passage", "text", "sentence", "prompt", "continuation")


@dataclass(frozen=True)
class Hit:
    """A stretch of a text that an evaluation example holds as well; start and end in characters of the text."""

    task: str
    example: int
    start: int
    end: int
    words: int
    edits: int  # words that differ; 0: n words in a row agree


@dataclass(frozen=True)
class Index:
    """N-grams of evaluation examples. `keys` is a hash table; `owner` tells the example of each entry."""

    n: int
    tasks: tuple[str, ...]
    whole: np.ndarray  # (L,) bool: whether some short example has so many words, each counted as one
    keys: np.ndarray  # (2**k,) uint64
    stamps: np.ndarray  # (2**k,) int64, 1 where taken
    owner: np.ndarray  # (2**k,) int64, place of the example
    opening: np.ndarray  # (2**j,) bool: hashes of the first `OPENING` words of everything indexed
    task_of: np.ndarray  # (examples,) int64
    number_of: np.ndarray  # (examples,) int64, its place in the file
    too_short: int
    near: NearIndex | None


def build(examples: Mapping[str, Iterable[str]], n: int = 13, shortest: int = 8, tolerance: float = 0.15) -> Index:
    """Index the examples of each task; an example is one text. No near copies with a tolerance of 0."""
    tasks = tuple(sorted(examples))
    texts, task_of, number_of = [], [], []
    for place, task in enumerate(tasks):
        for number, text in enumerate(examples[task]):
            texts.append(text)
            task_of.append(place)
            number_of.append(number)
    found = words(pa.array(texts, pa.large_string()))
    sizes = np.diff(np.r_[0, np.cumsum(found.weight, dtype=np.int64)][found.offsets])
    short = int(np.sum(sizes < shortest * WORD))
    if short == len(texts):
        raise RequestError(f"the evaluation sets hold no example of at least {shortest} words")
    most = int(np.sum(np.diff(found.offsets)[sizes >= shortest * WORD]))
    keys = np.zeros(table_size(most), np.uint64)
    stamps, owner = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    opening = np.zeros(min(8 * len(keys), 1 << 26), np.bool_)
    whole = np.zeros(n * WORD + 2, np.bool_)
    bounds = (n * WORD, shortest * WORD)
    _fill(found.offsets, found.hash, found.weight, sizes, *bounds, whole, keys, stamps, owner, opening)
    near = near_index(found, max(shortest, 2 * SEED), 2 * n, tolerance) if tolerance > 0 else None
    numbers = np.array(task_of), np.array(number_of)
    return Index(n, tasks, whole, keys, stamps, owner, opening, *numbers, short, near)


OPENING = 3  # words; no example is shorter


@jit
def _chained(g, word):
    return (g ^ (g >> np.uint64(31))) * NEXT + word


@jit
def _key(g, size):
    return (g ^ (g >> np.uint64(29))) * NEXT + np.uint64(size)


@jit
def _place(g, mask):
    return np.int64((g ^ (g >> np.uint64(32))) & np.uint64(mask))


@jit
def _fill(bounds, hashes, weights, sizes, full, shortest, whole, keys, stamps, owner, opening):
    for d in range(len(bounds) - 1):
        if sizes[d] < shortest:
            continue
        last = bounds[d + 1] if sizes[d] >= full else bounds[d] + 1  # one past the last word that one begins at
        for at in range(bounds[d], last):
            g, weight, k = np.uint64(0), 0, at
            early = np.uint64(0)
            while k < bounds[d + 1] and weight < full:
                g = _chained(g, hashes[k])
                weight += weights[k]
                k += 1
                if k - at == OPENING:
                    early = g
            if weight < full and sizes[d] >= full:
                break  # what is left is shorter than an n-gram
            if weight < full:
                whole[k - at] = True
            opening[_place(early if k - at > OPENING else g, len(opening) - 1)] = True
            g = _key(g, k - at)
            s = slot(keys, stamps, 1, g)
            if stamps[s] != 1:
                keys[s], stamps[s], owner[s] = g, 1, d


@jit
def _search(bounds, hashes, weights, full, whole, keys, stamps, owner, opening):
    """(hits, 4) int64: document, word where it begins, words, example."""
    found = np.empty((16, 4), np.int64)
    count = 0
    for d in range(len(bounds) - 1):
        for at in range(bounds[d], bounds[d + 1]):
            g, weight, k = np.uint64(0), 0, at
            while k < bounds[d + 1] and weight < full:
                g = _chained(g, hashes[k])
                weight += weights[k]
                k += 1
                if k - at == OPENING and not opening[_place(g, len(opening) - 1)]:
                    break
                if weight < full and not whole[k - at]:
                    continue
                s = slot(keys, stamps, 1, _key(g, k - at))
                if stamps[s] == 1:
                    if count == len(found):
                        wider = np.empty((2 * count, 4), np.int64)
                        wider[:count] = found
                        found = wider
                    found[count, 0], found[count, 1], found[count, 2], found[count, 3] = d, at, k - at, owner[s]
                    count += 1
    return found[:count]


def search(text: pa.Array, index: Index) -> list[list[Hit]]:
    """Every text's hits, in order; those of one example that overlap are one hit."""
    found = words(text)
    tables = (index.whole, index.keys, index.stamps, index.owner, index.opening)
    exact = _search(found.offsets, found.hash, found.weight, index.n * WORD, *tables)
    spans = [(d, at, at + n, example, 0) for d, at, n, example in exact.tolist()]
    if index.near is not None:
        spans += [
            (d, at, at + n, example, edits) for d, at, n, example, edits in near_copies(found, index.near).tolist()
        ]
    joined: list[list[list[int]]] = [[] for _ in range(len(text))]  # by document: example, word, end, edits
    open_hits: dict[tuple[int, int], list[int]] = {}
    for d, at, end, example, edits in sorted(spans):
        span = open_hits.get((d, example))
        if span is not None and at <= span[2]:
            span[2], span[3] = max(span[2], end), min(span[3], edits)
            continue
        open_hits[d, example] = [example, at, end, edits]
        joined[d].append(open_hits[d, example])
    return [_hits(text[d].as_py(), found, index, hits) if hits else [] for d, hits in enumerate(joined)]


def _hits(text: str, found: Words, index: Index, spans: list[list[int]]) -> list[Hit]:
    octets = np.frombuffer(text.encode(), np.uint8)
    characters = np.r_[0, np.cumsum((octets & 0xC0) != 0x80)]  # before each byte
    hits = []
    for example, at, end, edits in spans:
        start, stop = int(characters[found.start[at]]), int(characters[found.end[end - 1]])
        size = -(-int(found.weight[at:end].sum(dtype=np.int64)) // WORD)
        task = index.tasks[int(index.task_of[example])]
        hits.append(Hit(task, int(index.number_of[example]), start, stop, size, edits))
    return sorted(hits, key=lambda hit: (hit.start, hit.task, hit.example))


def masked(text: str, hits: list[Hit], token: str = "") -> tuple[str, list[dict]]:
    """The text without its hits, and what was cut as rows of `EDITS`."""
    spans: list[list] = []
    for hit in hits:
        if spans and hit.start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], hit.end)
        else:
            spans.append([hit.start, hit.end, hit.task])
    parts, at = [], 0
    for start, end, _ in spans:
        parts += [text[at:start], token]
        at = end
    return "".join((*parts, text[at:])), [{"start": s, "end": e, "rule": task} for s, e, task in spans]


def read_examples(path: str, repair: bool = False) -> list[str]:
    """Examples of a file of JSON objects or Parquet: the texts of the fields in `FIELDS`, one after the other.

    Blank lines are none; a row without such a field is refused by its place. The texts are in the form that documents
    are in, with `repair` mojibake mended.
    """
    examples = []
    for row in read_rows(path, "evaluation set", objects=True, repair=repair):
        assert isinstance(row.content, dict)
        texts = [row.content[name] for name in FIELDS if isinstance(row.content.get(name), str)]
        if not texts:
            raise RequestError(f"evaluation set {row.place} has none of the fields {', '.join(FIELDS)}")
        examples.append(" ".join(texts))
    return examples


@functools.lru_cache(2)
def index_of(sets: tuple[tuple[str, str], ...], n: int, shortest: int, tolerance: float, repair: bool = False) -> Index:
    """The index of (task, path) pairs, kept by the process that built it."""
    return build({task: read_examples(path, repair) for task, path in sets}, n, shortest, tolerance)
