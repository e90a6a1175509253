"""Claim: hostile pages cost one failure row each, in bounded memory (under 1 GB a worker) and time; all other pages
of the same crawl come out as they do without them. Then fuzz: damaged record headers and HTML, never a crash.
"""

import gzip
import io
import os
import random
import resource
import tempfile
import time
import zlib
from pathlib import Path

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.readers.members import Members
from gristmill.corpus.readers.warc import Record, read_records
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract

from ._extraction_pages import Report, warc_record

PROSE = "<p>The mill stands where the river bends, and its wheel has turned for three hundred years.</p>" * 8
GOOD = f"<html><body><article>{PROSE}</article></body></html>".encode()


def encoded(url: str, body: bytes, coding: str) -> bytes:
    content = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: {coding}\r\n\r\n".encode() + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Type: application/http\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


def bomb(size: int) -> bytes:
    """A gzip body of about a thousandth of `size` that unpacks to `size` bytes; made without holding them."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    block = b"a" * (1 << 20)
    return b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()


def hostile() -> dict[str, bytes]:
    """name -> record, uncompressed or as a gzip member."""
    deep = b"<html><body>" + b"<div>" * 200_000 + b"x"
    return {
        "1 MB of nested div": warc_record("http://h/div", deep),
        "50 MB of one line": warc_record("http://h/line", b"<p>" + b"word " * 10_000_000),
        "gzip bomb of 1 GB": gzip.compress(encoded("http://h/bomb", bomb(1 << 30), "gzip"), 1, mtime=0),
        "null bytes alone": warc_record("http://h/null", b"\0" * 100_000),
        "an empty page": warc_record("http://h/empty", b""),
        "wrong coding": gzip.compress(encoded("http://h/coding", b"\x1f\x8b\x08\0broken" * 99, "gzip"), mtime=0),
        "nested tables": warc_record("http://h/table", b"<table><tr><td>" * 60_000),
    }


def extracted(path: Path, folder: Path) -> tuple[list[tuple], list[dict], float]:
    """(documents, failures, wall seconds)."""
    workspace = Workspace(str(folder))
    began = time.monotonic()
    settings = ExtractSettings(inputs=(Input(paths=(str(path),), source="crawl"),), max_page_seconds=5)
    run_extract(workspace, settings, RunnerOptions(), quiet=True)
    rows = [row for batch in workspace.table("documents").read() for row in batch.to_pylist()]
    failed = [row for batch in workspace.table("failures/extract").read() for row in batch.to_pylist()]
    return sorted((row["url"], row["text"]) for row in rows), failed, time.monotonic() - began


def fuzz(seed: int, rounds: int) -> tuple[int, int]:
    """Damage a crawl of four records `rounds` times; records seen. Anything raised ends the benchmark.

    Twice each time: bytes of the crawl itself are damaged, and the end of the gzip member that holds it whole. Both
    numbers follow from the seed and the bytes of the four records alone: a header more, and they are others.
    """
    draw, seen = random.Random(seed), [0, 0]
    clean = b"".join(gzip.decompress(warc_record(f"http://h/{n}", GOOD)) for n in range(4))
    for _ in range(rounds):
        data = bytearray(clean)
        for _ in range(draw.randint(1, 20)):
            at = draw.randrange(len(data))
            kind = draw.randrange(3)
            if kind == 0:
                data[at] = draw.randrange(256)
            elif kind == 1:
                del data[at : at + draw.randint(1, 300)]
            else:
                data[at:at] = draw.randbytes(draw.randint(1, 50))
        zipped = gzip.compress(clean)[:-9] + bytes(data[:9])
        for which, stream in enumerate((Members(io.BytesIO(bytes(data))), Members(io.BytesIO(zipped), 0, "gzip"))):
            seen[which] += sum(isinstance(record, Record) for record in read_records(stream, 1 << 20))
    return seen[0], seen[1]


def fuzz_pages(seed: int, rounds: int) -> int:
    from gristmill.corpus.text.pages import Job, Options, work_on

    draw, bad = random.Random(seed), 0
    plain = b"<p> </p> <div> </div> <pre> </pre <script> <!-- --> <math> <table> < > &amp; &#x110000; word"
    tokens = [*plain.split(), b"<div class='ad'>", b'<a href="', b"\xff", b"\0", b"words of text ", b"\xee\x80\x80"]
    for _ in range(rounds):
        page = b"".join(draw.choice(tokens) for _ in range(draw.randint(1, 80)))
        outcome = work_on(Job(page, markup=True), Options())
        bad += bool(outcome.error and outcome.error.startswith("extraction failed"))
    return bad


def main() -> int:
    report = Report("hostile_pages")
    good = [warc_record(f"http://good/{n}", GOOD.replace(b"mill", f"mill {n}".encode())) for n in range(50)]
    bad = hostile()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "good.warc.gz").write_bytes(b"".join(good))
        mixed = list(good)
        for n, record in enumerate(bad.values()):
            mixed.insert(5 + 6 * n, record)
        (folder / "mixed.warc.gz").write_bytes(b"".join(mixed))
        del mixed
        alone, _, seconds = extracted(folder / "good.warc.gz", folder / "a")
        report(f"50 good pages alone: {len(alone)} documents, {seconds:.1f} s")
        among, failed, seconds = extracted(folder / "mixed.warc.gz", folder / "b")
        report(f"with {len(bad)} hostile pages: {len(among)} documents, {len(failed)} failures, {seconds:.1f} s")
        for row in failed:
            report(f"  at {row['origin']['offset']}: {row['error'][:100]}")
    peak = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    report(f"peak memory: {peak[0]:.0f} MB in the worker (which also wrote the crawl), {peak[1]:.0f} MB in the sandbox")
    plain, zipped = fuzz(0, 1500)
    report(f"fuzz: {plain} records read from 1,500 crawls of four with bytes damaged, without a crash")
    report(f"fuzz: {zipped} records read from 1,500 gzip members of four with a damaged end, without a crash")
    report(f"fuzz: {fuzz_pages(0, 3000)} of 3,000 damaged pages failed inside an engine")
    report(f"run on {os.cpu_count()} shared CPUs")
    report.save()
    others = [row for row in among if row[0].startswith("http://good/")]
    assert others == alone
    assert len(alone) == 50
    assert len(failed) + len(among) - len(others) == len(bad)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
