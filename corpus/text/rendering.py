"""Blocks as text that stays readable: paragraphs, lists, tables and code, in plain text or Markdown.

Code keeps its bytes between fences, formulas keep theirs between dollar signs (see `formulas.py`); elsewhere runs of
white space become one space. A row of a table is a line, its cells stand between ` | `.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .blocks import Blocks
from .formulas import restore
from .inline import exact, marked, plain
from .markup import ANCESTORS, elements

FENCE = "```"
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
CELLS = ("td", "th")
IN_LIST, IN_TABLE, IN_QUOTE = (1 << ANCESTORS.index(name) for name in ("li", "table", "blockquote"))
CELL_BLOCKS = 3  # a cell with more holds a layout, not a value


def render(data: bytes, blocks: Blocks, kept: np.ndarray, formulas: Sequence[str] = (), markdown: bool = False) -> str:
    """The text of the kept blocks (B,) bool, in document order."""
    numbers = np.flatnonzero(kept)
    if not len(numbers):
        return ""
    page = _Page(blocks)
    inside = blocks.ancestors[numbers]
    cells = page.cells(blocks.node[numbers[inside & IN_TABLE > 0]].tolist())
    first = np.searchsorted(blocks.segments[:, 2], np.stack([numbers, numbers + 1]))
    out: list[str] = []  # parts of the text, each with what sets it off from the one before
    place = _Place(page, markdown)
    row: dict[int, str] = {}  # the cells of the table row that is being gathered
    fenced = 0
    columns = (blocks.node[numbers], blocks.pre[numbers], inside, *first)
    for node, pre, bits, start, end in np.stack(columns, axis=1).tolist():
        segments = blocks.segments[start:end].tolist()
        if fenced and pre != fenced:
            out.append("\n" + FENCE)
            fenced = 0
        cell = -1 if pre else cells.get(node, -1)
        if row and (cell < 0 or page.parents[cell] != place.row):
            out.append(place.close_row(row))
            row = {}
        if pre:
            text = exact(data, segments).rstrip("\n")
            out.append("\n" + text if pre == fenced else f"{place.gap()}{FENCE}\n{text}")
            fenced = pre
            place.paragraph()
            continue
        name = page.name(node)
        text = marked(data, segments, ("**",) if name in HEADINGS else ()) if markdown else plain(data, segments)
        if not text:
            continue
        if cell >= 0:
            if not row:
                place.open_row(cell)
            column = place.column(cell)
            row[column] = f"{row[column]} {text}" if column in row else text
        else:
            out.append(place.written(node, bits, name, text))
    if row:
        out.append(place.close_row(row))
    if fenced:
        out.append("\n" + FENCE)
    return restore("".join(out), formulas)


class _Page:
    """The tree of block elements."""

    def __init__(self, blocks: Blocks) -> None:
        self.parents, self.tags = blocks.parent.tolist(), blocks.tag.tolist()
        self._names = elements()[3]
        self._columns: dict[int, int] = {}

    def name(self, node: int) -> str:
        return self._names[self.tags[node]] if self.tags[node] >= 0 else "body"

    def around(self, node: int, wanted: Sequence[str], until: Sequence[str] = ()) -> int:
        """The nearest element of those names at or above a node, -1 if there is none below one of `until`."""
        while node > 0:
            name = self.name(node)
            if name in wanted:
                return node
            if name in until:
                return -1
            node = self.parents[node]
        return -1

    def cells(self, nodes: list[int]) -> dict[int, int]:
        """Block element -> the table cell that it stands in, where the cell holds a value."""
        names = {node: self.name(node) for node in set(nodes)}
        of = {node: self.around(node, CELLS, ("table",)) for node in names}
        held = Counter(of[node] for node in nodes)
        return {
            node: cell for node, cell in of.items() if cell >= 0 and (held[cell] <= CELL_BLOCKS or names[node] in CELLS)
        }

    def column(self, cell: int) -> int:
        """The number of cells before a cell in its row."""
        if not self._columns:
            seen: Counter[int] = Counter()
            for node, parent in enumerate(self.parents):
                if self.name(node) in CELLS:
                    self._columns[node] = seen[parent]
                    seen[parent] += 1
        return self._columns[cell]


class _Place:
    """Where the writing stands: what came last decides how the next part is set off and marked."""

    def __init__(self, page: _Page, markdown: bool) -> None:
        self.page, self.markdown = page, markdown
        self.row, self.table, self.item, self.empty = -1, -1, -1, True
        self.counts: Counter[int] = Counter()  # items written, by list
        self._row_gap, self._ruled = "", False

    def paragraph(self) -> None:
        self.item, self.table, self.empty = -1, -1, False

    def gap(self) -> str:
        """What stands before a paragraph."""
        return "" if self.empty else "\n\n"

    def written(self, node: int, bits: int, name: str, text: str) -> str:
        """The text with what sets it off, and with the marks of a heading, a list item or a quotation.

        bits   what is around the block, as in ANCESTORS
        """
        item = self.page.around(node, ("li",), ("table",)) if bits & IN_LIST else -1
        fresh = item >= 0 and item != self.item
        gap = "\n" if fresh and self.item >= 0 else self.gap()
        if self.markdown:
            if item >= 0:
                text = self._indented(item, text, fresh)
            elif name in HEADINGS:
                text = "#" * int(name[1]) + " " + text.replace("\n", " ")
            elif bits & IN_QUOTE:
                text = "> " + text.replace("\n", "\n> ")
        elif fresh:
            text = "- " + text
        self.item, self.table, self.empty = item, -1, False
        return gap + text

    def _indented(self, item: int, text: str, first: bool) -> str:
        """An item's text under its bullet or number, as deep as its list is nested."""
        holder = self.page.around(self.page.parents[item], ("ul", "ol", "menu"), ("table",))
        ordered = holder >= 0 and self.page.name(holder) == "ol"
        self.counts[holder] += first
        bullet = f"{self.counts[holder]}. " if ordered else "- "
        depth, outer = 0, self.page.around(self.page.parents[item], ("li",), ("table",))
        while outer >= 0:
            depth += 1
            outer = self.page.around(self.page.parents[outer], ("li",), ("table",))
        before = "    " * depth
        rest = before + " " * len(bullet)
        return (before + bullet if first else rest) + text.replace("\n", "\n" + rest)

    def column(self, cell: int) -> int:
        return self.page.column(cell)

    def open_row(self, cell: int) -> None:
        """Begin the row of a cell."""
        self.row = self.page.parents[cell]
        table = self.page.around(self.row, ("table",))
        same = table >= 0 and table == self.table
        self._row_gap = "" if self.empty else "\n" if same else "\n\n"
        self._ruled = same
        self.item, self.table, self.empty = -1, table, False

    def close_row(self, row: dict[int, str]) -> str:
        """The row as a line; in Markdown the first one of a table is its head."""
        if not self.markdown:
            return self._row_gap + " | ".join(text for _, text in sorted(row.items()))
        columns = range(max(row) + 1)
        line = "| " + " | ".join(row.get(c, "").replace("|", "\\|").replace("\n", " ") for c in columns) + " |"
        rule = "" if self._ruled else "\n|" + " --- |" * len(columns)
        return self._row_gap + line + rule
