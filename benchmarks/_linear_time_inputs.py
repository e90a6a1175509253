"""What `linear_time.py` reads: texts, files and pages of any size, ordinary ones and such as are made to take long."""

import gzip
import io
import struct
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

QUESTION = "which of these animals keeps its young in a pouch until they are old enough to look for food alone"


def _numbered(form: str) -> Callable[[int], str]:
    def text(size: int) -> str:
        count = size // len(form.format(1000)) + 1
        return "".join(form.format(n) for n in range(count))[:size]

    return text


def _repeated(piece: str, end: str = "") -> Callable[[int], str]:
    return lambda size: (piece * (size // len(piece) + 1))[: size - len(end)] + end


TEXTS: dict[str, Callable[[int], str]] = {
    "prose": _numbered("the ferry left the harbour in {} before the lamps were lit, and nobody saw it go.\n"),
    "one letter": _repeated("a"),
    "one letter a word": _repeated("a "),
    "line feeds": _repeated("\n"),
    "spaces and a word": _repeated(" ", "x \n"),
    "no-break spaces": _repeated("\u00a0", "x\u00a0\ny"),
    "spaced line feeds": _repeated(" \n\t\n"),
    "carriage returns": _repeated("\r"),
    "one line again": _repeated("Read more about cookies\n"),
    "bullets": _repeated("- "),
    "bars": _repeated("|"),
    "stars and dashes": _repeated("*-_#"),
    "mail": _numbered("user{}@example.org wrote"),
    "@": _repeated("a@"),
    "a@a.a.": _repeated("a@a.a.a.a."),
    "a.": _repeated("a."),
    "a-": _repeated("a-"),
    "a_": _repeated("a_"),
    "a+": _repeated("a+"),
    "a run of digits": _repeated("4"),
    "digits": _repeated("1 "),
    "cards": _repeated("4111 1111 1111 1112 "),
    "phones": _repeated("+49 30 1234 "),
    "plus signs": _repeated("+"),
    "accounts": _repeated("DE89 3704 "),
    "colons": _repeated("2001:"),
    "bare colons": _repeated(":"),
    "dots": _repeated("1.2.3.4."),
    "full stops": _repeated("."),
    "brackets": _repeated("{[(<"),
    "quotes": _repeated("\"'\u201c"),
    "ampersands": _repeated("&amp;&#"),
    "less than": _repeated("<"),
    "addresses": _repeated("http://a.b/c?d "),
    "one long address": _repeated("http://a/b"),
    "www.": _repeated("www."),
    "braces": _repeated("}{"),
    "question": _repeated(QUESTION + " "),
    "four of its words": _repeated("which of these animals "),
    "capitals": _repeated("A B"),
    "licences": _repeated("licensed under the Creative Commons "),
    "mojibake": _repeated("\u00c3\u00a9\u00e2\u20ac"),
    "ideographs": _repeated("小明的妈妈早上去市场买了三斤苹果"),
    "marks": _repeated("e\u0301\u0323"),
    "one letter with marks": lambda size: "e" + "\u0301" * size,
    "Thai": _repeated("นี่คือไม้"),
    "joiners": _repeated("\u200d\u00ad"),
    "flags": _repeated("\U0001f1e9"),
}


def _record(content: bytes, length: int | None = None, kind: str = "response", more: str = "") -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://h.example/\r\n{more}"
        f"Content-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(content) if length is None else length}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


def _http(body: bytes, fields: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{fields}\r\n".encode() + body


def _times(piece: bytes, head: bytes = b"", end: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: head + piece * (max(0, size - len(head) - len(end)) // len(piece) + 1) + end


def _dolls(size: int) -> bytes:
    """Records one inside the other, each of the right length."""
    made = b"x"
    while len(made) < size:
        for _ in range(20):
            made = _record(made) + b"y"
    return made


def _stored(content: bytes) -> bytes:
    """A gzip member that holds its content as it is, and lacks its end."""
    blocks = b"".join(
        b"\0" + struct.pack("<HH", len(part), len(part) ^ 0xFFFF) + part
        for part in (content[at : at + 65000] for at in range(0, len(content), 65000))
    )
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + blocks


def _members_in_members(size: int) -> bytes:
    """Damaged members each of which seems to hold the ones behind it."""
    inner = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 9\r\n\r\n"
    one = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\0" + struct.pack("<HH", 65000, 65000 ^ 0xFFFF) + inner
    return one * (size // len(one)) + b"\xff" * 100


def _table(size: int) -> pa.Table:
    rows = [f"text {n} " * 5 for n in range(size // 45)]
    return pa.table({"text": rows, "timestamp": ["9999-99-99"] * len(rows), "title": rows})


def _arrow(size: int) -> bytes:
    file, table = io.BytesIO(), _table(size)
    with pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    return file.getvalue()


def _parquet(size: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(_table(size), file)
    return file.getvalue()


Make = Callable[[int], bytes]
WARCS: dict[str, Make] = {
    "pages": _times(_record(_http(b"<p>text</p>"))),
    "members": _times(gzip.compress(_record(_http(b"<p>text</p>")))),
    "frames": _times(zstandard.compress(_record(_http(b"<p>text</p>")))),
    "one member": lambda size: gzip.compress(_times(_record(_http(b"<p>text</p>")))(size)),
    "version lines": _times(b"WARC/1.0\r\n"),
    "headers that do not end": _times(b"WARC/1.0\r\nWARC-Type: response\r\n"),
    "lengths beyond all": _times(_record(b"x", 10**12)),
    "lengths of much": _times(_record(b"x", 900_000)),
    "lengths beyond all, packed": lambda size: gzip.compress(_times(_record(b"x", 10**12))(size)),
    "lengths of much, packed": lambda size: gzip.compress(_times(_record(b"x", 900_000))(size)),
    "lengths too long": _times(_record(_http(b"text"), 60)),
    "one inside the other": _dolls,
    "lines of an ARC": _times(b"http://h.example/ 192.0.2.1 20240501000000 text/html 5\nhello\n"),
    "schemes": _times(b"http:"),
    "schemes a line": _times(b"http://a \n"),
    "addresses of an ARC without an end": _times(b"http://a 1.2.3.4 "),
    "magic numbers": _times(b"\x1f\x8b\x08"),
    "magic numbers of zstd": _times(b"\x28\xb5\x2f\xfd"),
    "damaged members": _times(gzip.compress(_record(_http(b"text")))[:-9]),
    "members inside members": _members_in_members,
    "a member that lacks its end": lambda size: _stored(_times(_record(b"x"))(size)),
    "segments": _times(_record(b"x", more="WARC-Record-ID: <a>\r\nWARC-Segment-Number: 1\r\n")),
    "continuations": _times(_record(b"x", kind="continuation", more="WARC-Segment-Origin-ID: <a>\r\n")),
    "header lines": lambda size: b"WARC/1.0\r\n" + b"a: b\r\n" * (size // 6) + b"\r\n",
    "fields of a page": lambda size: _record(_http(b"text", "a: b\r\n" * (size // 6))),
    "empty chunks": lambda size: _record(_http(b"1\r\na\r\n" * (size // 6), "Transfer-Encoding: chunked\r\n")),
    "codings": lambda size: _record(_http(b"text", "Content-Encoding: " + "gzip, " * (size // 6) + "\r\n")),
    "members of a body": lambda size: _record(
        _http(gzip.compress(b"a") * (size // 21), "Content-Encoding: gzip\r\n"),
    ),
    "brotli that is none": lambda size: _record(_http(b"\x8b" * size, "Content-Encoding: br\r\n")),
    "deflate that is none": lambda size: _record(_http(b"\x78\x9c" * (size // 2), "Content-Encoding: deflate\r\n")),
}
ROWS: dict[str, Make] = {
    "rows": _times(b'{"text": "the ferry left the harbour"}\n'),
    "rows one after another": _times(b'{"text": "a"}'),
    "an array": _times(b'{"text": "a"},', b"[", b"{}]"),
    "an array in a line": _times(b'{"text": "a"},', b'{"text": "a"}\n[', b"{}]"),
    "an object over lines": _times(b"1,\n", b'{"text": "a", "v": [\n', b"1]}\n"),
    "open brackets": _times(b"["),
    "open brackets, a line each": _times(b"[\n"),
    "open braces, a line each": _times(b"{\n"),
    "open objects": _times(b'{"a":'),
    "open objects in an array": _times(b"[{", b'[{"a":'),
    "open quotes": _times(b'{"\n'),
    "escapes": _times(b'\\"', b'{"text": "', b'"}'),
    "half objects before whole ones": _times(b"{\n{}"),
    "commas": _times(b",x", b"[{}"),
    "commas before ends": _times(b'{"a": 1,\n}\n'),
    "digits": _times(b"9", b'{"n": ', b"}"),
    "marks": _times(b"\xef\xbb\xbf"),
    "line feeds": _times(b"\n"),
    "zeros": _times(b"\0"),
    "wide": lambda size: _times(b'{"text": "a"}\n')(size // 2).decode().encode("utf-16"),
}
PAGES: dict[str, Make] = {
    "paragraphs": _times(b"<p>the ferry left the harbour before the lamps were lit, and nobody saw it go</p>\n"),
    "deep": _times(b"<div>"),
    "deep inline": _times(b"<b>"),
    "ends": _times(b"</p>"),
    "tables": _times(b"<table><tr><td>a"),
    "cells": _times(b"<td>a</td>", b"<table><tr>"),
    "rows": _times(b"<tr><td>a</td><td>1</td></tr>", b"<table>"),
    "lists": _times(b"<ul><li>a"),
    "links": _times(b"<a href=/a>b</a>"),
    "attributes": _times(b" a=b", b"<p"),
    "one attribute": _times(b"a", b'<p class="'),
    "comments": _times(b"<!--"),
    "ended comments": _times(b"<!-- a -->"),
    "scripts": _times(b"<script>"),
    "script": _times(b"</scrip", b"<script>"),
    "linked data": _times(b'<script type="application/ld+json">{"@type":"Article"}</script>'),
    "metas": _times(b'<meta name="author" content="a">'),
    "licences": _times(b'<a rel=license href="https://creativecommons.org/licenses/by/4.0/">CC BY</a>'),
    "dates": _times(b"<time datetime=2024-05-01>May</time>"),
    "headings": _times(b"<h1>a</h1>"),
    "formulas": _times(b"<math><mi>a</mi></math>"),
    "a deep formula": _times(b"<mrow>", b"<math>"),
    "drawings": _times(b"<svg>"),
    "less than": _times(b"<"),
    "ampersands": _times(b"&amp"),
    "numbers of characters": _times(b"&#"),
    "spaces": _times(b" ", b"<p>a", b"b \n"),
    "spaces in pre": _times(b" ", b"<pre>a", b"b \n"),
    "forms": _times(b"<form><select><option>a"),
    # 80,000 of them within each other end the process of the parser, which the sandbox outlives
    "templates": _times(b"<template>" * 500 + b"</template>" * 500),
    "noscript": _times(b"<noscript><p>a"),
    "breaks": _times(b"<br>"),
    "code": _times(b"<pre><code>a\n</code></pre>"),
}
TABLES: dict[str, Make] = {"rows of Arrow": _arrow, "rows of Parquet": _parquet}
