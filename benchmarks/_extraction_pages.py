"""Pages with known text, and how extracted text is scored against it, for the extraction benchmarks."""

import gzip
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")).resolve()
RESULTS = Path(__file__).parent / "results"
WORD = re.compile(r"\w+")


def need(*parts: str) -> Path:
    """A file or folder of the shared data, or exit 77 (skipped), saying where it was looked for."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        sys.stderr.write(f"skipped: {path} is missing; set GRISTMILL_DATA to the folder that holds {parts[0]}/\n")
        sys.exit(77)
    return path


def english() -> dict[str, tuple[bytes, str, str]]:
    """name -> (page, text, url) of the article pages."""
    folder = need("extraction")
    truth = json.loads((folder / "ground-truth.json").read_text())
    return {
        name: (gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes()), row["articleBody"], row["url"])
        for name, row in truth.items()
    }


def multilingual() -> dict[str, tuple[bytes, str, str]]:
    """name -> (page, text, language)."""
    folder = need("extraction", "multilingual")
    return {
        name: (
            gzip.decompress((folder / row["html"]).read_bytes()),
            re.sub(r"</?p>", "\n", (folder / row["reference"]).read_text()),
            row["lang"],
        )
        for name, row in json.loads((folder / "labels.json").read_text()).items()
    }


def shingles(text: str, size: int = 4) -> Counter:
    """Word n-grams with their counts; a shorter text is one shingle."""
    words = WORD.findall(text)
    if not words:
        return Counter()
    return Counter(tuple(words[n : n + size]) for n in range(max(1, len(words) - size + 1)))


def precision_recall(true: str, found: str) -> tuple[float, float]:
    wanted, given = shingles(true), shingles(found)
    hits = sum((wanted & given).values())
    if wanted == given:
        return 1.0, 1.0
    return hits / max(1, sum(given.values())), hits / max(1, sum(wanted.values()))


def f1(pairs: list[tuple[str, str]]) -> tuple[float, float, float]:
    """(F1, precision, recall) of (true, found): the means over pages, as the benchmark of these pages has it."""
    scores = [precision_recall(*pair) for pair in pairs]
    precision, recall = (sum(column) / len(scores) for column in zip(*scores, strict=True))
    return 2 * precision * recall / (precision + recall), precision, recall


def warc_record(url: str, page: bytes) -> bytes:
    """A gzip member with the `response` record of a page."""
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{len(page):012d}>\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: 2024-05-01T00:00:00Z\r\n"
        f"WARC-Identified-Payload-Type: text/html\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + body + b"\r\n\r\n", 5, mtime=0)


class Report:
    """Lines that are printed and, at the end, written to `results/NAME.txt`."""

    def __init__(self, name: str) -> None:
        self.name, self.lines = name, []

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def save(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.txt").write_text("\n".join(self.lines) + "\n")
