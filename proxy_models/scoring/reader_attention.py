"""Causal attention of `reader` on a CPU: four queries of a head at a time against tiles of keys that lie transposed.

Sums of products over keys run along the vectors of the processor, and a key that was loaded serves four queries; the
scores of four queries are held whole, so each needs one pass for its largest and one for its exponentials. Several
times the rate of a general kernel where heads are narrow, which is what small models have.

One thread, float32; NaN and infinity stay what they are. Nothing is checked here.
"""

import numpy as np

from ...corpus.compiling import compiled
from .reader_kernels import FAST, LOG2E, ZERO, exp2, largest

TILE = 256  # keys side by side: with heads of 32, a tile fills two thirds of a first-level cache
LANES = 16  # a tile's used width is rounded up to this, so that loops over it are whole vectors


def _score(q: np.ndarray, keys: np.ndarray, s: np.ndarray, width: int) -> None:
    """s (4, TILE), flat, of the first `width` keys of a tile: q (4, E) times keys (E, TILE), flat. E is 4 n."""
    for e in range(0, q.shape[1], 4):
        k = keys[e * TILE : (e + 4) * TILE]
        a0, a1, a2, a3 = q[0, e], q[0, e + 1], q[0, e + 2], q[0, e + 3]
        b0, b1, b2, b3 = q[1, e], q[1, e + 1], q[1, e + 2], q[1, e + 3]
        c0, c1, c2, c3 = q[2, e], q[2, e + 1], q[2, e + 2], q[2, e + 3]
        d0, d1, d2, d3 = q[3, e], q[3, e + 1], q[3, e + 2], q[3, e + 3]
        if e == 0:
            for j in range(width):
                k0, k1, k2, k3 = k[j], k[TILE + j], k[2 * TILE + j], k[3 * TILE + j]
                s[j] = a0 * k0 + a1 * k1 + a2 * k2 + a3 * k3
                s[TILE + j] = b0 * k0 + b1 * k1 + b2 * k2 + b3 * k3
                s[2 * TILE + j] = c0 * k0 + c1 * k1 + c2 * k2 + c3 * k3
                s[3 * TILE + j] = d0 * k0 + d1 * k1 + d2 * k2 + d3 * k3
        else:
            for j in range(width):
                k0, k1, k2, k3 = k[j], k[TILE + j], k[2 * TILE + j], k[3 * TILE + j]
                s[j] += a0 * k0 + a1 * k1 + a2 * k2 + a3 * k3
                s[TILE + j] += b0 * k0 + b1 * k1 + b2 * k2 + b3 * k3
                s[2 * TILE + j] += c0 * k0 + c1 * k1 + c2 * k2 + c3 * k3
                s[3 * TILE + j] += d0 * k0 + d1 * k1 + d2 * k2 + d3 * k3


score = compiled(_score, **FAST)


def _mix(p: np.ndarray, values: np.ndarray, out: np.ndarray, width: int) -> None:
    """out (4, E) += p (4, TILE), flat, times the first `width` of values (E, TILE), flat. E is 4 n."""
    for e in range(0, out.shape[1], 4):
        v = values[e * TILE : (e + 4) * TILE]
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = ZERO
        for j in range(width):
            v0, v1, v2, v3 = v[j], v[TILE + j], v[2 * TILE + j], v[3 * TILE + j]
            a, b, c, d = p[j], p[TILE + j], p[2 * TILE + j], p[3 * TILE + j]
            a0, a1, a2, a3 = a0 + a * v0, a1 + a * v1, a2 + a * v2, a3 + a * v3
            b0, b1, b2, b3 = b0 + b * v0, b1 + b * v1, b2 + b * v2, b3 + b * v3
            c0, c1, c2, c3 = c0 + c * v0, c1 + c * v1, c2 + c * v2, c3 + c * v3
            d0, d1, d2, d3 = d0 + d * v0, d1 + d * v1, d2 + d * v2, d3 + d * v3
        out[0, e], out[0, e + 1], out[0, e + 2], out[0, e + 3] = (
            out[0, e] + a0, out[0, e + 1] + a1, out[0, e + 2] + a2, out[0, e + 3] + a3,
        )  # fmt: skip
        out[1, e], out[1, e + 1], out[1, e + 2], out[1, e + 3] = (
            out[1, e] + b0, out[1, e + 1] + b1, out[1, e + 2] + b2, out[1, e + 3] + b3,
        )  # fmt: skip
        out[2, e], out[2, e + 1], out[2, e + 2], out[2, e + 3] = (
            out[2, e] + c0, out[2, e + 1] + c1, out[2, e + 2] + c2, out[2, e + 3] + c3,
        )  # fmt: skip
        out[3, e], out[3, e + 1], out[3, e + 2], out[3, e + 3] = (
            out[3, e] + d0, out[3, e + 1] + d1, out[3, e + 2] + d2, out[3, e + 3] + d3,
        )  # fmt: skip


mix = compiled(_mix, **FAST)


def _weigh(s: np.ndarray, query: int, row: int) -> np.float32:
    """exp2 of the scores of row `row` of the four, less their largest, in place; 0 after key `query`. Their sum.

    s  (tiles, 4, TILE), flat
    """
    last, top, total = query // TILE, np.float32(-np.inf), ZERO
    for tile in range(last + 1):
        first = (4 * tile + row) * TILE
        top = max(top, largest(s[first : first + min(TILE, query + 1 - tile * TILE)]))
    for tile in range(last + 1):
        first = (4 * tile + row) * TILE
        seen = min(TILE, query + 1 - tile * TILE)
        own = s[first : first + seen]
        for j in range(seen):
            p = exp2(own[j] - top)
            own[j] = p
            total += p
        for j in range(seen, min(TILE, seen + LANES + 3)):  # up to where the last tile of the four is used
            s[first + j] = ZERO
    return total


weigh = compiled(_weigh, **FAST)


def _attend(heads: np.ndarray, rows: int, queries: int, groups: int, out: np.ndarray) -> None:
    """What each position reads of those up to itself in its row.

    heads    (rows T, queries + 2 groups, E): queries, keys and values of each position, norms and positions applied
    queries  heads of queries, a multiple of `groups`, which is the number of keys and of values
    out      (rows T, queries, E)
    """
    E, T, per = heads.shape[2], heads.shape[0] // rows, queries // groups
    wide = -(-E // 4) * 4
    tiles = -(-T // TILE)
    keys, values = np.zeros(tiles * wide * TILE, np.float32), np.zeros(tiles * wide * TILE, np.float32)
    s, q, o = np.empty(tiles * 4 * TILE, np.float32), np.zeros((4, wide), np.float32), np.empty((4, wide), np.float32)
    scale = LOG2E / np.float32(np.sqrt(E))  # scores are logarithms to base two
    for b in range(rows):
        own = heads[b * T : (b + 1) * T]
        for g in range(groups):
            for first in range(0, T, LANES):  # a cache line of each at a time
                place = first // TILE * wide * TILE + first % TILE
                for e in range(E):
                    for t in range(first, min(first + LANES, T)):
                        keys[place + e * TILE + t - first] = own[t, queries + g, e]
                        values[place + e * TILE + t - first] = own[t, queries + groups + g, e]
            for h in range(g * per, (g + 1) * per):
                for i in range(0, T, 4):
                    count = min(4, T - i)
                    for r in range(count):
                        for e in range(E):
                            q[r, e] = own[i + r, h, e] * scale
                    used = (i + count - 1) // TILE + 1
                    edge = -(-(i + count - (used - 1) * TILE) // LANES) * LANES  # used width of the last tile
                    for t in range(used):
                        width = TILE if t < used - 1 else edge
                        score(q, keys[t * wide * TILE :], s[4 * t * TILE :], width)
                    o[:] = ZERO
                    totals = (
                        weigh(s, i, 0),
                        weigh(s, min(i + 1, T - 1), 1),
                        weigh(s, min(i + 2, T - 1), 2),
                        weigh(s, min(i + 3, T - 1), 3),
                    )
                    for t in range(used):
                        width = TILE if t < used - 1 else edge
                        mix(s[4 * t * TILE :], values[t * wide * TILE :], o, width)
                    for r in range(count):
                        for e in range(E):
                            out[b * T + i + r, h, e] = o[r, e] / totals[r]


attend = compiled(_attend, **FAST)
