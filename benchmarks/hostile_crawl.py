"""Claim: of 10,000 drawn inputs of known content (damaged WARC and ARC files, codings and charsets of bodies, odd
JSON, odd columns, odd compressions, odd names) no page is lost without a row that tells of it, no run ends, and no
document has bytes of another. Counts by kind; beside them, on the WARC and ARC ones, warcio and FastWARC.

A peer loses a page where it neither gives its bytes nor raises; one that raises has told, and what comes after is lost.
"""

import collections
import contextlib
import gzip
import io
import json
import logging
import os
import random
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import brotli
import pyarrow as pa
import zstandard

from gristmill.corpus.planning.ledger import Piece
from gristmill.corpus.readers.inputs import Input, resolve
from gristmill.corpus.readers.records import Reading, read_piece
from gristmill.corpus.text.pages import Job, Options, work_on

from ._extraction_pages import Report

INPUTS = int(os.environ.get("GRISTMILL_HOSTILE_INPUTS", "10000"))
SEED = int(os.environ.get("GRISTMILL_HOSTILE_SEED", "1000000"))  # of the first input
pack_gzip = partial(gzip.compress, mtime=0)  # the same bytes in every run
WORDS = "ferry harbour lamp baker loaf snow village comet mill wheel grain stone river autumn yard flour".split()


@dataclass
class Drawn:
    """One input. `pages`: text of every page in it; `sound`: those that no damage touches and that must come out."""

    data: bytes
    format: str
    pages: list[str]
    sound: list[str]
    crawl: bool = False
    name: str = "input"


def text(draw: random.Random, size: int = 30) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(size)) + f" {draw.randrange(10**9)}."


def http(body: bytes, kind: str = "text/plain", extra: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{extra}\r\n".encode() + body


def warc(content: bytes, number: int, off: int = 0, kind: str = "response", extra: str = "") -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://h.example/{number}\r\n{extra}"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(content) + off}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


def arc(content: bytes, number: int, off: int = 0, address: str = "192.0.2.1", date: str = "20240501000000") -> bytes:
    return f"http://h.example/{number} {address} {date} text/plain {len(content) + off}\n".encode() + content + b"\n"


def damaged(draw: random.Random, data: bytes) -> bytes:
    at, size = draw.randrange(len(data)), draw.randrange(1, 300)
    way = draw.randrange(4)
    if way == 0:
        return data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
    if way == 1:
        return data[:at] + draw.randbytes(size) + data[at:]
    return data[:at] + (draw.randbytes(size) if way == 2 else b"") + data[at + size :]


def members(draw: random.Random, make: Callable) -> Drawn:
    """One member damaged, or one length wrong; sometimes a member of several hundred KiB."""
    pages = [text(draw) for _ in range(5)]
    bad = draw.randrange(5)
    if draw.random() < 0.05:
        pages[bad] = text(draw) + " " + draw.randbytes(300_000).hex()
    off = draw.choice([0, 0, -9, 5, 40, 700, 10**7])
    made = [make(http(page.encode()), n, off if n == bad else 0) for n, page in enumerate(pages)]
    packed = draw.random() < 0.6
    parts = [pack_gzip(one) if packed else one for one in made]
    if off == 0:
        parts[bad] = damaged(draw, parts[bad]) if packed else parts[bad]
    sound = [page for n, page in enumerate(pages) if n != bad or (off == 0 and not packed)]
    return Drawn(b"".join(parts), "warc", pages, sound, True)


def warcs(draw: random.Random) -> Drawn:
    return members(draw, warc)


def arcs(draw: random.Random) -> Drawn:
    if draw.random() < 0.5:
        return members(draw, arc)
    pages = [text(draw) for _ in range(5)]
    odd: dict[str, str] = draw.choice(
        [{"address": "2001:db8::1"}, {"address": "-"}, {"address": "0"}, {"date": "-"}, {"date": "0"}]
    )
    bad = draw.randrange(5)
    made = [arc(http(page.encode()), n, 0, **(odd if n == bad else {})) for n, page in enumerate(pages)]
    packed = draw.random() < 0.5
    return Drawn(b"".join(map(pack_gzip, made)) if packed else b"".join(made), "warc", pages, pages, True)


def no_pages(draw: random.Random) -> Drawn:
    page, other = text(draw), text(draw, 80)
    content = http(other.encode())
    cut = draw.randrange(50, len(content) - 10)
    first = "WARC-Record-ID: <urn:uuid:1>\r\nWARC-Segment-Number: 1\r\n"
    rest = (
        "WARC-Segment-Number: 2\r\nWARC-Segment-Origin-ID: <urn:uuid:1>\r\n"
        f"WARC-Segment-Total-Length: {len(content)}\r\n"
    )
    log = b"WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: metadata://gnu.org/software/wget/warc/wget.log\r\n"
    log += b"Content-Type: text/plain\r\nContent-Length: 9\r\n\r\n--log log\r\n\r\n"
    parts = [warc(content[:cut], 1, extra=first), log, warc(http(page.encode()), 2)]
    whole = draw.random() < 0.7
    if whole:
        parts.insert(draw.randrange(1, 4), warc(content[cut:], 1, kind="continuation", extra=rest))
    return Drawn(b"".join(map(pack_gzip, parts)), "warc", [page, other], [page, other] if whole else [page])


def bodies(draw: random.Random) -> Drawn:
    page = text(draw, 60)
    body, extra = page.encode(), ""
    coding, encode = draw.choice(
        [
            ("gzip", pack_gzip),
            ("deflate", zlib.compress),
            ("br", brotli.compress),
            ("zstd", zstandard.compress),
            ("gzip, br", lambda data: brotli.compress(pack_gzip(data))),
            ("identity", bytes),
        ]
    )
    extra = f"Content-Encoding: {coding}\r\n"
    stored = draw.choice(["coded", "decoded", "damaged"])
    if stored != "decoded":
        body = encode(body)
    if draw.random() < 0.5:
        extra += "Transfer-Encoding: chunked\r\n"
        if stored != "decoded":
            at, end = draw.randrange(1, len(body)), draw.choice([b"\r\n", b"\n"])
            body = b"".join(b"%x%s%s%s" % (len(one), end, one, end) for one in (body[:at], body[at:])) + b"0" + end * 2
    elif stored == "decoded":
        page = f"{draw.randrange(10**4)}\n{page}"
        body = page.encode()
    hurt = stored == "damaged" and coding != "identity"
    if hurt:
        body = body[: draw.randrange(10, len(body) - 9)]
    extra += draw.choice(["", "Content-Length: 7\r\n", "Content-Length: 99999\r\n"])
    other = text(draw)
    early = draw.choice([b"", b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"])
    data = warc(early + http(body, extra=extra), 1) + warc(http(other.encode()), 2)
    return Drawn(data, "warc", [page, other], [other] if hurt else [page, other])


LETTERS = {
    "koi8-u": "Їжак біжить лісом а птах сидить на гілці біля річки",
    "euc-kr": "어제는 맑았지만 오늘은 눈이 내리고 찬 바람이 분다",
    "shift_jis": "昨日は晴れでしたが今日は雪が降って風が冷たいです",
    "gb18030": "昨天天气晴朗今天下雪风很冷大家都在家里喝茶",
    "iso-8859-2": "Łódź i Kraków leżą daleko od morza a żółw idzie",
    "iso-8859-7": "Η γάτα κοιμάται κάτω από το τραπέζι και περιμένει",
    "windows-1256": "القط ينام تحت الطاولة وينتظر الصياد",
    "cp437": "Der Straßenbahnfahrer grüßte müde",
    "utf-16le": "Wczoraj świeciło słońce a dziś pada śnieg",
    "utf-32": "Привет всем кто читает",
    "iso-2022-jp": "昨日は晴れでしたが今日は雪が降って",
}
TOLD = {
    "euc-kr",
    "shift_jis",
    "gb18030",
    "iso-8859-7",
}  # told apart without a declaration too


def charsets(draw: random.Random) -> Drawn:
    pages, records = [], []
    for n in range(3):
        label = draw.choice(list(LETTERS))
        words = list(LETTERS[label])
        page = "".join(draw.choice(words) for _ in range(200)).strip() + LETTERS[label]
        pages.append(" ".join(page.split()))
        declared = label if draw.random() < 0.7 or label not in TOLD else draw.choice(["utf-8", "x-unknown"])
        records.append(warc(http(pages[-1].encode(label), f"text/plain; charset={declared}"), n))
    return Drawn(b"".join(map(pack_gzip, records)), "warc", pages, pages)


def values(draw: random.Random) -> Drawn:
    pages = [text(draw) for _ in range(6)]
    unit, zone = draw.choice(["s", "ms", "us", "ns"]), draw.choice([None, "UTC", "Mars/Phobos"])
    columns = {
        "text": pa.array(pages, draw.choice([pa.string(), pa.large_string(), pa.string_view()])),
        "timestamp": pa.array([draw.randrange(-(2**62), 2**62) for _ in pages], pa.timestamp(unit, zone)),
        "title": draw.choice([pa.array([{"a": None}] * 6), pa.array([None] * 6), pa.array(pages).dictionary_encode()]),
    }
    file = io.BytesIO()
    table = pa.table(columns)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return Drawn(file.getvalue(), "arrow", pages, pages)


def shapes(draw: random.Random) -> Drawn:
    pages = [text(draw) for _ in range(6)]
    odd = [{}, {"date": 10**30}, {"title": "x\ud83d"}, {"n": 10**400}, {"timestamp": "9999-12-31T23:59:59-12:00"}]
    made = [{"text": page, **draw.choice(odd)} for page in pages]
    shape = draw.randrange(6)
    lines = [json.dumps(one) for one in made]
    data = {
        0: "\n".join(lines),
        1: json.dumps(made),
        2: json.dumps(made, indent=1),
        3: "".join(lines),
        4: "\n".join(json.dumps(one, indent=2) for one in made),
        5: "[\n" + ",\n".join(lines) + ",\n]",
    }[shape]
    sound = pages
    if shape == 0 and draw.random() < 0.5:
        bad = draw.randrange(6)
        lines[bad] = lines[bad][: draw.randrange(1, len(lines[bad]))]
        data, sound = "\n".join(lines), [page for n, page in enumerate(pages) if n != bad]
    return Drawn(("\ufeff" + data).encode(draw.choice(["utf-8", "utf-16-le", "utf-32-be"])), "jsonl", pages, sound)


def compressions(draw: random.Random) -> Drawn:
    import bz2
    import lzma

    import lz4.frame

    pages = [text(draw) for _ in range(6)]
    lines = [json.dumps({"text": page}).encode() + b"\n" for page in pages]
    skipped = b"\x50\x2a\x4d\x18\x05\0\0\0notes"
    pack = draw.choice([pack_gzip, bz2.compress, lzma.compress, lz4.frame.compress, zstandard.compress])
    ends = [len(b"".join(lines[:n])) for n in range(7)]
    data = b"".join(lines)
    cut = sorted(draw.sample(range(1, len(data)), 2)) if draw.random() < 0.5 else [ends[2], ends[4]]
    parts = [data[: cut[0]], data[cut[0] : cut[1]], data[cut[1] :]]
    frames = [pack(part) for part in parts]
    if pack is zstandard.compress and draw.random() < 0.5:
        frames = [skipped, frames[0], skipped, *frames[1:], skipped]
    return Drawn(b"".join(frames), "jsonl", pages, pages)


def names(draw: random.Random) -> Drawn:
    page = text(draw)
    name = "".join(draw.choice("ab?*[]#%=& '\"\n{}~!$é語") for _ in range(draw.randrange(1, 12))) + "x.jsonl"
    return Drawn(json.dumps({"text": page}).encode(), "jsonl", [page], [page], name=name.lstrip("~"))


KINDS: dict[str, Callable[[random.Random], Drawn]] = {
    "WARC, damaged": warcs,
    "ARC, odd and damaged": arcs,
    "no pages, segments": no_pages,
    "bodies": bodies,
    "charsets": charsets,
    "values": values,
    "JSON": shapes,
    "compressions": compressions,
    "names": names,
}


def ours(drawn: Drawn, folder: Path) -> tuple[list[str], int]:
    """(texts of the documents, rows that tell of what is none)."""
    home = Path(tempfile.mkdtemp(dir=folder))
    path = home / drawn.name
    path.write_bytes(drawn.data)
    (source,) = resolve((Input(paths=(str(home),)),))
    assert source.format in (drawn.format, "auto")
    texts, rows = [], 0
    for raw in read_piece(Piece(source.place, source.path, file="f", format=drawn.format), Reading(1 << 20)):
        if raw.ignored:
            continue
        outcome = None if raw.error else work_on(Job(raw.body or b"", raw.markup, raw.charset), Options())
        if outcome is None or outcome.error:
            rows += 1
        else:
            texts.append(outcome.text.strip())
    path.unlink()
    home.rmdir()
    return texts, rows


def fastwarc(data: bytes) -> list[str]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    found = ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response, parse_http=True)
    return [record.reader.read().decode("utf-8", "replace").strip() for record in found]


def warcio(data: bytes) -> list[str]:
    from warcio.archiveiterator import ArchiveIterator  # pyright: ignore[reportMissingImports]

    found = ArchiveIterator(io.BytesIO(data), arc2warc=True)
    return [
        record.content_stream().read().decode("utf-8", "replace").strip()
        for record in found
        if record.rec_type == "response"
    ]


def judged(got: list[str], told: int, drawn: Drawn) -> dict[str, int]:
    """Pages whole, told of, lost without a row, and documents that are no page."""
    whole = collections.Counter(got) & collections.Counter(drawn.pages)
    foreign = sum((collections.Counter(got) - collections.Counter(drawn.pages)).values())
    missing = len(drawn.pages) - sum(whole.values())
    sound = sum((collections.Counter(drawn.sound) - whole).values())
    return {
        "pages": len(drawn.pages),
        "whole": sum(whole.values()),
        "told": missing if told else 0,
        "lost without a row": 0 if told else missing,
        "sound ones not there": sound,
        "with other bytes": foreign,
    }


def main() -> int:
    report = Report("hostile_crawl")
    report(f"seeds from {SEED:,}:")
    logging.disable(logging.CRITICAL)  # warcio's warnings: it is counted, not read
    peers: dict[str, Callable[[bytes], list[str]]] = {"FastWARC": fastwarc}
    try:
        warcio(b"")
    except ImportError:
        report("warcio is not installed: counted without it")
    except Exception:  # an empty file is an error to it
        peers["warcio"] = warcio
    else:
        peers["warcio"] = warcio
    totals: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in KINDS}
    beside = {name: collections.Counter[str]() for name in ("ours", *peers)}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        for number in range(INPUTS):
            kind = list(KINDS)[number % len(KINDS)]
            drawn = KINDS[kind](random.Random(SEED + number))
            try:
                texts, rows = ours(drawn, Path(folder))
                found = judged(texts, rows, drawn) | {"runs ended": 0}
            except Exception as error:
                found = {"pages": len(drawn.pages), "runs ended": 1}
                report(f"  input {number} ({kind}) ended the run: {type(error).__name__}: {error}")
            bad = found.get("lost without a row", 0) + found.get("with other bytes", 0)
            if bad or found.get("sound ones not there"):
                report(f"  input {number} ({kind}): {found}")
            totals[kind].update({"inputs": 1, **found})
            if drawn.crawl:
                beside["ours"].update(found)
                for name, read in peers.items():
                    try:
                        beside[name].update(judged(read(drawn.data), 0, drawn))
                    except Exception:
                        beside[name].update({"pages": len(drawn.pages), "told": len(drawn.pages), "runs ended": 1})
    for kind, counts in totals.items():
        report(f"{kind}: {', '.join(f'{name} {value:,}' for name, value in counts.items())}")
    for name, counts in beside.items():
        report(f"WARC and ARC, {name}: {', '.join(f'{key} {value:,}' for key, value in counts.items())}")
    report.save()
    every = sum(totals.values(), collections.Counter())
    assert every["inputs"] == INPUTS
    assert every["lost without a row"] == every["runs ended"] == every["with other bytes"] == 0
    assert every["sound ones not there"] == 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
