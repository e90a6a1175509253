"""One HTTP/1.1 connection over an asyncio transport: post a body, get status, headers and body back.

It exists because the overhead counts: a general client spends most of a millisecond of CPU on each request
(benchmarks/endpoint_overhead.py). Keeps the connection alive, knows Content-Length and chunked replies, and TLS.
Asks for no compression and undoes gzip, deflate, br and zstd where a server compresses all the same; passes over
interim replies (100, 103), and reads heads whose lines end in line feeds alone. A kept connection on which something
lies that no request asked for is not used again: it would be taken for the next reply. Refuses redirects (they come
back as their status), proxies and replies above a size limit. The status of a reply that is no success counts even
where its body is damaged.
"""

import asyncio
import re
import ssl
from dataclasses import dataclass
from functools import cache
from typing import cast
from urllib.parse import quote, urlsplit

from ...corpus.readers.http_message import decode
from ...corpus.store.errors import RequestError

LARGEST_REPLY = 64 << 20
LARGEST_HEAD = 256 << 10
LONGEST_LINE = 64 << 10  # of a chunk's size or a trailer
HEAD_END = re.compile(rb"\r?\n\r?\n")
STATUS = re.compile(r"HTTP/(1\.[0-9])[ \t]+([1-9][0-9]{2})(?![0-9])")
CHAT = "/chat/completions"
LISTS = ("content-length", "transfer-encoding", "content-encoding", "connection")  # headers that may come in parts


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
        """A RequestError says what a base URL may not have, and never repeats a password that stands in it."""
        shown = re.sub(r"//[^/?#]*@", "//***@", url)
        try:
            parts = urlsplit(url.strip())
            port = parts.port
            host = parts.hostname or ""
            host = host.replace("%25", "%") if ":" in host else host.encode("idna").decode()
        except ValueError as error:
            raise RequestError(f"endpoint {shown!r} is not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise RequestError(f"endpoint {shown!r} is not a URL; expected one like http://localhost:8000/v1")
        if parts.username is not None or parts.password is not None:
            raise RequestError(f"endpoint at {host}: a URL holds no name or password here; use api_key_env")
        if parts.fragment:
            raise RequestError(f"endpoint {shown!r}: a server never sees what stands behind #")
        tls = parts.scheme == "https"
        path = quote(parts.path.rstrip("/").removesuffix(CHAT).rstrip("/"), safe="/%:@!$&'()*+,;=~")
        return cls(host, port or (443 if tls else 80), path, tls, quote(parts.query, safe="/%:@!$&'()*+,;=~?"))

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them: an IPv6 address in brackets, without its zone."""
        return f"[{self.host.split('%')[0]}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def shown(self) -> str:
        """The base URL as messages may repeat it: without its query, which may hold a key."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"

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
        self._wire: _Wire | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Raises OSError or Malformed. A kept connection that the server closed meanwhile is opened anew, once."""
        head = f"POST {self.address.target(path)} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        message = head.encode() + body
        if self._wire is not None and (self._wire.ended or self._wire.held):
            self.close()
        if self._wire is not None:
            try:
                return await self._exchange(self._wire, message)
            except _Unanswered:
                self.close()
        context = _context() if self.address.tls else None
        loop = asyncio.get_running_loop()
        _, self._wire = await loop.create_connection(_Wire, self.address.host, self.address.port, ssl=context)
        try:
            return await self._exchange(self._wire, message)
        except _Unanswered as error:
            raise Malformed("the server closed the connection without a reply") from error

    async def _exchange(self, wire: "_Wire", message: bytes) -> tuple[int, dict[str, str], bytes]:
        wire.send(message)
        status, version, headers = await _read_head(wire)
        while 100 <= status < 200:  # an interim reply; the one that counts is still to come
            if status == 101:
                raise Malformed("the server wants to speak another protocol")
            status, version, headers = await _read_head(wire)
        empty = status in (204, 304)
        lasting = empty or _framed(headers)
        try:
            body = b"" if empty else _unpacked(await _read_body(wire, headers), headers)
        except Malformed:
            if 200 <= status < 300:
                raise
            body, lasting = b"", False
        connection = {word.strip() for word in headers.get("connection", "").lower().split(",")}
        lasting &= "keep-alive" in connection if version == "1.0" else "close" not in connection
        if not lasting:
            self.close()
        return status, headers, body

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None


class _Unanswered(Exception):
    """The connection ended before the first byte of a reply."""


class _Wire(asyncio.Protocol):
    """What came from the other side and was not read yet (`held`), and whether anything can still come."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.ended = False
        self.failed = False  # ended by an error, not by the other side's wish
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.held += data
        self._wake()

    def eof_received(self) -> None:
        self.ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.failed = True, self.failed or exc is not None
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def send(self, message: bytes) -> None:
        if self._transport is None or self.ended:
            raise _Unanswered
        self._transport.write(message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def more(self) -> None:
        """Return when something more is held; EOFError where nothing more will come."""
        size = len(self.held)
        while len(self.held) == size:
            if self.ended:
                raise EOFError
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def take(self, size: int) -> bytes:
        """The first bytes of what is held."""
        part = bytes(self.held[:size])
        del self.held[:size]
        return part

    async def exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            await self.more()
        return self.take(size)

    async def line(self) -> bytes:
        """A line without its end."""
        place = -1
        while (place := self.held.find(b"\n", max(0, place))) < 0:
            place = len(self.held)
            if place > LONGEST_LINE:
                raise Malformed("a chunk size of the reply does not end")
            await self.more()
        return self.take(place + 1).rstrip(b"\r\n")


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _read_head(wire: _Wire) -> tuple[int, str, dict[str, str]]:
    """(status, version of HTTP, headers by name in lower case) of the next head."""
    seen = 0
    while True:
        while wire.held[:1] in (b"\r", b"\n"):
            del wire.held[:1]
        found = HEAD_END.search(wire.held, max(0, seen - 3))
        if found:
            break
        seen = len(wire.held)
        if seen >= 5 and not wire.held.startswith(b"HTTP/"):
            raise Malformed(f"not an HTTP reply: {bytes(wire.held[:60])!r}")
        if seen > LARGEST_HEAD:
            raise Malformed("the reply's headers do not end")
        try:
            await wire.more()
        except EOFError:
            if wire.held:
                raise Malformed("the reply stopped within its headers") from None
            raise _Unanswered from None
    end = found.end()
    del found  # it holds the buffer, which could not shrink
    return _parse_head(wire.take(end))


def _parse_head(head: bytes) -> tuple[int, str, dict[str, str]]:
    lines = head.decode("latin-1").replace("\r\n", "\n").strip("\n").split("\n")
    found = STATUS.match(lines[0])
    if not found:
        raise Malformed(f"not an HTTP reply: {lines[0][:60]!r}")
    headers: dict[str, str] = {}
    name = ""
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and name:  # the value of the line before goes on
            headers[name] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower() if colon else ""
        if name and name in headers and name in LISTS:
            headers[name] += ", " + value.strip()
        elif name:
            headers.setdefault(name, value.strip())
    return int(found[2]), found[1], headers


def _listed(headers: dict[str, str], name: str) -> list[str]:
    return [part.strip().lower() for part in headers.get(name, "").split(",") if part.strip()]


def _framed(headers: dict[str, str]) -> bool:
    transfer = _listed(headers, "transfer-encoding")
    return transfer[-1] == "chunked" if transfer else "content-length" in headers


async def _read_body(wire: _Wire, headers: dict[str, str]) -> bytes:
    """The body as it was sent, without chunks."""
    try:
        if not _framed(headers):
            while True:
                _bounded(len(wire.held))
                try:
                    await wire.more()
                except EOFError:
                    break
            if wire.failed:
                raise EOFError
            return wire.take(len(wire.held))
        if "transfer-encoding" in headers:
            return await _read_chunks(wire)
        lengths = {one.strip() for one in headers["content-length"].split(",")}
        length = lengths.pop()
        if lengths or not re.fullmatch("[0-9]{1,18}", length):
            raise Malformed(f"not a length: {length[:20]!r}")
        return await wire.exactly(_bounded(int(length)))
    except EOFError:
        raise Malformed("the reply stopped within its body") from None


async def _read_chunks(wire: _Wire) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        size_line = await wire.line()
        told = size_line.split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", told):
            raise Malformed(f"not a chunk size: {size_line[:20]!r}")
        size = int(told, 16)
        total = _bounded(size + total)
        if size == 0:
            break
        parts.append(await wire.exactly(size))
        if await wire.line():
            raise Malformed(f"a chunk of {size} bytes does not end where it should")
    try:
        while await wire.line():
            pass  # trailers
    except EOFError:
        pass  # the last chunk was there, so the body is whole
    return b"".join(parts)


def _unpacked(body: bytes, headers: dict[str, str]) -> bytes:
    """The body without its codings; one that was sent without the coding that its head states is taken as it is."""
    transfer = [one for one in _listed(headers, "transfer-encoding") if one != "chunked"]
    for coding in reversed([*_listed(headers, "content-encoding"), *transfer]):
        if coding in ("", "identity"):
            continue
        try:
            body = decode(body, coding.removeprefix("x-"), LARGEST_REPLY)
        except ValueError as error:
            raise Malformed(f"the reply is coded as {coding!r} and cannot be read: {error}") from error
    return body


def _bounded(size: int) -> int:
    if size > LARGEST_REPLY or size < 0:
        raise Malformed(f"a reply of {size:,} bytes is above the limit of {LARGEST_REPLY:,}")
    return size
