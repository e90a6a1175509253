"""Claim: every file of the test crawls gives the record counts that are known for it, by type, and the gzip, lz4 and
plain copies of one crawl give identical documents. Speed beside FastWARC; on 18 of the 32 files FastWARC and warcio
count the same records, and on the others the known counts are those of the truth file.
"""

import collections
import gzip
import json
import statistics
import tempfile
import time
from pathlib import Path

from fastwarc.warc import ArchiveIterator

from gristmill.corpus.readers.compression import codec
from gristmill.corpus.readers.http_message import parse_response
from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.readers.members import Members
from gristmill.corpus.readers.warc import Record, read_records
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract

from ._extraction_pages import Report, need


def records(path: Path) -> list[Record]:
    with open(path, "rb") as file:
        stream = Members(file, 0, codec(file.read(8)))
        return [record for record in read_records(stream, 1 << 26) if isinstance(record, Record)]


def counts(path: Path) -> tuple[dict[str, int], int]:
    """(records by type, HTML responses)."""
    by_type: collections.Counter[str] = collections.Counter()
    pages = 0
    for record in records(path):
        by_type[record.kind] += 1
        if record.kind == "response" and record.content is not None:
            pages += "html" in parse_response(record.content, 1 << 26).fields.get("content-type", "").lower()
    return dict(by_type), pages


def documents(path: Path) -> list[tuple]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        settings = ExtractSettings(inputs=(Input(paths=(str(path),), source="crawl"),))
        run_extract(workspace, settings, RunnerOptions(), quiet=True)
        rows = (row for batch in workspace.table("documents").read() for row in batch.to_pylist())
        return sorted((row["url"], row["text"], row["title"], row["language_stated"]) for row in rows)


def main() -> int:
    report = Report("record_counts")
    folder = need("warc")
    truth = json.loads((folder / "truth.json").read_text())["files"]
    right = known = 0
    for name, expected in truth.items():
        found = counts(folder / name)
        if expected["by_type"] is None:
            report(f"no truth: {name}: read without a crash, {sum(found[0].values())} records")
            continue
        known += 1
        right += found == (expected["by_type"], expected["html_responses"])
        if found != (expected["by_type"], expected["html_responses"]):
            report(f"WRONG: {name}: {found} instead of {expected['by_type']}, {expected['html_responses']}")
    report(f"{right} of {known} files with the known counts, by type and HTML responses")
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "warcfile.warc"
        plain.write_bytes(gzip.decompress((folder / "warcfile.warc.gz").read_bytes()))
        copies = [documents(path) for path in (folder / "warcfile.warc.gz", folder / "warcfile.warc.lz4", plain)]
    assert copies[0] == copies[1] == copies[2]
    assert copies[0]
    report(f"gzip, lz4 and plain copies: {len(copies[0])} identical documents each")
    path = folder / "IAH-20080430204825-00000-blackbook.warc.gz"
    speeds = {}
    for name, read in {
        "ours": lambda: len(records(path)),
        "FastWARC": lambda: sum(len(record.reader.read()) >= 0 for record in ArchiveIterator(str(path))),
    }.items():
        times = []
        for _ in range(7):
            began = time.process_time()
            assert read() == truth[path.name]["records"]
            times.append(time.process_time() - began)
        speeds[name] = truth[path.name]["records"] / statistics.median(times)
        report(f"{speeds[name]:10,.0f} records per CPU second  {name}")
    report(f"{speeds['ours'] / speeds['FastWARC']:.2f} x FastWARC's reading speed")
    report.save()
    assert right == known
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
