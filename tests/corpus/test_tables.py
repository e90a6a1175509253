"""Data tables survive whole or not at all; tables that lay out a page are judged block by block."""

import numpy as np
import pytest

from gristmill.corpus.text.blocks import Blocks, segment
from gristmill.corpus.text.data_tables import settle_tables
from gristmill.corpus.text.extraction import extract_page

ROWS = [("Stone", "Weight"), ("Runner", "900 kg"), ("Bedstone", "1200 kg"), ("Edge", "300 kg")]
DATA = "<table>" + "".join(f"<tr><td>{a}</td><td>{b}</td></tr>" for a, b in ROWS) + "</table>"
PROSE = "<p>The stones of the mill were cut from one quarry, and each was weighed before it was set into its bed.</p>"


def settled(html: str, first: int) -> list[bool]:
    """What becomes of the blocks where only the first so many were kept."""
    blocks: Blocks = segment(f"<body>{html}</body>".encode())
    kept = np.arange(len(blocks.node)) < first
    settle_tables(blocks, kept)
    return kept.tolist()


@pytest.mark.parametrize(("first", "whole"), [(0, False), (2, False), (5, True), (7, True), (8, True)])
def test_most_of_a_tables_text_decides_all_of_it(first: int, whole: bool):
    assert settled(DATA, first) == [whole] * 8


def test_blocks_outside_of_a_table_stay_as_they_are():
    assert settled(PROSE + DATA + PROSE, 2) == [True] + [False] * 9
    assert settled(PROSE + DATA + PROSE, 8) == [True] * 9 + [False]


@pytest.mark.parametrize(
    "layout",
    [
        f"<table><tr><td>{PROSE * 6}</td><td><p>Home</p><p>News</p></td></tr></table>",
        f"<table><tr><td>Home</td><td>{DATA}</td></tr><tr><td>{PROSE * 9}</td><td>News</td></tr></table>",
        "<table><tr><td>one</td></tr><tr><td>two</td></tr><tr><td>three</td></tr></table>",
    ],
)
def test_a_table_that_lays_out_a_page_is_left_alone(layout: str):
    kept = settled(layout, 1)
    assert kept == [True] + [False] * (len(kept) - 1)


def test_a_table_under_elements_without_end_is_settled_too():
    assert settled("<div>" * 5000 + DATA, 7) == [True] * 8


def test_a_table_between_paragraphs_comes_out_whole():
    page = f"<html><body><article>{PROSE * 5}{DATA}{PROSE * 5}</article></body></html>"
    text = extract_page(page, None, "resiliparse").text
    found = [f"{a} | {b}" in text for a, b in ROWS]
    assert all(found) or not any(found)
