"""Blocks as text that stays readable: paragraphs, lists, tables and code, in plain text or Markdown.

Code keeps its bytes between fences, formulas keep theirs between dollar signs (see `formulas.py`); elsewhere runs of
white space become one space.
"""

import html
from collections.abc import Sequence

import numpy as np

from .blocks import BREAK, Blocks
from .formulas import restore
from .markup import elements

FENCE = "```"


def render(data: bytes, blocks: Blocks, kept: np.ndarray, formulas: Sequence[str] = (), markdown: bool = False) -> str:
    """The text of the kept blocks (B,) bool, in document order."""
    numbers = np.flatnonzero(kept)
    if not len(numbers):
        return ""
    names = elements()[3]
    first = np.searchsorted(blocks.segments[:, 2], np.arange(len(kept) + 1))
    parents, tags = blocks.parent.tolist(), blocks.tag.tolist()
    out: list[str] = []
    before, pre_before, row_before = "", -1, -1
    for b in numbers.tolist():
        node = int(blocks.node[b])
        name = names[tags[node]] if tags[node] >= 0 else "body"
        pre = int(blocks.pre[b]) or -1
        text = _text(data, blocks.segments[first[b] : first[b + 1]], exact=pre >= 0)
        if pre >= 0:
            if pre == pre_before:
                out[-1] += "\n" + text.rstrip("\n")
            else:
                out.append(("\n\n" if out else "") + FENCE + "\n" + text.rstrip("\n"))
            before, pre_before, row_before = "pre", pre, -1
            continue
        if pre_before >= 0:
            out[-1] += "\n" + FENCE
            pre_before = -1
        if not text:
            continue
        row = _around(node, "tr", parents, tags, names) if name in ("td", "th") else -1
        if row >= 0 and row == row_before:
            out.append(f" | {text}")
        else:
            mark = "- " if name == "li" else "#" * int(name[1]) + " " if markdown and name in HEADINGS else ""
            tight = (name == "li" and before == "li") or (row >= 0 and row_before >= 0)
            out.append(("" if not out else "\n" if tight else "\n\n") + mark + text)
        before, row_before = name, row
    if pre_before >= 0:
        out[-1] += "\n" + FENCE
    return restore("".join(out), formulas)


HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


def _around(node: int, name: str, parents: list[int], tags: list[int], names: tuple[str, ...]) -> int:
    """The nearest element of that name at or above a node, -1 if there is none."""
    wanted = names.index(name)
    while node > 0:
        if tags[node] == wanted:
            return node
        node = parents[node]
    return -1


def _text(data: bytes, segments: np.ndarray, exact: bool) -> str:
    parts = [b"\n" if kind == BREAK else data[start:end] for start, end, _, kind in segments.tolist()]
    if exact:
        return html.unescape(b"".join(parts).decode("utf-8", "replace")).replace("\r\n", "\n")
    if b"\n" in parts and any(kind == BREAK for kind in segments[:, 3]):
        lines = [" ".join(line.split()) for line in _lines(data, segments)]
        return "\n".join(line for line in lines if line)
    return " ".join(html.unescape(b"".join(parts).decode("utf-8", "replace")).split())


def _lines(data: bytes, segments: np.ndarray) -> list[str]:
    """Text cut at `<br>` alone; newlines of the source are white space."""
    lines = [b""]
    for start, end, _, kind in segments.tolist():
        if kind == BREAK:
            lines.append(b"")
        else:
            lines[-1] += data[start:end]
    return [html.unescape(line.decode("utf-8", "replace")) for line in lines]
