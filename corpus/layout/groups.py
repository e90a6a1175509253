"""What looks alike on a page: blocks by their tags and classes, and elements that stand there again and again."""

import numpy as np

from ..compiling import compiled


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
def repetition(parent, tag, look, inside, group, inner, several, outer):
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
def alike(node, parent, tag, look, counts, alike):
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
