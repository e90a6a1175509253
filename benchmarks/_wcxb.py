"""Pages of WCXB (seven types, human-reviewed text) with the truth about their blocks, for fitting and for measuring."""

import gzip
import json
import os
import re
import zlib
from bisect import bisect
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from resiliparse.parse.html import HTMLTree

from gristmill.corpus.layout.page_type import tokens
from gristmill.corpus.metadata.page import head_metas
from gristmill.corpus.text.blocks import Blocks, segment
from gristmill.corpus.text.extraction import page_bytes
from gristmill.corpus.text.inline import plain
from gristmill.corpus.text.thinning import thin

from ._extraction_pages import WORD, multilingual, need

FOLDS = 4
LONG = 4  # words of a block that is judged by its 4-grams
NEAR_BLOCKS, NEAR_WORDS = 12, 45  # of a long block that is content, where a shorter one has to stand


@dataclass
class Labelled:
    """A page as it is fitted: `label` (B,) is the share of a block's words that are content."""

    name: str
    host: str
    type: str | None
    blocks: Blocks
    label: np.ndarray
    words: np.ndarray  # (B,) words by block
    tokens: np.ndarray

    @property
    def fold(self) -> int:
        return fold_of(self.host)


def truth() -> list[dict[str, Any]]:
    """The rows of the development pages."""
    with gzip.open(need("extraction", "wcxb") / "truth.jsonl.gz") as file:
        return [json.loads(line) for line in file]


def source(name: str) -> bytes:
    return gzip.decompress((need("extraction", "wcxb") / "html" / f"{name}.html.gz").read_bytes())


def host(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")


def fold_of(name: str) -> int:
    """The fold of a host."""
    return zlib.crc32(name.encode()) % FOLDS


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def score(true: str, found: str) -> tuple[float, float]:
    """(F1, recall) of the words, as multisets; 1 where both have none."""
    wanted, given = Counter(words(true)), Counter(words(found))
    hits = (wanted & given).total()
    f1 = 1.0 if wanted == given else 2 * hits / max(1, wanted.total() + given.total())
    return f1, hits / max(1, wanted.total())


def labelled(name: str, url: str, kind: str | None, body: bytes, text: str) -> Labelled:
    """A page with the truth about its blocks."""
    page = thin(page_bytes(body, None))
    tree = HTMLTree.parse_from_bytes(page.data, "utf-8")
    data = (tree.body.html if tree.body else "").encode("utf-8", "replace")
    blocks = segment(data)
    first = np.searchsorted(blocks.segments[:, 2], np.arange(len(blocks.node) + 1))
    held = [words(plain(data, blocks.segments[a:b].tolist())) for a, b in pairwise(first)]
    about = tokens(blocks, head_metas(tree.head.html if tree.head else ""), page.structured, url or None)
    sizes = np.array([len(one) for one in held], np.int64)
    return Labelled(name, host(url), kind, blocks, labels(held, words(text)), sizes, about)


def labels(blocks: list[list[str]], true: list[str]) -> np.ndarray:
    """(B,) float32 shares of a block's 4-grams that the text holds; a shorter block counts where it follows or goes
    before a block that is content, in the text as on the page."""
    grams: dict[tuple[str, ...], list[int]] = {}
    for at in range(len(true) - LONG + 1):
        grams.setdefault(tuple(true[at : at + LONG]), []).append(at)
    running = f" {' '.join(true)} "
    label, ends = np.zeros(len(blocks), np.float32), {}
    for b, held in enumerate(blocks):
        if len(held) >= LONG:
            hits = [grams.get(tuple(held[n : n + LONG])) for n in range(len(held) - LONG + 1)]
            label[b] = sum(hit is not None for hit in hits) / len(hits)
            if label[b] > 0.5:
                last = [hit for hit in hits if hit][-1]
                ends[b] = last[-1] if len(last) == 1 else None
    long = sorted(ends)
    for b, held in enumerate(blocks):
        key = f" {' '.join(held)} "
        if 0 < len(held) < LONG and key in running:
            k = bisect(long, b)
            near = [long[j] for j in (k - 1, k) if 0 <= j < len(long) and abs(long[j] - b) <= NEAR_BLOCKS]
            label[b] = any(_beside(key, b, n, ends[n], len(blocks[n]), true) for n in near)
    return label


def _beside(key: str, b: int, near: int, end: int | None, size: int, true: list[str]) -> bool:
    if end is None:
        return abs(near - b) <= 3
    low, high = (end - 3, end + NEAR_WORDS) if near < b else (end - size - NEAR_WORDS + 5, end + 6)
    return key in f" {' '.join(true[max(0, low) : high])} "


def development() -> list[Labelled]:
    """The development pages of WCXB, then the multilingual news pages, which have no type."""
    pages = [
        labelled(row["id"], row["url"], row["page_type"], source(row["id"]), row["main_content"]) for row in truth()
    ]
    for name, (page, text, _) in multilingual().items():
        one = labelled(name, "", None, page, re.sub(r"</?p>", "\n", text))
        one.host = name.split("_")[1]
        pages.append(one)
    return pages


def fold_model(fold: int) -> str:
    """Where the model that saw no page of a fold's hosts is kept: under the user's cache, because it is made again."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gristmill-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"layout_model_{fold}.npz")
