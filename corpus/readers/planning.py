"""From files to shards: which piece of which file goes into which shard of `documents/`, written down once.

The ledger only grows: a second crawl adds shards for its new files and leaves every earlier shard as it is. Many small
files share a shard, large ones are split at records (plain or gzip-per-record WARC, plain JSONL, row groups of
Parquet). Files of the same bytes, source and domain are read once. A shard is named after the identities of its pieces,
so the same input gives the same names anywhere.
"""

import itertools
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pyarrow.parquet as pq
from pydantic import BaseModel

from ..store.identity import file_fingerprint, url_fingerprint
from ..store.shards import checksum, filesystem, fingerprint, replacing
from ..store.workspace import Workspace
from .compression import codec
from .inputs import Source, reached, sniffed_format
from .jsonl import wide_codec
from .members import Members, open_bytes

LEDGER = "plans/extract.json"


class Piece(BaseModel, frozen=True, extra="forbid"):
    """A part of a file: bytes [start, end), or row groups of Parquet. `end` None: to the end."""

    path: str
    file: str  # fingerprint that ids are made from
    format: str
    start: int = 0
    end: int | None = None
    weight: int = 0  # bytes of the file that it stands for


class Lot(BaseModel, frozen=True, extra="forbid"):
    """What becomes one shard."""

    name: str
    source: str
    domain: str
    pieces: tuple[Piece, ...]


class File(BaseModel, frozen=True, extra="forbid"):
    """A file that was taken in, or, where `repeats` names another, one that held the same bytes."""

    path: str
    seen: str  # quick fingerprint
    file: str  # fingerprint that ids are made from: the quick one, or the full checksum where that one was not unique
    size: int
    source: str
    domain: str
    format: str
    repeats: str | None = None


class Ledger(BaseModel, frozen=True, extra="forbid"):
    files: tuple[File, ...] = ()
    lots: tuple[Lot, ...] = ()

    @property
    def fingerprint(self) -> str:
        return fingerprint([lot.name for lot in self.lots], [file.path for file in self.files])


def read_ledger(workspace: Workspace) -> Ledger:
    fs, path = filesystem(workspace.path(LEDGER))
    if not fs.exists(path):
        return Ledger()
    with fs.open(path, "rb") as file:
        return Ledger.model_validate_json(file.read())


def write_ledger(workspace: Workspace, ledger: Ledger) -> None:
    with replacing(workspace.path(LEDGER)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps(ledger.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")


def extend(ledger: Ledger, sources: Sequence[Source], shard_bytes: int) -> Ledger:
    """The ledger with shards for those sources that it does not hold yet."""
    known = {(file.path, file.seen) for file in ledger.files}
    fresh: dict[str, list[tuple[Source, int]]] = defaultdict(list)
    for source in sources:
        if source.listed:
            seen, size = url_fingerprint(source.path), 0
        else:
            seen, size = _seen(source.path)
        if (source.path, seen) not in known:
            fresh[seen].append((source, size))
    files = list(ledger.files)
    for seen in sorted(fresh):
        if fresh[seen][0][1] == 0:  # empty, or of unknown size: never a repeat
            files += [_file(source, seen, url_fingerprint(source.path), 0, None) for source, _ in fresh[seen]]
            continue
        files += _tell_apart(seen, fresh[seen], [f for f in ledger.files if f.seen == seen and not f.repeats])
    files.sort(key=lambda file: (file.path, file.seen))
    old = {(file.path, file.seen) for file in ledger.files}
    new = [file for file in files if (file.path, file.seen) not in old and not file.repeats]
    lots = sorted([*ledger.lots, *_group(new, shard_bytes)], key=lambda lot: lot.name)
    return Ledger(files=tuple(files), lots=tuple(lots))


def _seen(path: str) -> tuple[str, int]:
    """(quick fingerprint, size) of a file; of one that cannot be opened what stands for its name: reading it fails,
    and is told."""
    try:
        return reached(path, file_fingerprint)
    except OSError:
        return url_fingerprint(path), 0


def _tell_apart(seen: str, group: list[tuple[Source, int]], earlier: list[File]) -> list[File]:
    """Files of one quick fingerprint. Equal bytes of the same source and domain are a repeat of the first by path; of
    another they are documents of their own, whose ids tell source and domain; other bytes get their checksum."""
    alone = len(group) == 1 and not earlier
    there = {file.path: checksum(file.path) for file in earlier if _there(file.path)}
    held = set(there.values())
    places = {(there[f.path], f.source, f.domain): f.path for f in earlier if f.path in there}
    taken = {f.file for f in earlier}
    contents = [seen if alone else checksum(source.path) for source, _ in group]
    several = len({*contents, *held}) > 1
    files = []
    for (source, size), content in sorted(zip(group, contents, strict=True), key=lambda pair: pair[0][0].path):
        identity = fingerprint(seen, content) if several or (earlier and not held) else seen
        key = (content, source.source, source.domain)
        first = places.setdefault(key, source.path)
        if first == source.path and content in held:
            identity = fingerprint(identity, source.source, source.domain)
        if identity in taken and first == source.path:  # the earlier one is gone, so that its bytes cannot be compared
            identity = fingerprint(identity, content, source.source, source.domain)
        held.add(content)
        taken.add(identity)
        files.append(_file(source, seen, identity, size, first if first != source.path else None))
    return files


def _file(source: Source, seen: str, identity: str, size: int, repeats: str | None) -> File:
    return File(
        path=source.path,
        seen=seen,
        file=identity,
        size=size,
        source=source.source,
        domain=source.domain,
        format=_format(source),
        repeats=repeats,
    )


def _there(path: str) -> bool:
    fs, bare = filesystem(path)
    return fs.exists(bare)


def _format(source: Source) -> str:
    if source.format != "auto" or source.listed:
        return source.format if source.format != "auto" else "warc"
    try:
        with open_bytes(source.path) as file:
            head = file.read(16)
            return sniffed_format(Members(file, 0, codec(head)).peek(4096))
    except OSError:
        return "text"


def _group(files: Iterable[File], shard_bytes: int) -> list[Lot]:
    """Pieces of one source and domain, in the order of their paths, closed into shards at about `shard_bytes`."""
    lots: list[Lot] = []
    waiting: dict[tuple[str, str], list[Piece]] = defaultdict(list)
    for file in files:
        key = (file.source, file.domain)
        for piece in _pieces(file, shard_bytes):
            waiting[key].append(piece)
            if file.size == 0 or sum(p.weight for p in waiting[key]) >= shard_bytes or len(waiting[key]) >= 10_000:
                lots.append(_lot(key, waiting.pop(key)))
    return [*lots, *(_lot(key, pieces) for key, pieces in waiting.items())]


def _lot(key: tuple[str, str], pieces: list[Piece]) -> Lot:
    source, domain = key
    digest = fingerprint(source, domain, [(piece.file, piece.start, piece.end) for piece in pieces])[:12]
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in source)[:60]
    if len(safe.encode()) > 200:  # a file name holds 255 bytes
        safe = safe.encode()[:200].decode("utf-8", "ignore")
    return Lot(name=f"{safe}-{digest}.parquet", source=source, domain=domain, pieces=tuple(pieces))


def _pieces(file: File, shard_bytes: int) -> list[Piece]:
    """The file cut where it is worth it and possible; otherwise whole."""
    whole = Piece(path=file.path, file=file.file, format=file.format, weight=file.size)
    if file.size < 2 * shard_bytes:
        return [whole]
    if file.format == "parquet":
        return _row_groups(file, shard_bytes) or [whole]
    with open_bytes(file.path) as opened:
        compression = codec(opened.read(8))
        opened.seek(0)
        if file.format == "jsonl" and wide_codec(opened.read(1024)):
            return [whole]
        opened.seek(0)
        warc = file.format == "warc" and Members(opened, 0, compression).peek(5).upper() == b"WARC/"
    if not (warc and compression in (None, "gzip")) and not (file.format == "jsonl" and compression is None):
        return [whole]
    cuts = [*range(0, file.size - shard_bytes // 2, shard_bytes), file.size]
    return [
        whole.model_copy(update={"start": start, "end": end if end < file.size else None, "weight": end - start})
        for start, end in itertools.pairwise(cuts)
    ]


def _row_groups(file: File, shard_bytes: int) -> list[Piece]:
    try:
        with open_bytes(file.path) as opened:
            metadata = pq.read_metadata(opened)
    except (OSError, ValueError):
        return []  # reading it will say what is wrong with it
    pieces, start, weight = [], 0, 0
    for group in range(metadata.num_row_groups):
        weight += sum(metadata.row_group(group).column(c).total_compressed_size for c in range(metadata.num_columns))
        if weight >= shard_bytes or group == metadata.num_row_groups - 1:
            end = group + 1 if group < metadata.num_row_groups - 1 else None
            pieces.append(Piece(path=file.path, file=file.file, format="parquet", start=start, end=end, weight=weight))
            start, weight = group + 1, 0
    return pieces


def leaf(path: str) -> str:
    """The last part of a path, for messages."""
    return os.path.basename(path.rstrip("/")) or path
