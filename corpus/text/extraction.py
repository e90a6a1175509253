"""One page in, its text and what the page says of itself out.

Engines: `resiliparse` (default: fast, any type of page), `resiliparse-v1` (the default of before, made for articles:
the same blocks as it chose then), `trafilatura` (the library as it comes, slower, needs the extra `precision`),
`trafilatura-fast` (the same without its second opinions), `raw` (all visible text).
Nothing here limits time: a page that makes an engine loop is stopped from outside, by `sandbox.py`.
"""

from dataclasses import dataclass
from importlib.util import find_spec

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5
from resiliparse.parse.html import HTMLTree

from ..layout.exact_blocks import keep_exact
from ..layout.page import lay_out, with_linked_data
from ..layout.page_type import tokens as page_tokens
from ..markdown.rendering import render_markdown
from ..metadata.page import Sent, Stated, head_metas, stated
from ..store.errors import MissingExtra, unknown_name
from .blocks import Blocks, segment
from .charsets import codec_of, decoded_as_declared, detected, fits, marked_or_wide, mend, nearly_utf8
from .content import is_content
from .data_tables import settle_tables
from .formulas import cut_out, restore
from .rendering import render
from .scanning import is_utf8
from .thinning import thin

ENGINES = ("resiliparse", "resiliparse-v1", "trafilatura", "trafilatura-fast", "raw")
SOFT_HYPHEN = "\u00ad"


@dataclass
class Page:
    """What extraction gives. `text` is empty where the page has none."""

    text: str
    stated: Stated


def check_engine(name: str) -> None:
    """Refuse an unknown engine, or one whose package is not installed, before any work."""
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    if name.startswith("trafilatura") and find_spec("trafilatura") is None:
        raise MissingExtra("trafilatura", "precision")


def page_bytes(body: bytes, charset: str | None) -> bytes:
    """A page as UTF-8. Valid UTF-8, or such with a few damaged letters, is UTF-8 whatever is declared; else the charset
    that is declared, or that the page states, where its bytes can be text in it; else the one that they look like."""
    wide = marked_or_wide(body, charset)
    if wide is not None:
        return wide.replace("\0", "").encode()
    if (b"\x1b" not in body or b"\x1b$" not in body) and is_utf8(body):  # ISO-2022 is valid ASCII, and so valid UTF-8
        return body.replace(b"\0", b"") if b"\0" in body else body
    declared = map_encoding_to_html5(charset, fallback_utf8=False) if charset else None
    if charset and not declared and (other := decoded_as_declared(body, codec_of(charset))) is not None:
        return other.replace("\0", "").encode()  # a charset that the Encoding Standard does not know
    if (damaged := nearly_utf8(body)) is not None:
        return damaged.replace("\0", "").encode()
    stated = declared if fits(body, declared) else detect_encoding(body, from_html_meta=True)
    found = (stated if fits(body, stated) else detected(body)) or "utf-8"
    text = bytes_to_str(body, found, errors="replace", fallback_encodings=("utf-8", "cp1252"))
    return text.replace("\0", "").encode("utf-8", "replace")


def extract_page(
    body: bytes | str,
    charset: str | None,
    engine: str,
    markdown: bool = False,
    headline: bool = False,
    captions: bool = False,
    sent: Sent | None = None,
) -> Page:
    """The main text of an HTML page by the engine named.

    headline   put the headline, which is in `stated.title`, at the head of the text as well (default engine)
    captions   keep the captions of figures (default engine)
    sent       what came with the page
    """
    source = mend(body).encode() if isinstance(body, str) else page_bytes(body, charset)
    page = thin(source, addresses=markdown, noscript=engine != "resiliparse-v1")
    tree = HTMLTree.parse_from_bytes(page.data, "utf-8")
    if tree.body is None:
        return Page("", Stated())
    head = tree.head.html if tree.head else ""
    metas = head_metas(head)
    about = stated(page, head, metas, tree.body, sent)
    if engine.startswith("trafilatura"):
        return Page(_trafilatura(source, markdown, fast=engine == "trafilatura-fast"), about)
    data = tree.body.html.encode("utf-8", "replace")
    blocks = segment(data, marks=markdown)
    formulas = cut_out(tree) if blocks.formulas or page.pictured else []
    if engine == "raw":
        return Page(restore(_all_text(tree, blocks), formulas), about)
    if formulas:
        data = tree.body.html.encode("utf-8", "replace")
        blocks = segment(data, marks=markdown)
    if engine == "resiliparse-v1":
        kept = is_content(blocks)
        settle_tables(blocks, kept)
        keep_exact(blocks, kept, data if formulas else b"")
        text = render(data, blocks, kept, formulas, markdown)
        return Page(text or restore(_fallback(tree, blocks), formulas), about)
    address = about.canonical or (sent.url if sent else None)
    tokens = page_tokens(blocks, metas, page.structured, address)
    laid = lay_out(data, blocks, tokens, about.title, data if formulas else b"", captions)
    about.page_type, about.page_type_score = laid.type[:2]
    about.title = laid.headline or about.title
    writer = render_markdown(data, blocks, laid.kept, formulas, laid.posts) if markdown else None
    text = writer if writer is not None else render(data, blocks, laid.kept, formulas)
    text = with_linked_data(text or restore(_fallback(tree, blocks), formulas), data, page.structured)
    text = text.replace(SOFT_HYPHEN, "") if SOFT_HYPHEN in text else text
    if headline and laid.headline:
        text = f"{'# ' if markdown else ''}{laid.headline}\n\n{text}".rstrip()
    return Page(text, about)


DEEPEST = 512  # elements within each other that browsers keep (Blink's parser)


def _fallback(tree: HTMLTree, blocks: Blocks) -> str:
    """Pages without running text (lists, forms): what resiliparse's own rules keep. Where elements are nested deeper
    than in any browser, all text: the rules look at every ancestor of every element."""
    if blocks.deepest > DEEPEST:
        return _all_text(tree, blocks)
    return extract_plain_text(tree, main_content=True, alt_texts=False).strip()


def _all_text(tree: HTMLTree, blocks: Blocks) -> str:
    """All text of a page; in one line where elements are nested deeper than in any browser, since a list within ten
    thousand others is indented by twenty thousand spaces."""
    return extract_plain_text(tree, preserve_formatting=blocks.deepest <= DEEPEST).strip()


def _trafilatura(source: bytes, markdown: bool, fast: bool) -> str:
    """trafilatura's text: as the library gives it, or by its faster way."""
    import trafilatura

    given: bytes | str = source
    tree = HTMLTree.parse_from_bytes(source, "utf-8")
    formulas = cut_out(tree)
    if formulas and tree.document:
        given = tree.document.html
    form = "markdown" if markdown else "txt"
    text = trafilatura.extract(
        given if isinstance(given, str) else given.decode("utf-8", "replace"),
        fast=fast,
        output_format=form,
        include_comments=not fast,
        include_links=markdown,
        include_formatting=markdown,
        with_metadata=False,
    )
    return restore((text or "").strip(), formulas)
