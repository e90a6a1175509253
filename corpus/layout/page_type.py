"""The type of a page: article, collection, documentation, forum, listing, product or service; `other` where none is
likely.

Judged by the page itself: its layout, the names of its classes, its short wordings, and what its head says (`og:type`,
the program that made it, types of JSON-LD, the words of its address). Trees weigh these (`model.py`) and give the
probability. Types are those of WCXB (Web Content Extraction Benchmark).
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from ..compiling import compiled
from ..text.blocks import WORDING_CHARS, Blocks
from ..text.markup import CUE_NAMES
from .measures import PAGE, names
from .model import SIXTEENTHS, BlockClassifier, Lexicon, model, places
from .trees import UNIT, scores
from .types import OTHER, TYPES

LIKELY = 0.3  # least probability of a type that is told
JSON_TYPE = re.compile(rb'"@type"\s*:\s*\[?\s*"([A-Za-z]{1,40})"')
WORD = re.compile(r"[a-z]{2,24}")
RATIOS = ("signs", "questions", "headings", "chars", "good", "long", "several", "outer", "alike", "largest")
LONG_CHARS = 200
POWERS = np.array([round(2**40 * math.exp(-n / 64)) for n in range(64 * 24)], np.int64)  # the same on any machine
NAMED_METAS = ("og:type", "generator", "twitter:card", "application-name", "twitter:label1")


class PageType(NamedTuple):
    """What a page is taken for."""

    name: str
    probability: float
    article: int = 0  # probability of an article, of 65536


def said_names() -> list[str]:
    """Columns of `said`."""
    return [f"says_{name}" for name in TYPES]


def described_names() -> list[str]:
    """Columns of `described`."""
    return [
        *(f"page_{name}" for name in PAGE),
        *(f"share_{name}" for name in CUE_NAMES),
        *(f"by_{name}" for name in RATIOS),
        *said_names(),
    ]


def tokens(blocks: Blocks, metas: Mapping[str, str], scripts: Sequence[bytes], address: str | None) -> np.ndarray:
    """Hashes of what a page is told by, each once: names of its classes and ids, wordings of its short blocks, and
    words of its head and address."""
    found: set[str] = set()
    for name in NAMED_METAS:
        if name in metas:
            found.update(f"{name}={word}" for word in WORD.findall(metas[name].lower())[:4])
    for word in WORD.findall(metas.get("og:title", "").lower())[:20]:
        found.add(f"title={word}")
    for script in scripts:
        found.update(f"json={kind.decode().lower()}" for kind in JSON_TYPE.findall(script[:200_000])[:50])
    if address:
        try:
            parts = urlsplit(address.lower())
        except ValueError:
            parts = urlsplit("")
        steps = [step for step in parts.path.split("/") if step]
        found.update(f"path={word}" for step in steps[:-1] for word in WORD.findall(step))
        found.update(f"last={word}" for step in steps[-1:] for word in WORD.findall(step))
        found.update(f"host={word}" for word in WORD.findall(parts.netloc)[:4])
        found.add(f"steps={min(len(steps), 5)}")
        found.update(f"query={word}" for word in re.findall(r"([a-z_]{1,20})=", parts.query)[:5])
    head = np.array(sorted(hashed(one) for one in found), np.int64)
    short = blocks.counts[blocks.counts[:, 0] <= WORDING_CHARS, 14]
    return np.unique(np.concatenate([blocks.words[:, 1], head, (short[short > 0] * 31 + 7) & 0xFFFFFFFFFFF]))


def hashed(text: str) -> int:
    """The hash of a word of the head, other than that of a class."""
    value = 5
    for c in text.encode():
        value = (value * 131 + c + 3) & 0xFFFFFFFFFFF
    return value


def said(wanted: np.ndarray, found: Lexicon) -> np.ndarray:
    """(K,) float32: what the known ones of the tokens say for each type, over the root of their number."""
    at = np.empty(len(wanted), np.int64)
    places(wanted, found.slots, found.hashes, at)
    at = at[at >= 0]
    total = found.said[at].astype(np.int64).sum(axis=0)
    return (total / (SIXTEENTHS * np.sqrt(max(len(at), 1)))).astype(np.float32)


def described(blocks: Blocks, table: np.ndarray, spoken: np.ndarray) -> np.ndarray:
    """(F,) float32 measures of a whole page, columns as `described_names()`.

    table    (B, F) of `measures.py`
    spoken   (K,) of `said`
    """
    shares = np.zeros(len(CUE_NAMES), np.float32)
    page = np.zeros(len(PAGE), np.float32)
    if len(blocks.node):
        _shares(blocks.cues, blocks.counts, shares)
        start = names().index(f"page_{PAGE[0]}")
        page = table[0, start : start + len(PAGE)]
    return np.concatenate([page, shares, _ratios(blocks, table), spoken])


def _ratios(blocks: Blocks, table: np.ndarray) -> np.ndarray:
    """(R,) float32 shares of a page that its sums do not show, see RATIOS."""
    size = len(blocks.node)
    if not size:
        return np.zeros(len(RATIOS), np.float32)
    columns = names()
    chars = blocks.counts[:, 0].astype(np.float64)
    total = max(float(chars.sum()), 1.0)
    several, outer, alike, share = (
        table[:, columns.index(name)].astype(np.float64)
        for name in ("several_count", "outer_count", "alike_count", "outer_share")
    )
    heads = table[0, columns.index("page_headings")]
    found = (
        *(blocks.counts[:, 11].sum() / size, blocks.counts[:, 12].sum() / size, heads / size, total / size),
        *(table[0, columns.index("page_good")] / total, chars[chars >= LONG_CHARS].sum() / total),
        *((several * chars).sum() / total, (outer * chars).sum() / total, (alike * chars).sum() / total, share.max()),
    )
    return np.array(found, np.float32)


@compiled
def _shares(cues, counts, out):
    total = 0.0
    for b in range(len(cues)):
        total += counts[b, 0]
        for k in range(len(out)):
            if cues[b] >> k & 1:
                out[k] += counts[b, 0]
    for k in range(len(out)):
        out[k] /= max(total, 1.0)


def page_type(row: np.ndarray, held: BlockClassifier | None = None) -> PageType:
    """The type of a page from its row of `described`."""
    score = scores(row[None], (held or model()).types, early=False)[0]
    best = int(np.argmax(score))
    power = POWERS[np.minimum((score[best] - score) * 64 // UNIT, len(POWERS) - 1)]
    whole = int(power.sum())
    share, article = int(power[best]) / whole, int(power[TYPES.index("article")]) * 65536 // whole
    if share < LIKELY:
        return PageType(OTHER, round(1 - share, 4), article)
    return PageType(TYPES[best], round(share, 4), article)
