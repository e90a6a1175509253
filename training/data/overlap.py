"""How much of a held-out text is trained on: exactly, and nearly, by the tokens.

A held-out document is trained on exactly where a training document has the same tokens (what starts, prefixes and ends
a document aside), and nearly where at least half of its windows of `WINDOW` tokens stand in training text, be they
scattered over many documents. Documents shorter than a window can only be found exactly. Hashes are of 64 bits.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...corpus.compiling import compiled
from ...corpus.store.workspace import Workspace
from .permutation import mix
from .shards import TokenDomain, domains, open_tokens

WINDOW = 13  # tokens, as is usual in contamination audits (Brown et al. 2020)
NEARLY = 0.5  # of a document's windows
BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Overlap:
    """Of `documents` held-out documents, how many stand in training text."""

    documents: int
    exactly: int
    nearly: int  # those that are there exactly are among them


def overlap(held: Sequence[np.ndarray], train: Iterable[TokenDomain]) -> Overlap:
    """held: the tokens of each text alone; train: everything that is trained on, of the same tokenizer."""
    texts = [np.asarray(text, np.int64) for text in held]
    flat = np.concatenate([*texts, np.zeros(0, np.int64)])
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    starts = ends - np.array([len(text) for text in texts], np.int64)
    whole = text_hashes(flat, starts, ends)
    windows, owner = window_hashes(flat, starts, ends, WINDOW)
    known, where = np.unique(windows, return_inverse=True)
    seen, same = np.zeros(len(known), bool), np.zeros(len(texts), bool)
    for domain in train:
        tail = 0 if domain.facts.eos is None else 1
        first = 0
        for segment in domain.segments:  # record batches hold whole documents
            last = int(np.searchsorted(domain.offsets, domain.offsets[first] + len(segment), side="right")) - 1
            bounds = domain.offsets[first : last + 1] - domain.offsets[first]
            begins = bounds[:-1] + 1 + domain.metadata_tokens[first:last]
            stops = np.maximum(begins, bounds[1:] - tail)
            tokens = np.asarray(segment)
            same |= np.isin(whole, text_hashes(tokens, begins, stops))
            if len(known):
                mark(tokens, begins, stops, WINDOW, known, seen)
            first = last
    counts = np.bincount(owner, minlength=len(texts))
    found = np.bincount(owner, seen[where].astype(float), minlength=len(texts))
    near = same | ((counts > 0) & (found >= NEARLY * counts))
    return Overlap(len(texts), int(same.sum()), int(near.sum()))


def held_out_overlap(workspace: Workspace) -> dict[str, Overlap]:
    """Domain -> how much of its held-out split stands in what any domain of the workspace trains on."""
    names = domains(workspace)
    train = [open_tokens(workspace, name) for name in names]
    return {name: overlap(texts_of(open_tokens(workspace, name, "heldout")), train) for name in names}


def texts_of(domain: TokenDomain) -> list[np.ndarray]:
    """The tokens of each document's text alone; documents without any are left out."""
    tail = 0 if domain.facts.eos is None else 1
    found = []
    for i in range(domain.documents):
        own = domain.document(i)
        found.append(own[1 + int(domain.metadata_tokens[i]) : len(own) - tail])
    return [text for text in found if len(text)]


@compiled
def text_hashes(tokens, begins, ends):  # (D,) uint64 of the tokens [begin, end)
    out = np.empty(len(begins), np.uint64)
    for i in range(len(begins)):
        h = np.uint64(ends[i] - begins[i])
        for at in range(begins[i], ends[i]):
            h = mix(h * BASE + np.uint64(tokens[at]))
        out[i] = h
    return out


@compiled
def window_hashes(tokens, begins, ends, size):  # -> hashes of all windows, and the text that each is in
    count = 0
    for i in range(len(begins)):
        count += max(0, ends[i] - begins[i] - size + 1)
    out, owner, n = np.empty(count, np.uint64), np.empty(count, np.int64), 0
    for i in range(len(begins)):
        for at in range(begins[i], ends[i] - size + 1):
            h = np.uint64(0)
            for place in range(size):
                h = h * BASE + np.uint64(tokens[at + place]) + np.uint64(1)
            out[n], owner[n] = mix(h), i
            n += 1
    return out, owner


@compiled
def mark(tokens, begins, ends, size, known, seen):  # known: sorted hashes; a rolling hash finds those that occur
    power = np.uint64(1)
    for _ in range(size):
        power = power * BASE
    bits = 1
    while (1 << bits) < 8 * len(known):
        bits += 1
    maybe = np.zeros(1 << bits, np.bool_)  # most windows are none of them: one look says so
    shift = np.uint64(64 - bits)
    for h in known:
        maybe[h >> shift] = True
    for i in range(len(begins)):
        if ends[i] - begins[i] < size:
            continue
        h = np.uint64(0)
        for at in range(begins[i], ends[i]):
            h = h * BASE + np.uint64(tokens[at]) + np.uint64(1)
            if at - begins[i] >= size:
                h -= power * (np.uint64(tokens[at - size]) + np.uint64(1))
            if at - begins[i] >= size - 1:
                key = mix(h)
                if maybe[key >> shift]:
                    place = np.searchsorted(known, key)
                    if place < len(known) and known[place] == key:
                        seen[place] = True
