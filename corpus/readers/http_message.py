"""HTTP responses as crawlers store them: status, fields, and the body with its codings undone.

Chunked transfer and the content encodings gzip, deflate, br and zstd are undone where they are there: crawlers often
keep the header and store the body already decoded, so a body that does not look coded is taken as it is. A body that
would decode to more than `limit` bytes raises `TooLarge` before it does.
"""

import re
from dataclasses import dataclass

import zstandard
from zlib_ng import zlib_ng as zlib

from .members import DAMAGED, decompressor
from .warc import parse_fields


class TooLarge(ValueError):
    """Content beyond the limit of the settings."""


@dataclass(frozen=True)
class Response:
    status: int | None
    fields: dict[str, str]  # names in lower case
    body: bytes

    @property
    def content_type(self) -> str | None:
        """The media type without its parameters, lower case."""
        value = self.fields.get("content-type", "").split(";")[0].strip().lower()
        return value or None

    @property
    def charset(self) -> str | None:
        found = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", self.fields.get("content-type", ""), re.IGNORECASE)
        return found[1] if found else None


def parse_response(content: bytes, limit: int) -> Response:
    """Split and decode a stored response. Content without a status line is a body alone."""
    if content[:5].upper() != b"HTTP/":
        return Response(None, {}, content)
    end, gap = content.find(b"\r\n\r\n"), 4
    bare = content.find(b"\n\n", 0, end if end >= 0 else len(content))
    if bare >= 0:
        end, gap = bare, 2
    head, body = (content[:end], content[end + gap :]) if end >= 0 else (content, b"")
    lines = head.split(b"\n")
    status = re.match(rb"HTTP/[\d.]+\s+(\d{3})", lines[0], re.IGNORECASE)
    fields = parse_fields(lines[1:])
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = unchunk(body)
    for coding in reversed([part.strip().lower() for part in fields.get("content-encoding", "").split(",")]):
        body = decode(body, coding, limit)
    return Response(int(status[1]) if status else None, fields, body)


def unchunk(body: bytes) -> bytes:
    """The body without its chunk lines; a body that is not chunked after all is returned as it is."""
    parts, place = [], 0
    while True:
        line = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n").match(body, place)
        if not line:
            return b"".join(parts) + body[place:] if parts else body
        size = int(line[1], 16)
        place = line.end()
        if size == 0:
            return b"".join(parts)
        parts.append(body[place : place + size])
        place += size
        if place >= len(body):
            return b"".join(parts)
        while body[place : place + 1] in (b"\r", b"\n"):
            place += 1


def decode(body: bytes, coding: str, limit: int) -> bytes:
    """Undo one content coding, or return the body where it does not carry it."""
    if coding in ("gzip", "x-gzip") and body[:2] == b"\x1f\x8b":
        return _inflate(zlib.decompressobj(31), body, limit)
    if coding == "zstd" and body[:4] == b"\x28\xb5\x2f\xfd":
        return _inflate(decompressor("zstd"), body, limit)
    if coding == "deflate" and body:
        for window in (15, -15):  # with zlib's header, as the standard has it, or bare
            try:
                return _inflate(zlib.decompressobj(window), body, limit)
            except ValueError as error:
                if isinstance(error, TooLarge):
                    raise
        return _undecoded(body, coding)
    if coding == "br" and body:
        return _brotli(body, limit)
    return body


def _undecoded(body: bytes, coding: str) -> bytes:
    """A body that cannot be decoded and is markup already, because the crawler stored it so."""
    start = body[:1024]
    if b"<" not in start or sum(byte < 32 and byte not in b"\t\n\r\f" for byte in start) > 2:
        raise ValueError(f"it is not {coding}")
    return body


def _inflate(inner, body: bytes, limit: int) -> bytes:
    """What can be decoded; a damaged tail is dropped as browsers do."""
    parts, size = [], 0
    while body and not inner.eof:
        try:
            parts.append(inner.decompress(body, 1 << 20))
        except (DAMAGED, zstandard.ZstdError) as error:
            if not parts:
                raise ValueError(str(error)) from None
            break
        size += len(parts[-1])
        if size > limit:
            raise TooLarge(f"the body decodes to more than {limit} bytes")
        body = inner.unconsumed_tail
    return b"".join(parts)


def _brotli(body: bytes, limit: int) -> bytes:
    import io

    from fastwarc.stream_io import BrotliReader

    reader = BrotliReader(io.BytesIO(body))
    parts, size = [], 0
    try:
        while block := reader.read(256 << 10):
            parts.append(block)
            size += len(block)
            if size > limit:
                raise TooLarge(f"the body decodes to more than {limit} bytes")
    except OSError:
        if not parts:
            return _undecoded(body, "br")
    return b"".join(parts)
