"""A page's text by its layout: blocks are chosen, the headline is taken out, what stands in JSON-LD alone is added."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..metadata.linked_data import texts
from ..text.blocks import Blocks
from ..text.data_tables import data_tables, settle_tables
from ..text.inline import plain
from ..text.markup import ANCESTORS, CUE_NAMES, elements, number
from .choice import BlockLabels, choose
from .exact_blocks import keep_exact
from .measures import names
from .model import model
from .page_type import PageType, said

LETTERS = re.compile(r"[^\W_]+")
SHORT_TEXT = 200  # characters of a page that is all but empty, whose JSON-LD then is its text
LEAST_ADDED = 80  # characters that a text of JSON-LD must have
REST_SHARE = 0.3  # of a text of JSON-LD that has to be missing behind what the page shows of it
SENTENCE = re.compile(r"[.!?…]+[\"'”’»)]*\s+|[。！？]\s*")
PROBE = 60  # letters of a line by which it is looked for in the page
LEAST_CELLS, SPECIFIED_LINKS = 4, 0.2  # of a table of values: cells with text, share of its text that is links
TITLE_SHARE = 0.4  # of the stated title that a heading has to hold
HEADED = ("article", "documentation", "forum")  # pages whose first heading is their title and no part of their text
WITHOUT_CAPTIONS = (
    "article",
)  # pages whose captions belong to pictures; elsewhere they are text in a figure's clothes
_H1, _H2 = number("h1"), number("h2")
_MARGINS = sum(1 << ANCESTORS.index(name) for name in ("nav", "footer", "aside"))
_AGAINST = sum(1 << CUE_NAMES.index(name) for name in ("comment", "navigation", "footer", "related", "advertising"))


class Laid(NamedTuple):
    """A page as its layout shows it."""

    kept: np.ndarray  # (B,) bool, of articles, documentation and threads without the headline
    headline: str | None
    type: PageType
    posts: np.ndarray | None  # (B,) bool blocks that begin a post, of a forum page


def lay_out(data: bytes, blocks: Blocks, tokens: np.ndarray, title: str | None, marked: bytes, captions: bool) -> Laid:
    """Choose the blocks of a page.

    tokens     see `page_type.tokens`
    title      what the head states
    marked     the serialised page where its formulas are marks, else nothing
    captions   whether captions of figures may stay
    """
    held = model()
    spoken = said(tokens, held.tokens)
    choice = choose(blocks, spoken, held)
    kept = choice.kept.copy()
    settle_tables(blocks, kept)
    if choice.type.name == "product":
        _keep_specifications(blocks, kept)
    keep_exact(blocks, kept, marked)
    _drop_repeated(data, blocks, kept, choice.table[:, names().index("noscript")] > 0)
    if not captions and choice.type.name in WITHOUT_CAPTIONS:
        kept &= ~_captions(blocks)
    at, headline = headline_of(data, blocks, title)
    if at >= 0 and choice.type.name in HEADED:
        kept[at] = False
    return Laid(kept, headline, choice.type, _posts(choice, kept) if choice.type.name == "forum" else None)


def _keep_specifications(blocks: Blocks, kept: np.ndarray) -> None:
    """Keep the tables of values of a product: they look like no prose, and are what its page is for."""
    for own in data_tables(blocks):
        chars, links = blocks.counts[own, 0].sum(), blocks.counts[own, 2].sum()
        against = (blocks.cues[own] & _AGAINST).any() or (blocks.ancestors[own] & _MARGINS).any()
        if len(own) >= LEAST_CELLS and links <= SPECIFIED_LINKS * chars and not against:
            kept[own] = True


def _drop_repeated(data: bytes, blocks: Blocks, kept: np.ndarray, noscript: np.ndarray) -> None:
    """Drop blocks of `noscript` that stand outside of it as well, as they do where a script only adorns a page."""
    own = np.flatnonzero(kept & noscript)
    if not len(own) or not (kept & ~noscript).any():
        return
    outside = "\n".join(_bare(_text(data, blocks, b)) for b in np.flatnonzero(kept & ~noscript).tolist())
    for b in own.tolist():
        kept[b] = _bare(_text(data, blocks, b)) not in outside


def _captions(blocks: Blocks) -> np.ndarray:
    tags = np.array([name == "figcaption" for name in (*elements()[3], "")])
    return tags[blocks.tag[blocks.node]]


def headline_of(data: bytes, blocks: Blocks, title: str | None) -> tuple[int, str | None]:
    """(block, text) of the heading that the page's title names, (-1, None) where there is none.

    Where the head states no title, the only `h1` is the headline.
    """
    order = elements()[0]
    tags = np.where(blocks.tag[blocks.node] >= 0, order[blocks.tag[blocks.node]], 0)
    top = [b for b in np.flatnonzero(tags == _H1).tolist() if not blocks.ancestors[b] & _MARGINS]
    wanted = _bare(title or "")
    best, best_text = -1, ""
    for b in top or np.flatnonzero(tags == _H2).tolist()[:5]:
        text = _text(data, blocks, b)
        bare = _bare(text)
        if (wanted and bare and bare in wanted and len(bare) > len(_bare(best_text))) or (
            wanted and bare and wanted in bare and len(text) <= 300 and best < 0
        ):
            best, best_text = b, text
    if best >= 0 and len(_bare(best_text)) >= TITLE_SHARE * len(wanted):
        return best, best_text
    if not wanted and len(top) == 1 and 3 <= len(text := _text(data, blocks, top[0])) <= 300:
        return top[0], text
    return -1, None


def _text(data: bytes, blocks: Blocks, b: int) -> str:
    first, last = np.searchsorted(blocks.segments[:, 2], (b, b + 1))
    return " ".join(plain(data, blocks.segments[first:last].tolist()).split())


def _bare(text: str) -> str:
    return "".join(LETTERS.findall(text.lower()))


def _posts(choice: BlockLabels, kept: np.ndarray) -> np.ndarray:
    """(B,) bool: kept blocks that are the first one of a repeated element, a post of a thread."""
    begins = choice.table[:, names().index("outer_order")] == 1
    posts, pending = np.zeros(len(kept), bool), False
    for b in np.flatnonzero(kept | begins).tolist():
        pending = pending or bool(begins[b])
        if kept[b]:
            posts[b], pending = pending, False
    return posts


def with_linked_data(text: str, data: bytes, scripts: Sequence[bytes]) -> str:
    """The text, and the paragraphs of JSON-LD that stand nowhere else on the page."""
    told = [one for one in texts(scripts) if len(one) >= LEAST_ADDED or text]
    if not told:
        return text
    page = _bare(re.sub(rb"<[^>]*>", b" ", data).decode("utf-8", "replace"))
    added: list[str] = []
    seen = ""
    for one in told:
        rests = (_rest(line, page) for line in one.split("\n"))
        lines = [line for line in rests if line and not _stands(line, seen)]
        if sum(map(len, lines)) >= min(LEAST_ADDED, len(one)):
            added.append("\n".join(lines))
            seen += _bare(one)
    if not added:
        return text
    if len(text) < SHORT_TEXT:
        text = text if text and _bare(text) not in seen else ""
    return "\n\n".join(filter(None, (text, *added)))


def _rest(line: str, page: str) -> str:
    """What of a line is to be added: all of it or nothing, or what follows the teaser of it that the page shows."""
    if not _stands(line, page):
        return line
    if len(line) < 4 * LEAST_ADDED:
        return ""
    begins = [0, *(found.end() for found in SENTENCE.finditer(line))]
    ends = [*begins[1:], len(line)]
    first = len(begins)
    while first and not _stands(line[begins[first - 1] : ends[first - 1]], page):
        first -= 1
    left = line[begins[first] :] if first < len(begins) else ""
    return left if len(left) >= max(LEAST_ADDED, REST_SHARE * len(line)) else ""


def _stands(line: str, page: str) -> bool:
    bare = _bare(line)
    middle = max(0, (len(bare) - PROBE) // 2)
    return not bare or bare[:PROBE] in page or bare[middle : middle + PROBE] in page
