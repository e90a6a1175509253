"""The fitted models of layout that gristmill brings, in one file: `layout_model.npz`.

It holds the trees that choose blocks, those that tell the type of a page, and the lexicon: names of classes and ids and
short wordings, as hashes, with how much they speak for content and for each type. `benchmarks/train_layout_model.py`
made it and tells from what.
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from .trees import Trees

FILE = "layout_model.npz"
SIXTEENTHS = 16  # a log-odds is kept as a whole number of sixteenths


class Lexicon(NamedTuple):
    """L hashes and what each says."""

    slots: np.ndarray  # int64: one more than the place of the hash that is kept there, 0 for none
    hashes: np.ndarray  # (L,) int64
    said: np.ndarray  # (L, columns) int8, sixteenths of log-odds


class BlockClassifier(NamedTuple):
    blocks: Trees
    types: Trees
    names: Lexicon  # names of classes and ids: one column, for content
    wordings: Lexicon  # wordings of short blocks: one column, for content
    tokens: Lexicon  # names of a page and words of its head: a column for each of TYPES
    columns: tuple[str, ...]


@cache
def model() -> BlockClassifier:
    """The model of this package, read once a process."""
    with files(__package__ or "").joinpath(FILE).open("rb") as file, np.load(file) as held:
        return unpacked({name: held[name] for name in held.files})


def unpacked(held: dict[str, np.ndarray]) -> BlockClassifier:
    """A model from the arrays of its file."""
    blocks, types = (Trees(*(held[f"{of}_{name}"] for name in Trees._fields)) for of in ("blocks", "types"))
    names, wordings, tokens = (
        lexicon(held[f"{of}_hashes"], held[f"{of}_said"]) for of in ("names", "wordings", "tokens")
    )
    return BlockClassifier(blocks, types, names, wordings, tokens, tuple(str(held["columns"]).split()))


def packed(blocks: Trees, types: Trees, lexica: dict[str, tuple[np.ndarray, np.ndarray]], columns: list[str]) -> dict:
    """The arrays of a model's file."""
    out: dict[str, np.ndarray] = {"columns": np.array(" ".join(columns))}
    for of, trees in (("blocks", blocks), ("types", types)):
        out |= {f"{of}_{name}": array for name, array in zip(Trees._fields, trees, strict=True)}
    for of, (hashes, said) in lexica.items():
        out |= {f"{of}_hashes": hashes, f"{of}_said": said}
    return out


def lexicon(hashes: np.ndarray, said: np.ndarray) -> Lexicon:
    """A lexicon of hashes, each with its row of `said`."""
    slots = np.zeros(1 << max(4, (2 * len(hashes)).bit_length()), np.int64)
    _fill(hashes, slots)
    return Lexicon(slots, hashes, said)


@compiled
def _fill(hashes, slots):
    for row in range(len(hashes)):
        at = (hashes[row] ^ (hashes[row] >> 21)) & (len(slots) - 1)
        while slots[at]:
            at = (at + 1) & (len(slots) - 1)
        slots[at] = row + 1


@compiled
def places(wanted, slots, hashes, out):
    """The place of each hash in a lexicon, -1 for one that is not there."""
    for n in range(len(wanted)):
        at = (wanted[n] ^ (wanted[n] >> 21)) & (len(slots) - 1)
        out[n] = -1
        while slots[at]:
            if hashes[slots[at] - 1] == wanted[n]:
                out[n] = slots[at] - 1
                break
            at = (at + 1) & (len(slots) - 1)


def looked_up(wanted: np.ndarray, found: Lexicon, unknown: float) -> np.ndarray:
    """(n,) float32 log-odds of the first column for hashes (n,) int64; `unknown` for those that are not there."""
    at = np.empty(len(wanted), np.int64)
    places(wanted, found.slots, found.hashes, at)
    if not len(found.hashes):
        return np.full(len(wanted), unknown, np.float32)
    said = found.said[at, 0].astype(np.float32) / np.float32(SIXTEENTHS)
    said[at < 0] = unknown
    return said
