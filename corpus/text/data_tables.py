"""Data tables are content whole or not at all: a row without its neighbours says nothing.

A table is taken for data where it holds no other table, has two rows of two cells or more, and hardly any cell holds
more than a value. Such a table is kept where the classifier keeps `SHARE` of its text, and dropped otherwise; tables
that lay out a page are left to the classifier, block by block.
"""

from collections import defaultdict

import numpy as np

from .blocks import Blocks
from .markup import ANCESTORS, elements

SHARE = 0.5  # of a table's characters
VALUES = 0.9  # of the cells have one block at most
CELLS = ("td", "th")
_IN_TABLE = 1 << ANCESTORS.index("table")


def settle_tables(blocks: Blocks, kept: np.ndarray) -> None:
    """Change `kept`, (B,) bool, so that a data table's blocks agree."""
    inside = np.flatnonzero(blocks.ancestors & _IN_TABLE)
    if not len(inside) or kept[inside].all() or not kept[inside].any():
        return
    for own in _data_tables(blocks, inside):
        chars = blocks.counts[own, 0]
        kept[own] = chars[kept[own]].sum() >= SHARE * chars.sum()


def data_tables(blocks: Blocks) -> list[np.ndarray]:
    """The blocks of each data table of a page."""
    inside = np.flatnonzero(blocks.ancestors & _IN_TABLE)
    return _data_tables(blocks, inside) if len(inside) else []


def _data_tables(blocks: Blocks, inside: np.ndarray) -> list[np.ndarray]:
    """The blocks of each data table."""
    names, parents, tags = elements()[3], blocks.parent.tolist(), blocks.tag.tolist()
    places: dict[int, tuple[int, int, int]] = {}  # element -> the cell, row and table around it
    outer: set[int] = set()  # tables that hold tables

    def place(node: int) -> tuple[int, int, int]:
        path = []
        while node >= 0 and node not in places:
            path.append(node)
            node = parents[node]
        cell, row, table = places.get(node, (-1, -1, -1))
        for node in reversed(path):
            name = names[tags[node]] if tags[node] >= 0 else ""
            if name == "table":
                outer.add(table)
                cell, row, table = -1, -1, node
            elif name == "tr":
                cell, row = -1, node
            elif name in CELLS:
                cell = node
            places[node] = cell, row, table
        return cell, row, table

    tables: dict[int, list[int]] = defaultdict(list)
    cells: dict[int, dict[int, dict[int, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for block in inside.tolist():
        cell, row, table = place(int(blocks.node[block]))
        if table >= 0:
            tables[table].append(block)
            cells[table][row][cell] += 1
    return [np.array(own) for table, own in tables.items() if table not in outer and _is_data(cells[table])]


def _is_data(rows: dict[int, dict[int, int]]) -> bool:
    """Whether rows of cells, each with its number of blocks, are those of a data table."""
    held = [blocks for row in rows.values() for blocks in row.values()]
    wide = sum(len(row) > 1 for row in rows.values())
    return wide >= 2 and 2 * wide >= len(rows) and sum(count == 1 for count in held) >= VALUES * len(held)
