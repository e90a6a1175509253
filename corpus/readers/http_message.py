"""HTTP responses as crawlers store them: status, fields, and the body with its codings undone as browsers undo them.

Chunked transfer and the codings gzip, deflate (with zlib's header or bare), br and zstd are undone where they are
there, one after the other, over several members or frames, and after a stray line end. Crawlers often keep the header
and store the body already decoded: a body that does not carry a coding and is text is taken as it is, to its first
line. A body that carries one and cannot be decoded to its end raises ValueError, because half a page looks like a
page; one that would decode to more than `limit` bytes raises `TooLarge` before it does. Lengths that the header states
are not believed: the record has its own.
"""

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import zstandard
from zlib_ng import zlib_ng as zlib

from .compression import DAMAGED, decompressor
from .warc import parse_fields

STATUS = re.compile(rb"\s*(?:HTTPX?|ICY)(?:/[\d.]*)?[ \t]+(\d{3})\b", re.IGNORECASE)
INTERIM = (b"100", b"102", b"103")  # a reply before the reply: Continue, Processing, Early Hints
MARKUP = re.compile(rb"<[a-zA-Z!/?]")
BLANK = re.compile(rb"\n\r*\n")
CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
BARE_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
LAST = 4 << 10  # bytes at the end of a body that hold its last chunk and what follows it
LAST_CHUNK = re.compile(rb"\n[ \t]*0+[ \t]*(?:;[^\r\n]*)?\r?\n(?:[!-9;-~]+:[^\r\n]*\r?\n)*(?:\r?\n)*\Z")
TRAILERS = re.compile(rb"(?:[!-9;-~]+:[^\r\n]*\r?\n){0,100}(?:\r?\n|\Z)")
PARAMETERS = re.compile(r"[;,]")
CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE)
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UNCODED = ("", "identity", "none", "utf-8", "utf8", "binary", "8bit", "7bit", "text")


class TooLarge(ValueError):
    """Content beyond the limit of the settings."""


@dataclass(frozen=True)
class Response:
    """A response; `status` is None where the content has no status line."""

    status: int | None
    fields: dict[str, str]  # names in lower case
    body: bytes

    @property
    def content_type(self) -> str | None:
        """The media type without its parameters, lower case."""
        value = PARAMETERS.split(self.fields.get("content-type", ""), 1)[0].strip().lower()
        return value or None

    @property
    def charset(self) -> str | None:
        found = CHARSET.search(self.fields.get("content-type", ""))
        return found[1] if found else None


def parse_response(content: bytes, limit: int, cut: bool = False) -> Response:
    """Split and decode a stored response. Content without a status line is a body alone.

    cut     the record says that the crawler cut it off: then what can be decoded is all there is
    """
    if not STATUS.match(content[:64]):
        return Response(None, {}, content)
    while True:
        content = content.lstrip(b"\r\n\t ")
        end = BLANK.search(content)
        head, body = (content[: end.start()], content[end.end() :]) if end else (content, b"")
        status = STATUS.match(head)
        if not status or status[1] not in INTERIM or not STATUS.match(body[:64]):
            break
        content = body
    fields = parse_fields(head, joined=("content-encoding", "transfer-encoding"))
    transfer, codings = _listed(fields, "transfer-encoding"), _listed(fields, "content-encoding")
    if "chunked" in transfer:
        body = unchunk(body, cut, bare=b"\r\n" not in head)
    transfer = [part for part in transfer if part != "chunked"]
    for coding in reversed([*codings, *transfer]):
        body = decode(body, coding, limit, cut)
    if body.startswith((GZIP + b"\x08", ZSTD)) and fields.get("content-type", "").strip().lower().startswith("text/"):
        body = decode(body, "gzip", limit, cut)  # its field went, or it was coded twice
    return Response(int(status[1]) if status else None, fields, body)


def _listed(fields: dict[str, str], name: str) -> list[str]:
    return [part.strip(" \t\"'").lower() for part in fields[name].split(",")] if name in fields else []


def unchunk(body: bytes, cut: bool = False, bare: bool = False) -> bytes:
    """The body without its chunk lines; a body that was stored without them is returned as it is.

    `bare`: line feeds alone end lines here. They do so too where that makes chunks of all of the body and carriage
    returns do not. ValueError where chunks begin and do not end.
    """
    failed = None
    try:
        data = _unchunk(body, cut, bare)
    except ValueError as error:
        data, failed = body, error
    if data is body and not bare and LAST_CHUNK.search(body[-LAST:]):
        with contextlib.suppress(ValueError):
            data = _unchunk(body, False, True)
    if data is body and failed:
        raise failed
    return data


def _unchunk(body: bytes, cut: bool, bare: bool) -> bytes:
    line = BARE_CHUNK if bare else CHUNK
    parts: list[bytes] = []
    place = len(body) - len(body.lstrip(b"\r\n"))
    while True:
        found = line.match(body, place)
        if not found:
            why = "its last chunk is missing" if place >= len(body) else "a chunk does not begin where it should"
            break
        size, place = int(found[1], 16), found.end()
        if size == 0:
            trailers = TRAILERS.match(body, place)
            whole = bool(parts) or (trailers is not None and not body[trailers.end() :].strip(b"\r\n"))
            return b"".join(parts) if whole else body
        parts.append(body[place : place + size])
        place += size
        after = body[place : place + 2]
        if len(parts[-1]) < size or (after and not after.startswith((b"\r\n", b"\n") if bare else b"\r\n")):
            why = f"a chunk of {size} bytes does not end there"
            break
        place += 2 if after.startswith(b"\r\n") else len(after[:1])
    data = b"".join(parts)
    markup = data.lstrip()[:1] == b"<"
    if not parts or (not markup and (len(parts) == 1 or len(data) < LEAST)):
        return body  # the first lines are text that looks like a length
    if cut or (place >= len(body) and data.rstrip().lower().endswith(b"</html>")):
        return data
    raise ValueError(f"chunked, but {why}")


LEAST = 64  # bytes in whole chunks that show a body without markup to be chunked


def decode(body: bytes, coding: str, limit: int, cut: bool = False) -> bytes:
    """Undo one coding, or return the body where it does not carry it.

    Raises ValueError where it does and cannot be decoded, TooLarge where it decodes to more than `limit` bytes.
    """
    if coding in UNCODED or not body:
        return body
    stray = body.lstrip(b"\r\n") if body[:1] in b"\r\n" else body
    try:
        if stray.startswith(GZIP) and coding != "br":
            return _inflate_all(stray, "gzip", limit)
        if stray.startswith(ZSTD) and coding != "br":
            return _inflate_all(stray, "zstd", limit)
        if coding == "deflate":
            return _deflate(body, limit)
        if coding == "br":
            return _brotli(body, limit)
        raise ValueError(f"it is not {coding}")
    except Partial as error:
        if cut:
            return error.found
        raise ValueError(f"{coding}: {error}") from None
    except TooLarge:
        raise
    except ValueError as error:
        if looks_like_text(body):
            return body  # stored decoded, under the header that it came with
        raise ValueError(str(error)) from None


class Partial(ValueError):
    """A coded body that does not decode to its end; `found` is what did."""

    def __init__(self, why: str, found: bytes) -> None:
        super().__init__(why)
        self.found = found


def looks_like_text(body: bytes) -> bool:
    """Whether the beginning of a body is markup or text: no control character, or UTF-16 by its mark."""
    start = body[:2048]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    odd = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start)
    if MARKUP.search(start):
        plain = sum(32 <= byte < 127 for byte in start)
        return odd * 100 <= len(start) and (plain * 2 >= len(start) or _is_utf8(start))
    bare = start.replace(b"\x1b$", b"").replace(b"\x1b(", b"")  # ISO-2022 shifts its sets so
    return odd == 0 and not {0x0C, 0x1B} & set(bare) and not ZSTD.startswith(start) and _is_utf8(start)


def _is_utf8(start: bytes) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 4 and len(start) == 2048
    return True


def _inflate_all(body: bytes, name: str, limit: int) -> bytes:
    """Every member or frame of a body; zeros and other bytes after the last one are passed over, as browsers do."""
    decoded = _Decoded(limit)
    at, fed = 0, len(body)
    while body.startswith(GZIP if name == "gzip" else ZSTD, at) or (name == "zstd" and at and SKIPPED.match(body, at)):
        inner = decompressor(name)
        begun, at = at, _inflate(inner, body, at, decoded, fed)
        fed = LATER
        if not inner.eof:
            if name == "gzip" and _only_trailer_is_missing(body[begun:]):
                return decoded.joined
            raise Partial("it ends in the middle", decoded.joined)
    if len(body[at:].strip(b"\0\r\n")) > JUNK:
        raise Partial("what follows its end is no member", decoded.joined)
    return decoded.joined


JUNK = 64  # bytes after the end of a coded body that are passed over
LATER = 1 << 10  # bytes that a later member is given at first, each time twice as many: what it leaves is copied
SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # a frame of zstd that holds no content


class _Decoded:
    """What came of a body so far. Raises `TooLarge` beyond a limit."""

    def __init__(self, limit: int) -> None:
        self.parts: list[bytes] = []
        self._left = self._limit = limit

    def add(self, block: bytes) -> None:
        self.parts.append(block)
        self._left -= len(block)
        if self._left < 0:
            raise TooLarge(f"the body decodes to more than {self._limit} bytes")

    @property
    def joined(self) -> bytes:
        return b"".join(self.parts)


def _inflate(inner: Any, body: bytes, at: int, decoded: _Decoded, fed: int) -> int:
    """Decode into `decoded` from a place on; the place after the end. Raises `Partial` where it is damaged.

    fed  bytes that are given at first
    """
    given = b""
    while not inner.eof:
        if not given:
            given = body[at : at + fed]
            at, fed = at + len(given), 2 * fed
        try:
            block = inner.decompress(given, 1 << 20)
        except (DAMAGED, zstandard.ZstdError) as error:
            raise Partial(str(error), decoded.joined) from None
        decoded.add(block)
        given = inner.unconsumed_tail
        if not block and not given and at >= len(body):
            break
    return at - len(inner.unused_data) if inner.eof else len(body)


def _only_trailer_is_missing(member: bytes) -> bool:
    """Whether a gzip member lacks nothing but (some of) its last eight bytes, the checksum and the length."""
    flags, at = member[3] if len(member) > 10 else 0, 10
    if flags & 4:
        at += 2 + int.from_bytes(member[at : at + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            at = member.find(b"\0", at) + 1 or len(member)
    bare = zlib.decompressobj(-15)
    try:
        tail = member[at + (2 if flags & 2 else 0) :]
        while tail and not bare.eof:
            bare.decompress(tail, 1 << 20)
            tail = bare.unconsumed_tail
    except DAMAGED:
        return False
    return bare.eof and len(bare.unused_data) < 8


def _deflate(body: bytes, limit: int) -> bytes:
    """Deflate in both readings: with zlib's header, as the standard has it, or bare, as some servers send it."""
    best: Partial | None = None
    for data in dict.fromkeys((body, body.lstrip(b"\r\n"))):
        for window in (15, -15):
            decoded = _Decoded(limit)
            inner = zlib.decompressobj(window)
            try:
                end = _inflate(inner, data, 0, decoded, len(data))
            except Partial:
                continue
            if inner.eof and (window > 0 or len(data[end:].strip(b"\0\r\n")) <= 8):
                return decoded.joined
            if not inner.eof and window > 0 and decoded.parts and len(data) > 6:
                best = Partial("it ends in the middle", decoded.joined)
    if best and not looks_like_text(body):
        raise best
    raise ValueError("it is not deflate")


def _brotli(body: bytes, limit: int) -> bytes:
    """Brotli, which has no magic number: a body that is text and does not decode was stored decoded."""
    import brotli

    last = ValueError("it is not br")
    for data in dict.fromkeys((body, body.lstrip(b"\r\n"))):
        pieces = [data]
        for step in (4096, 1, 0):  # what follows the end makes the whole piece fail: found by smaller ones
            number = 0
            inner, parts, failed = brotli.Decompressor(), [], -1
            for number, piece in enumerate(pieces):
                try:
                    _pour(inner, piece, limit, parts)
                except brotli.error:
                    failed = number
                    break
                if inner.is_finished():
                    break
            if failed < 0 and inner.is_finished():
                after = b"".join(pieces[number + 1 :]).strip(b"\0\r\n")
                if len(after) <= (0 if looks_like_text(body) else JUNK):  # a word of text may be a whole br stream
                    return b"".join(parts)
                parts = []
            if failed < 0 or not step:
                break
            cut = pieces[failed]
            pieces[failed:] = [cut[at : at + step] for at in range(0, len(cut), step)]
        if parts and any(parts) and not looks_like_text(body):
            last = Partial("it is damaged" if failed >= 0 else "it ends in the middle", b"".join(parts))
    raise last


def _pour(inner: Any, data: bytes, limit: int, parts: list[bytes]) -> None:
    """Feed a brotli decoder in bounded steps."""
    while True:
        block = inner.process(data, output_buffer_limit=1 << 20)
        data = b""
        parts.append(block)
        if sum(map(len, parts)) > limit:
            raise TooLarge(f"the body decodes to more than {limit} bytes")
        if inner.is_finished() or inner.can_accept_more_data():
            return
