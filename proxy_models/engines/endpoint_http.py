"""One HTTP/1.1 connection over asyncio streams: post a body, get status, headers and body back.

It exists because the overhead counts: a general client spends most of a millisecond of CPU on each request
(benchmarks/endpoint_overhead.py). Keeps the connection alive, knows Content-Length and chunked replies, and TLS.
Refuses redirects (they come back as their status), proxies, compression and replies above a size limit.
"""

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...corpus.store.errors import RequestError

LARGEST_REPLY = 64 << 20


class Malformed(Exception):
    """The other side does not speak HTTP, or stopped in the middle."""


@dataclass(frozen=True)
class Address:
    """Where requests go."""

    host: str
    port: int
    path: str
    tls: bool

    @classmethod
    def parse(cls, url: str) -> "Address":
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestError(f"endpoint {url!r} is not a URL; expected one like http://localhost:8000/v1")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), parts.path.rstrip("/"), tls)


class Connection:
    """A connection that opens when it is first used and again after it was closed. Not for concurrent use."""

    def __init__(self, address: Address, headers: dict[str, str]) -> None:
        self.address = address
        fixed = {"Host": f"{address.host}:{address.port}", "Content-Type": "application/json", **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Raises OSError or Malformed. A kept connection that the server closed meanwhile is opened anew, once."""
        head = f"POST {self.address.path}{path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        message = head.encode() + body
        if self._writer is not None:
            try:
                return await self._exchange(message)
            except _Unanswered:
                self.close()
        context = ssl.create_default_context() if self.address.tls else None
        self._reader, self._writer = await asyncio.open_connection(self.address.host, self.address.port, ssl=context)
        try:
            return await self._exchange(message)
        except _Unanswered as error:
            raise Malformed("the server closed the connection without a reply") from error

    async def _exchange(self, message: bytes) -> tuple[int, dict[str, str], bytes]:
        reader, writer = self._reader, self._writer
        assert reader is not None
        assert writer is not None
        try:
            writer.write(message)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Malformed("the reply stopped within its headers") from error
            raise _Unanswered from error
        except ConnectionError as error:
            raise _Unanswered from error
        except asyncio.LimitOverrunError as error:
            raise Malformed("the reply's headers do not end") from error
        status, headers = _parse_head(head)
        try:
            body = await _read_body(reader, headers)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Malformed("the reply stopped within its body") from error
        if headers.get("connection", "").lower() == "close" or not _framed(headers):
            self.close()
        return status, headers, body

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


class _Unanswered(Exception):
    """The connection ended before the first byte of a reply."""


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise Malformed(f"not an HTTP reply: {lines[0][:60]!r}")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(parts[1]), headers


def _framed(headers: dict[str, str]) -> bool:
    return "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts, total = [], 0
        while True:
            size_line = await reader.readuntil(b"\n")
            try:
                size = int(size_line.split(b";")[0], 16)
            except ValueError as error:
                raise Malformed(f"not a chunk size: {size_line[:20]!r}") from error
            total += _bounded(size + total) - total
            part = await reader.readexactly(size + 2)
            if size == 0:
                return b"".join(parts)
            parts.append(part[:-2])
    if "content-length" in headers:
        length = headers["content-length"]
        if not length.isdigit():
            raise Malformed(f"not a length: {length[:20]!r}")
        return await reader.readexactly(_bounded(int(length)))
    parts, total = [], 0
    while part := await reader.read(1 << 16):
        total = _bounded(total + len(part))
        parts.append(part)
    return b"".join(parts)


def _bounded(size: int) -> int:
    if size > LARGEST_REPLY or size < 0:
        raise Malformed(f"a reply of {size:,} bytes is above the limit of {LARGEST_REPLY:,}")
    return size
