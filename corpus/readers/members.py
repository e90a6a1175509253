"""Bytes of a file, decompressed, with the place of every compressed member: gzip, zstd, lz4, bzip2, xz or none.

Memory is bounded whatever the compression ratio: output is drawn in blocks. A member that is damaged is skipped up to
the next one that opens, and each such gap is noted in `damage`; nothing is skipped in silence.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import IO, Any, cast

from ..store.errors import RequestError
from ..store.shards import filesystem
from .compression import DAMAGED, MAGIC, codec_of, decompressor, dictionary_of, errors, is_skippable, said

BLOCK = 256 << 10
HEAD = 4 << 10  # compressed bytes by which the beginning of a member is judged
LINE = 4 << 10  # bytes in which the first line of a record is recognised
BACK = 1 << 20  # bytes that may be read again, beside twice those of the file
ENDS = "the file ends"
CUT_OFF = "the compressed file ends in the middle of a member"


def open_bytes(url: str) -> IO[bytes]:
    """A file of any file system, for reading."""
    fs, path = filesystem(url)
    return cast(IO[bytes], fs.open(path, "rb"))


def archived(file: IO[bytes], compression: str | None) -> str | None:
    """What to do with a file that is an archive of files, None where it is none."""
    file.seek(0)
    head = Members(file, 0, compression).peek(512)
    kind = "zip" if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else "tar" if head[257:262] == b"ustar" else None
    return f"it is a {kind} archive: unpack it, and name the files in it as inputs" if kind else None


def decompressed(file: IO[bytes], where: str) -> bytes:
    """All of a small file that somebody points at. RequestError, which begins with `where`: it is damaged or an
    archive of files."""
    compression = codec_of(file)
    if archive := archived(file, compression):
        raise RequestError(f"{where} cannot be read: {archive}")
    file.seek(0)
    stream, parts = Members(file, 0, compression), list[bytes]()
    try:
        while part := stream.read(BLOCK):
            parts.append(part)
    except (DAMAGED, EOFError, OSError) as error:
        raise RequestError(f"{where} is damaged: {error}") from error
    if stream.damage:
        raise RequestError(f"{where} is damaged: {stream.damage[0][1]}")
    return b"".join(parts)


class Members:
    """Read a file from `start`; `place(position)` maps a position in what was read to a place in the file."""

    def __init__(self, file: IO[bytes], start: int = 0, compression: str | None = None) -> None:
        self.file = file
        self.compression = compression
        self.damage: list[tuple[int, str, int]] = []  # (place in the file, what happened, decompressed position)
        self.position = 0  # of the next unread byte in the decompressed stream
        self._buffer = bytearray()
        self._filled = 0  # decompressed bytes produced so far, read or not
        self._raw = b""
        self._raw_at = start  # place in the file of the first byte of _raw
        self._object: Any = None
        self._starts: deque[tuple[int, int]] = deque([(0, start)])  # (decompressed position, place) of members
        self._end = False
        self._start = start
        self.opens: Callable[[bytes], bool] | None = None  # whether bytes begin a record, where that is known
        self._gone_back = 0  # bytes of the file that were read again
        self.returns = 0  # how often a reader went back, for it to bound
        self.put_back_before = False  # whether something that was read was to be read again
        self._breaks: deque[tuple[int, str | None]] = (
            deque()
        )  # where a later member begins (None), or bytes are missing
        self._dictionary = dictionary_of(file) if compression == "zstd" else None
        file.seek(start)

    def place(self) -> tuple[int, int]:
        """(place of the member that holds the next byte, bytes of it already read); plain bytes: (place, 0)."""
        if self.compression is None:
            return self._starts[0][1] + self.position, 0
        while self._breaks and self._breaks[0][0] <= self.position:
            self._breaks.popleft()
        while len(self._starts) > 1 and self._starts[1][0] <= self.position:
            self._starts.popleft()
        position, place = self._starts[0]
        return place, self.position - position

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end, without reading past them."""
        while len(self._buffer) < size and self._fill():
            pass
        return bytes(memoryview(self._buffer)[:size])

    def ahead(self, size: int) -> int:
        """How many of the next `size` bytes there are: fewer at the end."""
        while len(self._buffer) < size and self._fill():
            pass
        return min(size, len(self._buffer))

    def part(self, start: int, stop: int) -> bytes:
        """Of the next `stop` bytes those from `start` on, without reading past them."""
        return self._at(start, stop - start)

    def find(self, needle: bytes, limit: int, start: int = 0) -> int:
        """Distance to the next `needle` within `limit` bytes, -1 if there is none."""
        seen = start
        while True:
            found = self._buffer.find(needle, max(start, seen - len(needle) + 1), limit)
            if found >= 0:
                return found
            seen = len(self._buffer)
            if seen >= limit or not self._fill():
                return -1

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        while len(self._buffer) < size and self._fill():
            pass
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        self.position += len(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Make the last bytes that were read the next ones again, before `place()` is asked."""
        self._buffer[:0] = data
        self.position -= len(data)
        self.put_back_before = True

    def skip(self, size: int) -> int:
        """Read past `size` bytes in bounded memory; the number passed, fewer only at the end."""
        left = size
        while left:
            if not self._buffer and not self._fill():
                break
            step = min(left, len(self._buffer))
            del self._buffer[:step]
            self.position += step
            left -= step
        return size - left

    def together(self, size: int) -> tuple[int, str | None]:
        """(how many of the next `size` bytes are of one piece, why not all of them).

        They end early where the file does, where a damaged member left a gap, and where a later member begins with
        bytes of which `opens` says that a record begins there. A record goes on over members that merely cut it.
        """
        if not self._breaks and len(self._buffer) >= size:
            return size, None
        while True:
            while self._breaks:
                position, why = self._breaks[0]
                ahead = position - self.position
                if ahead >= size:
                    break
                if ahead >= 0 and why is not None:
                    return ahead, why
                if ahead > 0 and self.opens and self.opens(self._at(ahead, LINE)):
                    return ahead, "the next member of the compressed file begins a record of its own"
                self._breaks.popleft()
            if len(self._buffer) >= size:
                return size, None
            if not self._fill() and not self._breaks:
                return len(self._buffer), ENDS

    def following(self, size: int, length: int) -> bytes:
        """Up to `length` bytes that come after the next `size`, none of them after a break."""
        data = self._at(size, length)
        for position, why in self._breaks:
            ahead = position - self.position - size
            if 0 <= ahead < len(data) and (ahead or why):
                return data[:ahead]
        return data

    def search(self, pattern: re.Pattern[bytes], start: int, end: int) -> int:
        """Distance to the first match, which is a line, among the bytes [start, end) that are there, else -1."""
        end = min(end, len(self._buffer))
        if self._buffer.find(b"\n", start, end) < 0:
            return -1  # every line that is searched for has its end in it; this is much quicker
        found = pattern.search(self._buffer, start, end)
        return found.start() if found else -1

    def jump(self, position: int) -> None:
        """Go to any position: in plain bytes at once, in compressed ones by reading on, or the current member again.

        Going back reaches no further than the member that `place()` last told of.
        """
        ahead = position - self.position
        if 0 <= ahead <= len(self._buffer):
            self.skip(ahead)
        elif self.compression is None:
            self._buffer.clear()
            self.position = self._filled = position
            self._end = False
            self.file.seek(self._start + position)
        elif ahead > 0:
            self.skip(ahead)
        else:
            first, place = self._starts[0]
            self._buffer.clear()
            self._starts = deque([(first, place)])
            self._breaks.clear()
            self.damage = [gap for gap in self.damage if gap[2] <= first]
            self.position = self._filled = first
            self._object, self._raw, self._raw_at, self._end = None, b"", place, False
            self.file.seek(place)
            self.skip(position - first)

    def left(self) -> int:
        """Bytes from here to the end of a plain file."""
        at = self.file.tell()
        size = self.file.seek(0, 2)
        self.file.seek(at)
        return size - self._start - self.position

    def _at(self, start: int, size: int) -> bytes:
        while len(self._buffer) < start + size and self._fill():
            pass
        return bytes(memoryview(self._buffer)[start : start + size])

    def seek_member(self, opens: Callable[[bytes], bool]) -> None:
        """Before anything is read: go to the next member whose content begins as `opens` says, or to the end."""
        while True:
            found = next_member(self._raw, str(self.compression), opens, self._dictionary)
            keep = self._raw[found:] if found >= 0 else self._raw[-HEAD:]
            self._raw_at += len(self._raw) - len(keep)
            self._raw = keep
            if found >= 0 and len(keep) >= HEAD:
                return
            block = self.file.read(BLOCK)
            if not block:
                self._raw, self._end = (keep, False) if found >= 0 else (b"", True)
                return
            self._raw += block

    def _fill(self) -> bool:
        """Produce some more bytes; False at the end of the file."""
        while not self._end:
            if self.compression is None:
                block = self.file.read(BLOCK)
                self._end = not block
            else:
                block = self._expand()
            if block:
                self._buffer += block
                self._filled += len(block)
                return True
        return False

    def _expand(self) -> bytes | None:
        """One block of decompressed bytes; empty when there is nothing yet, `_end` set at the end."""
        hungry = getattr(self._object, "needs_input", True) if self._object is not None else True
        if not self._raw and hungry:
            self._raw = self.file.read(BLOCK)
            if not self._raw:
                self._end = True
                if self._object is not None:
                    self._lost(CUT_OFF)
                return b""
        if self._object is None and not self._open():
            return b""
        member: Any = self._object
        fed = len(self._raw)
        try:
            block = member.decompress(self._raw, BLOCK)
        except errors() as error:
            self._lost(said(str(self.compression), error))
            return b""
        rest = member.unused_data if member.eof else member.unconsumed_tail
        self._raw_at += fed - len(rest)
        self._raw = rest
        if member.eof:
            self._object = None
        return block

    def _open(self) -> bool:
        """Begin the next member at `_raw`. Zero padding between members is passed over."""
        magic = MAGIC[str(self.compression)]
        if len(self._raw) < 4096:
            self._raw += self.file.read(BLOCK)
        if self._raw.startswith(magic):
            self._begin()
            return True
        padding = len(self._raw) - len(self._raw.lstrip(b"\0"))
        self._raw, self._raw_at = self._raw[padding:], self._raw_at + padding
        if not self._raw:
            return False
        if is_skippable(self._raw) and str(self.compression) in ("zstd", "lz4"):
            self._pass_frame()
            return False
        if not self._raw.startswith(magic):
            self._lost("bytes between compressed members that belong to none")
            return False
        self._begin()
        return True

    def _pass_frame(self) -> None:
        """Pass over a skippable frame: the seek table of a seekable file, or a writer's own notes."""
        size = 8 + int.from_bytes(self._raw[4:8], "little")
        if size > len(self._raw):
            self.file.seek(self._raw_at + size)
        self._raw, self._raw_at = self._raw[size:], self._raw_at + size

    def _begin(self) -> None:
        self._object = decompressor(str(self.compression), self._dictionary)
        self._starts.append((self._filled, self._raw_at))
        self._breaks.append((self._filled, None))

    def _lost(self, why: str) -> None:
        """Note the damage and go to the next member that opens.

        A member that lost its end may have taken the ones after it for its own bytes, so that those which begin with a
        record are looked for from its beginning; in all, some times as many bytes as the file has are read again so.
        """
        at = self._starts[-1][1] if self._object is not None else self._raw_at
        again = self._raw_at if self._object is not None and self.opens and self._raw_at > at else 0
        self._object = None
        if again and self._gone_back > BACK + 2 * self._raw_at:
            again = 0
        if again:
            self._gone_back += again - at
            self.file.seek(at)
            self._raw, self._raw_at = self.file.read(BLOCK), at
        self._raw, self._raw_at = self._raw[1:], self._raw_at + 1
        while True:
            opens = self.opens if self._raw_at < again else None
            found = next_member(self._raw, str(self.compression), opens, self._dictionary)
            if found >= 0:
                self._raw, self._raw_at, self._end = self._raw[found:], self._raw_at + found, False
                break
            keep = self._raw[-HEAD:]
            self._raw_at += len(self._raw) - len(keep)
            block = self.file.read(BLOCK)
            if not block:
                self._raw, self._end = b"", True
                break
            self._raw = keep + block
        self._note(at, why)

    def _note(self, place: int, why: str) -> None:
        self.damage.append((place, why, self._filled))
        self._breaks.append((self._filled, why))


def next_member(data: bytes, name: str, opens: Callable[[bytes], bool] | None = None, dictionary: Any = None) -> int:
    """Distance to the next place where a member opens (with bytes that `opens` takes), -1 if there is none in `data`.

    What lies in the last `HEAD` bytes may need more of the file to be told.
    """
    at = -1
    while (at := data.find(MAGIC[name], at + 1)) >= 0:
        try:
            first = decompressor(name, dictionary).decompress(data[at : at + HEAD], LINE if opens else 64)
            if first and (opens is None or opens(first)):
                return at
        except errors():
            continue
    return -1
