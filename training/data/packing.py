"""Packing: from documents to rows of T + 1 tokens, of which the last T are targets.

concat     documents one after the other, cut every T tokens; the last row of a domain is padded
bestfit    every row starts with BOS; documents are cut at T, the rest goes on behind a BOS of its own, and pieces are
           fitted best-first into rows within windows of the stored order; what stays empty is padded
decompose  pieces of 2^k tokens from one document each (Dataset Decomposition, Pouransari et al. 2024); a remainder
           shorter than the shortest bucket is the end of a row of that length, behind tokens of its document that are
           read again and carry no loss (the paper drops it, and with it nearly every end of a document)

In each of them every token of every document (BOS and prefix aside) is a target exactly once in an epoch, its end too:
EOS, or where the tokenizer ends documents with the token that starts them, that token. BOS is no target otherwise, a
metadata prefix never is. The row index is arithmetic (concat) or a stored plan of a few integers per piece; nothing
depends on seed or epoch.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba.typed import List as TypedList

from ...corpus.compiling import compiled
from .shards import TokenDomain

IGNORED = -100  # target of a position without loss
WINDOW = 8192  # pieces that are fitted together
VERSION = 2  # of what rows hold: 2, ends of documents are targets in every packing, and decompose leaves out nothing


@dataclass(frozen=True)
class Packing:
    """How the rows of a phase are cut. Equal packings of a domain share their epochs."""

    kind: str  # concat, bestfit, decompose
    seq_len: int
    metadata: bool = False  # keep the documents' metadata prefix (masked from the loss)
    longest: int = 0  # decompose: the longest and the shortest bucket; seq_len is this one
    shortest: int = 0

    @property
    def name(self) -> str:
        span = f"-{self.shortest}-{self.longest}" if self.kind == "decompose" else ""
        return f"{self.kind}-{self.seq_len}{span}{'-metadata' if self.metadata else ''}"


class Rows:
    """The rows of one domain under one packing. `len(rows)` is what an epoch holds."""

    def __init__(self, domain: TokenDomain, packing: Packing, documents: np.ndarray | None = None) -> None:
        """`documents` (M,): only these of the domain, in this order; None: all."""
        self.domain, self.packing = domain, packing
        chosen = slice(None) if documents is None else documents
        prefixes = domain.metadata_tokens[chosen]
        self.cut = np.zeros_like(prefixes) if packing.metadata else prefixes
        self.masked = prefixes - self.cut  # prefix tokens that stay, without loss
        self.begins = domain.offsets[:-1][chosen]
        self.lengths = np.diff(domain.offsets)[chosen] - self.cut
        self.stream = np.concatenate((np.zeros(1, np.int64), np.cumsum(self.lengths)))  # offsets once prefixes are gone
        ended = self.lengths + self.open_end  # with the token that says that a document ends
        none = np.zeros(0, np.int64)
        if packing.kind == "concat":
            end = int(self.stream[-1]) - 1 + (self.open_end if len(self.lengths) else 0)
            count = max(0, -(-end // packing.seq_len))
            self.plan = (none, none, none, none, none)
        elif packing.kind == "bestfit":
            first, doc, begin, size = fit(ended, packing.seq_len + 1)
            count, self.plan = len(first) - 1, (first, doc, begin, size, begin + 1)
        elif packing.kind == "decompose":
            doc, begin, size, fresh = decompose(ended, packing.seq_len, packing.longest, packing.shortest)
            count = len(doc)
            self.plan = (np.arange(count + 1), doc, begin, size, fresh)
        else:
            raise ValueError(f"no packing {packing.kind!r}")
        self.count = count

    def __len__(self) -> int:
        return self.count

    @property
    def open_end(self) -> bool:
        """Whether documents end without a token of their own: the token that starts the next one says so."""
        return self.domain.facts.eos is None

    @cached_property
    def targets(self) -> int:
        """Targets with loss in one epoch."""
        return int(self.row_targets.sum())

    @cached_property
    def row_targets(self) -> np.ndarray:
        """(rows,) int64 targets with loss of each row."""
        length = self.packing.seq_len
        if self.packing.kind != "concat":
            first, doc, begin, size, fresh = self.plan
            last = begin + size - 1
            counts = np.maximum(0, last - np.maximum(fresh, self.masked[doc] + 1) + 1)
            sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
            return sums[first[1:]] - sums[first[:-1]]
        counts = np.full(self.count, length, np.int64)
        if not self.count:
            return counts
        total = int(self.stream[-1]) - 1 + self.open_end  # targets of the stream, those without loss among them
        counts[-1] = total - (self.count - 1) * length
        if not self.open_end:  # BOS, the first of all aside: target number `position - 1` of the stream
            counts -= np.bincount((self.stream[1:-1] - 1) // length, minlength=self.count)
        for doc in np.flatnonzero(self.masked):
            at = np.arange(self.stream[doc], self.stream[doc] + self.masked[doc])  # numbers of the prefix's targets
            counts -= np.bincount(at // length, minlength=self.count)
        return counts

    @cached_property
    def segments(self) -> Any:
        found: Any = TypedList()  # type: ignore[operator]
        for part in self.domain.segments or (np.zeros(0, self.domain.facts.dtype),):
            part = part.view()
            part.flags.writeable = False  # mapped arrays are read-only; one compiled kernel serves both
            found.append(part)
        return found

    def fill(
        self, rows: np.ndarray, places: np.ndarray, ids: np.ndarray, targets: np.ndarray, documents: np.ndarray
    ) -> None:
        """Write rows (R,) to the given places of ids, targets (int64) and documents (int32; may have no rows)."""
        bos = self.domain.facts.bos
        skip_bos = self.domain.facts.eos is not None
        tokens = (self.segments, self.domain.starts, self.begins)
        if self.packing.kind == "concat":
            fill_stream(
                rows, places, *tokens, self.stream, self.cut, self.masked, bos, skip_bos, ids, targets, documents
            )
        else:
            true_head = self.packing.kind == "decompose"
            cuts = (self.cut, self.masked, self.lengths)
            fill_pieces(rows, places, *tokens, *cuts, *self.plan, bos, true_head, ids, targets, documents)


@compiled
def fill_stream(rows, places, segments, starts, begins, stream, cut, masked, bos, skip_bos, ids, targets, documents):
    length, end = ids.shape[1], stream[-1]
    for i in range(len(rows)):
        r, position = places[i], rows[i] * length  # of the first input in the stream
        doc = np.searchsorted(stream, position, side="right") - 1
        at = 0  # inputs written so far; token t of the row is input t and target t - 1
        while at <= length and position < end:
            segment = np.searchsorted(starts, begins[doc], side="right") - 1
            tokens, base = segments[segment], begins[doc] - starts[segment]
            local, last = position - stream[doc], stream[doc + 1] - stream[doc]
            count = min(last - local, length + 1 - at)  # of this document in this row, the last as a target alone
            begin = at
            if local == 0:
                head = np.int64(tokens[base])
                if at < length:
                    ids[r, at] = head
                if at > 0:
                    targets[r, at - 1] = IGNORED if skip_bos else head
                begin += 1
            first = base + cut[doc] + local - at + begin
            rest = tokens[first : first + at + count - begin]
            for j in range(min(len(rest), length - begin)):
                ids[r, begin + j] = rest[j]
            loud = at + 1 + masked[doc] - local - begin  # what comes before it is prefix
            for j in range(1 if begin == 0 else 0, len(rest)):
                targets[r, begin + j - 1] = np.int64(rest[j]) if j >= loud else IGNORED
            if len(documents):
                documents[r, at : min(at + count, length)] = doc
            at, position = at + count, position + count
            doc += 1
        pad(r, at, bos, ids, targets, documents)
        if position == end and 0 < at <= length and not skip_bos:
            targets[r, at - 1] = bos  # the last document ends


@compiled
def fill_pieces(
    rows,
    places,
    segments,
    starts,
    begins,
    cut,
    masked,
    lengths,
    first,
    piece_doc,
    begin,
    size,
    fresh,
    bos,
    true_head,
    ids,
    targets,
    documents,
):
    length = ids.shape[1]
    for i in range(len(rows)):
        r, at = places[i], 0
        for piece in range(first[rows[i]], first[rows[i] + 1]):
            doc = piece_doc[piece]
            segment = np.searchsorted(starts, begins[doc], side="right") - 1
            tokens, base = segments[segment], begins[doc] - starts[segment]
            quiet, shift, last = max(1 + masked[doc], fresh[piece]), cut[doc], lengths[doc]  # read once, not a token
            for j in range(size[piece]):
                local = begin[piece] + j
                if local == 0 or local == last or (j == 0 and not true_head):
                    token = np.int64(bos)
                else:
                    token = np.int64(tokens[base + local + shift])
                if at < length:
                    ids[r, at] = token
                    if len(documents):
                        documents[r, at] = piece
                if at > 0:
                    targets[r, at - 1] = IGNORED if j == 0 or local < quiet else token
                at += 1
        pad(r, at, bos, ids, targets, documents)


@compiled
def pad(r, at, bos, ids, targets, documents):
    length = ids.shape[1]
    for t in range(at, length):
        ids[r, t] = bos
        if len(documents):
            documents[r, t] = -1
    for t in range(max(at - 1, 0), length):
        targets[r, t] = IGNORED


def fit(lengths: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Best fit of documents (lengths with BOS) into rows of `capacity` tokens.

    A piece is BOS and the tokens begin + 1 .. begin + size - 1 of its document.
    Returns first (rows + 1,): pieces of row r are [first[r], first[r + 1]); and of each piece document, begin, size.
    """
    doc, begin, size = cut_pieces(lengths, capacity - 1)
    row, rows = best_fit(size, capacity, WINDOW)
    order = np.argsort(row, kind="stable")
    first = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.bincount(row, minlength=rows))))
    return first, doc[order], begin[order], size[order]


@compiled
def cut_pieces(lengths, most):  # (documents,), targets per piece -> document, begin, size of each piece
    count = 0
    for length in lengths:
        count += -(-(length - 1) // most)
    doc, begin, size = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    piece = 0
    for i in range(len(lengths)):
        at, left = 0, lengths[i] - 1
        while left > 0:
            take = min(left, most)
            doc[piece], begin[piece], size[piece] = i, at, take + 1
            piece, at, left = piece + 1, at + take, left - take
    return doc, begin, size


@compiled
def best_fit(size, capacity, window):  # (pieces,) -> row of each piece, number of rows
    row = np.empty(len(size), np.int64)
    rows = 0
    for start in range(0, len(size), window):
        part = size[start : start + window]
        order = np.argsort(-part, kind="mergesort")
        top = np.full(capacity + 1, -1, np.int64)  # room -> last row opened or left with that room
        below = np.full(len(part), -1, np.int64)  # row of this window -> the next one with the same room
        opened = 0
        for place in order:
            need, room = part[place], part[place]
            while room <= capacity and top[room] < 0:
                room += 1
            if room <= capacity:
                chosen = top[room]
                top[room] = below[chosen]
            else:
                chosen, room = opened, capacity
                opened += 1
            row[start + place] = rows + chosen
            below[chosen] = top[room - need]
            top[room - need] = chosen
        rows += opened
    return row, rows


def decompose(lengths: np.ndarray, bucket: int, longest: int, shortest: int) -> np.ndarray:
    """(4, pieces) int64: document, begin, size and first fresh token of each piece of `bucket` targets."""
    out = np.empty((4, count_pieces(lengths, bucket, longest, shortest, np.empty((4, 0), np.int64))), np.int64)
    count_pieces(lengths, bucket, longest, shortest, out)
    return out


@compiled
def count_pieces(lengths, bucket, longest, shortest, out):  # writes the pieces where there is room, and counts them
    count = 0
    for i in range(len(lengths)):
        at, left = 0, lengths[i] - 1
        while left > 0:
            take = longest
            while take > left and take > shortest:
                take //= 2
            done = min(take, left)
            if take == bucket:
                if out.shape[1]:
                    start = max(0, at + done - take)  # further left where the rest is short: it is read again
                    out[0, count], out[1, count] = i, start
                    out[2, count], out[3, count] = at + done - start + 1, at + 1
                count += 1
            at, left = at + done, left - done
    return count
