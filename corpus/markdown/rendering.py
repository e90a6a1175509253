"""Kept blocks as Markdown: headings, nested lists, quotations, tables, fenced code with its language, formulas.

Containers (quotations, lists and their items) are opened and closed as their elements are, so that what a CommonMark
parser makes of the text has the structure of the page. A cell that spans columns or rows stands in its first place, the
others are empty. Between the posts of a thread stands a rule. Text is escaped where it would be read as a mark.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..text.blocks import Blocks
from ..text.formulas import restore
from ..text.inline import exact
from ..text.markup import elements
from ..text.rendering import CELL_BLOCKS, CELLS, HEADINGS
from .inline import inline

LISTS = ("ul", "ol", "menu", "dir")
LANGUAGE = re.compile(
    r"(?:^|[\s\"])(?:language|lang|highlight-source|highlight|brush:?|sourceCode|prettyprint lang|code)[-\s:]\s?"
    r"([A-Za-z][\w+#-]{0,19})"
)
NO_CODE_LANGUAGES = (
    "default",
    "none",
    "text",
    "plaintext",
    "source",
    "wrapper",
    "block",
    "toolbar",
    "notranslate",
    "code",
)
SPAN = re.compile(rb'\b(colspan|rowspan)="(\d{1,3})"')
WIDEST = 200  # columns of a table


class _Container(NamedTuple):
    kind: str  # quote, list, item
    node: int


def render_markdown(
    data: bytes, blocks: Blocks, kept: np.ndarray, formulas: Sequence[str] = (), posts: np.ndarray | None = None
) -> str:
    """The kept blocks (B,) bool as Markdown.

    posts   (B,) bool blocks that begin a post of a thread
    """
    numbers = np.flatnonzero(kept)
    if not len(numbers):
        return ""
    writer = _Writer(data, blocks)
    first = np.searchsorted(blocks.segments[:, 2], np.stack([numbers, numbers + 1]))
    cells = writer.cells(blocks.node[numbers].tolist())
    groups: list[tuple[str, int, list[Any]]] = []  # paragraph, pre or table; its element; its blocks
    for b, start, end in zip(numbers.tolist(), *first.tolist(), strict=True):
        node, pre = int(blocks.node[b]), int(blocks.pre[b])
        cell = -1 if pre else cells.get(node, -1)
        table = writer.around(cell, ("table",)) if cell >= 0 else -1
        kind, element = ("pre", pre) if pre else ("table", table) if table >= 0 else ("text", node)
        held = (b, node, cell, blocks.segments[start:end].tolist())
        if kind != "text" and groups and groups[-1][:2] == (kind, element):
            groups[-1][2].append(held)
        else:
            groups.append((kind, element, [held]))
    for kind, element, held in groups:
        if posts is not None and posts[held[0][0]]:
            writer.rule()
        if kind == "pre":
            writer.code(element, held)
        elif kind == "table":
            writer.table(element, held)
        else:
            writer.text(element, held[0][3])
    return restore("".join(writer.out).strip("\n"), formulas)


class _Writer:
    """What has been written, and the containers that are open."""

    def __init__(self, data: bytes, blocks: Blocks) -> None:
        self.data, self.places = data, blocks.place
        self.parents, self.tags, self.names = blocks.parent.tolist(), blocks.tag.tolist(), elements()[3]
        self.out: list[str] = []
        self.open: list[_Container] = []
        self.count: Counter[int] = Counter()  # items written, by list
        self.sign: dict[int, str] = {}  # of a list
        self.last_list: list[tuple[int, str]] = []  # (depth, sign) of the list that was closed last, by depth
        self.item_text = -1  # the item that the last block stands in, where it is a single paragraph
        self.loose = True

    def name(self, node: int) -> str:
        return self.names[self.tags[node]] if self.tags[node] >= 0 else "body"

    def around(self, node: int, wanted: Sequence[str]) -> int:
        while node > 0:
            if self.name(node) in wanted:
                return node
            node = self.parents[node]
        return -1

    def cells(self, nodes: list[int]) -> dict[int, int]:
        """Block element -> the table cell that it stands in, where the table is one of values, not of layout."""
        of: dict[int, int] = {}
        for node in set(nodes):
            up = node
            while up > 0 and self.name(up) not in (*CELLS, "table", "pre"):
                up = self.parents[up]
            of[node] = up if up > 0 and self.name(up) in CELLS else -1
        held = Counter(of[node] for node in nodes)
        nested = {self.around(self.parents[table], ("table",)) for table in self._tables(of.values())}
        wide = {self.around(cell, ("table",)) for cell in of.values() if cell >= 0 and held[cell] > CELL_BLOCKS}
        return {
            node: cell for node, cell in of.items() if cell >= 0 and self.around(cell, ("table",)) not in nested | wide
        }

    def _tables(self, cells: Any) -> set[int]:
        return {self.around(cell, ("table",)) for cell in cells if cell >= 0}

    def containers(self, node: int) -> list[_Container]:
        """Quotations, lists and items around an element, outermost first; a list without an item is none."""
        path: list[_Container] = []
        item = False
        while node > 0:
            name = self.name(node)
            if name == "li":
                path.append(_Container("item", node))
                holder = self.around(self.parents[node], (*LISTS, "li", "blockquote", "table"))
                if holder < 0 or self.name(holder) not in LISTS:
                    path.append(_Container("list", self.parents[node]))  # items that no list holds
                item = True
            elif name in LISTS and item:
                path.append(_Container("list", node))
                item = False
            elif name == "blockquote":
                path.append(_Container("quote", node))
            elif name in ("td", "th"):
                pass
            node = self.parents[node]
        return path[::-1]

    def _signs(self, wanted: list[_Container], same: int) -> None:
        """Choose the bullets of the lists that open: another one than that of a list that ends just before."""
        ended = [c for c in self.open[same:] if c.kind == "list"][:1]
        for depth, container in enumerate(wanted[same:], same):
            if container.kind != "list" or container.node in self.sign:
                continue
            ordered = self.name(container.node) == "ol"
            pair = (".", ")") if ordered else ("-", "*")
            before = (
                self.sign.get(ended[0].node, "") if ended and depth == same else self._before if depth == same else ""
            )
            self.sign[container.node] = pair[1] if before == pair[0] else pair[0]

    _before = ""

    def put(self, node: int, lines: list[str], tight: bool = True) -> None:
        """Write the lines of a block in the containers of its element."""
        wanted = self.containers(node)
        same = 0
        while same < min(len(wanted), len(self.open)) and wanted[same] == self.open[same]:
            same += 1
        self._signs(wanted, same)
        opened = wanted[same:]
        fresh_item = bool(opened) and opened[0].kind == "item" and all(c.kind != "quote" for c in opened)
        shared = wanted[:same]
        gap = self._prefix(shared, set()).rstrip()
        if self.out:
            between = (
                "\n"
                if (
                    fresh_item
                    or (
                        opened
                        and opened[0].kind == "list"
                        and shared
                        and shared[-1].kind == "item"
                        and tight
                        and self.tight
                    )
                )
                and self.tight
                else f"\n{gap}\n"
            )
            self.out.append(between)
        new = {c.node for c in opened if c.kind == "item"}
        for container in opened:
            if container.kind == "item":
                self.count[self._holder(container, wanted)] += 1
        head, rest = self._prefix(wanted, new), self._prefix(wanted, set())
        before = (head if n == 0 else rest for n in range(len(lines)))
        self.out.append("\n".join(a + line if line else a.rstrip() for a, line in zip(before, lines, strict=True)))
        self.open = wanted
        self._before = ""
        self.tight = tight
        if not wanted:
            self._before = ""

    tight = False

    def _holder(self, item: _Container, wanted: list[_Container]) -> int:
        return wanted[wanted.index(item) - 1].node

    def _prefix(self, containers: list[_Container], new: set[int]) -> str:
        """What a line begins with in these containers; items of `new` begin on it."""
        parts = []
        for n, container in enumerate(containers):
            if container.kind == "quote":
                parts.append("> ")
            elif container.kind == "item":
                holder = containers[n - 1].node
                sign = self.sign.get(holder, "-")
                bullet = f"{sign} " if sign in "-*" else f"{self.count[holder]}{sign} "
                parts.append(bullet if container.node in new else " " * len(bullet))
        return "".join(parts)

    def rule(self) -> None:
        """A rule between the posts of a thread."""
        if self.out:
            self.out.append("\n\n---")
            self.open, self.tight = [], False

    def text(self, node: int, segments: list[Any]) -> None:
        heading = self.around(node, HEADINGS)
        heading = heading if heading >= 0 and self.name(node) in HEADINGS else -1
        written = inline(self.data, segments, ("**",) if heading >= 0 else ())
        if not written:
            return
        if heading >= 0:
            line = " ".join(written.split("\n"))
            line = re.sub(r"(?<=\s)(#+)$", lambda found: "\\" + found[1], line)
            self.put(node, ["#" * int(self.name(node)[1]) + " " + line], tight=False)
        else:
            self.put(node, written.split("\n"))

    def code(self, pre: int, held: list[Any]) -> None:
        parts = [exact(self.data, segments) for _, _, _, segments in held]
        text = "\n".join(part.rstrip("\n") for part in parts).strip("\n")
        if not text.strip():
            return
        longest = max((len(run) for run in re.findall(r"^\s*(`{3,})", text, re.MULTILINE)), default=2)
        fence = "`" * (longest + 1)
        self.put(pre, [fence + self._language(pre, held), *text.split("\n"), fence], tight=False)

    def _language(self, pre: int, held: list[Any]) -> str:
        """What the classes of the code, its `pre` or the two elements around that call its language."""
        told = [
            self.data[start:end] for _, _, _, segments in held[:1] for start, end, _, kind in segments[:2] if kind >= 2
        ]
        node = pre
        for _ in range(3):
            if node > 0:
                at = int(self.places[node])
                told.append(self.data[at : self.data.find(b">", at)])
                node = self.parents[node]
        for attributes in told:
            classes = re.search(rb'\bclass="([^"]*)"', attributes)
            found = LANGUAGE.search(classes[1].decode("utf-8", "replace")) if classes else None
            if found and found[1].lower() not in NO_CODE_LANGUAGES:
                return found[1].lower()
        return ""

    def table(self, table: int, held: list[Any]) -> None:
        """A table's rows as lines, the first one as its head."""
        texts: dict[int, list[str]] = {}
        for _, _, cell, segments in held:
            text = inline(self.data, segments).replace("\n", " ")
            texts.setdefault(cell, []).append(_cell(text))
        rows: dict[int, dict[int, str]] = {}
        for cell, (row, column) in self._grid(table).items():
            if cell in texts and column < WIDEST:
                rows.setdefault(row, {})[column] = " ".join(texts[cell])
        if not rows:
            return
        width = max(max(row) for row in rows.values()) + 1
        lines = ["| " + " | ".join(row.get(c, "") for c in range(width)) + " |" for _, row in sorted(rows.items())]
        self.put(table, [lines[0], "|" + " --- |" * width, *lines[1:]], tight=False)

    def _grid(self, table: int) -> dict[int, tuple[int, int]]:
        """Cell -> its row and first column, with spans counted."""
        places: dict[int, tuple[int, int]] = {}
        row_of: dict[int, int] = {}
        taken: set[tuple[int, int]] = set()
        for node in range(table + 1, len(self.parents)):
            if self.parents[node] < table:
                break
            if self.name(node) not in CELLS or self.around(self.parents[node], ("table",)) != table:
                continue
            row = row_of.setdefault(self.parents[node], len(row_of))
            column = 0
            while (row, column) in taken:
                column += 1
            places[node] = row, column
            at = int(self.places[node])
            spans = dict(SPAN.findall(self.data[at : self.data.find(b">", at)]))
            wide, deep = (max(1, min(int(spans.get(k, 1)), WIDEST)) for k in (b"colspan", b"rowspan"))
            taken.update((row + r, column + c) for r in range(deep) for c in range(wide))
        return places


def _cell(text: str) -> str:
    return text.replace("|", "\\|") if "\\|" not in text else re.sub(r"(?<!\\)\|", r"\\|", text)
