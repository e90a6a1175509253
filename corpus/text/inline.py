"""The text of one block: white space settled, or, for Markdown, with its links, emphasis and code marked as well.

Segments are those of `blocks.py`. Nothing is escaped: a text that looks like Markdown stays as its author wrote it.
"""

import html
from collections.abc import Iterable, Sequence

from .blocks import BREAK, CLOSE, MARKED, OPEN, TEXT

SIGNS = {"b": "**", "strong": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"} | dict.fromkeys(
    ("code", "kbd", "samp", "tt"), "`"
)


def plain(data: bytes, segments: Sequence[Sequence[int]]) -> str:
    """Runs of white space as one space; `<br>` alone begins a line, newlines of the source do not."""
    parts: list[bytes] = []
    for start, end, _, kind in segments:
        if kind == TEXT:
            parts.append(data[start:end])
        elif kind == BREAK:
            return _settled(unescaped(_newline_at_breaks(data, segments)))
    return " ".join(unescaped(b"".join(parts)).split())


def exact(data: bytes, segments: Sequence[Sequence[int]]) -> str:
    """Every byte of the text, as code needs it."""
    parts = [b"\n" if kind == BREAK else data[start:end] for start, end, _, kind in segments if kind in (TEXT, BREAK)]
    return unescaped(b"".join(parts)).replace("\r\n", "\n")


def marked(data: bytes, segments: Sequence[Sequence[int]], without: Iterable[str] = ()) -> str:
    """As `plain`, with Markdown for links, emphasis and code; signs in `without` are left out."""
    whole: list[str] = []
    stack: list[tuple[str, str, list[str]]] = []  # element, its sign or address, what it holds
    for start, end, _, kind in segments:
        parts = stack[-1][2] if stack else whole
        if kind == TEXT:
            parts.append(unescaped(data[start:end]).replace("\n", " "))
        elif kind == BREAK:
            parts.append("\n")
        elif kind < CLOSE:
            name = MARKED[kind - OPEN]
            sign = address(data[start:end]) if name == "a" else SIGNS[name]
            around = {held for _, held, _ in stack}
            stack.append((name, "" if sign in around or sign in without or "`" in around else sign, []))
        elif any(name == MARKED[kind - CLOSE] for name, _, _ in stack):
            closed = False
            while not closed:
                closed = stack[-1][0] == MARKED[kind - CLOSE]
                _close(stack, whole)
    while stack:
        _close(stack, whole)
    return _settled("".join(whole))


def _close(stack: list[tuple[str, str, list[str]]], whole: list[str]) -> None:
    """Write the innermost element into the one around it, its white space outside of its signs."""
    name, sign, parts = stack.pop()
    inner = "".join(parts)
    core = inner.strip()
    if sign and core:
        before, after = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
        core = " ".join(core.split()) if name == "a" or sign == "`" else core
        inner = f"{before}[{core}]({sign}){after}" if name == "a" else f"{before}{sign}{core}{sign}{after}"
    (stack[-1][2] if stack else whole).append(inner)


def address(attributes: bytes) -> str:
    """The `href` among serialised attributes, empty where there is none worth a link."""
    at = attributes.find(b' href="')
    if at < 0:
        return ""
    url = unescaped(attributes[at + 7 : attributes.find(b'"', at + 7)]).strip()
    if not url or url.startswith("#") or url.lower().startswith(("javascript:", "data:")):
        return ""
    return url.replace(" ", "%20").replace("(", "%28").replace(")", "%29").replace("\n", "")


def unescaped(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return html.unescape(text) if "&" in text else text


def _settled(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return "\n".join(line for line in lines if line)


def _newline_at_breaks(data: bytes, segments: Sequence[Sequence[int]]) -> bytes:
    return b"".join(
        b"\n" if kind == BREAK else data[start:end].replace(b"\n", b" ")
        for start, end, _, kind in segments
        if kind in (TEXT, BREAK)
    )
