"""Damaged WARC and ARC files of known content: a page comes out whole or is told of, and none with foreign bytes."""

import gzip
import io
import random
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.readers.compression import codec
from gristmill.corpus.readers.members import Members
from gristmill.corpus.readers.warc import Gap, Record, read_records

from .crawl import http, record

LIMIT = 1 << 16


def read(data: bytes, limit: int = LIMIT) -> list[Record | Gap]:
    return list(read_records(Members(io.BytesIO(data), 0, codec(data[:8])), limit))


def body(number: int, size: int = 900) -> bytes:
    draw = random.Random(number)
    return http(b"".join(b"<p>page %d word %d</p>\n" % (number, draw.randrange(10**6)) for _ in range(size // 25)))


def url(number: int) -> str:
    return f"http://h.example/{number}"


def arc(number: int, content: bytes, address: str = "192.0.2.1", date: str = "20240501000000", extra: int = 0) -> bytes:
    line = f"{url(number)} {address} {date} text/html {len(content) + extra}\n"
    return line.encode() + content + b"\n"


def whole(found: list[Record | Gap]) -> dict[str, bytes]:
    """Content of the records that are said to be sound, by URL."""
    sound = [one for one in found if isinstance(one, Record) and not one.damage and one.content is not None]
    return {str(one.url): bytes(one.content or b"") for one in sound}


def told(found: list[Record | Gap]) -> bool:
    return any(isinstance(one, Gap) or one.damage for one in found)


def as_warc(number: int, content: bytes, extra: int = 0) -> bytes:
    made = record(content, url(number))
    return made.replace(b"Content-Length: %d" % len(content), b"Content-Length: %d" % (len(content) + extra))


@pytest.mark.parametrize("each", [True, False], ids=["member a record", "one member"])
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
@pytest.mark.parametrize("make", [as_warc, lambda n, c, x=0: arc(n, c, extra=x)], ids=["warc", "arc"])
@pytest.mark.parametrize("off", [-400, -5, 5, 7, 300, 5000, 40_000, 10**9])
def test_a_wrong_length_costs_the_page_that_bears_it_and_no_other(make, each: bool, packed: bool, off: int):
    contents = {n: body(n) for n in range(6)}
    records = [make(n, content, off if n == 2 else 0) for n, content in contents.items()]
    data = b"".join(records)
    if packed:
        data = b"".join(map(gzip.compress, records)) if each else gzip.compress(data)
    found = read(data)
    sound = whole(found)
    assert told(found)
    assert sound == {url(n): contents[n] for n in contents if n != 2}


@pytest.mark.parametrize("make", [as_warc, arc], ids=["warc", "arc"])
@pytest.mark.parametrize("size", [900, 40_000, 1_200_000])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=12, deadline=None)
def test_damage_in_one_member_reaches_no_other_record_whatever_its_size(make, size: int, seed: int):
    draw = random.Random(seed)
    contents = {n: body(n, size if n == 2 else 900) for n in range(5)}
    if size > LIMIT:
        contents[2] = http(draw.randbytes(size))
    members = [gzip.compress(make(n, content), mtime=0) for n, content in contents.items()]
    broken = bytearray(members[2])
    at = draw.randrange(len(broken))
    kind = draw.choice(["flip", "cut", "insert", "zero", "lose"])
    if kind == "flip":
        broken[at] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del broken[at:]
    elif kind == "insert":
        broken[at:at] = draw.randbytes(draw.randrange(1, 300))
    elif kind == "zero":
        broken[at : at + 200] = bytes(min(200, len(broken) - at))
    else:
        del broken[at : at + draw.randrange(1, 300)]
    members[2] = bytes(broken)
    found = read(b"".join(members), 2 << 20)
    sound = whole(found)
    assert {name: sound.get(name) for name in (url(n) for n in contents if n != 2)} == {
        url(n): contents[n] for n in contents if n != 2
    }
    assert sound.get(url(2), contents[2]) == contents[2]
    assert url(2) in sound or told(found)


@pytest.mark.parametrize("make", [as_warc, arc], ids=["warc", "arc"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_damage_in_plain_bytes_costs_the_records_that_it_touches(make, seed: int):
    draw = random.Random(seed)
    contents = {n: body(n) for n in range(6)}
    records = [make(n, content) for n, content in contents.items()]
    clean = b"".join(records)
    at, size = draw.randrange(len(clean)), draw.randrange(1, 400)
    noise = draw.randbytes(size) if draw.random() < 0.5 else b""
    damaged = clean[:at] + noise + clean[at + (0 if noise and draw.random() < 0.5 else size) :]
    found = read(damaged)
    sound = whole(found)
    start = 0
    for n, one in enumerate(records):
        touched = start - 4 <= at + size and at <= start + len(one)
        start += len(one)
        if not touched:
            assert sound.get(url(n)) == contents[n]
    assert told(found) or len(sound) == 6


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.sampled_from(["plain", "member", "one", "zstd"]))
@settings(max_examples=30, deadline=None)
def test_a_crawl_inside_the_payload_of_a_crawl_is_no_boundary(inner: list[int], way: str):
    held = b"".join(as_warc(100 + n, body(n)) if n % 2 else arc(100 + n, body(n)) for n in inner)
    contents = {0: body(0), 1: http(held, "application/warc"), 2: body(2), 3: held or b"x"}
    records = [as_warc(n, content) for n, content in contents.items()]
    data = b"".join(records)
    if way == "member":
        data = b"".join(map(gzip.compress, records))
    elif way != "plain":
        data = gzip.compress(data) if way == "one" else zstandard.compress(data)
    for limit in (LIMIT, 2000):  # the second passes over the crawl inside, and must not stop in it
        found = read(data, limit)
        assert not told(found)
        assert [one.url for one in found if isinstance(one, Record)] == [url(n) for n in contents]
    assert whole(read(data)) == {url(n): content for n, content in contents.items()}


@given(st.integers(50, 3000))
@settings(max_examples=20, deadline=None)
def test_members_that_merely_cut_a_file_are_no_boundaries(size: int):
    contents = {n: body(n) for n in range(6)}
    data = b"".join(as_warc(n, content) for n, content in contents.items())
    cut = b"".join(gzip.compress(data[at : at + size]) for at in range(0, len(data), size))
    assert whole(read(cut)) == {url(n): content for n, content in contents.items()}


ODD = {
    "IPv6": {"address": "2001:db8::1"},
    "IPv6 of an IPv4": {"address": "::ffff:192.0.2.1"},
    "bracketed": {"address": "[2001:db8::1]"},
    "no address": {"address": "-"},
    "nought for an address": {"address": "0"},
    "no date": {"date": "-"},
    "nought for a date": {"date": "0"},
    "neither": {"address": "-", "date": "-"},
    "short date": {"date": "200405010000"},
    "long date": {"date": "20040501000000000"},
    "host name": {"address": "host.example"},
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "head",
    [
        b"filedesc://a.arc 0.0.0.0 20240501000000 text/plain 76\n1 0 InternetArchive\n"
        b"URL IP-address Archive-date Content-type Archive-length\n\n",
        b"filedesc://a-b.arc - - text/plain 76\n1 1 InternetArchive\n"
        b"URL IP-address Archive-date Content-type Archive-length\n\n",
        b"filedesc://a.arc 0 0 - 7\n1 0 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n\n",
        b"",
    ],
    ids=["described", "dashes", "wrong length", "no description"],
)
def test_an_odd_line_of_an_arc_costs_nothing(odd: str, packed: bool, head: bytes):
    contents = {n: body(n) for n in range(5)}
    records = [*([head] if head else []), *(arc(n, c, **(ODD[odd] if n == 2 else {})) for n, c in contents.items())]
    found = read(b"".join(map(gzip.compress, records)) if packed else b"".join(records))
    sound = {name: text for name, text in whole(found).items() if name.startswith("http")}
    assert sound == {url(n): content for n, content in contents.items()}


def test_lines_of_version_two_and_of_writers_with_carriage_returns_are_read():
    content = body(1).replace(b"\r\n", b"\r\r\n", 3)
    second = f"{url(2)} 192.0.2.1 20240501000000 text/html 200 - - 0 a.arc {len(content)}\r\r\n".encode() + content
    first = f"{url(1)} 192.0.2.1 20240501000000 text/html; charset=x {len(content)}\r\n".encode() + content
    found = read(first + b"\r\r\n" + second + b"\r\n\r\n")
    assert whole(found) == {url(1): content, url(2): content}
    assert not told(found)


def dolls(depth: int) -> bytes:
    """Records one inside the other, each followed by a byte that belongs to none."""
    made = b"x"
    for number in range(depth):
        made = as_warc(number, made) + b"y"
    return made


def test_records_one_inside_the_other_end_no_run_however_many_there_are():
    for pack in (bytes, gzip.compress):
        found = read(pack(dolls(1500)), 1 << 21)
        assert told(found)
        assert len(found) >= 1


def stored(content: bytes) -> bytes:
    """The beginning of a gzip member that says to hold 65,000 bytes as they are, and holds its content alone."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff\0" + struct.pack("<HH", 65000, 65000 ^ 0xFFFF) + content


HOSTILE = {
    "members that seem to hold the next": lambda count: stored(as_warc(1, b"x")) * count + b"\xff" * 99,
    "members without their ends": lambda count: gzip.compress(as_warc(1, b"text"), mtime=0)[:-9] * count,
    "lengths beyond all": lambda count: as_warc(1, b"x", 10**12) * count,
    "lengths of much": lambda count: as_warc(1, b"x", 30_000) * count,
    "one inside the other": dolls,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_made_to_be_read_again_and_again_is_read_some_times_and_told(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    def work(count: int) -> int:
        read_bytes = [0]

        class File(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                found = super().read(size)
                read_bytes[0] += len(found)
                return found

        monkeypatch.setattr("gristmill.corpus.readers.members.BLOCK", 4096)
        monkeypatch.setattr("gristmill.corpus.readers.members.BACK", 4096)
        data = HOSTILE[name](count)
        assert told(list(read_records(Members(File(data), 0, codec(data[:8])), 1 << 20)))
        return read_bytes[0] + (200 << 10)

    assert work(1600) <= 4 * 1.6 * work(400)


@pytest.mark.parametrize("packed", [False, True])
def test_records_that_all_state_a_large_length_are_not_each_read_to_it(monkeypatch, packed: bool):
    """Counted in bytes that are put back; and what is found is what is found by putting each back."""
    data = b"".join(as_warc(n, http(b"page %d" % n), extra=200_000) for n in range(400))
    data = gzip.compress(data) if packed else data
    moved = [0]
    put_back = Members.put_back

    def counted(self: Members, content: bytes) -> None:
        moved[0] += len(content)
        put_back(self, content)

    monkeypatch.setattr(Members, "put_back", counted)
    found = read(data, 1 << 20)
    assert moved[0] <= 200_000

    def forgetting(self: Members, content: bytes) -> None:
        counted(self, content)
        self.put_back_before = False

    monkeypatch.setattr(Members, "put_back", forgetting)
    assert read(data, 1 << 20) == found
    assert moved[0] > 100 * 50_000
    assert sum(isinstance(one, Record) and one.damage is not None for one in found) == 400
