"""Pieces of files into shards: small files share one, of whatever source and domain, large ones are cut at records.

Plain and gzip-per-record WARC, plain JSONL and row groups of Parquet can be cut; the rest stays whole. A shard is named
after its pieces, so the same input gives the same names anywhere. What was made inside the workspace (rewritten
documents) is packed apart from what came from outside.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import pyarrow.parquet as pq

from ..readers.compression import codec_of
from ..readers.jsonl import by_lines
from ..readers.members import Members, open_bytes
from ..store.shards import fingerprint
from ..store.workspace import Workspace
from .ledger import UNKNOWN, File, Lot, Piece

MOST_PIECES = 10_000  # of a shard
UNOPENED = 64 << 10  # bytes that a page or a text counts for where its size is not known
WHOLE = ("html", "text")  # one document a file


def packed(files: Iterable[File], shard_bytes: int, workspace: Workspace | None = None) -> list[Lot]:
    """Shards of new files, in the order of their keys, closed at about `shard_bytes`; a file of unknown size that may
    be large has one of its own."""
    lots: list[Lot] = []
    ordered = sorted(files, key=lambda file: file.key)
    own = [file for file in ordered if workspace is not None and file.place.startswith(workspace.url + "/")]
    others = [file for file in ordered if workspace is None or not file.place.startswith(workspace.url + "/")]
    for group in (others, own):
        waiting: list[Piece] = []
        weight = 0
        for piece in _cut(group, shard_bytes):
            if piece.weight < 0:
                lots.append(lot_of([piece]))
                continue
            waiting.append(piece)
            weight += piece.weight
            if weight >= shard_bytes or len(waiting) >= MOST_PIECES:
                lots.append(lot_of(waiting))
                waiting, weight = [], 0
        if waiting:
            lots.append(lot_of(waiting))
    return lots


def lot_of(pieces: Sequence[Piece], cut_from: str | None = None) -> Lot:
    """The shard of these pieces."""
    digest = fingerprint([piece.facts for piece in pieces])[:12]
    sources = {piece.source for piece in pieces}
    first = {source.split(".")[0] for source in sources}
    source = min(sources) if len(sources) == 1 else min(first) if len(first) == 1 else "inputs"
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in source)[:60]
    if len(safe.encode()) > 200:  # a file name holds 255 bytes
        safe = safe.encode()[:200].decode("utf-8", "ignore")
    return Lot(f"{safe}-{digest}.parquet", tuple(pieces), cut_from)


def _cut(files: Iterable[File], shard_bytes: int) -> Iterator[Piece]:
    for file in files:
        if file.size == UNKNOWN:
            yield file.piece(weight=UNOPENED if file.format in WHOLE else UNKNOWN)
        else:
            yield from _pieces(file, shard_bytes)


def _pieces(file: File, shard_bytes: int) -> list[Piece]:
    """The file cut where it is worth it and possible; otherwise whole."""
    whole = file.piece()
    if file.size < 2 * shard_bytes:
        return [whole]
    if file.format == "parquet":
        return _row_groups(file, shard_bytes) or [whole]
    with open_bytes(file.place) as opened:
        compression = codec_of(opened)
        if file.format == "jsonl" and compression is None and not by_lines(Members(opened)):
            return [whole]
        opened.seek(0)
        warc = file.format == "warc" and Members(opened, 0, compression).peek(5).upper() == b"WARC/"
    if not (warc and compression in (None, "gzip")) and not (file.format == "jsonl" and compression is None):
        return [whole]
    cuts = [*range(0, file.size - shard_bytes // 2, shard_bytes), file.size]
    return [file.piece(start, end if end < file.size else None, end - start) for start, end in itertools.pairwise(cuts)]


def _row_groups(file: File, shard_bytes: int) -> list[Piece]:
    try:
        with open_bytes(file.place) as opened:
            metadata = pq.read_metadata(opened)
    except (OSError, ValueError):
        return []  # reading it will say what is wrong with it
    pieces, start, weight = [], 0, 0
    for group in range(metadata.num_row_groups):
        weight += sum(metadata.row_group(group).column(c).total_compressed_size for c in range(metadata.num_columns))
        if weight >= shard_bytes or group == metadata.num_row_groups - 1:
            end = group + 1 if group < metadata.num_row_groups - 1 else None
            pieces.append(file.piece(start, end, weight))
            start, weight = group + 1, 0
    return pieces
