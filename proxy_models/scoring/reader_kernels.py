"""Kernels of `reader`: what stands between the matrix products of a transformer, one pass over memory each.

All arrays are float32 and contiguous along the last axis, and one thread computes: readers are run side by side, one a
process. Sums are taken in the order that the processor's vectors have, so results agree with other programs to rounding
and no further. A row of NaN stays NaN. Nothing is checked here; `reader` hands over arrays that fit.
"""

import numpy as np

from ...corpus.compiling import compiled

FAST: dict = {"fastmath": {"reassoc", "contract", "arcp", "nsz"}, "error_model": "numpy"}  # NaN and infinity stay
EPSILON = np.float32(1e-6)  # of every norm
LOG2E = np.float32(1.4426950408889634)
ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)
LOW, HIGH = np.float32(-126), np.float32(127)
P0, P1, P2, P3, P4, P5 = (
    np.float32(value)
    for value in (0.693147182, 0.240226462, 0.0555032715, 0.00961834099, 0.00133952231, 0.000154035297)
)


def _exp2(t: np.float32) -> np.float32:
    """2^t within 2e-7 of it, for t from -126 to 127 and clipped to that: no call, so loops around it are vectors."""
    t = min(max(t, LOW), HIGH)
    whole = np.floor(t + HALF)
    f = t - whole
    p = ONE + f * (P0 + f * (P1 + f * (P2 + f * (P3 + f * (P4 + f * P5)))))
    bits = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23))
    return p * bits.view(np.float32)


exp2 = compiled(_exp2, **FAST)


def _add_norm(x: np.ndarray, delta: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """x (N, d) += delta (N, d), or as it is where delta has no row; out (N, d) = x / rms(x) * weight (d,)."""
    n, d = x.shape
    for r in range(n):
        own = x[r]
        if delta.shape[0]:
            more = delta[r]
            for j in range(d):
                own[j] += more[j]
        square = ZERO
        for j in range(d):
            square += own[j] * own[j]
        inverse = ONE / np.sqrt(square / np.float32(d) + EPSILON)
        put = out[r]
        for j in range(d):
            put[j] = own[j] * inverse * weight[j]


add_norm = compiled(_add_norm, **FAST)


def _turn_heads(
    heads: np.ndarray, scales: np.ndarray, cos: np.ndarray, sin: np.ndarray, first: int, normed: bool, out: np.ndarray
) -> None:
    """Queries and keys normed, where asked for, and rotated; values as they are.

    heads   (N, queries + keys + values, E), of the positions `first`, `first` + 1, ... of rows of T each
    scales  (queries + keys, E) weights of the norms
    cos     (T, E/2), as sin
    out     (N, queries + keys + values, E)
    """
    n, turned, E = heads.shape[0], scales.shape[0], heads.shape[2]
    half, T = E // 2, cos.shape[0]
    for r in range(n):
        c, s = cos[(first + r) % T], sin[(first + r) % T]
        for h in range(turned):
            own, scale, put = heads[r, h], scales[h], out[r, h]
            inverse = ONE
            if normed:
                square = ZERO
                for j in range(E):
                    square += own[j] * own[j]
                inverse = ONE / np.sqrt(square / np.float32(E) + EPSILON)
            for j in range(half):
                a, b = own[j] * inverse * scale[j], own[half + j] * inverse * scale[half + j]
                put[j] = a * c[j] - b * s[j]
                put[half + j] = b * c[j] + a * s[j]
        for h in range(turned, heads.shape[1]):
            own, put = heads[r, h], out[r, h]
            for j in range(E):
                put[j] = own[j]


turn_heads = compiled(_turn_heads, **FAST)


def _gate(gate_up: np.ndarray, out: np.ndarray) -> None:
    """out (N, F) = silu(gate) * up, of gate_up (N, 2 F)."""
    n, width = out.shape
    for r in range(n):
        read, put = gate_up[r], out[r]
        for j in range(width):
            put[j] = read[j] / (ONE + exp2(-read[j] * LOG2E)) * read[width + j]


gate = compiled(_gate, **FAST)


def _largest(row: np.ndarray) -> np.float32:
    """The largest of a row (n,): floats compare as these integers do, and integers have no NaN to heed."""
    bits, found = row.view(np.int32), np.int32(-0x80000000)
    for j in range(len(bits)):
        found = max(found, np.int32(bits[j] ^ ((bits[j] >> np.int32(31)) & np.int32(0x7FFFFFFF))))
    return np.int32(found ^ ((found >> np.int32(31)) & np.int32(0x7FFFFFFF))).view(np.float32)


largest = compiled(_largest, **FAST)


def _absorb(
    logits: np.ndarray, targets: np.ndarray, first: int, top: np.ndarray, total: np.ndarray, own: np.ndarray
) -> None:
    """Add a part of the vocabulary to the normaliser of each row.

    logits   (n, columns) of the entries `first`, `first` + 1, ...
    targets  (n,) int64, the entry whose logit goes to own (n,) if it is among them
    top      (n,) the largest logit so far, total (n,) the sum of exp(logit - top); -inf and 0 at the start
    """
    n, columns = logits.shape
    for r in range(n):
        values = logits[r]
        high = max(top[r], largest(values))
        shift, part = high * LOG2E, ZERO
        for j in range(columns):
            part += exp2(values[j] * LOG2E - shift)
        total[r] = total[r] * exp2((top[r] - high) * LOG2E) + part
        top[r] = high
        place = targets[r] - first
        if 0 <= place < columns:
            own[r] = values[place]


absorb = compiled(_absorb, **FAST)
