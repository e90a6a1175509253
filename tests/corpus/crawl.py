"""Crawls made by hand, for the tests of reading."""

import gzip
import json
from uuid import NAMESPACE_URL, uuid5

PROSE = (
    "The mill stands where the river bends, and its wheel has turned for three hundred years. "
    "Every autumn the farmers bring their grain and wait in the yard while the stones grind it to flour. "
)


def http(body: bytes, kind: str = "text/html; charset=utf-8", status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{extra}\r\n".encode() + body


def record(
    content: bytes, url: str | None = "https://mill.example/a", kind: str = "response", extra: str = ""
) -> bytes:
    name = uuid5(NAMESPACE_URL, f"{url} {kind}")
    target = f"WARC-Target-URI: {url}\r\n" if url else ""
    return (
        (
            f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{name}>\r\n{target}"
            f"WARC-Date: 2024-05-01T00:00:00Z\r\nContent-Type: application/http; msgtype={kind}\r\n{extra}"
            f"Content-Length: {len(content)}\r\n\r\n"
        ).encode()
        + content
        + b"\r\n\r\n"
    )


def page(number: int | str = 0, text: str = PROSE) -> bytes:
    paragraphs = "".join(f"<p>Paragraph {n} of page {number}. {text}</p>" for n in range(4))
    return (
        f"<html><head><title>Page {number}</title></head><body><article><h1>Mill {number}</h1>"
        f"{paragraphs}</article></body></html>"
    ).encode()


def pages(count: int) -> list[bytes]:
    """Records of `count` pages, each with a request before it."""
    made = []
    for n in range(count):
        url = f"https://mill.example/{n}"
        made += [record(b"GET / HTTP/1.1\r\n\r\n", url, "request"), record(http(page(n)), url)]
    return made


def zipped(records: list[bytes]) -> bytes:
    return b"".join(gzip.compress(one, mtime=0) for one in records)


def jsonl(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
