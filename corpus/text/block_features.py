"""Features of text blocks, for the classifier of `content.py`: what a block is, where it stands, what is around it.

All are shares, logarithms or flags, so that they mean the same on a page of 2 KB and one of 2 MB, in any language.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

from functools import cache

import numpy as np

from ..compiling import compiled
from .blocks import Blocks
from .markup import ANCESTORS, CUE_NAMES, elements

TAG_GROUPS = (
    ("p",),
    ("h1",),
    ("h2", "h3", "h4", "h5", "h6"),
    ("li", "ul", "ol"),
    ("td", "th", "tr", "table", "caption"),
    ("blockquote",),
    ("pre",),
    ("figcaption", "figure"),
    ("dt", "dd", "dl"),
    ("article", "section", "main"),
    ("div", "body", "center"),
)
SENTENCE_ENDS = np.frombuffer(b".!?\"';:)", np.uint8)
NEAR = (-3, -2, -1, 1, 2, 3)
LEVELS = 5


def names() -> list[str]:
    """Column names of `features`."""
    own = ["chars", "words", "links", "commas", "stops", "digits", "capitals", "breaks", "ends", "bold", "word_length"]
    near = [f"{what}{at:+d}" for at in NEAR for what in ("chars", "links", "p", "good")]
    levels = [f"{what}_up{k}" for k in range(1, LEVELS + 1) for what in ("mass", "density", "links")]
    rest = "top top_distance top_rank siblings_p position before after from_h1 total blocks".split()
    return [
        *own,
        *(f"tag_{group[0]}" for group in TAG_GROUPS),
        *(f"in_{name}" for name in ANCESTORS),
        *(f"cue_{name}" for name in CUE_NAMES),
        "cue_unseen",
        *(f"own_{name}" for name in CUE_NAMES),
        *near,
        *levels,
        *rest,
    ]


def features(blocks: Blocks) -> np.ndarray:
    """(B, F) float32, columns as `names()`."""
    links = blocks.counts[:, 2] / np.maximum(blocks.counts[:, 0], 1)
    chars = blocks.counts[:, 0].astype(np.float64)
    good = np.where((links < 0.4) & (chars >= 50), chars * (1 - links), 0)
    tags = _tag_groups()[blocks.tag[blocks.node]]
    place, top = _surroundings(
        blocks.node, blocks.parent, chars, blocks.counts, good, tags == 0, (tags == 1).astype(np.int64), LEVELS
    )
    cues, ancestors = beside(blocks, int(top))
    return _table(
        blocks.counts,
        links,
        good,
        tags,
        ancestors,
        cues,
        blocks.own,
        place,
        len(TAG_GROUPS),
        len(ANCESTORS),
        len(CUE_NAMES),
    )


@compiled
def _table(counts, links, good, tags, ancestors, cues, own, place, n_tags, n_ancestors, n_cues):
    """(B, F) float32 of everything that is measured, in the order of `names`."""
    size = len(counts)
    near = np.array([-3, -2, -1, 1, 2, 3])
    width = 11 + n_tags + n_ancestors + n_cues + 1 + n_cues + 4 * len(near) + place.shape[1] + 2
    out = np.zeros((size, width), np.float32)
    total = np.log1p(good.sum())
    for b in range(size):
        chars, words = max(counts[b, 0], 1), max(counts[b, 1], 1)
        out[b, 0], out[b, 1], out[b, 2] = np.log1p(counts[b, 0]), np.log1p(counts[b, 1]), links[b]
        out[b, 3], out[b, 4] = counts[b, 3] / words, counts[b, 4] / words
        out[b, 5], out[b, 6] = counts[b, 5] / chars, counts[b, 6] / chars
        out[b, 7] = np.log1p(counts[b, 7])
        for end in SENTENCE_ENDS:
            if counts[b, 8] == end:
                out[b, 8] = 1
        out[b, 9], out[b, 10] = counts[b, 9] / chars, min(counts[b, 0] / words, 20)
        at = 11
        if tags[b] < n_tags:
            out[b, at + tags[b]] = 1
        at += n_tags
        for k in range(n_ancestors):
            out[b, at + k] = ancestors[b] >> k & 1
        at += n_ancestors
        for k in range(n_cues):
            out[b, at + k] = cues[b] >> k & 1
            out[b, at + n_cues + 1 + k] = own[b] >> k & 1
        out[b, at + n_cues] = cues[b] >> 62 & 1
        at += 2 * n_cues + 1
        for k in near:
            if 0 <= b + k < size:
                out[b, at], out[b, at + 1] = np.log1p(counts[b + k, 0]), links[b + k]
                out[b, at + 2], out[b, at + 3] = tags[b + k] == 0, np.log1p(good[b + k])
            at += 4
        for k in range(place.shape[1]):
            out[b, at + k] = place[b, k]
        out[b, width - 2], out[b, width - 1] = total, np.log1p(size)
    return out


def beside(blocks: Blocks, top: int) -> tuple[np.ndarray, np.ndarray]:
    """(B,) cues and (B,) ancestors of a block up to where its path meets that of the element with most text, `top`.

    What encloses the main text as well says nothing against a block: some sites mark the whole page `subscribe`.
    """
    return _beside(
        blocks.node, blocks.parent, blocks.node_cues, elements()[2][blocks.tag], blocks.cues, blocks.ancestors, top
    )


@compiled
def _beside(node, parent, node_cues, node_bits, cues, ancestors, top):
    nodes = len(parent)
    shared = np.zeros(nodes, np.bool_)
    while top > 0:
        shared[top] = True
        top = parent[top]
    shared[0] = True
    apart, apart_bits = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    path = np.zeros(nodes, np.int64)
    for n in range(1, nodes):
        path[n] = path[parent[n]] | node_cues[n]
        if not shared[n]:
            apart[n] = apart[parent[n]] | node_cues[n]
            apart_bits[n] = apart_bits[parent[n]] | node_bits[n]
    out, out_bits = np.zeros(len(node), np.int64), np.zeros(len(node), np.int64)
    for b in range(len(node)):
        n = node[b]
        out[b] = apart[n] | (cues[b] & ~path[n])  # the second: cues of inline elements
        out_bits[b] = apart_bits[n]
    return out, out_bits


@cache
def _tag_groups() -> np.ndarray:
    """Index of the tag group by element index; the last entry stands for no element."""
    of = {name: group for group, names in enumerate(TAG_GROUPS) for name in names}
    return np.array([*(of.get(name, len(TAG_GROUPS)) for name in elements()[3]), len(TAG_GROUPS)])


@compiled
def _surroundings(node, parent, chars, counts, good, p, h1, levels):
    """(B, 3 * levels + 8): shares of the page's text under each enclosing element, and the place of the block."""
    blocks, nodes = len(node), len(parent)
    mass, text, links = np.zeros(nodes), np.zeros(nodes), np.zeros(nodes)
    score, paragraphs = np.zeros(nodes), np.zeros(nodes)
    total = 1e-6
    for b in range(blocks):
        n = node[b]
        mass[n] += good[b]
        text[n] += chars[b]
        links[n] += counts[b, 2]
        total += good[b]
        up = parent[n]
        if up >= 0:
            score[up] += good[b]
            paragraphs[up] += p[b]
            if parent[up] >= 0:
                score[parent[up]] += good[b] / 2
        score[n] += good[b] / 2
    for n in range(nodes - 1, 0, -1):
        up = parent[n]
        mass[up] += mass[n]
        text[up] += text[n]
        links[up] += links[n]
    best = 0
    for n in range(nodes):
        if score[n] > score[best]:
            best = n
    top = np.zeros(nodes, np.int64)  # 1 inside the element that directly holds most text
    for n in range(nodes):
        top[n] = 1 if n == best or (n > 0 and top[parent[n]]) else 0
    first, last = blocks, -1
    for b in range(blocks):
        if top[node[b]]:
            first = min(first, b)
            last = b
    heading = -1
    for b in range(blocks):
        if h1[b]:
            heading = b
            break
    out = np.zeros((blocks, 3 * levels + 8), np.float32)
    before, rank = 0.0, 0
    for b in range(blocks):
        n = node[b]
        for k in range(levels):
            n = max(parent[n], 0)
            out[b, 3 * k] = mass[n] / total
            out[b, 3 * k + 1] = mass[n] / max(text[n], 1)
            out[b, 3 * k + 2] = links[n] / max(text[n], 1)
        at = 3 * levels
        inside = top[node[b]]
        rank += inside
        out[b, at] = inside
        out[b, at + 1] = 0 if inside or last < 0 else min(max(first - b, b - last), 50)
        out[b, at + 2] = rank / max(last - first + 1, 1)
        out[b, at + 3] = np.log1p(paragraphs[max(parent[node[b]], 0)])
        out[b, at + 4] = b / blocks
        out[b, at + 5] = before / total
        before += good[b]
        out[b, at + 6] = (total - before) / total
        out[b, at + 7] = min(max(b - heading, -20), 50) if heading >= 0 else -30
    return out, best
