"""Cut serialised HTML into blocks of text, each with the measurements that tell content from what surrounds it.

Input is what an HTML5 parser serialises (well-formed, text escaped), so one pass over the bytes with a stack gives
exact ancestors. About 0.1 ms for a page of 40 KB: the DOM is never walked in Python. Measures and never decides.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from .markup import BLOCK, INLINE, SKIP, VOID, cue_automaton, elements, number
from .scanning import SCRIPT, bare, by_eight, comment_end, cues_of, find, holds, index, name, raw_end, tag_end

# columns of `Blocks.counts`
COUNTS = (
    *("chars", "words", "link_chars", "commas", "stops", "digits", "capitals", "breaks", "last", "bold_chars"),
    *("colons", "signs", "questions", "first", "wording"),
)
WORDING_CHARS = 40  # letters, in either case, that `wording` is a hash of
# kinds of segments; OPEN and CLOSE are where an inline element begins and ends, OPEN spans its attributes
TEXT, BREAK, OPEN, CLOSE = 0, 1, 2, 16  # OPEN + n and CLOSE + n: the n-th of MARKED
MARKED = ("a", "b", "strong", "em", "i", "code", "kbd", "samp", "tt", "del", "s")


class Blocks(NamedTuple):
    """B blocks, S segments of text, N block elements, all in document order."""

    node: np.ndarray  # (B,) int64 the innermost block element
    cues: np.ndarray  # (B,) int64 cues of it and its ancestors, bits as in CUE_NAMES
    own: np.ndarray  # (B,) int64 cues of the innermost block element alone
    ancestors: np.ndarray  # (B,) int64 bits as in ANCESTORS
    # (B, 15) int64, see COUNTS; `first` and `last` are visible bytes, `signs` are those of currencies, of copyright
    # and `@`, `wording` is a hash of the letters, whatever their case
    counts: np.ndarray
    segments: np.ndarray  # (S, 4) int64 start, end in the bytes, block, kind
    parent: np.ndarray  # (N,) int64 the block element around it, -1 for the outermost
    tag: np.ndarray  # (N,) int64 index into the element names
    node_cues: np.ndarray  # (N,) int64 cues of the element alone
    pre: np.ndarray  # (B,) int64 the `pre` element around the block, 0 for none
    formulas: bool  # whether the page may hold formulas
    look: np.ndarray  # (N,) int64 hash of the classes of the element, digits left out; 0 for none
    words: np.ndarray  # (W, 2) int64 a block element, and the hash of one name among its classes or of its id
    place: np.ndarray  # (N,) int64 where the attributes of the element begin in the bytes
    deepest: int  # elements around the one that is nested deepest, inline ones too


def segment(data: bytes, marks: bool = False) -> Blocks:
    """The blocks of serialised HTML; with `marks` segments also tell where links and emphasis begin and end."""
    numbers, kinds, bits, _ = elements()
    table, found = cue_automaton()
    tags = data.count(b"<") + 2  # at most so many blocks and elements, one more level, twice as many segments
    blocks, nodes = np.empty((5, tags), np.int64), np.empty((5, tags), np.int64)
    counts, segments = np.empty((tags, len(COUNTS)), np.int64), np.empty((2 * tags, 4), np.int64)
    stack, state, names = np.empty((tags + 1, 7), np.int64), np.zeros(9, np.int64), np.empty((4 * tags, 2), np.int64)
    known = (numbers, kinds, bits, table, found)
    _segment(
        np.frombuffer(data, np.uint8),
        by_eight(data),
        *known,
        stack,
        state,
        blocks,
        nodes,
        counts,
        segments,
        names,
        marks,
    )
    b, n, s = state[_BLOCKS], state[_NODES], state[_SEGMENTS]
    node, cues, own, ancestors, pre = blocks[:, :b]
    parent, tag, node_cues, look, place = nodes[:, :n]
    formulas = bool(state[_FORMULAS])
    return Blocks(
        node,
        cues,
        own,
        ancestors,
        counts[:b],
        segments[:s],
        parent,
        tag,
        node_cues,
        pre,
        formulas,
        look,
        names[: state[_NAMES]],
        place,
        int(state[_DEEPEST]),
    )


_BR, _PRE, _B, _STRONG, _A, _MATH, _MJX, _IMG = (
    number(one) for one in ("br", "pre", "b", "strong", "a", "math", "mjx-container", "img")
)
_RAW = np.array(sorted(number(one) for one in ("script", "style", "xmp", "iframe", "noembed", "noframes")), np.int64)
_MARKED = np.array([number(one) for one in MARKED])
_MATHS = np.frombuffer(b"math/", np.uint8)
# columns of the stack: block element, cues so far, ancestor bits, links, bold, whether it is a block element, its `pre`
_NODE, _CUES, _BITS, _LINK, _BOLD, _IS_BLOCK, _IN_PRE = 0, 1, 2, 3, 4, 5, 6
# the state of a pass: how many there are of each, and what the next text meets
_DEPTH, _NODES, _BLOCKS, _SEGMENTS, _SKIPPING, _FRESH, _FORMULAS, _NAMES, _DEEPEST = 0, 1, 2, 3, 4, 5, 6, 7, 8


@compiled
def _segment(
    data, words, numbers, kinds, bits, table, found, stack, state, blocks, nodes, counts, segments, names, marks
):
    data, words, numbers, kinds, bits = bare(data), bare(words), bare(numbers), bare(kinds), bare(bits)
    table, found, stack, state, blocks = bare(table), bare(found), bare(stack), bare(state), bare(blocks)
    nodes, counts, segments, names = bare(nodes), bare(counts), bare(segments), bare(names)
    size, i = len(data), 0
    state[_NODES], state[_FRESH] = 1, 1
    nodes[0, 0], nodes[1, 0], nodes[2, 0], nodes[3, 0], nodes[4, 0] = -1, -1, 0, 0, 0
    stack[0] = 0
    while i < size:
        if data[i] != 60:  # text up to the next <
            end = find(data, words, i, 60)
            if not state[_SKIPPING]:
                _text(data, i, end, stack[state[_DEPTH]], state, blocks, nodes, counts, segments)
            i = end
        elif i + 3 < size and data[i + 1] == 33:  # comment or doctype
            if data[i + 2] == 45 and data[i + 3] == 45:
                i = comment_end(data, words, i + 4)
            else:
                i = find(data, words, i, 62) + 1
        elif i + 1 < size and data[i + 1] == 47:
            value, i = name(data, i + 2)
            i = tag_end(data, i) + 1
            _close(value, numbers, kinds, stack, state, segments, marks)
        else:
            i = _open(
                data,
                words,
                i + 1,
                numbers,
                kinds,
                bits,
                table,
                found,
                stack,
                state,
                nodes,
                counts,
                segments,
                names,
                marks,
            )
            if i < 0:
                break


@compiled
def _text(data, start, end, top, state, blocks, nodes, counts, segments):
    """Add the text data[start:end] to the current block, or to a new one; white space alone opens none."""
    if state[_FRESH]:
        visible = top[_IN_PRE] > 0
        for j in range(start, end):
            if visible or data[j] > 32:
                visible = True
                break
        if not visible:
            return
        b = state[_BLOCKS]
        state[_BLOCKS] += 1
        state[_FRESH] = 0
        blocks[0, b], blocks[1, b], blocks[2, b] = top[_NODE], top[_CUES], nodes[2, top[_NODE]]
        blocks[3, b], blocks[4, b] = top[_BITS], top[_IN_PRE]
        counts[b] = 0
    b = state[_BLOCKS] - 1
    _add(segments, state, start, end, b, 0)
    chars, words, commas, stops, digits, capitals, before = 0, 0, 0, 0, 0, 0, np.uint8(0)
    colons, signs, questions = 0, 0, 0
    for c in data[start:end]:
        chars += (c > 32) & ((c < 128) | (c >= 192))  # the others are bytes within a character
        words += (c > 32) & (before <= 32)
        commas += c == 44
        stops += (c == 46) | (c == 33) | (c == 63)
        digits += (c >= 48) & (c <= 57)
        capitals += (c >= 65) & (c <= 90)
        colons += c == 58
        questions += c == 63
        signs += (c == 36) | (c == 64) | (((c == 163) | (c == 165) | (c == 169)) & (before == 194))
        signs += (c == 172) & (before == 130)
        before = c
    _wording(data, start, end, counts[b])
    j = end - 1
    while j >= start and (data[j] <= 32 or 128 <= data[j] < 192):
        j -= 1
    if j >= start:
        counts[b, 8] = data[j]
    counts[b, 0] += chars
    counts[b, 1] += words
    counts[b, 3] += commas
    counts[b, 4] += stops
    counts[b, 5] += digits
    counts[b, 6] += capitals
    counts[b, 10] += colons
    counts[b, 11] += signs
    counts[b, 12] += questions
    if top[_LINK]:
        counts[b, 2] += chars
    if top[_BOLD]:
        counts[b, 9] += chars


@compiled
def _wording(data, start, end, counts):
    """Go on with the hash of a block's letters, and note its first visible byte."""
    value = counts[14]
    if counts[0] > WORDING_CHARS:
        return
    for j in range(start, min(end, start + 4 * WORDING_CHARS)):
        c = np.int64(data[j])
        if c > 32 and counts[13] == 0:
            counts[13] = c
        if 65 <= c <= 90:
            c += 32
        if 97 <= c <= 122 or c >= 128:
            value = (value * 131 + c) & 0xFFFFFFFFFFF
    counts[14] = value


@compiled
def _add(segments, state, start, end, block, kind):
    s = state[_SEGMENTS]
    segments[s, 0], segments[s, 1], segments[s, 2], segments[s, 3] = start, end, block, kind
    state[_SEGMENTS] = s + 1


@compiled
def _mark(value):
    for m in range(len(_MARKED)):
        if _MARKED[m] == value:
            return m
    return -1


@compiled
def _close(value, numbers, kinds, stack, state, segments, marks):
    """An end tag: back to the element around it; the end of a block element ends the block."""
    at = index(numbers, value)
    if at >= 0 and kinds[at] == 3:
        return
    depth = state[_DEPTH]
    if state[_SKIPPING]:
        state[_SKIPPING] -= 1
    elif marks and not state[_FRESH] and not stack[depth, _IS_BLOCK]:
        mark = _mark(value)
        if mark >= 0:
            _add(segments, state, 0, 0, state[_BLOCKS] - 1, 16 + mark)
    if depth > 0:
        if stack[depth, _IS_BLOCK]:
            state[_FRESH] = 1
        state[_DEPTH] = depth - 1


@compiled
def _open(data, words, i, numbers, kinds, bits, table, found, stack, state, nodes, counts, segments, names, marks):
    """A start tag whose name is at `i`. Returns the place after it and what it hides, -1 where the stack is full."""
    value, start = name(data, i)
    end = tag_end(data, start)
    at = index(numbers, value)
    kind = kinds[at] if at >= 0 else 0
    if kind == 3:
        if (
            value == _IMG
            and not state[_FORMULAS]
            and cues_of(data, start, end, table, found, names, len(names))[0] >> 61 & 1
        ):
            state[_FORMULAS] = 1
        if value == _BR and not state[_SKIPPING] and not state[_FRESH]:
            counts[state[_BLOCKS] - 1, 7] += 1
            _add(segments, state, start, start, state[_BLOCKS] - 1, 1)
        return end + 1
    depth = state[_DEPTH] + 1
    if depth >= len(stack) - 1:
        return -1
    state[_DEPTH] = depth
    state[_DEEPEST] = max(state[_DEEPEST], depth)
    own = stack[depth]
    for k in range(7):
        own[k] = stack[depth - 1, k]
    own[_IS_BLOCK] = kind == 1
    own[_LINK] |= value == _A
    own[_BOLD] |= value in (_B, _STRONG)
    if value in (_MATH, _MJX) or (value == SCRIPT and holds(data, start, end, _MATHS)):
        state[_FORMULAS] = 1
    if state[_SKIPPING] or kind == 2:
        state[_SKIPPING] += 1
        own[_IS_BLOCK] = 0
        if index(_RAW, value) >= 0:  # its content is not markup: go to its own end tag
            return raw_end(data, words, end + 1, value)
        return end + 1
    mask, look, named = 0, 0, state[_NAMES]
    if end > start + 3:
        mask, look, named = cues_of(data, start, end, table, found, names, named)
    if kind == 1:
        n = state[_NODES]
        state[_NODES] += 1
        state[_FRESH] = 1
        if value == _PRE and not own[_IN_PRE]:
            own[_IN_PRE] = n
        nodes[0, n], nodes[1, n], nodes[2, n], nodes[3, n], nodes[4, n] = own[_NODE], at, mask, look, start
        names[state[_NAMES] : named, 0] = n
        state[_NAMES] = named
        own[_NODE] = n
        own[_BITS] |= bits[at]
    elif marks:
        mark = _mark(value)
        if mark >= 0:
            _add(segments, state, start, end, state[_BLOCKS] - (state[_FRESH] == 0), 2 + mark)
    if mask >> 61 & 1:
        state[_FORMULAS] = 1
    own[_CUES] |= mask
    return end + 1


assert (INLINE, BLOCK, SKIP, VOID) == (0, 1, 2, 3)  # the kernel writes them as numbers
assert (TEXT, BREAK, OPEN, CLOSE) == (0, 1, 2, 16)
assert OPEN + len(MARKED) <= CLOSE
