"""The extract stage: what goes in comes out once, whatever the cut, the order, or a second call."""

import gzip
import os
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gristmill.corpus.inputs import Input
from gristmill.corpus.refusal import RequestError

from .crawl import PROSE, http, jsonl, page, pages, record, zipped


def test_every_format_becomes_documents_with_their_provenance(extract, tmp_path: Path):
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    (crawl / "a.warc.gz").write_bytes(zipped(pages(2)))
    (crawl / "b.jsonl").write_bytes(jsonl([{"text": PROSE, "url": "https://h.example/x", "date": "2024-01-02"}]))
    pq.write_table(pa.table({"content": [PROSE], "title": ["t"]}), crawl / "c.parquet")
    with pa.ipc.new_file(crawl / "d.arrow", pa.schema([("text", pa.string())])) as writer:
        writer.write_table(pa.table({"text": [PROSE]}))
    (crawl / "e.html").write_bytes(page("e"))
    (crawl / "f.py").write_text("import os\n")
    done = extract(crawl)
    rows = done.rows()
    by_file = {os.path.basename(row["origin"]["path"]): row for row in rows}
    assert len(rows) == 7
    assert done.counts == {
        "dropped": 0, "failed": 0, "gaps": 0, "ignored": 2, "in": 7, "kept": 7, "records": 9,
    }  # fmt: skip
    assert by_file["b.jsonl"]["host"] == "h.example"
    assert str(by_file["b.jsonl"]["date"]) == "2024-01-02 00:00:00+00:00"
    assert by_file["c.parquet"]["title"] == "t"
    assert by_file["e.html"]["title"] == "Page e"
    assert by_file["f.py"]["text"] == "import os\n"
    assert {row["host"] for row in rows if row["origin"]["path"].endswith("a.warc.gz")} == {"mill.example"}
    assert len({row["id"] for row in rows}) == 7


@pytest.mark.parametrize("kind", ["warc", "warc.gz", "jsonl", "parquet"])
def test_cutting_a_file_into_shards_changes_no_document(extract, tmp_path: Path, kind: str):
    path = tmp_path / f"crawl.{kind}"
    texts = [f"{PROSE} {n}" for n in range(60)]
    if kind == "parquet":
        pq.write_table(pa.table({"text": texts}), path, row_group_size=7, compression="none", use_dictionary=False)
    elif kind == "jsonl":
        path.write_bytes(jsonl([{"text": text} for text in texts]))
    else:
        path.write_bytes(zipped(pages(30)) if kind == "warc.gz" else b"".join(pages(30)))
    whole = extract(path, to="whole")
    cut = extract(path, to="cut", shard_bytes=1500)
    assert len(list((tmp_path / "cut" / "documents").glob("*.parquet"))) >= 4
    assert whole.counts == cut.counts
    order = lambda done: sorted(done.rows(), key=lambda row: row["id"])  # noqa: E731
    assert order(whole) == order(cut)


def test_the_order_of_inputs_and_the_number_of_workers_change_no_byte(extract, tmp_path: Path):
    files = []
    for n in range(4):
        files.append(tmp_path / f"{n}.jsonl")
        files[-1].write_bytes(jsonl([{"text": f"{PROSE} {n} {m}"} for m in range(5)]))
    extract(*files, to="one", shard_bytes=2000)
    extract(*reversed(files), to="two", shard_bytes=2000, workers=2)
    for table in ("documents", "failures/extract", "inputs"):
        one, two = (sorted((tmp_path / name / table).glob("*")) for name in ("one", "two"))
        assert [(path.name, path.read_bytes()) for path in one] == [(path.name, path.read_bytes()) for path in two]


def test_a_second_crawl_reads_only_its_own_files(extract, tmp_path: Path):
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_bytes(jsonl([{"text": PROSE}]))
    first = extract(old)
    shard = next((tmp_path / "workspace" / "documents").glob("*.parquet"))
    made = shard.stat().st_mtime_ns
    new.write_bytes(jsonl([{"text": PROSE + " More."}]))
    second = extract(new)
    assert shard.stat().st_mtime_ns == made
    assert (first.counts["kept"], second.counts["kept"]) == (1, 2)
    assert extract(old, new).summary["skipped"]
    assert sorted(second.summary["details"]["per_file"]) == sorted(map(str, (new, old)))


def test_a_file_that_changed_under_its_name_is_a_new_file(extract, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl([{"text": PROSE}]))
    extract(path)
    path.write_bytes(jsonl([{"text": PROSE + " Changed."}]))
    assert sorted(extract(path).texts) == sorted([PROSE, PROSE + " Changed."])


def test_a_copy_of_a_file_is_named_and_not_read_twice(extract, tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(jsonl([{"text": PROSE}]))
    done = extract(tmp_path / "b.jsonl", tmp_path / "a.jsonl")
    assert len(done.rows()) == 1
    assert done.summary["details"]["repeats"] == [
        {"path": str(tmp_path / "b.jsonl"), "repeats": str(tmp_path / "a.jsonl")}
    ]


def test_files_that_differ_only_in_the_middle_are_both_read(extract, tmp_path: Path):
    for name, word in (("a.txt", "left"), ("b.txt", "rite")):
        (tmp_path / name).write_text("x" * 70_000 + word + "y" * 70_000)
    rows = extract(tmp_path / "a.txt", tmp_path / "b.txt").rows()
    assert len({row["id"] for row in rows}) == 2


def test_a_killed_extraction_is_finished_by_a_call_without_inputs(extract, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl([{"text": f"{PROSE} {n}"} for n in range(40)]))
    whole = extract(path, to="whole", shard_bytes=1000)
    extract(path, to="killed", shard_bytes=1000)
    documents = tmp_path / "killed" / "documents"
    (documents / "_manifest.json").unlink()
    for shard in sorted(documents.glob("*.parquet"))[::2]:
        shard.unlink()
    again = extract(to="killed", shard_bytes=1000)
    assert again.rows() == whole.rows()


def test_other_settings_are_refused_until_forced(extract, tmp_path: Path):
    path = tmp_path / "a.html"
    path.write_bytes(page())
    extract(path)
    with pytest.raises(RequestError, match="engine: 'resiliparse' there, 'raw' asked"):
        extract(path, engine="raw")
    assert extract(path, engine="raw", force=True).counts["kept"] == 1


def test_a_missing_path_is_refused_by_name(extract, tmp_path: Path):
    with pytest.raises(RequestError, match=r"nowhere.warc.gz: no such file or folder"):
        extract(tmp_path / "nowhere.warc.gz")
    with pytest.raises(RequestError, match=r"\*.warc: no file matches"):
        extract(tmp_path / "*.warc")


def test_an_unwritable_workspace_is_refused(extract, tmp_path: Path):
    (tmp_path / "a.txt").write_text(PROSE)
    (tmp_path / "workspace").write_text("a file stands where the folder should be")
    with pytest.raises(RequestError, match="cannot be written"):
        extract(tmp_path / "a.txt")


def test_one_file_under_two_sources_is_refused(extract, tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text(PROSE)
    twice = tuple(Input(paths=(str(path),), source=name) for name in ("one", "two"))
    with pytest.raises(RequestError, match="given twice"):
        extract(inputs=twice)


def test_bad_input_fails_alone_and_the_rest_goes_through(extract, tmp_path: Path):
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    whole = zipped(pages(3))
    (crawl / "truncated.warc.gz").write_bytes(whole[:-200])
    (crawl / "misnamed.warc.gz").write_bytes(gzip.compress(b"<html><body>not a crawl</body></html>"))
    (crawl / "misnamed.parquet").write_bytes(b"PAR1 but not really")
    (crawl / "empty.warc.gz").write_bytes(b"")
    (crawl / "empty.txt").write_bytes(b"")
    (crawl / "binary.txt").write_bytes(bytes(range(256)) * 20)
    good = jsonl([{"text": PROSE}])
    (crawl / "rows.jsonl").write_bytes(
        good + b'{"text": "\xff\xfe"}\n[1]\n{"text": \n{"title": "x"}\n{"text": 7}\n' + good
    )
    (crawl / "nourl.warc").write_bytes(record(http(page()), url=None))
    done = extract(crawl)
    failed = [(os.path.basename(row["origin"]["path"]), row["error"][:34]) for row in done.rows("failures/extract")]
    assert sorted(failed) == [
        ("binary.txt", "not text: it holds binary data"),
        ("empty.txt", "the file is empty"),
        ("empty.warc.gz", "the file is empty"),
        ("misnamed.parquet", "not a readable Parquet file: Parqu"),
        ("misnamed.warc.gz", "not a WARC or ARC file; it looks l"),
        ("rows.jsonl", "column text holds int, not text"),
        ("rows.jsonl", "invalid UTF-8: invalid start byte "),
        ("rows.jsonl", "no text: none of the columns text,"),
        ("rows.jsonl", "not JSON: Expecting value"),
        ("rows.jsonl", "not a JSON object but list"),
        ("truncated.warc.gz", "the file ends within the record: 4"),
    ]  # fmt: skip
    kept = sorted(os.path.basename(row["origin"]["path"]) for row in done.rows())
    assert kept == ["nourl.warc", "rows.jsonl", "rows.jsonl", "truncated.warc.gz", "truncated.warc.gz"]
    assert [row["url"] for row in done.rows() if row["origin"]["path"].endswith("nourl.warc")] == [None]


@pytest.mark.parametrize("name", ["big.warc", "big.warc.gz", "big.jsonl", "big.txt"])
def test_a_record_over_the_limit_fails_and_its_neighbours_stay(extract, tmp_path: Path, name: str):
    big = b"a" * 3_000_000
    (tmp_path / "crawl").mkdir()
    path = tmp_path / "crawl" / name
    if "warc" in name:
        records = [record(http(page(1))), record(http(b"<html>" + big)), record(http(page(2)))]
        path.write_bytes(zipped(records) if name.endswith("gz") else b"".join(records))
    elif name.endswith("jsonl"):
        path.write_bytes(jsonl([{"text": PROSE}, {"text": big.decode()}, {"text": PROSE}]))
    else:
        path.write_bytes(big)
        (tmp_path / "crawl" / "a.txt").write_text(PROSE)
        (tmp_path / "crawl" / "c.txt").write_text(PROSE + PROSE)
    done = extract(tmp_path / "crawl", max_page_bytes=1_000_000)
    assert [error.split(" (")[0] for error in done.errors] == ["larger than max_page_bytes"]
    assert done.counts["kept"] == 2


def _brotli(data: bytes) -> bytes:
    return pytest.importorskip("brotli").compress(data)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_content_encodings_are_undone_and_a_broken_one_fails_alone(extract, tmp_path: Path, coding: str):
    encoders = {"gzip": gzip.compress, "deflate": zlib.compress, "br": _brotli, "zstd": zstandard.compress}
    extra = f"Content-Encoding: {coding}\r\n"
    body = encoders[coding](page(1))
    broken = body[:12] + b"\xff\x00\xff" * 40
    crawl = tmp_path / "crawl.warc.gz"
    crawl.write_bytes(
        zipped([record(http(body, extra=extra)), record(http(broken, extra=extra)), record(http(page(2), extra=extra))])
    )
    done = extract(crawl)
    assert len(done.texts) == 2  # the second: the header speaks of a coding that the crawler has already undone
    assert len(done.errors) == 1


def test_a_body_that_unpacks_beyond_the_limit_fails_alone(extract, tmp_path: Path):
    bomb = gzip.compress(b"a" * 5_000_000)
    crawl = tmp_path / "crawl.warc.gz"
    crawl.write_bytes(zipped([record(http(bomb, extra="Content-Encoding: gzip\r\n")), record(http(page(2)))]))
    done = extract(crawl, max_page_bytes=1_000_000)
    assert done.errors == ["the body decodes to more than 1000000 bytes"]
    assert len(done.texts) == 1


def test_chunked_bodies_are_joined_also_where_the_header_lies(extract, tmp_path: Path):
    whole = page(1)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (whole[:100], whole[100:])) + b"0\r\n\r\n"
    extra = "Transfer-Encoding: chunked\r\n"
    (tmp_path / "a.warc").write_bytes(record(http(chunks, extra=extra)) + record(http(page(1), extra=extra)))
    texts = extract(tmp_path / "a.warc").texts
    assert texts[0] == texts[1]
