"""What is no page is no document: notes of crawlers, and records in segments that are not whole."""

import gzip
import itertools
import random
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.corpus.planning.ledger import Piece
from gristmill.corpus.readers.records import Raw, Reading, read_piece

from .crawl import http, page, record, zipped

FIELD = "WARC-Segment-{}: {}\r\n"


def read(path: Path, data: bytes, start: int = 0, end: int | None = None) -> list[Raw]:
    path.write_bytes(data)
    return list(read_piece(Piece(str(path), "a", "f", "warc", start=start, end=end), Reading(1 << 20)))


def bodies(found: list[Raw]) -> list[bytes]:
    return [bytes(one.body) for one in found if not one.error and not one.ignored and isinstance(one.body, bytes)]


def cut(content: bytes, url: str, places: list[int], total: bool = True) -> list[bytes]:
    """A response in segments."""
    name = uuid5(NAMESPACE_URL, f"{url} response")
    bounds = [0, *sorted(places), len(content)]
    parts = [content[a:b] for a, b in itertools.pairwise(bounds)]
    made = [record(parts[0], url, extra=FIELD.format("Number", 1))]
    for number, part in enumerate(parts[1:], 2):
        more = FIELD.format("Number", number) + FIELD.format("Origin-ID", f"<urn:uuid:{name}>")
        if number == len(parts) and total:
            more += FIELD.format("Total-Length", len(content))
        made.append(record(part, url, "continuation", more))
    return made


@given(seed=st.integers(0, 10**6), count=st.integers(1, 4), pack=st.sampled_from(["plain", "members", "one member"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_record_in_segments_is_whole_or_told_and_never_half(tmp_path: Path, seed: int, count: int, pack: str):
    draw = random.Random(seed)
    others = [record(http(page(n)), f"https://mill.example/{n}") for n in range(4)]
    content = http(page("cut", "The miller counts the sacks at night. "))
    segments = cut(content, "https://mill.example/cut", draw.sample(range(60, len(content) - 1), count))
    hurt = draw.choice(["nothing", "nothing", "lost", "swapped", "twice", "total"])
    if hurt == "lost":
        del segments[draw.randrange(len(segments))]
    elif hurt == "swapped" and len(segments) > 2:
        segments[1], segments[2] = segments[2], segments[1]
    elif hurt == "twice":
        segments.insert(1, segments[1])
    elif hurt == "total":
        segments = cut(content + b"more", "https://mill.example/cut", [len(content) // 2])
        segments[-1] = (
            segments[-1]
            .replace(b"more\r\n\r\n", b"\r\n\r\n")
            .replace(
                b"Content-Length: %d" % (len(content) + 4 - len(content) // 2),
                b"Content-Length: %d" % (len(content) - len(content) // 2),
            )
        )
    at = sorted(draw.randrange(len(others) + 1) for _ in segments)
    rows = list(others)
    for place, segment in reversed(list(zip(at, segments, strict=True))):
        rows.insert(place, segment)
    data = zipped(rows) if pack == "members" else b"".join(rows)
    found = read(tmp_path / "a.warc", gzip.compress(data) if pack == "one member" else data)
    whole = bodies(found)
    expected = [page(n) for n in range(4)]
    assert [one for one in whole if one in expected] == expected
    extra = [one for one in whole if one not in expected]
    whole_one = page("cut", "The miller counts the sacks at night. ")
    if hurt == "nothing" or (hurt == "swapped" and count < 2):
        assert extra == [whole_one]
    else:
        assert extra in ([], [whole_one])
        assert extra or any(one.error or one.ignored == "continuation" for one in found)


def test_segments_that_go_on_beyond_a_piece_are_joined_once(tmp_path: Path):
    content = http(page("cut"))
    segments = cut(content, "https://mill.example/cut", [300, 700])
    rows = [segments[0], record(http(page(1)), "https://mill.example/1"), *segments[1:]]
    data = zipped(rows)
    middle = len(zipped(rows[:2]))
    first = read(tmp_path / "a.warc.gz", data, 0, middle)
    second = read(tmp_path / "a.warc.gz", data, middle, None)
    assert bodies(first) == [page(1), page("cut")]
    assert bodies(second) == []


NOTES = {
    "wget's log": ("resource", "metadata://gnu.org/software/wget/warc/wget.log", "text/plain"),
    "wget's arguments": ("resource", "metadata://gnu.org/software/wget/warc/wget_arguments.txt", "text/plain"),
    "wget's manifest": ("metadata", "metadata://gnu.org/software/wget/warc/MANIFEST.txt", "text/plain"),
    "wget's log in brackets": ("resource", "<metadata://gnu.org/software/wget/warc/wget.log>", "text/plain"),
    "wpull's log": ("resource", "urn:X-wpull:log", "text/plain"),
    "a browser's page information": ("resource", "urn:pageinfo:https://a.example/", "text/plain"),
    "robots' warcinfo": ("warcinfo", None, "application/warc-fields"),
    "a name look-up": ("resource", "dns:a.example", "text/plain"),
    "a whois record": ("response", "whois://whois.example/a.example", "text/plain"),
    "outlinks": ("metadata", "https://a.example/", "application/warc-fields"),
    "a request": ("request", "https://a.example/", "text/plain"),
    "a revisit": ("revisit", "https://a.example/", "text/html"),
    "an unknown kind": ("x-screenshot", "https://a.example/", "text/html"),
}


@pytest.mark.parametrize("name", NOTES)
def test_notes_of_crawlers_are_no_documents(tmp_path: Path, name: str):
    kind, url, declared = NOTES[name]
    note = record(b"--2024-05-01-- the log of a crawler\n" * 20, url, kind)
    note = note.replace(f"application/http; msgtype={kind}".encode(), declared.encode())
    found = read(tmp_path / "a.warc.gz", zipped([note, record(http(page(1)))]))
    assert bodies(found) == [page(1)]
    assert [bool(one.ignored) for one in found] == [True, False]
