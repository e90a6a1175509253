"""Documents that hold pieces of evaluation sets: an index of word n-grams, and where a text touches it.

Words are runs of letters and digits in lower case, so case and punctuation do not hide a copy. An example of at least
`n` words is indexed by its n-grams (13 by default); a shorter one by the whole of it, if it has at least `shortest`
words; anything shorter is too common to prove something and is left out, and counted in `Index.too_short`. One n-gram
in common is a hit; so is a near copy (`near_copies.py`) of an example, or of 2n words of a long one. Chance agreement
was not seen at these sizes, see `benchmarks/filter_decontamination.py`.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..corpus.store.errors import RequestError
from ..corpus.store.shards import filesystem
from .near_copies import SEED, NearIndex, near_copies, near_index
from .words import unicode
from .words.kernels import NEXT, decode, jit, slot, table_size
from .words.layout import Layout, Spans

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
    lengths: np.ndarray  # (L,) int64, ascending: n-gram sizes that occur
    keys: np.ndarray  # (2**k,) uint64
    stamps: np.ndarray  # (2**k,) int64, 1 where taken
    owner: np.ndarray  # (2**k,) int64, place of the example
    task_of: np.ndarray  # (examples,) int64
    number_of: np.ndarray  # (examples,) int64, its line in the file
    too_short: int
    near: NearIndex | None


@jit
def _folded(data, ends, table, lower, fill, bounds):
    """Runs of letters, digits and marks in lower case."""
    made = np.zeros(len(ends), np.int64)
    n = bounds[-1] if fill else 0
    start, end, hashes = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    w = 0
    for d in range(len(ends) - 1):
        i = ends[d]
        while i < ends[d + 1]:
            point, width = decode(data, i)
            if not table[point] & 8192:  # ALNUM
                i += width
                continue
            begin, h = i, np.uint64(0)
            while i < ends[d + 1]:
                point, width = decode(data, i)
                apostrophe = point == 39 or point == 0x2019
                if not (table[point] & 8448 or apostrophe):  # ALNUM or MARK
                    break
                if not apostrophe:
                    h = h * NEXT + np.uint64(lower[point] + 1)
                i += width
            if fill:
                start[w], end[w], hashes[w] = begin, i, h
            w += 1
        made[d + 1] = w
    return made, (start, end, hashes)


def folded_words(layout: Layout) -> Spans:
    """Words as this module compares them; `chars` and `flags` are not filled."""
    where = (layout.data, layout.ends, layout.table, unicode.lowered())
    bounds = _folded(*where, False, np.zeros(1, np.int64))[0]
    start, end, hashes = _folded(*where, True, bounds)[1]
    return Spans(bounds, start, end, hashes, np.zeros(0, np.int32), np.zeros(0, np.uint16))


def build(examples: Mapping[str, Iterable[str]], n: int = 13, shortest: int = 8, tolerance: float = 0.15) -> Index:
    """Index the examples of each task; an example is one text. No near copies with a tolerance of 0."""
    tasks = tuple(sorted(examples))
    texts, task_of, number_of = [], [], []
    for place, task in enumerate(tasks):
        for number, text in enumerate(examples[task]):
            texts.append(text)
            task_of.append(place)
            number_of.append(number)
    words = folded_words(Layout(pa.array(texts, pa.string())))
    counts = np.diff(words.bounds)
    sizes = np.where(counts >= n, n, np.where(counts >= shortest, counts, 0))
    total = int(np.sum(np.where(sizes > 0, counts - sizes + 1, 0)))
    if not total:
        raise RequestError(f"the evaluation sets hold no example of at least {shortest} words")
    keys = np.zeros(table_size(total), np.uint64)
    stamps, owner = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    _fill(words.bounds, words.hash, sizes, keys, stamps, owner)
    lengths = np.unique(sizes[sizes > 0]).astype(np.int64)
    short = int(np.sum(sizes == 0))
    near = near_index(words, max(shortest, 2 * SEED), 2 * n, tolerance) if tolerance > 0 else None
    return Index(n, tasks, lengths, keys, stamps, owner, np.array(task_of), np.array(number_of), short, near)


@jit
def _gram(hashes, at, n):
    g = np.uint64(n)
    for k in range(n):
        g = (g ^ (g >> np.uint64(31))) * NEXT + hashes[at + k]
    return g


@jit
def _fill(bounds, hashes, sizes, keys, stamps, owner):
    for d in range(len(bounds) - 1):
        n = sizes[d]
        if n == 0:
            continue
        for at in range(bounds[d], bounds[d + 1] - n + 1):
            g = _gram(hashes, at, n)
            s = slot(keys, stamps, 1, g)
            if stamps[s] != 1:
                keys[s], stamps[s], owner[s] = g, 1, d


@jit
def _search(bounds, hashes, lengths, keys, stamps, owner):
    """(hits, 4) int64: document, word where it begins, n, example."""
    found = np.empty((16, 4), np.int64)
    count = 0
    for d in range(len(bounds) - 1):
        for at in range(bounds[d], bounds[d + 1]):
            for n in lengths:
                if at + n > bounds[d + 1]:
                    break
                g = _gram(hashes, at, n)
                s = slot(keys, stamps, 1, g)
                if stamps[s] == 1:
                    if count == len(found):
                        wider = np.empty((2 * count, 4), np.int64)
                        wider[:count] = found
                        found = wider
                    found[count, 0], found[count, 1], found[count, 2], found[count, 3] = d, at, n, owner[s]
                    count += 1
    return found[:count]


def search(text: pa.Array, index: Index) -> list[list[Hit]]:
    """Every text's hits, in order; those of one example that overlap are one hit."""
    layout = Layout(text)
    words = folded_words(layout)
    found = _search(words.bounds, words.hash, index.lengths, index.keys, index.stamps, index.owner)
    spans = [(d, at, at + n, example, 0) for d, at, n, example in found.tolist()]
    if index.near is not None:
        spans += [
            (d, at, at + n, example, edits) for d, at, n, example, edits in near_copies(words, index.near).tolist()
        ]
    out: list[list[Hit]] = [[] for _ in range(len(layout))]
    open_hits: dict[tuple[int, int], list[int]] = {}
    for d, at, end, example, edits in sorted(spans):
        span = open_hits.get((d, example))
        if span is not None and at <= span[1]:
            span[1], span[2] = max(span[1], end), min(span[2], edits)
            continue
        if span is not None:
            out[d].append(_hit(layout, words, index, d, example, span))
        open_hits[d, example] = [at, end, edits]
    for (d, example), span in open_hits.items():
        out[d].append(_hit(layout, words, index, d, example, span))
    return [sorted(hits, key=lambda hit: (hit.start, hit.task, hit.example)) for hits in out]


def _hit(layout: Layout, words: Spans, index: Index, d: int, example: int, span: list[int]) -> Hit:
    begin = int(layout.ends[d])
    low, high = int(words.start[span[0]]), int(words.end[span[1] - 1])
    start = len(layout.data[begin:low].tobytes().decode())
    size = len(layout.data[low:high].tobytes().decode())
    task = index.tasks[int(index.task_of[example])]
    return Hit(task, int(index.number_of[example]), start, start + size, span[1] - span[0], span[2])


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


def read_examples(path: str) -> list[str]:
    """Examples of a JSONL file: the texts of the fields in `FIELDS`, one after the other; unknown lines are refused."""
    fs, plain = filesystem(path)
    if not fs.exists(plain):
        raise RequestError(f"evaluation set {path} does not exist")
    examples = []
    with fs.open(plain, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                texts = [row[name] for name in FIELDS if isinstance(row.get(name), str)]
            except (ValueError, AttributeError) as error:
                raise RequestError(f"{path}: line {number} is not a JSON object: {error}") from error
            if not texts:
                raise RequestError(f"{path}: line {number} has none of the fields {', '.join(FIELDS)}")
            examples.append(" ".join(texts))
    return examples


@functools.lru_cache(2)
def index_of(sets: tuple[tuple[str, str], ...], n: int, shortest: int, tolerance: float) -> Index:
    """The index of (task, path) pairs, kept by the process that built it."""
    return build({task: read_examples(path) for task, path in sets}, n, shortest, tolerance)
