"""Files of texts that somebody points at: read alike however they are packed, or refused by their place."""

import bz2
import gzip
import json
import lzma

import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.readers.text_names import names_a_file, stem
from gristmill.corpus.readers.texts import read_rows
from gristmill.corpus.store.errors import RequestError
from gristmill.proxy_models.scoring.sampling import read_target

PACKED = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lz4": lz4.frame.compress,
}
TEXTS = [f"text {number} of some words" for number in range(7)]
LINES = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)


@pytest.mark.parametrize("suffix", PACKED)
def test_a_compressed_file_has_the_texts_and_the_draws_of_the_plain_one(tmp_path, suffix):
    for named in (f"t.jsonl{suffix}", "odd.jsonl"):  # what it is shows in its bytes, not in its name
        path = tmp_path / named
        path.write_bytes(PACKED[suffix](LINES.encode()))
        assert [row.content["text"] for row in read_rows(str(path))] == TEXTS
    (tmp_path / "t.jsonl").write_text(LINES)
    assert read_target(str(tmp_path / f"t.jsonl{suffix}"), 0, 100) == read_target(str(tmp_path / "t.jsonl"), 0, 100)
    text = "\n\n".join(TEXTS)
    (tmp_path / f"p.txt{suffix}").write_bytes(PACKED[suffix](text.encode()))
    assert [row.content for row in read_rows(str(tmp_path / f"p.txt{suffix}"))] == TEXTS


@given(
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    gap=st.sampled_from(["", " ", "\t", "  \t"]),
    blank=st.integers(1, 3),
    mark=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_paragraphs_and_lines_are_the_same_whatever_ends_them(tmp_path_factory, ends, gap, blank, mark):
    folder = tmp_path_factory.mktemp("x")
    between = ends + (gap + ends) * blank
    (folder / "p.txt").write_bytes((("\ufeff" if mark else "") + between.join(TEXTS) + ends).encode())
    assert [row.content for row in read_rows(str(folder / "p.txt"))] == TEXTS
    (folder / "l.jsonl").write_bytes((("\ufeff" if mark else "") + LINES.replace("\n", ends)).encode())
    assert [row.content["text"] for row in read_rows(str(folder / "l.jsonl"))] == TEXTS


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.jsonl", b'{"text": "a"}\nnot json\n', "line 2 is not JSON"),
        ("t.jsonl", b'{"text": "a"}\n[1]\n', "line 2 is no JSON object but list"),
        ("t.jsonl", b"", "no text in it"),
        ("t.txt", b"\n \n", "no text in it"),
        ("t.txt", "Gr\u00fc\u00dfe".encode("latin-1"), "line 1: not UTF-8"),
        ("t.txt", b"a\0b", "zero bytes"),
        ("t.jsonl.gz", gzip.compress(LINES.encode() * 50)[:-30], "is damaged"),
        ("t.json", b"[1, 2]", "entry 1 is no JSON object"),
        ("t.parquet", b"PAR1 and nothing", "cannot be read as Parquet"),
    ],
)
def test_a_file_without_texts_is_refused_by_its_place(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RequestError, match=message):
        read_rows(str(tmp_path / name))
    with pytest.raises(RequestError, match="no such file"):
        read_rows(str(tmp_path / "absent.txt"))


def test_rows_without_text_are_left_out_and_other_than_text_are_refused(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(LINES + '{"text": null}\n{"text": ""}\n')
    assert sorted(read_target(str(path), 0, 10_000)) == TEXTS
    for bad in ("5", "[]", "true", '{"a": 1}'):
        path.write_text(LINES + f'{{"text": {bad}}}\n')
        with pytest.raises(RequestError, match="line 8"):
            read_target(str(path), 0, 10_000)
    path.write_text(LINES + '{"body": "x"}\n')
    with pytest.raises(RequestError, match='line 8 has no "text"'):
        read_target(str(path), 0, 10_000)
    pq.write_table(pa.table({"text": ["a", None, "b"]}), tmp_path / "t.parquet")
    assert sorted(read_target(str(tmp_path / "t.parquet"), 0, 10_000)) == ["a", "b"]


def test_what_is_a_file_and_what_it_is_called():
    assert all(names_a_file(name) for name in ("a.jsonl", "a.jsonl.gz", "x/y", "t.txt.zst", "t.parquet", "t.json"))
    assert not any(names_a_file(name) for name in ("law", "web.easy", "gz"))
    assert [stem(name) for name in ("x/arc.jsonl.gz", "b.c.txt", "t.parquet")] == ["arc", "b.c", "t"]
