"""Compressions and their decompressors, all with zlib's manner and in bounded steps: gzip, zstd, lz4, bzip2, xz.

zstd may have windows of up to 2 GiB (`zstd --long=31`), which is the memory that reading such a file takes; a file that
asks for more is damaged to us, and told so. The same holds for the dictionary of xz.
"""

import bz2
import lzma
from typing import IO, Any, cast

from zlib_ng import zlib_ng as zlib  # twice as fast as the standard library's, with its interface

from ..store.errors import MissingExtra

DAMAGED = cast(type[Exception], zlib.error)  # its stub takes the class for an instance
LARGEST_WINDOW = 1 << 31  # bytes of memory that one file may ask for
SMALLEST_STEP, LARGEST_STEP = 32, 64 << 10  # bytes
MAGIC = {
    "gzip": b"\x1f\x8b\x08",
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x04\x22\x4d\x18",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
}


DICTIONARY = b"\x5d\x2a\x4d\x18"  # begins a frame that holds the dictionary of the others
LARGEST_DICTIONARY = 64 << 20  # bytes
SKIPPABLE = b"\x2a\x4d\x18"  # of zstd and lz4, after a byte 0x50 to 0x5f: a frame without content, its size behind it


def codec(head: bytes) -> str | None:
    """Name of the compression that a file's first bytes show, None for plain bytes."""
    if is_skippable(head):
        return "zstd"
    if head.startswith(b"BZh") and head[4:10] not in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return None
    return next((name for name, magic in MAGIC.items() if head.startswith(magic)), None)


class _Zstd:
    """zstandard's object with a bounded step. It takes no limit itself, so that it is fed by pieces which grow while
    little comes of them: 32 bytes may hold ten blocks, each of 128 KiB."""

    def __init__(self, dictionary: Any = None) -> None:
        import zstandard

        inner = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=LARGEST_WINDOW)
        self._inner = inner.decompressobj()
        self._held = b""
        self._step = SMALLEST_STEP

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
            parts.append(self._inner.decompress(data[place : place + self._step]))
            size += len(parts[-1])
            place += self._step
            self._step = SMALLEST_STEP if len(parts[-1]) > limit // 2 else min(2 * self._step, LARGEST_STEP)
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


def dictionary_of(file: IO[bytes]) -> Any:
    """The dictionary that a zstd file begins with, which its frames are read by; None where it begins with none.

    It lies in a skippable frame of a number of its own, as it is or as a frame of zstd, as in `.warc.zst` (IIPC, WARC
    files compressed by Zstandard). The file stands anywhere afterwards. One that is damaged or too large is none; the
    frames that ask for it are then damaged to us.
    """
    import zstandard

    file.seek(0)
    head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    if not head.startswith(DICTIONARY) or size > LARGEST_DICTIONARY:
        return None
    data = file.read(size)
    if data.startswith(MAGIC["zstd"]):
        inner = _Zstd()
        try:
            data = inner.decompress(data, LARGEST_DICTIONARY)
        except zstandard.ZstdError:
            return None
        if not inner.eof:
            return None
    return zstandard.ZstdCompressionDict(data) if data else None


def decompressor(name: str, dictionary: Any = None) -> Any:
    """A fresh decompressor with zlib's interface: decompress(data, limit), eof, unused_data, unconsumed_tail."""
    if name == "gzip":
        return zlib.decompressobj(31)
    if name == "zstd":
        return _Zstd(dictionary)
    if name == "bzip2":
        return _Stepwise(bz2.BZ2Decompressor())
    if name == "xz":
        return _Stepwise(lzma.LZMADecompressor(memlimit=LARGEST_WINDOW))
    try:
        import lz4.frame
    except ImportError:
        raise MissingExtra("lz4", "codecs") from None
    return _Stepwise(lz4.frame.LZ4FrameDecompressor())


def is_skippable(head: bytes) -> bool:
    """Whether a skippable frame of zstd or lz4 begins there."""
    return head[1:4] == SKIPPABLE and 0x50 <= head[0] <= 0x5F


def codec_of(file: IO[bytes]) -> str | None:
    """Name of the compression of an open file, None for plain bytes. What it begins with may be frames without content,
    of zstd or lz4, which say nothing: what follows them does."""
    at, found = 0, None
    while True:
        file.seek(at)
        head = file.read(16)
        if not is_skippable(head):
            return (codec(head) or found) if head else found
        found = "zstd"
        at += 8 + int.from_bytes(head[4:8], "little")


def said(name: str, error: Exception) -> str:
    """What is wrong with a member, by what its decompressor raised."""
    if "memory" in str(error).lower():
        most = LARGEST_WINDOW >> 30
        return f"{name} member that asks for more than {most} GiB of memory: compress it with a smaller window"
    return f"damaged {name} member: {error}"


def errors() -> tuple[type[Exception], ...]:
    """What decompressors raise at damaged bytes."""
    import zstandard

    return DAMAGED, OSError, EOFError, RuntimeError, lzma.LZMAError, zstandard.ZstdError
