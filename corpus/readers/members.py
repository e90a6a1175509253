"""Bytes of a file, decompressed, with the place of every compressed member: gzip, zstd, lz4, bzip2, xz or none.

Memory is bounded whatever the compression ratio: output is drawn in blocks. A member that is damaged is skipped up to
the next one that opens, and each such gap is noted in `damage`; nothing is skipped in silence.
"""

import bz2
import lzma
from collections import deque
from typing import IO, Any, cast

from zlib_ng import zlib_ng as zlib  # twice as fast as the standard library's, with its interface

from ..store.errors import MissingExtra
from ..store.shards import filesystem

DAMAGED = cast(type[Exception], zlib.error)  # its stub takes the class for an instance
BLOCK = 256 << 10
MAGIC = {
    "gzip": b"\x1f\x8b\x08",
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x04\x22\x4d\x18",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
}


def open_bytes(url: str) -> IO[bytes]:
    """A file of any file system, for reading."""
    fs, path = filesystem(url)
    return cast(IO[bytes], fs.open(path, "rb"))


def codec(head: bytes) -> str | None:
    """Name of the compression that a file's first bytes show, None for plain bytes."""
    return next((name for name, magic in MAGIC.items() if head.startswith(magic)), None)


class _Zstd:
    """zstandard's object with a bounded step: 1 KiB of input expands to at most some tens of MiB."""

    def __init__(self) -> None:
        import zstandard

        self._inner = zstandard.ZstdDecompressor().decompressobj()
        self._held = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + self._held if self._inner.eof else b""

    @property
    def unconsumed_tail(self) -> bytes:
        return b"" if self._inner.eof else self._held

    def decompress(self, data: bytes, limit: int) -> bytes:
        parts, size, place = [], 0, 0
        while place < len(data) and size < limit and not self._inner.eof:
            parts.append(self._inner.decompress(data[place : place + 1024]))
            size += len(parts[-1])
            place += 1024
        self._held = data[place:]
        return b"".join(parts)


class _Stepwise:
    """lz4, bzip2 and xz objects keep unread input themselves; this gives them zlib's manner."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data or b""

    @property
    def unconsumed_tail(self) -> bytes:
        return b""

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input

    def decompress(self, data: bytes, limit: int) -> bytes:
        return self._inner.decompress(data, limit)


def decompressor(name: str) -> Any:
    """A fresh decompressor with zlib's interface: decompress(data, limit), eof, unused_data, unconsumed_tail."""
    if name == "gzip":
        return zlib.decompressobj(31)
    if name == "zstd":
        return _Zstd()
    if name == "bzip2":
        return _Stepwise(bz2.BZ2Decompressor())
    if name == "xz":
        return _Stepwise(lzma.LZMADecompressor())
    try:
        import lz4.frame
    except ImportError:
        raise MissingExtra("lz4", "codecs") from None
    return _Stepwise(lz4.frame.LZ4FrameDecompressor())


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
        file.seek(start)

    def place(self) -> tuple[int, int]:
        """(place of the member that holds the next byte, bytes of it already read); plain bytes: (place, 0)."""
        if self.compression is None:
            return self._starts[0][1] + self.position, 0
        while len(self._starts) > 1 and self._starts[1][0] <= self.position:
            self._starts.popleft()
        position, place = self._starts[0]
        return place, self.position - position

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end, without reading past them."""
        while len(self._buffer) < size and self._fill():
            pass
        return bytes(memoryview(self._buffer)[:size])

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

    def seek_member(self, opening: bytes) -> None:
        """Before anything is read: go to the next member whose content begins with `opening`, or to the end."""
        while True:
            found = next_member(self._raw, str(self.compression), opening)
            keep = self._raw[found:] if found >= 0 else self._raw[-4096:]
            self._raw_at += len(self._raw) - len(keep)
            self._raw = keep
            if found >= 0 and len(keep) >= 4096:
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
                    self.damage.append(
                        (self._starts[-1][1], "the compressed file ends in the middle of a member", self._filled)
                    )
                return b""
        if self._object is None and not self._open():
            return b""
        member: Any = self._object
        fed = len(self._raw)
        try:
            block = member.decompress(self._raw, BLOCK)
        except (DAMAGED, OSError, EOFError, RuntimeError, lzma.LZMAError, _zstd_error()) as error:
            self._lost(f"damaged {self.compression} member: {error}")
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
        padding = len(self._raw) - len(self._raw.lstrip(b"\0"))
        self._raw, self._raw_at = self._raw[padding:], self._raw_at + padding
        if not self._raw:
            return False
        if not self._raw.startswith(magic):
            self._lost("bytes between compressed members that belong to none")
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        self._object = decompressor(str(self.compression))
        self._starts.append((self._filled, self._raw_at))

    def _lost(self, why: str) -> None:
        """Note the damage and go to the next member that opens."""
        at = self._starts[-1][1] if self._object is not None else self._raw_at
        self._object = None
        self._raw, self._raw_at = self._raw[1:], self._raw_at + 1
        while True:
            found = next_member(self._raw, str(self.compression))
            if found >= 0:
                self._raw, self._raw_at = self._raw[found:], self._raw_at + found
                break
            keep = self._raw[-64:]
            self._raw_at += len(self._raw) - len(keep)
            block = self.file.read(BLOCK)
            if not block:
                self._raw, self._end = b"", True
                break
            self._raw = keep + block
        self.damage.append((at, why, self._filled))


def next_member(data: bytes, name: str, opening: bytes = b"") -> int:
    """Distance to the next place where a member opens (with these bytes), -1 if there is none in `data`."""
    at = -1
    while (at := data.find(MAGIC[name], at + 1)) >= 0:
        if len(data) - at < 64:
            return -1
        try:
            first = decompressor(name).decompress(data[at : at + 4096], 64)
            if first[: len(opening)].upper() == opening.upper():
                return at
        except (DAMAGED, OSError, EOFError, RuntimeError, lzma.LZMAError, _zstd_error()):
            continue
    return -1


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError
