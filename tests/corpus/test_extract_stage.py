"""The extract stage: what goes in comes out once, whatever the cut, the order, or a second call."""

import gzip
import os
import re
import threading
import zlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.shards import open_shard
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.stage import INPUTS, ExtractSettings, run_extract
from gristmill.pipelines.stages.opt_out import _Changes

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


@pytest.mark.slow
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
    assert sorted(second.summary["details"]["per_file"]) == ["new.jsonl", "old.jsonl"]


def test_a_copy_of_a_file_is_named_and_not_read_twice(extract, tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(jsonl([{"text": PROSE}]))
    done = extract(tmp_path / "b.jsonl", tmp_path / "a.jsonl")
    assert len(done.rows()) == 1
    assert done.summary["details"]["repeats"] == [{"path": "b.jsonl", "repeats": "a.jsonl"}]


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
    (crawl / "blank.jsonl").write_bytes(b"\n\n")
    (crawl / "nothing.jsonl.gz").write_bytes(gzip.compress(b""))
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), crawl / "rowless.parquet")
    good = jsonl([{"text": PROSE}])
    (crawl / "rows.jsonl").write_bytes(
        good + b'{"text": "\xff\xfe"}\n[1]\n{"text": \n{"title": "x"}\n{"text": 7}\n' + good
    )
    (crawl / "nourl.warc").write_bytes(record(http(page()), url=None))
    done = extract(crawl)
    failed = [(os.path.basename(row["origin"]["path"]), row["error"][:34]) for row in done.rows("failures/extract")]
    assert sorted(failed) == [
        ("binary.txt", "not text: it holds binary data"),
        ("blank.jsonl", "the file holds no record"),
        ("empty.txt", "the file is empty"),
        ("empty.warc.gz", "the file is empty"),
        ("misnamed.parquet", "not a readable Parquet file: Parqu"),
        ("misnamed.warc.gz", "not a WARC or ARC file; it looks l"),
        ("nothing.jsonl.gz", "the file holds no record"),
        ("rowless.parquet", "the file holds no record"),
        ("rows.jsonl", "column text holds int, not text"),
        ("rows.jsonl", "invalid UTF-8: invalid start byte "),
        ("rows.jsonl", "no text: none of the columns text,"),
        ("rows.jsonl", "not JSON: Expecting value at line "),
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


def revisit(url: str, **said: str) -> bytes:
    extra = "".join(f"WARC-{name.replace('_', '-')}: {value}\r\n" for name, value in said.items())
    return record(http(b"", status="304 Not Modified"), url, "revisit", extra)


def revisits(space) -> dict[str, tuple[str, str | None]]:
    """Address of each revisit -> (the address of the document that holds its text, None where there is none)."""
    with open_catalog(space) as connection:
        rows = connection.execute(
            "select r.url, d.url from revisits r left join documents d on d.id = r.document"
        ).fetchall()
    return dict(rows)


def test_revisits_name_the_document_of_their_original_whatever_came_first(extract, tmp_path: Path):
    url = "https://mill.example/"
    first, second = tmp_path / "a.warc.gz", tmp_path / "b.warc.gz"
    by_record = record(http(page(1)), f"{url}1")
    name = by_record.split(b"WARC-Record-ID: ")[1].split(b"\r\n")[0].decode()
    first.write_bytes(
        zipped(
            [
                revisit(f"{url}copy", Refers_To=name),
                revisit(f"{url}2", Payload_Digest="sha1:TWO"),
                revisit(f"{url}again", Refers_To_Target_URI=f"{url}3", Refers_To_Date="2024-05-01T00:00:00Z"),
                revisit(f"{url}lost", Payload_Digest="sha1:LOST"),
            ]
        )
    )
    assert revisits(extract(first).workspace) == dict.fromkeys([f"{url}{n}" for n in ("copy", "2", "again", "lost")])
    second.write_bytes(
        zipped(
            [
                by_record,
                record(http(page(2)), f"{url}2", extra="WARC-Payload-Digest: sha1:TWO\r\n"),
                record(http(page(3)), f"{url}3"),
            ]
        )
    )
    done = extract(second)
    found = {f"{url}copy": f"{url}1", f"{url}2": f"{url}2", f"{url}again": f"{url}3", f"{url}lost": None}
    assert revisits(done.workspace) == found == revisits(extract(second, first, to="turned").workspace)
    assert done.summary["details"]["ignored"]["revisit"] == 4
    assert audit(done.workspace)["findings"] == []


def test_audit_names_an_input_that_changed_or_went_and_an_account_that_does_not_add_up(extract, tmp_path: Path):
    kept, changed, gone = (tmp_path / f"{name}.jsonl" for name in ("kept", "changed", "gone"))
    for n, path in enumerate((kept, changed, gone)):
        path.write_bytes(jsonl([{"text": f"{PROSE} {n}"}, {"no": "text"}]))
    space = extract(kept, changed, gone).workspace
    assert audit(space)["findings"] == []
    changed.write_bytes(jsonl([{"text": "other"}]))
    gone.unlink()
    found = {finding["where"]: finding["message"] for finding in audit(space)["findings"]}
    assert set(found) == {str(changed), str(gone)}
    assert "changed after it was read" in found[str(changed)]
    assert "gone" in found[str(gone)]


def test_audit_counts_the_account_of_each_file_against_the_tables(extract, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl([{"text": PROSE}, {"text": f"{PROSE} 2"}, {"no": "text"}]))
    space = extract(path).workspace
    table = space.table("inputs")
    (shard,) = table.finished("test").shards
    rows = [{**row, "kept": 1, "dropped": 1} for batch in table.read() for row in batch.to_pylist()]
    with open_shard(table.url, shard.name, INPUTS) as out:
        out.write_rows(rows)
    changes = _Changes(space, space.commit_of("extract"))
    changes.shards["inputs"][shard.name] = out.shard
    space.put_commit(changes.commit())
    (finding,) = audit(space)["findings"]
    assert finding["where"] == "a.jsonl"
    assert finding["message"] == "the account says 1 documents and 1 failures; there are 2 and 1"


class _Quiet(SimpleHTTPRequestHandler):
    """A server of files that knows ranges, as object stores do."""

    def log_message(self, *_) -> None:
        return

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(asked[1]), int(asked[2] or len(data) - 1)) if asked else (0, len(data) - 1)
        part = data[start : end + 1]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def server(tmp_path: Path):
    pytest.importorskip("aiohttp")
    (tmp_path / "served").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "served"))) as held:
        thread = threading.Thread(target=held.serve_forever, daemon=True)
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{held.server_address[1]}"
        held.shutdown()


def test_files_and_path_lists_are_read_over_http(extract, tmp_path: Path, server):
    folder, address = server
    (folder / "a.warc.gz").write_bytes(zipped(pages(9)))
    (folder / "b.jsonl").write_bytes(jsonl([{"text": PROSE}]))
    (folder / "warc.paths.gz").write_bytes(gzip.compress(b"a.warc.gz\n"))
    local = extract(folder / "a.warc.gz", folder / "b.jsonl", to="local")
    options = RunnerOptions()
    near = Workspace(str(tmp_path / "near"))
    given = Input(paths=(f"{address}/a.warc.gz", f"{address}/b.jsonl"), source="test")
    run_extract(near, ExtractSettings(inputs=(given,), shard_bytes=2000), options, quiet=True)
    rows = {row["id"]: row["text"] for batch in near.table("documents").read() for row in batch.to_pylist()}
    assert rows == {row["id"]: row["text"] for row in local.rows()}
    listed = Workspace(str(tmp_path / "listed"))
    given = Input(paths=(f"{address}/warc.paths.gz",), source="test")
    run_extract(listed, ExtractSettings(inputs=(given,)), options, quiet=True)
    texts = [row["text"] for batch in listed.table("documents").read() for row in batch.to_pylist()]
    assert sorted(texts) == sorted(row["text"] for row in local.rows() if row["url"])
