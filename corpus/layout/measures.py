"""Measures of text blocks for the classifier of `choice.py`: what a block is, where it stands, what repeats around it.

Shares, counts and flags of layout, and how often pages of other sites held content where a class or a short wording
stood (`lexicon.py`). Nothing here decides. Integers and single divisions alone, so the values are the same anywhere.
"""

import numpy as np

from ..compiling import compiled
from ..text.block_features import NEAR, SENTENCE_ENDS, TAG_GROUPS
from ..text.blocks import Blocks
from ..text.markup import ANCESTORS, CUE_NAMES, elements
from .groups import alike as grouped_alike
from .groups import repetition
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
def _near(out, b, counts, links, tags, node, good, alike):
    at = _AT_NEAR
    for k in _NEAR:
        m = b + k
        if 0 <= m < len(node):
            out[at], out[at + 1], out[at + 2] = counts[m, 0], links[m], tags[node[m]] + 1
            out[at + 3], out[at + 4] = good[m], alike[m] == alike[b]
        at += 5


@compiled
def _levels(out, n, parent, inside, total):
    m = n
    for k in range(5):
        m = max(parent[m], 0)
        at = _AT_LEVELS + 3 * k
        out[at] = inside[m, 2] / total
        out[at + 1] = inside[m, 2] / max(inside[m, 0], 1)
        out[at + 2] = inside[m, 1] / max(inside[m, 0], 1)


@compiled
def _group(out, same, seen, chars):
    at = _AT_GROUPS
    out[at], out[at + 1], out[at + 2] = same[0], same[1] / same[0], same[2] / max(same[1], 1)
    out[at + 3], out[at + 4], out[at + 5] = same[1] / chars, same[3], seen / same[0]


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
    held = repetition(parent, tag, look, inside, group, inner, several, outer)
    same = grouped_alike(node, parent, tag, look, counts, alike)
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
        _near(out[b], b, counts, links, tags, node, good, alike)
        _levels(out[b], n, parent, inside, total)
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
        seen[alike[b]] += 1
        _group(out[b], same[alike[b]], seen[alike[b]], max(inside[0, 0], 1))
        _repeated(out[b], at + 6, inner[n], group, held, inside, b)
        _repeated(out[b], at + 12, several[n], group, held, inside, b)
        _repeated(out[b], at + 18, outer[n], group, held, inside, b)
        at = _AT_NAMED
        out[b, at], out[b, at + 1], out[b, at + 2] = name[n, 0], name[max(parent[n], 0), 0], name[n, 1]
        out[b, at + 3], out[b, at + 4], out[b, at + 5] = name[n, 2], name[n, 3], wordings[b]
        out[b, at + 6] = wordings[b - 1] if b > 0 else 0
        out[b, at + 7] = wordings[b + 1] if b + 1 < blocks else 0
        _page(page, counts[b], good[b], tags[n], all_cues[b], ancestors[b], several[n] >= 0, name[n, 1])
    _whole(out, page, inside, top, total)


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


@compiled
def _whole(out, page, inside, top, total):
    page[0], page[1], page[2] = inside[0, 2], inside[0, 0], len(out)
    for k in range(3, 18):
        if k != 5 and k != 6:
            page[k] /= max(inside[0, 0], 1)
    page[11] = inside[top, 2] / total
    for b in range(len(out)):
        for k in range(20):
            out[b, _AT_PAGE + k] = page[k]
