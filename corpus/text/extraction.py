"""One page in, its text and what the page says of itself out.

Engines: `resiliparse` (default: fast), `trafilatura` (slower, needs the extra `precision`), `raw` (all visible text).
Nothing here limits time: a page that makes an engine loop is stopped from outside, by `sandbox.py`.
"""

from dataclasses import dataclass

import numpy as np
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5
from resiliparse.parse.html import HTMLTree

from ..metadata.page import Stated, stated
from ..store.errors import MissingExtra, unknown_name
from .blocks import Blocks, segment
from .charsets import codec_of, decoded_as_declared, marked_or_wide, mend
from .content import is_content
from .data_tables import settle_tables
from .formulas import OPEN, cut_out, restore
from .rendering import render
from .thinning import is_utf8, thin

ENGINES = ("resiliparse", "trafilatura", "raw")


@dataclass
class Page:
    """What extraction gives. `text` is empty where the page has none."""

    text: str
    stated: Stated


def check_engine(name: str) -> None:
    """Refuse an unknown engine, or one whose package is not installed, before any work."""
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    if name == "trafilatura":
        try:
            import trafilatura  # noqa: F401
        except ImportError:
            raise MissingExtra("trafilatura", "precision") from None


def page_bytes(body: bytes, charset: str | None) -> bytes:
    """A page as UTF-8. Valid UTF-8 is UTF-8 whatever is declared; else the declared or the detected charset."""
    wide = marked_or_wide(body, charset)
    if wide is not None:
        return wide.replace("\0", "").encode()
    if (b"\x1b" not in body or b"\x1b$" not in body) and is_utf8(body):  # ISO-2022 is valid ASCII, and so valid UTF-8
        return body.replace(b"\0", b"") if b"\0" in body else body
    declared = map_encoding_to_html5(charset, fallback_utf8=False) if charset else None
    if charset and not declared and (other := decoded_as_declared(body, codec_of(charset))) is not None:
        return other.replace("\0", "").encode()  # a charset that the Encoding Standard does not know
    found = declared or detect_encoding(body, from_html_meta=True) or "utf-8"
    text = bytes_to_str(body, found, errors="replace", fallback_encodings=("utf-8", "cp1252"))
    return text.replace("\0", "").encode("utf-8", "replace")


def extract_page(body: bytes | str, charset: str | None, engine: str, markdown: bool = False) -> Page:
    """The main text of an HTML page by the engine named."""
    source = mend(body).encode() if isinstance(body, str) else page_bytes(body, charset)
    page = thin(source, addresses=markdown)
    tree = HTMLTree.parse_from_bytes(page.data, "utf-8")
    if tree.body is None:
        return Page("", Stated())
    markup = tree.body.html
    about = stated(page, tree.head.html if tree.head else "", markup)
    if engine == "trafilatura":
        return Page(_trafilatura(source, markdown), about)
    data = markup.encode("utf-8", "replace")
    blocks = segment(data, marks=markdown)
    formulas = cut_out(tree) if blocks.formulas or page.pictured else []
    if engine == "raw":
        return Page(restore(extract_plain_text(tree).strip(), formulas), about)
    if formulas:
        data = tree.body.html.encode("utf-8", "replace")
        blocks = segment(data, marks=markdown)
    kept = is_content(blocks)
    settle_tables(blocks, kept)
    keep_exact(blocks, kept, data if formulas else b"")
    text = render(data, blocks, kept, formulas, markdown)
    return Page(text or restore(_fallback(tree), formulas), about)


def keep_exact(blocks: Blocks, kept: np.ndarray, marked: bytes) -> None:
    """Keep code and formulas between kept blocks: they look like no prose and are not to be judged as such.

    marked   the serialised page where its formulas are marks, else nothing
    """
    special = blocks.pre > 0
    if MARK_BYTES in marked:
        for start, end, block, _ in blocks.segments.tolist():
            special[block] |= MARK_BYTES in marked[start:end]
    if not special.any():
        return
    prose = np.flatnonzero(kept & ~special)
    for b in np.flatnonzero(special & ~kept):
        near = np.searchsorted(prose, b)
        beside = [abs(int(prose[at]) - b) for at in (near - 1, near) if 0 <= at < len(prose)]
        kept[b] = bool(beside) and min(beside) <= NEAR_PROSE


NEAR_PROSE = 40  # blocks; a listing may have a block for every line
MARK_BYTES = OPEN.encode()


def _fallback(tree: HTMLTree) -> str:
    """Pages without running text (lists, forms): what resiliparse's own rules keep."""
    return extract_plain_text(tree, main_content=True, alt_texts=False).strip()


def _trafilatura(source: bytes, markdown: bool) -> str:
    """trafilatura's text."""
    import trafilatura

    given: bytes | str = source
    tree = HTMLTree.parse_from_bytes(source, "utf-8")
    formulas = cut_out(tree)
    if formulas and tree.document:
        given = tree.document.html
    form = "markdown" if markdown else "txt"
    text = trafilatura.extract(
        given if isinstance(given, str) else given.decode("utf-8", "replace"),
        fast=True,
        output_format=form,
        include_comments=False,
        include_links=markdown,
        include_formatting=markdown,
        with_metadata=False,
    )
    return restore((text or "").strip(), formulas)
