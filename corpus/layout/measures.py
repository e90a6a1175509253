"""Measures of text blocks for the classifier of `choice.py`: what a block is, where it stands, what repeats around it.

Shares, counts and flags of layout, and how often pages of other sites held content where a class or a short wording
stood (`lexicon.py`). Nothing here decides. Integers and single divisions alone, so the values are the same anywhere.
"""

import numpy as np

from ..compiling import compiled
from ..text.block_features import NEAR, SENTENCE_ENDS, TAG_GROUPS
from ..text.blocks import Blocks
from ..text.markup import ANCESTORS, CUE_NAMES, elements
from .types import TYPES

LEVELS = 5
OWN = (
    *("chars", "words", "links", "commas", "stops", "digits", "capitals", "breaks", "ends", "bold", "word_length"),
    *("colons", "signs", "questions", "first", "tag", "around", "unseen", "veiled", "noscript"),
)
PLACE = "top top_distance top_rank siblings_p position before after from_h1 since_heading headings".split()
GROUPS = ("alike", "inner", "several", "outer")  # blocks that look alike; repeated elements around the block
GROUP = ("count", "chars", "links", "share", "blocks", "order")
NAMED = ("own_name", "up_name", "path_name", "best_name", "worst_name", "wording", "wording_before", "wording_after")
PAGE = (
    "good total blocks links paragraphs headings h1 items cells code quoted top_share in_article in_noscript commented "
    "repeated forms named questions signs"
).split()


def names() -> list[str]:
    """Column names of `measures`."""
    return [
        *OWN,
        *(f"in_{name}" for name in ANCESTORS),
        *(f"cue_{name}" for name in CUE_NAMES),
        *(f"own_{name}" for name in CUE_NAMES),
        *(f"{what}{at:+d}" for at in NEAR for what in ("chars", "links", "tag", "good", "same")),
        *(f"{what}_up{k}" for k in range(1, LEVELS + 1) for what in ("mass", "density", "links")),
        *PLACE,
        *(f"{group}_{what}" for group in GROUPS for what in GROUP),
        *NAMED,
        *(f"page_{what}" for what in PAGE),
        *(f"says_{name}" for name in TYPES),
    ]


def measures(blocks: Blocks, names_said: np.ndarray, wordings_said: np.ndarray, type_said: np.ndarray) -> np.ndarray:
    """(B, F) float32, columns as `names()`; the page's own measures, alike for all blocks, come last.

    names_said      (W,) float32 log-odds that the names in `blocks.words` speak for content, NaN where not known
    wordings_said   (B,) float32 the same of the blocks' wordings
    type_said       (K,) float32 what speaks for each type of page, see `page_type.py`
    """
    tags = tag_groups()[blocks.tag]
    bits = elements()[2][blocks.tag]
    out = np.zeros((len(blocks.node), len(names())), np.float32)
    _measure(
        blocks.node,
        blocks.parent,
        blocks.tag,
        tags,
        bits,
        blocks.look,
        blocks.node_cues,
        blocks.cues,
        blocks.own,
        blocks.ancestors,
        blocks.counts,
        blocks.words[:, 0],
        names_said,
        wordings_said,
        out,
    )
    out[:, -len(TYPES) :] = type_said
    return out


def tag_groups() -> np.ndarray:
    """Index of the tag group by element index; the last entry stands for no element."""
    of = {name: group for group, held in enumerate(TAG_GROUPS) for name in held}
    return np.array([*(of.get(name, len(TAG_GROUPS)) for name in elements()[3]), len(TAG_GROUPS)])


_N_ANCESTORS, _N_CUES = len(ANCESTORS), len(CUE_NAMES)
_NEAR = np.array(NEAR)
_P, _H1, _H, _LI, _CELL, _QUOTE, _PRE = 0, 1, 2, 3, 4, 5, 6  # of TAG_GROUPS
_ARTICLE, _FORM = 1 << ANCESTORS.index("article") | 1 << ANCESTORS.index("main"), 1 << ANCESTORS.index("form")
_LIST, _TABLE, _QUOTED = (1 << ANCESTORS.index(name) for name in ("li", "table", "blockquote"))
_COMMENT = 1 << CUE_NAMES.index("comment")
_AT_NEAR = len(OWN) + _N_ANCESTORS + 2 * _N_CUES
_AT_LEVELS = _AT_NEAR + 5 * len(NEAR)
_AT_PLACE = _AT_LEVELS + 3 * LEVELS
_AT_GROUPS = _AT_PLACE + len(PLACE)
_AT_NAMED = _AT_GROUPS + len(GROUPS) * len(GROUP)
_AT_PAGE = _AT_NAMED + len(NAMED)


@compiled
def _grouped(keys, group):
    """Number equal keys alike, in `group`. Returns how many different ones there are."""
    size = 16
    while size < 2 * len(keys):
        size *= 2
    slots = np.full(size, -1, np.int64)
    found = 0
    for n in range(len(keys)):
        at = (keys[n] ^ (keys[n] >> 29)) & (size - 1)
        while slots[at] >= 0 and keys[slots[at]] != keys[n]:
            at = (at + 1) & (size - 1)
        if slots[at] < 0:
            slots[at] = n
            group[n] = found
            found += 1
        else:
            group[n] = group[slots[at]]
    return found


@compiled
def _mixed(a, b, c):
    return ((a * 1000003 + b) * 8191 + c * 31) & 0xFFFFFFFFFFFFFFF


@compiled
def _trees(node, parent, tags, counts, good, inside):
    """Fill `inside` (N, 5): characters, those of links and of good text, blocks, first block under each element.

    Returns the element that directly holds most text, see `block_features.py`.
    """
    nodes = len(parent)
    score = np.zeros(nodes)
    for n in range(nodes):
        inside[n, 4] = len(node)
    for b in range(len(node)):
        n = node[b]
        inside[n, 0] += counts[b, 0]
        inside[n, 1] += counts[b, 2]
        inside[n, 2] += good[b]
        inside[n, 3] += 1
        inside[n, 4] = min(inside[n, 4], b)
        up = parent[n]
        score[n] += good[b] / 2
        if up >= 0:
            score[up] += good[b]
            if parent[up] >= 0:
                score[parent[up]] += good[b] / 2
    for n in range(nodes - 1, 0, -1):
        up = parent[n]
        for k in range(4):
            inside[up, k] += inside[n, k]
        inside[up, 4] = min(inside[up, 4], inside[n, 4])
    best = 0
    for n in range(nodes):
        if score[n] > score[best]:
            best = n
    return best


@compiled
def _repetition(parent, tag, look, inside, group, inner, several, outer):
    """Number alike siblings that hold text in `group`; the nearest repeated element at or above each one.

    Returns (groups, 4): elements, characters, those of links, blocks.
    """
    nodes = len(parent)
    keys = np.empty(nodes, np.int64)
    for n in range(nodes):
        keys[n] = _mixed(parent[n] + 1, tag[n], look[n])
    found = _grouped(keys, group)
    held = np.zeros((found, 4))
    for n in range(nodes):
        if inside[n, 0] > 0:
            g = group[n]
            held[g, 0] += 1
            held[g, 1] += inside[n, 0]
            held[g, 2] += inside[n, 1]
            held[g, 3] += inside[n, 3]
    for n in range(nodes):
        up = parent[n]
        inner[n], several[n], outer[n] = (-1, -1, -1) if up < 0 else (inner[up], several[up], outer[up])
        if held[group[n], 0] >= 3:
            inner[n] = n
            if inside[n, 3] >= 2:
                several[n] = n
                if outer[n] < 0:
                    outer[n] = n
    return held


@compiled
def _named(parent, words, said, top, name):
    """Fill `name` (N, 4): mean of the log-odds of an element's names, their sum, most and least on its path.

    What encloses the element with most text, `top`, counts for nothing.
    """
    number = np.zeros(len(parent), np.int64)
    for w in range(len(words)):
        if said[w] == said[w]:
            name[words[w], 0] += said[w]
            number[words[w]] += 1
    for n in range(len(parent)):
        if number[n]:
            name[n, 0] /= number[n]
    while top > 0:
        name[top, 0] = 0
        top = parent[top]
    for n in range(1, len(parent)):
        up, own = parent[n], name[n, 0]
        name[n, 1] = name[up, 1] + own
        name[n, 2], name[n, 3] = max(name[up, 2], own), min(name[up, 3], own)


@compiled
def _measure(
    node, parent, tag, tags, bits, look, node_cues, all_cues, own, ancestors, counts, words, said, wordings, out
):
    blocks, nodes = len(node), len(parent)
    good, links = np.zeros(blocks), np.zeros(blocks)
    for b in range(blocks):
        links[b] = counts[b, 2] / max(counts[b, 0], 1)
        if links[b] < 0.4 and counts[b, 0] >= 50:
            good[b] = counts[b, 0] - counts[b, 2]
    inside = np.zeros((nodes, 5))
    top = _trees(node, parent, tags, counts, good, inside)
    total = max(inside[0, 2], 1)
    apart, apart_bits, path = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    shared = np.zeros(nodes, np.bool_)
    n = top
    while n > 0:
        shared[n] = True
        n = parent[n]
    under = np.zeros(nodes, np.bool_)
    under[top] = True
    paragraphs = np.zeros(nodes, np.int64)
    for n in range(1, nodes):
        path[n] = path[parent[n]] | node_cues[n]
        if not shared[n]:
            apart[n] = apart[parent[n]] | node_cues[n]
            apart_bits[n] = apart_bits[parent[n]] | bits[n]
        under[n] = under[n] or under[parent[n]]
    for b in range(blocks):
        paragraphs[max(parent[node[b]], 0)] += tags[node[b]] == _P
    group, alike = np.zeros(nodes, np.int64), np.zeros(blocks, np.int64)
    inner, several, outer = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    held = _repetition(parent, tag, look, inside, group, inner, several, outer)
    same = _alike(node, parent, tag, look, counts, alike)
    name = np.zeros((nodes, 4))
    _named(parent, words, said, top, name)
    seen = np.zeros(len(same), np.int64)
    page = np.zeros(20)
    first, last = int(inside[top, 4]), int(inside[top, 4] + inside[top, 3]) - 1
    heading = -1
    for b in range(blocks):
        if tags[node[b]] == _H1:
            heading = b
            break
    before, since, headings, rank = 0.0, -1, 0, 0
    for b in range(blocks):
        n = node[b]
        cues = apart[n] | (all_cues[b] & ~path[n])
        _own(out[b], counts[b], links[b], tags[n], tags[max(parent[n], 0)], all_cues[b], cues, own[b], apart_bits[n])
        at = _AT_NEAR
        for k in _NEAR:
            if 0 <= b + k < blocks:
                m = b + k
                out[b, at], out[b, at + 1], out[b, at + 2] = counts[m, 0], links[m], tags[node[m]] + 1
                out[b, at + 3], out[b, at + 4] = good[m], alike[m] == alike[b]
            at += 5
        m = n
        for k in range(5):
            m = max(parent[m], 0)
            at = _AT_LEVELS + 3 * k
            out[b, at] = inside[m, 2] / total
            out[b, at + 1] = inside[m, 2] / max(inside[m, 0], 1)
            out[b, at + 2] = inside[m, 1] / max(inside[m, 0], 1)
        at = _AT_PLACE
        rank += under[n]
        out[b, at] = under[n]
        out[b, at + 1] = 0 if under[n] or last < first else min(max(first - b, b - last), 50)
        out[b, at + 2] = rank / max(last - first + 1, 1)
        out[b, at + 3] = paragraphs[max(parent[n], 0)]
        out[b, at + 4] = b / blocks
        out[b, at + 5] = before / total
        before += good[b]
        out[b, at + 6] = (total - before) / total
        out[b, at + 7] = min(max(b - heading, -20), 50) if heading >= 0 else -30
        if tags[n] == _H1 or tags[n] == _H:
            since, headings = b, headings + 1
        out[b, at + 8] = b - since if since >= 0 else 99
        out[b, at + 9] = headings
        at = _AT_GROUPS
        g = alike[b]
        seen[g] += 1
        out[b, at], out[b, at + 1], out[b, at + 2] = (
            same[g, 0],
            same[g, 1] / same[g, 0],
            same[g, 2] / max(same[g, 1], 1),
        )
        out[b, at + 3], out[b, at + 4], out[b, at + 5] = (
            same[g, 1] / max(inside[0, 0], 1),
            same[g, 3],
            seen[g] / same[g, 0],
        )
        _repeated(out[b], at + 6, inner[n], group, held, inside, b)
        _repeated(out[b], at + 12, several[n], group, held, inside, b)
        _repeated(out[b], at + 18, outer[n], group, held, inside, b)
        at = _AT_NAMED
        out[b, at], out[b, at + 1], out[b, at + 2] = name[n, 0], name[max(parent[n], 0), 0], name[n, 1]
        out[b, at + 3], out[b, at + 4], out[b, at + 5] = name[n, 2], name[n, 3], wordings[b]
        out[b, at + 6] = wordings[b - 1] if b > 0 else 0
        out[b, at + 7] = wordings[b + 1] if b + 1 < blocks else 0
        _page(page, counts[b], good[b], tags[n], all_cues[b], ancestors[b], several[n] >= 0, name[n, 1])
    page[0], page[1], page[2] = inside[0, 2], inside[0, 0], blocks
    for k in range(3, 18):
        if k != 5 and k != 6:
            page[k] /= max(inside[0, 0], 1)
    page[11] = inside[top, 2] / total
    for b in range(blocks):
        for k in range(20):
            out[b, _AT_PAGE + k] = page[k]


@compiled
def _own(out, counts, links, tag, around, all_cues, cues, own, bits):
    chars, words = max(counts[0], 1), max(counts[1], 1)
    out[0], out[1], out[2], out[3], out[4] = counts[0], counts[1], links, counts[3] / words, counts[4] / words
    out[5], out[6], out[7] = counts[5] / chars, counts[6] / chars, counts[7]
    for end in SENTENCE_ENDS:
        if counts[8] == end:
            out[8] = 1
    out[9], out[10], out[11], out[12], out[13] = (
        counts[9] / chars,
        counts[0] / words,
        counts[10],
        counts[11],
        counts[12],
    )
    first = counts[13]
    out[14] = (
        1 if 97 <= first <= 122 else 2 if 65 <= first <= 90 else 3 if 48 <= first <= 57 else 4 if first > 127 else 0
    )
    out[15], out[16] = tag + 1, around + 1
    out[17], out[18], out[19] = cues >> 62 & 1, cues >> 59 & 1, all_cues >> 60 & 1
    at = 20
    for k in range(_N_ANCESTORS):
        out[at + k] = bits >> k & 1
    at += _N_ANCESTORS
    for k in range(_N_CUES):
        out[at + k] = cues >> k & 1
        out[at + _N_CUES + k] = own >> k & 1


@compiled
def _alike(node, parent, tag, look, counts, alike):
    """Number blocks alike whose elements look alike up to the grandparents. (groups, 4) blocks, chars, links, good."""
    keys = np.empty(len(node), np.int64)
    for b in range(len(node)):
        n = node[b]
        up = max(parent[n], 0)
        upper = max(parent[up], 0)
        keys[b] = _mixed(_mixed(tag[n], look[n], tag[up]), look[up], _mixed(tag[upper], look[upper], 0))
    held = np.zeros((_grouped(keys, alike), 4))
    for b in range(len(node)):
        g = alike[b]
        held[g, 0] += 1
        held[g, 1] += counts[b, 0]
        held[g, 2] += counts[b, 2]
        held[g, 3] += counts[b, 4]
    return held


@compiled
def _repeated(out, at, n, group, held, inside, b):
    if n < 0:
        return
    g = group[n]
    out[at], out[at + 1], out[at + 2] = held[g, 0], held[g, 1] / held[g, 0], held[g, 2] / max(held[g, 1], 1)
    out[at + 3], out[at + 4] = held[g, 1] / max(inside[0, 0], 1), held[g, 3] / held[g, 0]
    out[at + 5] = b - inside[n, 4] + 1


@compiled
def _page(page, counts, good, tag, cues, ancestors, repeated, named):
    chars = counts[0]
    page[3] += counts[2]
    page[4] += chars if tag == _P else 0
    page[5] += tag == _H
    page[6] += tag == _H1
    page[7] += chars if ancestors & _LIST else 0
    page[8] += chars if ancestors & _TABLE else 0
    page[9] += chars if tag == _PRE else 0
    page[10] += chars if ancestors & _QUOTED else 0
    page[12] += chars if ancestors & _ARTICLE else 0
    page[13] += chars if cues >> 60 & 1 else 0
    page[14] += chars if cues & _COMMENT else 0
    page[15] += chars if repeated else 0
    page[16] += chars if ancestors & _FORM else 0
    page[17] += named * chars
    page[18] += counts[12]
    page[19] += counts[11]
