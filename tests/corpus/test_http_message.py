"""Bodies of responses as crawlers store them: whole, or taken as text, or refused; never half, never a stray line."""

import gzip
import random
import zlib

import brotli
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.corpus.readers.http_message import TooLarge, parse_response

PAGE = b"<html><body>" + b"".join(b"<p>Line %d of the page.</p>\r\n" % n for n in range(80)) + b"</body></html>"


def bare(data: bytes) -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return made.compress(data) + made.flush()


def gzips(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[at : at + 500]) for at in range(0, len(data), 500))


def frames(data: bytes) -> bytes:
    skipped = b"\x52\x2a\x4d\x18\x04\0\0\0abcd"
    return skipped.join(zstandard.compress(data[at : at + 500]) for at in range(0, len(data), 500)) + skipped


ENCODERS = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "members": ("GZIP", gzips),
    "zlib": ("deflate", zlib.compress),
    "bare": ("deflate", bare),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
    "frames": ("zstd", frames),
    "none": ("identity", bytes),
}


def chunked(data: bytes, sizes: list[int], end: bytes = b"0\r\n\r\n", lines: bytes = b"\r\n") -> bytes:
    parts, at = [], 0
    for size in [*sizes, len(data)]:
        part = data[at : at + size]
        at += size
        parts += [b"%x;name=value%s%s%s" % (len(part), lines, part, lines)] if part else []
    return b"".join(parts) + end.replace(b"\r\n", lines)


def response(body: bytes, **fields: str) -> bytes:
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body


@given(
    st.lists(st.sampled_from(sorted(ENCODERS)), max_size=3),
    st.lists(st.integers(1, 900), max_size=5),
    st.sampled_from(["no", "yes", "stored without"]),
    st.sampled_from([b"", b"\r\n", b"\n"]),
    st.sampled_from(["", "5", "999999", "none"]),
    st.booleans(),
    st.sampled_from([b"\r\n", b"\n"]),
)
@settings(max_examples=250, deadline=None)
def test_codings_in_any_order_with_any_stored_decoded_give_the_page(
    coded, sizes, chunks, stray, length, decoded, lines
):
    body = PAGE
    for name in coded:
        body = body if decoded else ENCODERS[name][1](body)
    body = chunked(body, sizes, lines=lines) if chunks == "yes" else body
    fields = {"Content_Type": "text/html", "Content_Length": length}
    if coded:
        fields["Content_Encoding"] = ", ".join(ENCODERS[name][0] for name in coded)
    if chunks != "no":
        fields["Transfer_Encoding"] = "chunked"
    got = parse_response(response(stray + body, **fields), 1 << 20)
    assert got.body.strip() == PAGE


LINES = ["1984", "0", "Cafe", "1", "a", "FACE", "12 months", "10;x", "00", "dead beef", "7"]


@given(st.sampled_from(LINES), st.sampled_from(["\n", "\r\n"]), st.lists(st.sampled_from(LINES), max_size=6))
@example("0", "\r\n", ["Title: what", "", "More."])
@settings(max_examples=150, deadline=None)
def test_a_text_stored_without_its_chunks_keeps_a_first_line_that_looks_like_one(first: str, end: str, more: list[str]):
    text = end.join([first, "The ferry left the harbour before the lamps were lit.", *more, "The end."]).encode()
    got = parse_response(response(text, Content_Type="text/plain", Transfer_Encoding="chunked"), 1 << 20)
    assert got.body == text


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "none"])
@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_coded_body_that_is_cut_or_damaged_is_whole_or_refused(name: str, seed: int):
    draw = random.Random(seed)
    field, encode = ENCODERS[name]
    text = b"".join(b"<p>%d</p>" % draw.randrange(10**9) for _ in range(200))
    body = encode(text)
    at = draw.randrange(32, len(body))  # a few bytes may read as text, and text was stored decoded
    checked = name in ("gzip", "x-gzip", "members")  # the others carry no checksum: damage may decode
    body = body[:at] if draw.random() < 0.5 or not checked else body[:at] + draw.randbytes(40) + body[at + 40 :]
    for fields in ({"Content_Encoding": field}, {"Content_Encoding": field, "Transfer_Encoding": "chunked"}):
        stored = chunked(body, [300]) if len(fields) > 1 else body
        try:
            got = parse_response(response(stored, Content_Type="text/html", **fields), 1 << 20).body
        except ValueError:
            continue
        assert got == text or (name in ("members", "frames") and (text.startswith(got) and len(got) % 500 == 0))


@given(st.lists(st.integers(1, 900), min_size=1, max_size=5), st.integers(1, 5000))
@settings(max_examples=60, deadline=None)
def test_chunks_that_do_not_end_are_refused_and_kept_where_the_crawler_cut_them(sizes: list[int], at: int):
    stored = chunked(PAGE, sizes)
    cut = stored[: max(20, len(stored) - 10 - at)]
    made = response(cut, Content_Type="text/html", Transfer_Encoding="chunked")
    with pytest.raises(ValueError, match="chunk"):
        parse_response(made, 1 << 20)
    assert PAGE.startswith(parse_response(made, 1 << 20, cut=True).body)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_bytes_after_the_end_and_a_missing_trailer_cost_nothing(name: str):
    field, encode = ENCODERS[name]
    body = encode(PAGE)
    got = parse_response(response(body + (b"\0" * 9 if name != "none" else b""), Content_Encoding=field), 1 << 20)
    assert got.body == PAGE
    if name in ("gzip", "members"):
        assert parse_response(response(body[:-8], Content_Encoding=field), 1 << 20).body == PAGE


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "none"])
def test_what_unpacks_beyond_the_limit_is_refused_before_it_does(name: str):
    field, encode = ENCODERS[name]
    with pytest.raises(TooLarge):
        parse_response(response(encode(bytes(1 << 22)), Content_Encoding=field), 1 << 20)


@pytest.mark.parametrize(
    "first", [b"HTTP/1.1 200 OK", b"HTTPX/1.0 200 OK", b"HTTP/2 200", b"http/1.0 200", b"ICY 200 OK"]
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r\r\n"])
@pytest.mark.parametrize("before", [b"", b"\r\n"])
def test_status_lines_and_line_ends_of_every_kind_are_read(first: bytes, end: bytes, before: bytes):
    got = parse_response(before + end.join([first, b"Content-Type: text/html; charset=x", b"", PAGE]), 1 << 20)
    assert (got.status, got.content_type, got.charset, got.body) == (200, "text/html", "x", PAGE)


@pytest.mark.parametrize("coding", ["compress", "aws-chunked", "dcb", "utf-8", "none"])
def test_a_coding_that_nobody_knows_is_refused_unless_the_body_is_text(coding: str):
    assert parse_response(response(PAGE, Content_Encoding=coding), 1 << 20).body == PAGE
    if coding in ("compress", "dcb"):
        with pytest.raises(ValueError, match="it is not"):
            parse_response(response(b"\x1f\x9d\x90\0\1\2\3" * 50, Content_Encoding=coding), 1 << 20)


@pytest.mark.parametrize("lines", [b"\r\n", b"\n"])
def test_a_text_in_chunks_holds_none_of_their_lines_however_those_end(lines):
    text = b"The ferry left the harbour before the lamps were lit.\n0\nNobody saw it go.\n"
    for sizes in ([], [20], [1, 1, 30]):
        body = chunked(text, sizes, lines=lines)
        assert parse_response(response(body, Transfer_Encoding="chunked"), 1 << 20).body == text


@pytest.mark.parametrize("first", ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </a.css>"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_reply_before_the_reply_is_none(first, times):
    content = f"HTTP/1.1 {first}\r\n\r\n".encode() * times + response(PAGE, Content_Type="text/html")
    got = parse_response(content, 1 << 20)
    assert (got.status, got.content_type, got.body) == (200, "text/html", PAGE)
    alone = parse_response(f"HTTP/1.1 {first}\r\n\r\n".encode(), 1 << 20)
    assert alone.status == int(first[:3])
    quoted = parse_response(response(b"HTTP/1.1 200 OK is the first line.", Content_Type="text/plain"), 1 << 20)
    assert quoted.body == b"HTTP/1.1 200 OK is the first line."


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzips), ("zstd", frames)])
def test_many_members_of_a_body_are_not_each_read_to_its_end(monkeypatch, name: str, pack):
    """Counted in bytes that decompressors are given."""
    from gristmill.corpus.readers import http_message

    given = [0]
    made = http_message.decompressor

    class Counted:
        def __init__(self) -> None:
            self.inner = made(name)

        def __getattr__(self, asked: str):
            return getattr(self.inner, asked)

        def decompress(self, data: bytes, limit: int) -> bytes:
            given[0] += len(data)
            return self.inner.decompress(data, limit)

    monkeypatch.setattr(http_message, "decompressor", lambda asked: Counted())
    text = b"".join(b"<p>member %d</p>\n" % n for n in range(3000))
    body = b"".join(pack(line) for line in text.splitlines(keepends=True))
    whole = parse_response(response(body, **{"Content-Encoding": name}), 1 << 24)
    assert whole.body == text
    assert given[0] <= len(body) + 6000 * http_message.LATER  # two frames a line
    long = pack(text * 40)
    whole = parse_response(response(pack(b"a") + long, **{"Content-Encoding": name}), 1 << 24)
    assert whole.body == b"a" + text * 40
