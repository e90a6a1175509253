"""English tokens of a batch by the rules of `english_rules`: most chunks in a kernel, the odd ones once each.

A chunk of plain letters or digits, with the commonest punctuation around it, is cut here in compiled code; any other
is cut by the rules the first time it is seen and remembered by its hash. Chunks of one shape are cut alike, so the
rules, which are Python, see the first chunk of a shape. What is remembered never changes the result, only its cost; it
is forgotten when it grows beyond `REMEMBERED` chunks.

A shape is the chunk with every run of letters or digits that no rule names put down to what rules can tell of it: its
case and whether it is one letter or more, its number of digits. Only ASCII chunks of at most `SHAPED` bytes have one,
and none with three full stops and a digit, because a rule looks at the numbers of an address.
"""

import re

import numpy as np

from .english_rules import named, special_cases, split
from .kernels import decode, hashed, jit, slot
from .spans import Spans

REMEMBERED = 1 << 20
SHAPED = 60  # bytes; the rules bound the parts of a host name by 63
_UNIT = re.compile("[A-Z]+|[a-z]+|[0-9]+|[^A-Za-z0-9]", re.DOTALL)


class _Memory:
    """Chunk hash -> its tokens, in a table whose entries are places in `tokens`."""

    def __init__(self) -> None:
        cases = [case.encode() for case in special_cases()]
        keys = np.array([hashed(np.frombuffer(c, np.uint8), 0, len(c)) for c in cases], np.uint64)
        self.special = (np.zeros(1 << 12, np.uint64), np.zeros(1 << 12, np.int64))
        _insert(*self.special, np.zeros((1 << 12, 2), np.int32), keys, np.zeros((len(keys), 2), np.int32))
        runs = [run.encode() for run in named()]
        keys = np.array([hashed(np.frombuffer(run, np.uint8), 0, len(run)) for run in runs], np.uint64)
        self.named = (np.zeros(1 << 12, np.uint64), np.zeros(1 << 12, np.int64))
        _insert(*self.named, np.zeros((1 << 12, 2), np.int32), keys, np.zeros((len(keys), 2), np.int32))
        self.clear()

    def clear(self) -> None:
        self.keys = np.zeros(1 << 12, np.uint64)
        self.stamps = np.zeros(1 << 12, np.int64)
        self.where = np.zeros((1 << 12, 2), np.int32)  # of the key in this slot: its first token, and how many
        self.tokens = np.zeros((1 << 12, 3), np.int32)  # bytes, characters, classes of the characters
        self.hashes = np.zeros(1 << 12, np.uint64)
        self.shapes: dict[int, tuple[int, ...]] = {}  # hash of a shape -> units of each token
        self.known = 0
        self.used = 0

    def learn(self, table: np.ndarray, keys: np.ndarray, chunks: list[bytes]) -> None:
        """Cut these chunks by the rules and remember how."""
        if self.known + len(keys) > REMEMBERED:
            self.clear()
        while 2 * (self.known + len(keys)) > len(self.keys):
            self._double()
        data = np.frombuffer(b"".join(chunks), np.uint8)
        bounds = np.concatenate([[0], np.cumsum([len(chunk) for chunk in chunks])])
        counts, sizes = self._sizes(data, bounds, chunks)
        while self.used + len(sizes) > len(self.hashes):
            self.tokens = np.concatenate([self.tokens, np.zeros_like(self.tokens)])
            self.hashes = np.concatenate([self.hashes, np.zeros_like(self.hashes)])
        part = slice(self.used, self.used + len(sizes))
        self.tokens[part], self.hashes[part] = _described(data, sizes, table)
        firsts = self.used + np.concatenate([[0], np.cumsum(counts)[:-1]])
        _insert(self.keys, self.stamps, self.where, keys, np.column_stack([firsts, counts]).astype(np.int32))
        self.known += len(keys)
        self.used += len(sizes)

    def _sizes(self, data: np.ndarray, bounds: np.ndarray, chunks: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """(chunks,) tokens of each chunk, and the bytes of all tokens one after the other."""
        shapes = _shapes(data, bounds, *self.named)
        counts, cut = np.empty(len(chunks), np.int32), []
        for n, (shape, chunk) in enumerate(zip(shapes.tolist(), chunks, strict=True)):
            units = self.shapes.get(shape)
            if not units:
                text = chunk.decode()
                tokens = split(text)
                if shape and units is None:
                    found = tuple([len(_UNIT.findall(token)) for token in tokens])
                    # a special case may cut within a run: such a shape says nothing of other chunks
                    units = self.shapes[shape] = found if sum(found) == len(_UNIT.findall(text)) else ()
                units = units or [-len(token.encode()) for token in tokens]  # as it is, in bytes
            counts[n] = len(units)
            cut.extend(units)
        return counts, _bytes_of(data, bounds, counts, np.array(cut, np.int64))

    def _double(self) -> None:
        keys, live, where = self.keys, self.stamps == 1, self.where
        size = 2 * len(keys)
        self.keys, self.stamps = np.zeros(size, np.uint64), np.zeros(size, np.int64)
        self.where = np.zeros((size, 2), np.int32)
        _insert(self.keys, self.stamps, self.where, keys[live], where[live])


_memory: list[_Memory] = []  # one a process, made on first use


def english_words(data: np.ndarray, table: np.ndarray, chunks: Spans) -> Spans:
    """Tokens of every text of a batch, in order.

    data    uint8 UTF-8                         chunks  what stands between white space in each text
    table   classes of code points, as `unicode.classes` gives them
    """
    if not _memory:
        _memory.append(_Memory())
    memory = _memory[0]
    parts = (chunks.start, chunks.end, chunks.hash, chunks.chars, chunks.flags)
    cuts = _simple(data, *parts, *memory.special)
    odd = np.flatnonzero(cuts == 0)
    missing = odd[_find(memory.keys, memory.stamps, chunks.hash, odd, cuts)]
    if len(missing):
        keys, at = np.unique(chunks.hash[missing], return_index=True)
        if memory.known + len(keys) > REMEMBERED:  # all is forgotten, what was found as well
            keys, at = np.unique(chunks.hash[odd], return_index=True)
            missing = odd
        where = missing[at]
        spans = zip(chunks.start[where].tolist(), chunks.end[where].tolist(), strict=True)
        view = memoryview(data)  # type: ignore[arg-type]
        memory.learn(table, keys, [bytes(view[start:end]) for start, end in spans])
        _find(memory.keys, memory.stamps, chunks.hash, odd, cuts)
    known = (memory.where, memory.tokens, memory.hashes)
    return Spans(*_tokens(data, table, chunks.bounds, *parts, cuts, *known))


@jit
def _insert(keys, stamps, where, new, places):
    for k in range(len(new)):
        s = slot(keys, stamps, 1, new[k])
        keys[s], stamps[s] = new[k], 1
        where[s, 0], where[s, 1] = places[k, 0], places[k, 1]


@jit
def _find(keys, stamps, hashes, odd, cuts):
    """Whether each odd chunk is unknown; the cut of a known one becomes -1 - its slot."""
    out = np.zeros(len(odd), np.bool_)
    for k in range(len(odd)):
        s = slot(keys, stamps, 1, hashes[odd[k]])
        out[k] = stamps[s] != 1
        cuts[odd[k]] = -1 - s
    return out


@jit
def _kind(byte):
    """0 anything, 1 capital, 2 small letter, 3 digit."""
    if 65 <= byte <= 90:
        return 1
    if 97 <= byte <= 122:
        return 2
    return 3 if 48 <= byte <= 57 else 0


@jit
def _shapes(data, bounds, named, taken):
    """(chunks,) uint64 hash of each chunk's shape; 0 where it has none."""
    out = np.zeros(len(bounds) - 1, np.uint64)
    text = np.empty(SHAPED, np.uint8)
    for c in range(len(out)):
        start, stop = bounds[c], bounds[c + 1]
        if stop - start > SHAPED:
            continue
        plain, stops, digits = True, 0, False
        for i in range(start, stop):
            plain = plain and data[i] < 128
            stops += data[i] == 46
            digits = digits or _kind(data[i]) == 3
        if not plain or (digits and stops >= 3):
            continue
        i, w = start, 0
        while i < stop:
            kind, end = _kind(data[i]), i + 1
            if kind == 0:
                text[w] = data[i]
                i, w = end, w + 1
                continue
            while end < stop and (_kind(data[end]) == 3 if kind == 3 else 0 < _kind(data[end]) < 3):
                end += 1
            if taken[slot(named, taken, 1, hashed(data, i, end))] == 1:  # a rule may know this very run
                for k in range(i, end):
                    text[w] = data[k]
                    w += 1
                i = end
                continue
            while i < end:  # runs of one case, or of digits
                kind, first = _kind(data[i]), i
                while i < end and _kind(data[i]) == kind:
                    i += 1
                size = i - first
                if kind == 3 and size > 2:
                    size = 2 if size < 6 else 3  # a port has two to five digits
                for _ in range(min(size, 2) if kind < 3 else size):
                    text[w] = kind  # control characters: no text has them where a letter stands
                    w += 1
        out[c] = hashed(text, 0, w)
    return out


@jit
def _bytes_of(data, bounds, counts, units):
    """(tokens,) int64 bytes of each token from its units; negative units are bytes already."""
    out, t = np.empty(len(units), np.int64), 0
    for c in range(len(counts)):
        i = bounds[c]
        for _ in range(counts[c]):
            first = i
            if units[t] < 0:
                i -= units[t]
            for _ in range(units[t]):
                kind = _kind(data[i])
                i += 1
                while kind > 0 and i < bounds[c + 1] and _kind(data[i]) == kind:
                    i += 1
            out[t] = i - first
            t += 1
    return out


@jit
def _described(data, sizes, table):
    """(tokens, 3) int32: bytes, characters and classes of tokens that stand one after the other; and their hashes."""
    out, hashes, i = np.zeros((len(sizes), 3), np.int32), np.zeros(len(sizes), np.uint64), 0
    for t in range(len(sizes)):
        hashes[t], stop = hashed(data, i, i + sizes[t]), i + sizes[t]
        out[t, 0] = sizes[t]
        while i < stop:
            point, width = decode(data, i)
            out[t, 1] += 1
            out[t, 2] |= table[point]
            i += width
    return out, hashes


@jit
def _is_special(special, taken, key):
    return taken[slot(special, taken, 1, key)] == 1


@jit
def _simple(data, start, end, hashes, chars, flags, special, taken):
    """How a chunk is cut: 0 by the rules; 1 + 4 * head + tail: so many marks before and after one plain word."""
    out = np.zeros(len(start), np.int32)
    for c in range(len(start)):
        i, stop = start[c], end[c]
        if chars[c] != stop - i:
            continue
        kinds = flags[c] & (2 | 4 | 16 | 32 | 4096)  # ALPHA, DIGIT, PUNCTUATION, SYMBOL, OTHER
        if kinds == 2 or kinds == 4:
            out[c] = not _is_special(special, taken, hashes[c])
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
def _tokens(data, table, bounds, start, end, hashes, chars, flags, cuts, where, tokens, token_hashes):
    """Bounds, start, end, hash, chars and flags of the tokens that the cuts make of the chunks."""
    n = 0
    for c in range(len(start)):
        n += where[-1 - cuts[c], 1] if cuts[c] < 0 else 1 + ((cuts[c] - 1) >> 2) + ((cuts[c] - 1) & 3)
    made = np.zeros(len(bounds), np.int64)
    starts, ends, out = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.uint64)
    sizes, kinds = np.empty(n, np.int32), np.empty(n, np.uint16)
    w = 0
    for d in range(len(bounds) - 1):
        for c in range(bounds[d], bounds[d + 1]):
            i = start[c]
            if cuts[c] < 0:  # as remembered
                first = where[-1 - cuts[c], 0]
                for t in range(first, first + where[-1 - cuts[c], 1]):
                    starts[w], i = i, i + tokens[t, 0]
                    ends[w], out[w], sizes[w], kinds[w] = i, token_hashes[t], tokens[t, 1], np.uint16(tokens[t, 2])
                    w += 1
                continue
            if cuts[c] == 1:
                starts[w], ends[w], out[w], sizes[w], kinds[w] = i, end[c], hashes[c], chars[c], flags[c]
                w += 1
                continue
            head, tail = (cuts[c] - 1) >> 2, (cuts[c] - 1) & 3
            for p in range(1 + head + tail):
                starts[w] = i
                if p == head:
                    i = end[c] - tail
                    kinds[w] = flags[c] & (2 | 4 | 8 | 64 | 128 | 8192) | 2048  # what letters and digits are, all PLAIN
                else:
                    kinds[w] = table[data[i]]
                    i += 1
                ends[w], out[w], sizes[w] = i, hashed(data, starts[w], i), i - starts[w]
                w += 1
        made[d + 1] = w
    return made, starts, ends, out, sizes, kinds
