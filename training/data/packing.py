"""Packing: from documents to rows of T + 1 tokens, of which the last T are targets.

concat     documents one after the other, cut every T tokens; the last row of a domain is padded
bestfit    every row starts with BOS; documents are cut at T, the rest goes on behind a BOS of its own, and pieces are
           fitted best-first into rows within windows of the stored order; what stays empty is padded
decompose  pieces of 2^k tokens from one document each (Dataset Decomposition, Pouransari et al. 2024); a remainder
           shorter than the shortest bucket is left out, and `left_out` says how many tokens that is

In concat and bestfit every token of every document (BOS and prefix aside) is a target exactly once in an epoch.
BOS is no target where the tokenizer ends documents with a token of its own; a metadata prefix never is. The row index
is arithmetic (concat) or a stored plan of a few integers per piece; nothing depends on seed or epoch.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba.typed import List as TypedList

from ...corpus.compiling import compiled
from .shards import TokenDomain

IGNORED = -100  # target of a position without loss
WINDOW = 8192  # pieces that are fitted together


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
        lengths = np.diff(domain.offsets)[chosen] - self.cut
        self.stream = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))  # offsets once prefixes are gone
        none = np.zeros(0, np.int64)
        if packing.kind == "concat":
            count = max(0, -(-(int(self.stream[-1]) - 1) // packing.seq_len))
            self.plan = (none, none, none, none)
        elif packing.kind == "bestfit":
            first, doc, begin, size = fit(lengths, packing.seq_len + 1)
            count, self.plan = len(first) - 1, (first, doc, begin, size)
        elif packing.kind == "decompose":
            doc, begin = decompose(lengths, packing.seq_len, packing.longest, packing.shortest)
            count = len(doc)
            self.plan = (np.arange(count + 1), doc, begin, np.full(count, packing.seq_len + 1))
        else:
            raise ValueError(f"no packing {packing.kind!r}")
        self.count = count

    def __len__(self) -> int:
        return self.count

    @cached_property
    def targets(self) -> int:
        """Targets with loss in one epoch."""
        if self.packing.kind == "concat":
            documents, masks_bos = len(self.cut), self.domain.facts.eos is not None
            total = int(self.stream[-1]) - documents - int(self.masked.sum())
            return max(0, total + (0 if masks_bos else documents - 1))
        _, doc, begin, size = self.plan
        prefix = np.clip(self.masked[doc] - begin, 0, size - 1)  # targets begin + 1 .. masked are prefix
        return int((size - 1 - prefix).sum())

    @cached_property
    def left_out(self) -> int:
        """Tokens that no row has as a target, BOS aside: what decompose cuts off."""
        _, _, _, size = self.plan
        return 0 if self.packing.kind != "decompose" else int(self.stream[-1]) - len(self.cut) - int((size - 1).sum())

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
            fill_pieces(
                rows, places, *tokens, self.cut, self.masked, *self.plan, bos, true_head, ids, targets, documents
            )


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
            quiet = 1 + masked[doc]  # local positions 1 .. quiet - 1 are prefix
            while local < last and at <= length:
                token = np.int64(tokens[base + (local + cut[doc] if local > 0 else 0)])
                if at < length:
                    ids[r, at] = token
                    if len(documents):
                        documents[r, at] = doc
                if at > 0:
                    silent = (local > 0 and local < quiet) or (local == 0 and skip_bos)
                    targets[r, at - 1] = IGNORED if silent else token
                at, local, position = at + 1, local + 1, position + 1
            doc += 1
        pad(r, at, bos, ids, targets, documents)


@compiled
def fill_pieces(
    rows,
    places,
    segments,
    starts,
    begins,
    cut,
    masked,
    first,
    piece_doc,
    begin,
    size,
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
            quiet = 1 + masked[doc]
            for j in range(size[piece]):
                local = begin[piece] + j
                if local == 0 or (j == 0 and not true_head):
                    token = np.int64(bos)
                else:
                    token = np.int64(tokens[base + local + cut[doc]])
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


@compiled
def decompose(lengths, bucket, longest, shortest):  # -> document and begin of each piece of `bucket` targets
    doc, begin = [], []
    for i in range(len(lengths)):
        at, left = 0, lengths[i] - 1
        while left >= shortest:
            take = longest
            while take > left:
                take //= 2
            if take == bucket:
                doc.append(i)
                begin.append(at)
            at, left = at + take, left - take
    return np.array(doc, np.int64), np.array(begin, np.int64)
