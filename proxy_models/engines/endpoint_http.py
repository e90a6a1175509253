"""One HTTP/1.1 connection over asyncio streams: post a body, get status, headers and body back.

It exists because the overhead counts: a general client spends most of a millisecond of CPU on each request
(benchmarks/endpoint_overhead.py). Keeps the connection alive, knows Content-Length and chunked replies, and TLS.
Asks for no compression and undoes gzip and deflate where a server compresses all the same; passes over interim replies
(100, 103). Refuses redirects (they come back as their status), proxies and replies above a size limit.
"""

import asyncio
import re
import ssl
import zlib
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

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
    query: str = ""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """A RequestError says what a base URL may not have."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port
            host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
        except ValueError as error:
            raise RequestError(f"endpoint {url!r} is not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise RequestError(f"endpoint {url!r} is not a URL; expected one like http://localhost:8000/v1")
        if parts.username is not None or parts.password is not None:
            raise RequestError(f"endpoint at {host}: a URL holds no name or password here; use api_key_env")
        if parts.fragment:
            raise RequestError(f"endpoint {url!r}: a server never sees what stands behind #")
        tls = parts.scheme == "https"
        path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        return cls(host, port or (443 if tls else 80), path, tls, quote(parts.query, safe="/%:@!$&'()*+,;=~?"))

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def target(self, path: str) -> str:
        """What a request for a path below the base URL names."""
        return self.path + path + (f"?{self.query}" if self.query else "")


class Connection:
    """A connection that opens when it is first used and again after it was closed. Not for concurrent use."""

    def __init__(self, address: Address, headers: dict[str, str]) -> None:
        self.address = address
        fixed = {
            "Host": address.authority,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            **headers,
        }
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Raises OSError or Malformed. A kept connection that the server closed meanwhile is opened anew, once."""
        head = f"POST {self.address.target(path)} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
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
            status, version, headers = _parse_head(await reader.readuntil(b"\r\n\r\n"))
            while 100 <= status < 200:  # an interim reply; the one that counts is still to come
                if status == 101:
                    raise Malformed("the server wants to speak another protocol")
                status, version, headers = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Malformed("the reply stopped within its headers") from error
            raise _Unanswered from error
        except ConnectionError as error:
            raise _Unanswered from error
        except asyncio.LimitOverrunError as error:
            raise Malformed("the reply's headers do not end") from error
        try:
            body = b"" if status in (204, 304) else _unpacked(await _read_body(reader, headers), headers)
        except asyncio.LimitOverrunError as error:
            raise Malformed("a chunk size of the reply does not end") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Malformed("the reply stopped within its body") from error
        connection = {word.strip() for word in headers.get("connection", "").lower().split(",")}
        lasting = "keep-alive" in connection if version == "HTTP/1.0" else "close" not in connection
        if not lasting or not (_framed(headers) or status in (204, 304)):
            self.close()
        return status, headers, body

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


class _Unanswered(Exception):
    """The connection ended before the first byte of a reply."""


def _parse_head(head: bytes) -> tuple[int, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise Malformed(f"not an HTTP reply: {lines[0][:60]!r}")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(parts[1]), parts[0], headers


def _framed(headers: dict[str, str]) -> bool:
    return "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts, total = [], 0
        while True:
            size_line = await reader.readuntil(b"\n")
            told = size_line.split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", told):
                raise Malformed(f"not a chunk size: {size_line[:20]!r}")
            size = int(told, 16)
            total = _bounded(size + total)
            if size == 0:
                while (await reader.readuntil(b"\n")).strip():
                    pass  # trailers
                return b"".join(parts)
            part = await reader.readexactly(size + 2)
            if part[-2:] != b"\r\n":
                raise Malformed(f"a chunk of {size} bytes does not end where it should")
            parts.append(part[:-2])
    if "content-length" in headers:
        lengths = {one.strip() for one in headers["content-length"].split(",")}
        length = lengths.pop()
        if lengths or not re.fullmatch("[0-9]{1,18}", length):
            raise Malformed(f"not a length: {length[:20]!r}")
        return await reader.readexactly(_bounded(int(length)))
    parts, total = [], 0
    while part := await reader.read(1 << 16):
        total = _bounded(total + len(part))
        parts.append(part)
    return b"".join(parts)


def _unpacked(body: bytes, headers: dict[str, str]) -> bytes:
    """The body without its content coding."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Malformed(f"the reply is coded as {coding!r}, which was not asked for")
    unpacker = zlib.decompressobj(47)  # gzip or zlib, as the first bytes say
    try:
        plain = unpacker.decompress(body, LARGEST_REPLY)
    except zlib.error as error:
        raise Malformed(f"the reply is no {coding}: {error}") from error
    if not unpacker.eof:
        raise Malformed(f"the reply's {coding} stops in the middle or is above the limit of {LARGEST_REPLY:,} bytes")
    return plain


def _bounded(size: int) -> int:
    if size > LARGEST_REPLY or size < 0:
        raise Malformed(f"a reply of {size:,} bytes is above the limit of {LARGEST_REPLY:,}")
    return size
