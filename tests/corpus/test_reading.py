"""Reading crawls: records where others stop, and inputs as users name them."""

import gzip
import io
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.readers.compression import codec
from gristmill.corpus.readers.inputs import Input, resolve
from gristmill.corpus.readers.members import Members
from gristmill.corpus.readers.warc import Gap, Record, read_records
from gristmill.corpus.store.errors import RequestError

from .crawl import http, page, pages, record, zipped


def read(data: bytes) -> list[Record | Gap]:
    return list(read_records(Members(io.BytesIO(data), 0, codec(data[:8])), 1 << 20))


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstandard.compress, lz4.frame.compress, bytes], ids=["gzip", "zstd", "lz4", "plain"]
)
@pytest.mark.parametrize("each", [True, False])
def test_every_codec_gives_the_same_records_each_at_a_place_of_its_own(pack, each: bool):
    made = pages(4)
    data = b"".join(pack(one) for one in made) if each else pack(b"".join(made))
    found = read(data)
    plain = read(b"".join(made))
    assert [(r.kind, r.url, r.content) for r in found] == [(r.kind, r.url, r.content) for r in plain]
    assert len({(r.place, r.inner) for r in found}) == 8


def test_folded_fields_and_any_case_are_read():
    data = (
        b"warc/1.0\r\nwarc-type: RESPONSE\r\nWARC-Target-URI:\r\n <https://mill.example/a>\r\n"
        b"CONTENT-LENGTH:\r\n\t3\r\n\r\nabc\r\n\r\n"
    )
    (one,) = read(data)
    assert (one.kind, one.url, one.content) == ("response", "https://mill.example/a", b"abc")


def test_a_length_that_is_too_short_costs_a_gap_and_not_the_next_record():
    first = record(b"abcdef").replace(b"Content-Length: 6", b"Content-Length: 4")
    kinds = [type(found).__name__ for found in read(first + record(b"xyz"))]
    assert kinds == ["Record", "Gap", "Record"]


def test_a_damaged_member_costs_itself_and_not_the_ones_after():
    members = [gzip.compress(one, mtime=0) for one in (record(http(page(n)), f"http://h/{n}") for n in range(4))]
    broken = members[1][:60] + bytes(64) + members[1][124:]
    found = read(members[0] + broken + members[2] + members[3])
    urls = [one.url for one in found if isinstance(one, Record) and not one.damage]
    assert {"http://h/0", "http://h/2", "http://h/3"} <= set(urls)
    assert any(isinstance(one, Gap) for one in found)


def test_arc_records_are_split_from_the_end_of_their_line():
    body = http(page(1))
    data = (
        b"filedesc://a.arc 127.0.0.1 20140216050221 text/plain 75\n1 0 LiveWeb Capture\n"
        b"URL IP-address Archive-date Content-type Archive-length\n\n"
        b"http://mill.example/a b 1.2.3.4 20140216050221 text/html %d\n" % len(body)
    ) + body
    head, one = read(data)
    assert (head.kind, one.kind, one.url) == ("warcinfo", "response", "http://mill.example/a b")
    assert str(one.date) == "2014-02-16 05:02:21+00:00"


@given(st.binary(max_size=400), st.integers(0, 300), st.booleans())
def test_damage_never_raises_and_never_loops(noise: bytes, at: int, compressed: bool):
    clean = b"".join(pages(2)) if not compressed else zipped(pages(2))
    for found in read(clean[:at] + noise + clean[at:]):
        assert isinstance(found, Record | Gap)


def test_a_list_of_paths_is_read_and_its_entries_are_not_opened(tmp_path: Path):
    entries = ["crawl-data/CC-MAIN-2024-22/a.warc.gz", "https://h.example/b.warc.gz", "beside.warc"]
    (tmp_path / "warc.paths.gz").write_bytes(gzip.compress("\n".join(entries).encode()))
    found = resolve((Input(paths=(str(tmp_path / "warc.paths.gz"),), source="crawl"),))
    assert [one.place for one in found] == [
        str(tmp_path / "beside.warc"),
        "https://data.commoncrawl.org/crawl-data/CC-MAIN-2024-22/a.warc.gz",
        "https://h.example/b.warc.gz",
    ]
    assert [one.path for one in found] == ["beside.warc", "crawl-data/CC-MAIN-2024-22/a.warc.gz", "b.warc.gz"]
    assert [one.listed for one in found] == [False, True, True]


def test_folders_are_walked_in_order_and_hidden_files_left_out(tmp_path: Path):
    for name in ("b/x.txt", "a/y.py", "a/.hidden", "__pycache__/z.pyc", "a/b/w.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    found = resolve((Input(paths=(str(tmp_path),)),))
    assert [one.path for one in found] == ["a/b/w.html", "a/y.py", "b/x.txt"]
    assert {one.source for one in found} == {tmp_path.name}


def test_an_unknown_format_is_refused_with_the_nearest():
    with pytest.raises(RequestError, match="did you mean parquet"):
        resolve((Input(paths=("x",), format="parket"),))
