"""The files of a call into the ledger, and files out of it.

A known place with the same bytes adds nothing; one with other bytes replaces its earlier version, unless both are to be
kept. A file that was moved, with the same bytes and the same path below what was named, is the same file. Files of the
same bytes, source and domain are read once. What the ledger holds already is not opened again, as long as the file
system tells the same of it. Earlier shards stay as they are, except those that a file leaves: their other pieces are
cut from what is in force, so that nothing else is read again.
"""

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ..readers.compression import codec_of
from ..readers.inputs import Source, reached, sniffed_format
from ..readers.members import Members, open_bytes
from ..store.shards import checksum, filesystem, fingerprint, read_batches, unspelled
from ..store.workspace import Workspace
from .identity import EDGE, file_fingerprint, part_checksum, url_fingerprint
from .ledger import UNKNOWN, File, Ledger, Lot
from .packing import lot_of, packed

TICK, COARSE = 50_000_000, 2_000_000_000  # nanoseconds within which a file system may give two writes one time


@dataclass(frozen=True)
class Planned:
    """The ledger with a call in it.

    of        place of a file of the call -> the file that stands for it
    replaced  (earlier version, what is read now) of places that have other bytes by now
    """

    ledger: Ledger
    of: dict[str, File]
    replaced: tuple[tuple[File, File], ...] = ()


@dataclass(frozen=True)
class _Look:
    """A file of the call as it is now. `content`: its checksum, where the quick fingerprint does not tell it apart."""

    source: Source
    seen: str
    size: int
    state: str
    content: str = ""
    opened: bool = True


def extend(
    workspace: Workspace, ledger: Ledger, sources: Sequence[Source], shard_bytes: int, keep_versions: bool = False
) -> Planned:
    """The ledger with those files that it does not hold yet, in shards of their own."""
    at_place: dict[str, list[File]] = defaultdict(list)
    by_content: dict[tuple[str, ...], list[File]] = defaultdict(list)
    asked = {source.place for source in sources}
    for file in ledger.files:
        if file.place:
            at_place[file.place].append(file)
        if file.place not in asked:
            by_content[(file.path, file.source, file.domain, file.seen)].append(file)
    changed: dict[File, File] = {}  # as the ledger has it -> as it is written now
    of: dict[str, File] = {}
    fresh: list[_Look] = []
    before: dict[str, list[File]] = {}
    for source in sources:
        versions = at_place.get(source.place, [])
        look = _look(workspace, ledger, source, versions)
        known = _known(look, versions)
        if known is None:
            moved = by_content.get((source.path, source.source, source.domain, look.seen), [])
            known = next((file for file in moved if not _exists(file.place)), None)
            if known is not None:
                moved.remove(known)
        if known is None:
            fresh.append(look)
        else:
            of[source.place] = known
            changed[known] = replace(known, place=source.place, state=look.state, kept=False)
        before[source.place] = [file for file in versions if file is not known and not file.kept]
    gone = {file for files in before.values() for file in files}
    if keep_versions:
        changed |= {file: replace(file, kept=True) for file in gone}
        gone = set()
    files = [changed.get(file, file) for file in ledger.files]
    left, heirs = without(Ledger(tuple(files), ledger.lots), {changed.get(f, f) for f in gone}, in_force(workspace))
    new = _identified(fresh, left)
    lots = [*left.lots, *packed([f for f in (*new, *heirs) if not f.repeat], shard_bytes, workspace)]
    whole = Ledger(_sorted_files([*left.files, *new]), _sorted_lots(lots))
    of = {file.place: file for file in whole.files if file.place in asked and not file.kept}
    replaced = [(file, of[place]) for place, files in before.items() for file in files if file in gone]
    return Planned(whole, of, tuple(replaced))


def _sorted_files(files: list[File]) -> tuple[File, ...]:
    return tuple(sorted(files, key=lambda file: file.key))


def _sorted_lots(lots: list[Lot]) -> tuple[Lot, ...]:
    return tuple(sorted(lots, key=lambda lot: lot.name))


def in_force(workspace: Workspace) -> Collection[str]:
    """Names of the shards that are in force."""
    manifest = workspace.table("documents").manifest()
    return manifest.by_name if manifest is not None else ()


# ---- what is there


def _look(workspace: Workspace, ledger: Ledger, source: Source, versions: list[File]) -> _Look:
    if source.listed:
        return _Look(source, url_fingerprint(source.place), UNKNOWN, "")
    state = state_of(source.place)
    same = next((file for file in versions if state and file.state == state), None)
    if same is not None:
        return _Look(source, same.seen, same.size, state, same.content)
    seen, size, opened = _seen(source)
    twin = next((file for file in versions if file.seen == seen), None)
    content = ""
    if twin is not None and size > 2 * EDGE and "://" not in source.place:
        content = twin.content if _same_bytes(workspace, ledger, twin, source.place) else checksum(source.place)
    return _Look(source, seen, size, state, content, opened)


def _known(look: _Look, versions: list[File]) -> File | None:
    """The version of the place that has the bytes that are there now; where they cannot be read, the last one."""
    if not look.opened and versions:
        return versions[-1]
    return next((file for file in versions if file.seen == look.seen and file.content == look.content), None)


def state_of(place: str) -> str:
    """What a file system says of a file without opening it, to tell whether it was written since; "" where that cannot
    be relied on: it was written just now, or the store says too little."""
    if "://" in place:
        fs, path = filesystem(place)
        try:
            told = fs.info(path)
        except Exception:  # every file system has exceptions of its own; opening the file will tell
            return ""
        named = [f"{key}={told[key]}" for key in ("ETag", "etag", "md5Hash", "generation", "mtime") if told.get(key)]
        return f"{told.get('size')} {' '.join(named)}" if named else ""
    try:
        stat = os.stat(unspelled(place))
    except OSError:
        return ""
    margin = COARSE if stat.st_mtime_ns % 1_000_000_000 == 0 and stat.st_ctime_ns % 1_000_000_000 == 0 else TICK
    if stat.st_mtime_ns > time.time_ns() - margin:
        return ""
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"


def _seen(source: Source) -> tuple[str, int, bool]:
    """(quick fingerprint, size, whether it could be opened) of a file; of one that cannot be opened what stands for its
    name: reading it fails, and is told."""
    try:
        seen, size = reached(source.place, file_fingerprint)
    except OSError:
        return _nameless(source), 0, False
    if size == 0:
        unsized = "://" in source.place and seen == url_fingerprint(source.place)
        return (seen, UNKNOWN, True) if unsized else (_nameless(source), 0, True)
    return seen, size, True


def _nameless(source: Source) -> str:
    """What stands for the content of a file that has none."""
    return fingerprint("empty", source.source, source.domain, source.path)


def _same_bytes(workspace: Workspace, ledger: Ledger, file: File, place: str) -> bool:
    """Whether a large file has the bytes that were read of it; so too where nothing was read of it yet."""
    manifest = workspace.table("inputs").manifest()
    lots = {lot.name for lot in ledger.lots if any(piece.file == file.file for piece in lot.pieces)}
    for shard in manifest.shards if manifest is not None else ():
        if shard.name not in lots:
            continue
        for batch in read_batches(workspace.table("inputs").file_url(shard), ["file", "start", "end", "checksum"]):
            for row in batch.to_pylist():
                if row["file"] == file.file and row["checksum"] is not None:
                    whole = file.format == "parquet"
                    start, end = (0, None) if whole else (row["start"], row["end"])
                    if part_checksum(place, start, end) != row["checksum"]:
                        return False
    return True


# ---- who is who


def _identified(fresh: list[_Look], ledger: Ledger) -> list[File]:
    """The files of a call that the ledger does not hold, with the fingerprints that ids are made from."""
    groups: dict[str, list[_Look]] = defaultdict(list)
    for look in fresh:
        groups[look.seen].append(look)
    taken = ledger.taken()
    earlier: dict[str, list[File]] = defaultdict(list)
    for file in taken.values():
        earlier[file.seen].append(file)
    files: list[File] = []
    for seen in sorted(groups):
        files += _tell_apart(seen, groups[seen], earlier.get(seen, []), set(taken))
    return files


def _tell_apart(seen: str, group: list[_Look], earlier: list[File], taken: set[str]) -> Iterator[File]:
    """Files of one quick fingerprint. Equal bytes of the same source and domain are a repeat of the first by path; of
    another they are documents of their own, whose ids tell source and domain; other bytes get their checksum."""
    alone = len(group) == 1 and not earlier
    there = {file: _content(file.place, file.seen, file.size) for file in earlier if _there(file)}
    first = {(content, file.source, file.domain): file.file for file, content in there.items()}
    held = set(there.values())
    contents = [seen if alone else _content(look.source.place, seen, look.size) for look in group]
    several = len({*contents, *held}) > 1
    order = sorted(zip(group, contents, strict=True), key=lambda pair: _key(pair[0].source))
    for look, content in order:
        source = look.source
        identity = fingerprint(seen, content) if several or (earlier and not held) else seen
        key = (content, source.source, source.domain)
        repeat = key in first and look.size > 0
        if not repeat:
            if content in held:
                identity = fingerprint(identity, source.source, source.domain)
            while identity in taken:  # the earlier one is gone, so that its bytes cannot be compared, or is empty
                identity = fingerprint(identity, content, source.source, source.domain)
            first.setdefault(key, identity)
        held.add(content)
        identity = first[key] if repeat else identity
        taken.add(identity)
        told = (source.source, source.domain, _format(source), repeat)
        yield File(source.place, source.path, seen, look.state, identity, look.size, *told, content=look.content)


def _key(source: Source) -> tuple[str, ...]:
    return source.source, source.domain, source.path, source.place


def _content(place: str, seen: str, size: int) -> str:
    """What tells the bytes of a file from others: the quick fingerprint where that covers all of them."""
    return checksum(place) if size > 2 * EDGE else seen


def _there(file: File) -> bool:
    if 0 < file.size <= 2 * EDGE:
        return True  # its quick fingerprint says all of it
    return _exists(file.place)


def _exists(place: str) -> bool:
    fs, bare = filesystem(place)
    return bool(place) and bool(fs.exists(bare))


def _format(source: Source) -> str:
    if source.format != "auto" or source.listed:
        return source.format if source.format != "auto" else "warc"
    try:
        with open_bytes(source.place) as file:
            return sniffed_format(Members(file, 0, codec_of(file)).peek(4096))
    except OSError:
        return "text"


# ---- files out


def without(ledger: Ledger, gone: Collection[File], held: Collection[str]) -> tuple[Ledger, list[File]]:
    """(the ledger without these files, files that have to be read now in their stead).

    Where a file of the same bytes is left, it takes over what was made of the one that goes, as if it had been the
    first. `held` are the shards in force, which shards that lost a piece are cut from.
    """
    if not gone:
        return ledger, []
    left = [file for file in ledger.files if file not in gone]
    heirs: list[File] = []
    takes: dict[str, File | None] = {}  # fingerprint of what goes -> the file that its pieces belong to now
    for file in ledger.files:
        if file not in gone or file.repeat:
            continue
        repeats = [other for other in left if other.repeat and other.file == file.file]
        others = [
            other for other in left
            if not other.repeat and other.file == fingerprint(file.file, other.source, other.domain)
        ]  # fmt: skip
        heir = min(repeats or others, key=lambda other: other.key, default=None)
        takes[file.file] = None
        if heir is None:
            continue
        now = replace(heir, repeat=False, file=file.file)
        renamed = {
            other: now if other is heir else replace(other, file=file.file) for other in left if other.file == heir.file
        }
        left = [renamed.get(other, other) for other in left]
        if heir.file != file.file:
            takes[heir.file] = None
        if now.format == file.format and now.content == file.content:
            takes[file.file] = now
        else:
            heirs.append(now)
    lots = [lot for old in ledger.lots if (lot := _left_of(old, takes, held)) is not None]
    return Ledger(_sorted_files(left), _sorted_lots(lots)), heirs


def _left_of(lot: Lot, takes: dict[str, File | None], held: Collection[str]) -> Lot | None:
    """A shard without the pieces that go, those that are taken over under new names; None where nothing is left."""
    if not any(piece.file in takes for piece in lot.pieces):
        return lot
    pieces = []
    for piece in lot.pieces:
        heir = takes.get(piece.file)
        if heir is not None:
            pieces.append(heir.piece(piece.start, piece.end, piece.weight))
        elif piece.file not in takes:
            pieces.append(piece)
    source = lot.name if lot.name in held else lot.cut_from if lot.cut_from in held else None
    return lot_of(pieces, source) if pieces else None
