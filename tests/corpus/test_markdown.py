"""Markdown of a page parses back, by CommonMark, to the structure that the page had."""

from html import escape

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from resiliparse.parse.html import HTMLTree

from gristmill.corpus.markdown.inline import code_span, escaped, line_start
from gristmill.corpus.markdown.rendering import render_markdown
from gristmill.corpus.text.blocks import segment
from gristmill.corpus.text.thinning import thin

PARSER = MarkdownIt("commonmark").enable("table")
LINES = st.text("ab#*_`[]()<>&!|~-+=.1\\$ :é中", min_size=1, max_size=24).filter(
    lambda text: text.strip() and text.strip("\\")
)
PLAIN = st.text("abc d", min_size=1, max_size=12).map(lambda text: f"x{text}y")


def markdown(page: str) -> str:
    tree = HTMLTree.parse_from_bytes(thin(f"<body>{page}".encode(), addresses=True).data, "utf-8")
    assert tree.body is not None
    data = tree.body.html.encode()
    blocks = segment(data, marks=True)
    return render_markdown(data, blocks, np.ones(len(blocks.node), bool))


def parsed(text: str) -> list:
    """Nested [name, parts] of what CommonMark makes of a text; text is settled white space, breaks are spaces."""
    root: list = ["page", []]
    stack = [root]
    for token in PARSER.parse(text):
        name = token.tag
        if token.type == "inline":
            stack[-1][1].append(settled(inline_text(token.children or [])))
        elif token.type in ("fence", "code_block"):
            stack[-1][1].append(["pre", [token.content.rstrip("\n")]])
        elif token.nesting == 1:
            stack[-1][1].append([name, []])
            stack.append(stack[-1][1][-1])
        elif token.nesting == -1:
            stack.pop()
        elif token.type == "hr":
            stack[-1][1].append(["hr", []])
        else:
            stack[-1][1].append([token.type, [token.content]])
    return root[1]


def inline_text(tokens: list) -> str:
    out = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            out.append(" ")
        elif token.type == "code_inline":
            out.append(f"<code>{token.content}</code>")
        elif token.type == "text":
            out.append(token.content)
        elif token.nesting == 0:
            out.append(f"<{token.type}>{token.content}")
        else:
            out.append(f"<{'/' if token.nesting < 0 else ''}{token.tag}>")
    return "".join(out)


def settled(text: str) -> str:
    return " ".join(text.split())


@given(LINES)
@settings(max_examples=150, deadline=None)
def test_any_text_of_a_paragraph_is_read_back_as_that_text(text: str):
    assert parsed(markdown(f"<p>{escape(text)}</p>")) == [["p", [settled(text)]]]


@given(st.lists(LINES, min_size=1, max_size=3), st.integers(1, 6))
@example(["|", ":- |"], 1)  # what would be the first rows of a table
@example(["a | b", "--- | ---\t|"], 1)
@settings(max_examples=60, deadline=None)
def test_headings_and_lines_of_a_paragraph_are_read_back(lines: list[str], level: int):
    page = f"<h{level}>{escape(lines[0])}</h{level}><p>{'<br>'.join(map(escape, lines))}</p>"
    assert parsed(markdown(page)) == [[f"h{level}", [settled(lines[0])]], ["p", [settled(" ".join(lines))]]]


def blocks_of(depth: int) -> st.SearchStrategy:
    """[name, parts] of blocks, as `parsed` gives them."""
    leaf = st.one_of(
        PLAIN.map(lambda text: ["p", [settled(text)]]),
        st.tuples(st.integers(1, 6), PLAIN).map(lambda pair: [f"h{pair[0]}", [settled(pair[1])]]),
        st.text("ab` \n~", min_size=1, max_size=16)
        .filter(lambda text: text.strip())
        .map(lambda text: ["pre", ["k" + text.rstrip() + "\n```z"]]),
    )
    if depth == 0:
        return leaf
    inner = st.lists(blocks_of(depth - 1), min_size=1, max_size=2)
    first = PLAIN.map(lambda text: ["p", [settled(text)]])
    item = st.tuples(first, inner).map(lambda pair: ["li", [pair[0], *pair[1]]])
    return st.one_of(
        leaf,
        st.tuples(st.sampled_from(["ul", "ol"]), st.lists(item, min_size=1, max_size=3)).map(lambda p: [p[0], p[1]]),
        st.lists(blocks_of(depth - 1), min_size=1, max_size=3).map(lambda parts: ["blockquote", parts]),
    )


def as_html(block: list) -> str:
    name, parts = block
    return f"<{name}>{''.join(escape(p) if isinstance(p, str) else as_html(p) for p in parts)}</{name}>"


@given(st.lists(blocks_of(2), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_nested_lists_quotations_code_and_headings_are_read_back(blocks: list):
    assert parsed(markdown("".join(map(as_html, blocks)))) == blocks


INLINE = st.recursive(
    st.text("ab ,.(", min_size=1, max_size=6).map(lambda text: ("", text)),
    lambda inner: st.tuples(st.sampled_from(["b", "em", "a", "s", "span"]), st.lists(inner, min_size=1, max_size=2)),
    max_leaves=5,
)


def inline_html(part: tuple) -> str:
    name, held = part
    if not name:
        return held
    opening = "a href='/x'" if name == "a" else name
    return f"<{opening}>{''.join(map(inline_html, held))}</{name}>"


@given(st.lists(INLINE, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_emphasis_is_read_back_or_left_out_and_never_becomes_text(parts: list):
    page = "".join(map(inline_html, parts))
    tree = HTMLTree.parse_from_bytes(f"<p>k {page} k</p>".encode(), "utf-8")
    assert tree.body is not None
    read = parsed(markdown(f"<p>k {page} k</p>"))
    text = read[0][1][0]
    for mark in ("<strong>", "</strong>", "<em>", "</em>", "<a>", "</a>"):
        text = text.replace(mark, "")
    assert settled(text.replace("~~", "")) == settled(tree.body.text or "")


CELLS = st.lists(st.lists(PLAIN, min_size=2, max_size=4), min_size=2, max_size=4)


@given(CELLS)
@settings(max_examples=40, deadline=None)
def test_the_cells_of_a_table_are_read_back_in_their_rows_and_columns(rows: list[list[str]]):
    width = max(map(len, rows))
    page = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    read = parsed(markdown(f"<table>{page}</table>"))
    cells = [[(cell[1] or [""])[0] for cell in row[1]] for part in read[0][1] for row in part[1]]
    assert cells == [[settled(cell) for cell in row] + [""] * (width - len(row)) for row in rows]


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (
            "<tr><th colspan=2>wide one</th><th>last</th></tr><tr><td>a1</td><td>b1</td><td>c1</td></tr>",
            ["| wide one |  | last |", "| a1 | b1 | c1 |"],
        ),
        (
            "<tr><th>head</th><th>other</th></tr><tr><td rowspan=2>deep</td><td>b1</td></tr><tr><td>b2</td></tr>",
            ["| deep | b1 |", "|  | b2 |"],
        ),
    ],
)
def test_a_cell_that_spans_stands_in_its_first_place(table: str, rows: list[str]):
    text = markdown(f"<table>{table}</table>")
    assert all(row in text.split("\n") for row in rows)


@pytest.mark.parametrize(
    "opening",
    [
        "<pre><code class='language-python'>",
        "<pre class='lang-python'><code>",
        "<div class='highlight-source-python'><pre><code>",
        "<pre class='brush: python'><code>",
    ],
)
def test_fenced_code_names_its_language(opening: str):
    closing = "</code></pre>" + ("</div>" if opening.startswith("<div") else "")
    assert markdown(f"{opening}x = 1\n  y{closing}") == "```python\nx = 1\n  y\n```"


def test_a_fence_is_longer_than_any_in_the_code():
    assert markdown("<pre>```\na\n```</pre>") == "````\n```\na\n```\n````"
    assert code_span("a`b") == "``a`b``"
    assert code_span("`") == "`` ` ``"


def test_lists_that_stand_beside_each_other_stay_two():
    read = parsed(markdown("<ul><li>a1</li></ul><ul><li>b1</li></ul><ol><li>c1</li></ol><ol><li>d1</li></ol>"))
    assert [block[0] for block in read] == ["ul", "ul", "ol", "ol"]


@pytest.mark.parametrize("line", ["# a", "- a", "+ a", "1. a", "12) a", "> a", "---", "===", "* * *", "a"])
def test_the_start_of_a_line_is_escaped_where_it_would_be_markup(line: str):
    assert parsed(line_start(line).replace("* * *", r"\* * *") if line != "* * *" else escaped(line)) == [["p", [line]]]
