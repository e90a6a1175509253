"""Which blocks of a page are its content, whatever type of page it is.

A classifier of layout (`measures.py`, `model.py`) gives each block a probability; kept are the blocks that make the
expected F1 of the page's words largest, so that a page of doubtful blocks keeps more of them than one of clear ones.
The priors of `text/content.py` are added in the measure that a page is likely an article: they say what crawls show of
comments, newsletters and captions, and reviewed pages rarely do. Text that the page hides is no content, unless nearly
all of its text is hidden until a script shows it. Where a page's largest text would fall though nothing speaks against
it, it stays: to lose an article is worse than to keep a margin.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from ..text.blocks import Blocks
from ..text.content import PRIORS
from ..text.markup import ANCESTORS, CUE_NAMES, UNSEEN, VEILED
from .measures import measures, names
from .model import BlockClassifier, looked_up, model
from .page_type import PageType, described, page_type
from .trees import UNIT, scores

TABLED = 12  # log-odds beyond which a probability is taken for 0 or 1
PROBABILITIES = np.array(
    [round(65536 / (1 + math.exp(-n / 64))) for n in range(-64 * TABLED, 64 * TABLED + 1)], np.int64
)
HIDDEN_SHARE = 0.5  # of a page's running text; where more is hidden, it is shown by a script
_HIDING = 1 << UNSEEN | 1 << VEILED
_AGAINST = sum(
    1 << CUE_NAMES.index(name)
    for name in ("comment", "navigation", "footer", "sidebar", "related", "advertising", "subscribe", "social")
)
_AGAINST_IN = sum(1 << ANCESTORS.index(name) for name in ("nav", "footer", "aside", "form", "header"))
PRIOR_WEIGHT = 1.0  # of the priors, times the probability that the page is an article
LOST_CHARS = 300  # of running text without links in one block


class BlockLabels(NamedTuple):
    """What the classifier makes of a page."""

    kept: np.ndarray  # (B,) bool
    probability: np.ndarray  # (B,) int64 of 65536
    type: PageType
    table: np.ndarray  # (B, F) float32 the measures


def choose(blocks: Blocks, spoken: np.ndarray, held: BlockClassifier | None = None) -> BlockLabels:
    """The choice of a page's blocks, given what speaks for each type of page (K,), see `page_type.said`."""
    if not len(blocks.node):
        table = np.zeros((0, len(names())), np.float32)
        kind = page_type(described(blocks, table, spoken), held)
        return BlockLabels(np.zeros(0, bool), np.zeros(0, np.int64), kind, table)
    held = held or model()
    table = measures(
        blocks,
        looked_up(blocks.words[:, 1], held.names, np.nan),
        looked_up(np.where(blocks.counts[:, 0] <= 40, blocks.counts[:, 14], 0), held.wordings, 0.0),
        spoken,
    )
    kind = page_type(described(blocks, table, spoken), held)
    score = scores(table, held.blocks)[:, 0]
    at, worth = _priors()
    score = score + (table[:, at].astype(np.int64) @ worth) * kind.article // 65536
    place = np.clip(score * 64 // UNIT, -64 * TABLED, 64 * TABLED) + 64 * TABLED
    probability = PROBABILITIES[place]
    hidden = _hidden(blocks, table)
    probability[hidden] = 0
    kept = np.zeros(len(probability), bool)
    order = np.argsort(-probability, kind="stable")
    _largest(probability, weights(blocks), order, kept)
    _rescue(blocks, hidden, kept)
    return BlockLabels(kept, probability, kind, table)


def weights(blocks: Blocks) -> np.ndarray:
    """(B,) int64 how much a block weighs in the page's F1: its words, at least a sixth of its letters."""
    return np.maximum(blocks.counts[:, 1], blocks.counts[:, 0] // 6)


def _hidden(blocks: Blocks, table: np.ndarray) -> np.ndarray:
    """(B,) bool: text that is not shown."""
    columns = names()
    hidden = (table[:, columns.index("unseen")] > 0) | (table[:, columns.index("veiled")] > 0)
    if not hidden.any():
        return hidden
    chars = blocks.counts[:, 0] - blocks.counts[:, 2]
    running = np.where(chars >= 50, chars, 0)
    if running[hidden].sum() > HIDDEN_SHARE * max(running.sum(), 1):
        return np.zeros(len(hidden), bool)
    return hidden


@cache
def _priors() -> tuple[np.ndarray, np.ndarray]:
    """(columns of flags, what each adds to a score)."""
    columns = names()
    worth = {"unseen" if name == "cue_unseen" else name: value for name, value in PRIORS.items() if name[:4] != "tag_"}
    at = np.array([columns.index(name) for name in worth])
    return at, np.array([round(PRIOR_WEIGHT * value * UNIT) for value in worth.values()], np.int64)


@compiled
def _largest(probability, weight, order, kept):
    """Keep the first blocks of the order that make the expected F1 of words largest."""
    whole = 0
    for b in range(len(order)):
        whole += probability[b] * weight[b]
    hits, size, best, last = 0, 0, 0.0, -1
    for n in range(len(order)):
        b = order[n]
        if probability[b] <= 0:
            break
        hits += probability[b] * weight[b]
        size += weight[b] * 65536
        value = 2.0 * hits / (size + whole + 1.0)
        if value >= best:
            best, last = value, n
    for n in range(last + 1):
        kept[order[n]] = True


def _rescue(blocks: Blocks, hidden: np.ndarray, kept: np.ndarray) -> None:
    """Keep the block with most running text where it would fall though no cue and no element speaks against it."""
    plain = blocks.counts[:, 0] - 2 * blocks.counts[:, 2]
    plain = np.where(hidden | (blocks.pre > 0), 0, plain)
    largest = int(np.argmax(plain))
    if kept[largest] or plain[largest] < LOST_CHARS:
        return
    if plain[largest] < plain[kept].max(initial=0) or blocks.counts[largest, 4] < 2:
        return
    if not blocks.cues[largest] & _AGAINST and not blocks.ancestors[largest] & _AGAINST_IN:
        kept[largest] = True
