"""Claim: a large WARC is extracted in bounded memory (under 700 MB a worker), and a killed extraction, run again,
leaves the same tables as one that was not killed.

The crawl is built from the article pages under GRISTMILL_DATA, each copy with its own address and a line of its own,
until it holds GRISTMILL_CRAWL_GB (default 2) of HTML. Reports pages and MB per wall and CPU second of one worker, and
the peak memory of the worker and of its sandbox. The killed run gets SIGKILL when half of its shards are there.
"""

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ._extraction_pages import Report, english, warc_record

RUN = """
import sys
from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.engine.runner import RunnerOptions
given = (Input(paths=(sys.argv[1],), source="crawl"),)
settings = ExtractSettings(inputs=given, shard_bytes=int(sys.argv[3]))
run_extract(Workspace(sys.argv[2]), settings, RunnerOptions(), quiet=True)
import resource
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
from gristmill.corpus import sandbox
for held in sandbox._held.values():
    held.close()
print("CHILD", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def build(path: Path, size: int) -> int:
    """Write the crawl; the number of pages."""
    pages, written, number = list(english().values()), 0, 0
    with open(path, "wb") as file:
        while written < size:
            page, _, url = pages[number % len(pages)]
            own = page.replace(b"</body>", f"<p>Copy {number}.</p></body>".encode(), 1)
            file.write(warc_record(f"{url}?copy={number}", own))
            written += len(own)
            number += 1
    return number


def digest(folder: Path) -> str:
    files = sorted(folder.rglob("*.parquet"))
    whole = hashlib.blake2b()
    for path in files:
        whole.update(path.name.encode() + path.read_bytes())
    return f"{len(files)} shards, {whole.hexdigest()[:16]}"


def main() -> int:
    report = Report("crawl_throughput")
    gigabytes = float(os.environ.get("GRISTMILL_CRAWL_GB", "2"))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "crawl.warc.gz"
        pages = build(path, int(gigabytes * 1e9))
        shard_bytes = max(1 << 20, path.stat().st_size // 12)
        report(f"{pages} pages, {gigabytes:g} GB of HTML, {path.stat().st_size / 1e6:.0f} MB compressed")
        command = [sys.executable, "-c", RUN, str(path)]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        arguments = [*command, f"{scratch}/whole", str(shard_bytes)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        report(f"{pages / wall:.0f} pages, {gigabytes * 1e3 / wall:.1f} MB per wall second")
        report(f"{pages / used:.0f} pages, {gigabytes * 1e3 / used:.1f} MB per CPU second, sandbox included")
        peaks = {line.split()[0]: int(line.split()[1]) / 1024 for line in done.stdout.splitlines() if " " in line}
        report(f"peak memory: {peaks['PEAK']:.0f} MB in the worker, {peaks['CHILD']:.0f} MB in its sandbox")
        killed = subprocess.Popen([*command, f"{scratch}/killed", str(shard_bytes)], stdout=subprocess.DEVNULL)
        documents = Path(scratch) / "killed" / "documents"
        while killed.poll() is None and len(list(documents.glob("*.parquet"))) < 6:
            time.sleep(0.05)
        killed.kill()
        killed.wait()
        there = len(list(documents.glob("*.parquet")))
        subprocess.run([*command, f"{scratch}/killed", str(shard_bytes)], stdout=subprocess.DEVNULL, check=True)
        whole, again = digest(Path(scratch) / "whole"), digest(Path(scratch) / "killed")
        report(f"killed with {there} shards of documents in place, run again: {again}; not killed: {whole}")
    report.save()
    assert whole == again
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
