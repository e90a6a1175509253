"""One page in, its text and what the page says of itself out.

Engines: `resiliparse` (default: fast), `trafilatura` (slower, needs the extra `precision`), `raw` (all visible text).
Nothing here limits time: a page that makes an engine loop is stopped from outside, by `sandbox.py`.
"""

from dataclasses import dataclass
from datetime import datetime

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5
from resiliparse.parse.html import HTMLTree

from .refusal import MissingExtra, unknown_name

ENGINES = ("resiliparse", "trafilatura", "raw")


@dataclass
class Page:
    """What extraction gives. `text` is empty where the page has none."""

    text: str
    title: str | None = None
    date: datetime | None = None
    language: str | None = None  # as the page declares it
    license: str | None = None
    links: int | None = None


def check_engine(name: str) -> None:
    """Refuse an unknown engine, or one whose package is not installed, before any work."""
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    if name == "trafilatura":
        try:
            import trafilatura  # noqa: F401
        except ImportError:
            raise MissingExtra("trafilatura", "precision") from None


def decode_page(body: bytes, charset: str | None) -> str:
    """Bytes of a page as text: the declared charset if the bytes agree with it, else the detected one."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", "replace")
    declared = map_encoding_to_html5(charset, fallback_utf8=False) if charset else None
    found = declared or detect_encoding(body, from_html_meta=True) or "utf-8"
    return bytes_to_str(body, found, errors="replace", fallback_encodings=("utf-8", "cp1252")).replace("\0", "")


def extract_page(body: bytes | str, charset: str | None, engine: str) -> Page:
    """The main text of an HTML page by the engine named."""
    html = body if isinstance(body, str) else decode_page(body, charset)
    tree = HTMLTree.parse(html)
    if engine == "raw":
        return Page(extract_plain_text(tree).strip(), title=(tree.title or "").strip() or None)
    text = extract_plain_text(tree, main_content=True)
    return Page(text.strip(), title=(tree.title or "").strip() or None)


def decode_text(body: bytes) -> str | None:
    """A plain text file as text, None where it is binary."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        if body.startswith((b"\xff\xfe", b"\xfe\xff")):
            return body.decode("utf-16", "replace")
        sample = body[: 64 << 10]
        odd = sum(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in sample)
        if odd > len(sample) // 1000:
            return None
        text = bytes_to_str(body, detect_encoding(body) or "cp1252", errors="replace")
    return None if "\0" in text else text
