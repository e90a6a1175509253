"""English tokens of a batch by the rules of `english_rules`: most chunks in a kernel, the odd ones once each.

A chunk of plain letters or digits, with the commonest punctuation around it, is cut here in compiled code; any other
is cut by the rules in Python the first time it is seen and remembered by its hash. What is remembered never changes
the result, only its cost; it is forgotten when it grows beyond `REMEMBERED` chunks.
"""

import numpy as np

from .english_rules import special_cases, split
from .kernels import BASE, decode, hashed, jit, slot
from .layout import Layout, Spans

REMEMBERED = 1 << 20


class _Memory:
    """Chunk hash -> how many bytes each of its tokens has."""

    def __init__(self) -> None:
        cases = [case.encode() for case in special_cases()]
        keys = np.array([hashed(np.frombuffer(c, np.uint8), 0, len(c)) for c in cases], np.uint64)
        table = (np.zeros(1 << 12, np.uint64), np.zeros(1 << 12, np.int64))
        nothing = np.zeros(len(keys), np.int64)
        _insert(*table, np.zeros(1 << 12, np.int64), np.zeros(1 << 12, np.int64), keys, nothing, nothing)
        self.special = table
        self.clear()

    def clear(self) -> None:
        self.keys = np.zeros(1 << 12, np.uint64)
        self.stamps = np.zeros(1 << 12, np.int64)
        self.first = np.zeros(1 << 12, np.int64)  # of the key in this slot, the place of its first length
        self.count = np.zeros(1 << 12, np.int64)
        self.lengths = np.zeros(1 << 12, np.int64)
        self.known = 0
        self.used = 0

    def learn(self, keys: np.ndarray, chunks: list[bytes]) -> None:
        """Cut these chunks by the rules and remember how."""
        if self.known + len(keys) > REMEMBERED:
            self.clear()
        while 2 * (self.known + len(keys)) > len(self.keys):
            self._double()
        cut = [[len(token.encode()) for token in split(chunk.decode())] for chunk in chunks]
        flat = np.array([length for lengths in cut for length in lengths], np.int64)
        while self.used + len(flat) > len(self.lengths):
            self.lengths = np.concatenate([self.lengths, np.zeros_like(self.lengths)])
        self.lengths[self.used : self.used + len(flat)] = flat
        counts = np.array([len(lengths) for lengths in cut], np.int64)
        firsts = self.used + np.concatenate([[0], np.cumsum(counts)[:-1]])
        _insert(self.keys, self.stamps, self.first, self.count, keys, firsts, counts)
        self.known += len(keys)
        self.used += len(flat)

    def _double(self) -> None:
        keys, live, first, count = self.keys, self.stamps == 1, self.first, self.count
        size = 2 * len(keys)
        self.keys, self.stamps = np.zeros(size, np.uint64), np.zeros(size, np.int64)
        self.first, self.count = np.zeros(size, np.int64), np.zeros(size, np.int64)
        _insert(self.keys, self.stamps, self.first, self.count, keys[live], first[live], count[live])


_memory: list[_Memory] = []  # one a process, made on first use


def english_words(layout: Layout) -> Spans:
    """Tokens of every text, in order."""
    if not _memory:
        _memory.append(_Memory())
    memory = _memory[0]
    chunks = layout.words("space")
    simple = _simple(layout.data, chunks.start, chunks.end, chunks.chars, chunks.hash, *memory.special)
    odd = np.flatnonzero(simple == 0)
    if len(odd):
        missing = odd[_unknown(memory.keys, memory.stamps, chunks.hash[odd])]
        keys, at = np.unique(chunks.hash[missing], return_index=True)
        if memory.known + len(keys) > REMEMBERED:
            keys, at = np.unique(chunks.hash[odd], return_index=True)
            missing = odd
        where = missing[at]
        spans = zip(chunks.start[where].tolist(), chunks.end[where].tolist(), strict=True)
        data = memoryview(layout.data)  # type: ignore[arg-type]
        memory.learn(keys, [bytes(data[start:end]) for start, end in spans])
    parts = (chunks.bounds, chunks.start, chunks.end, chunks.hash, simple)
    table = (memory.keys, memory.stamps, memory.first, memory.count, memory.lengths)
    bounds = _count(*parts, *table[:4])
    return Spans(bounds, *_emit(layout.data, layout.table, *parts, *table, bounds))


@jit
def _insert(keys, stamps, first, count, new, firsts, counts):
    for k in range(len(new)):
        s = slot(keys, stamps, 1, new[k])
        keys[s], stamps[s], first[s], count[s] = new[k], 1, firsts[k], counts[k]


@jit
def _unknown(keys, stamps, wanted):
    out = np.zeros(len(wanted), np.bool_)
    for k in range(len(wanted)):
        out[k] = stamps[slot(keys, stamps, 1, wanted[k])] != 1
    return out


@jit
def _is_special(special, taken, key):
    return taken[slot(special, taken, 1, key)] == 1


@jit
def _simple(data, start, end, chars, hashes, special, taken):
    """How a chunk is cut: 0 by the rules; 1 + 4 * head + tail: so many marks before and after one plain word."""
    out = np.zeros(len(start), np.uint8)
    for c in range(len(start)):
        i, stop = start[c], end[c]
        if chars[c] != stop - i:
            continue
        first = data[i]
        head = 1 if first == 40 or first == 91 or first == 34 else 0  # ( [ "
        tail = 0
        while tail < 2 and stop - tail - 1 > i + head:
            byte = data[stop - tail - 1]
            mark = byte == 44 or byte == 46 or byte == 34 or byte == 41 or byte == 93 or byte == 33 or byte == 63
            if not mark:
                break
            tail += 1
        last = data[stop - 1]
        if tail == 0 and head == 0 and (last == 58 or last == 59) and stop - i > 2:  # one : or ; after a bare word
            tail = 1
        if tail == 2 and data[stop - 1] == 46 and data[stop - 2] == 46:
            continue
        core, after = i + head, stop - tail
        if after <= core:
            continue
        letters, digits, upper = 0, 0, 0
        for k in range(core, after):
            byte = data[k]
            digits += 48 <= byte <= 57
            small = 97 <= byte <= 122
            letters += small or 65 <= byte <= 90
            upper = 0 if small else upper + 1
        size = after - core
        if letters != size and digits != size:
            continue
        if head + tail and size < 2:
            continue
        if tail and data[after] == 46 and letters == size and upper == 1:  # "McD." keeps its full stop
            continue
        if _is_special(special, taken, hashes[c]):
            continue
        if head + tail and _is_special(special, taken, hashed(data, core, after)):
            continue
        if (head or tail == 2) and _is_special(special, taken, hashed(data, core, after + (tail > 0))):
            continue
        if head and tail and _is_special(special, taken, hashed(data, i, after)):
            continue
        out[c] = 1 + 4 * head + tail
    return out


@jit
def _count(bounds, start, end, hashes, simple, keys, stamps, first, count):
    out = np.zeros(len(bounds), np.int64)
    for d in range(len(bounds) - 1):
        n = 0
        for c in range(bounds[d], bounds[d + 1]):
            if simple[c]:
                n += 1 + ((simple[c] - 1) >> 2) + ((simple[c] - 1) & 3)
            else:
                n += count[slot(keys, stamps, 1, hashes[c])]
        out[d + 1] = out[d] + n
    return out


@jit
def _emit(data, table, bounds, start, end, hashes, simple, keys, stamps, first, count, lengths, target):
    n = target[-1]
    starts, ends, out = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    chars, flags = np.empty(n, np.int32), np.empty(n, np.uint16)
    w = 0
    sizes = np.empty(4, np.int64)
    for c in range(len(start)):
        i = start[c]
        if simple[c]:
            head, tail = (simple[c] - 1) >> 2, (simple[c] - 1) & 3
            parts = 1 + head + tail
            sizes[:] = 1
            sizes[head] = end[c] - i - head - tail
            base = -1
        else:
            s = slot(keys, stamps, 1, hashes[c])
            parts, base = count[s], first[s]
        for p in range(parts):
            size = sizes[p] if base < 0 else lengths[base + p]
            starts[w], ends[w] = i, i + size
            h, points, union, k = np.uint64(0), 0, np.uint16(0), i
            while k < i + size:
                point, width = decode(data, k)
                union |= table[point]
                points += 1
                for b in range(k, k + width):
                    h = h * BASE + np.uint64(data[b])
                k += width
            out[w], chars[w], flags[w] = h, points, union
            i += size
            w += 1
    return starts, ends, out, chars, flags
