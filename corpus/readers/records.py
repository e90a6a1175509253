"""A piece of an input file as a stream of records: documents to be, things to ignore, and what went wrong.

Every record of the piece comes out exactly once, as one of the three. A file that cannot be opened as what it is taken
for gives one failure; the rest of the input goes on. Memory is bounded by the largest record that the limits allow.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ..extensions import added
from .http_message import Response, TooLarge, parse_response
from .inputs import FORMATS, sniffed_format
from .members import Members, codec, open_bytes
from .planning import Piece
from .rows import read_arrow, read_jsonl, read_parquet
from .warc import NEXT, Gap, Record, parse_date, read_records

HTML_TYPES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
TEXT_TYPES = ("text/plain",)


@dataclass(frozen=True)
class Reading:
    """How to read: limits and column names. Travels to workers."""

    max_page_bytes: int
    text_column: str = "text"


@dataclass(frozen=True)
class Capture:
    """What tells a record of a crawl from others, and, of a revisit, what it says of its original."""

    record: str | None
    digest: str | None
    captured: datetime | None
    revisit: bool = False
    refers_to: str | None = None
    refers_to_url: str | None = None
    refers_to_date: datetime | None = None


@dataclass(frozen=True)
class FileReader:
    """A format of another package or a plug-in file: names of its files end in `suffixes`; a file is read whole.

    read  (stream of the decompressed file, limits and column names) -> its records, each at a place of its own
    """

    suffixes: tuple[str, ...]
    read: "Callable[[Members, Reading], Iterator[Raw]]"


@dataclass
class Raw:
    """One record. `error` or `ignored` is set where it does not become a page; `markup` tells HTML from text."""

    place: int
    inner: int = 0
    body: bytes | str | None = None
    markup: bool = False
    charset: str | None = None
    url: str | None = None
    date: datetime | None = None
    title: str | None = None
    language: str | None = None
    license: str | None = None
    error: str | None = None
    ignored: str | None = None  # what it is: request, warcinfo, response image/png, ...
    counted: bool = True  # False for a gap, which is no record
    capture: Capture | None = None  # of records of crawls


def read_piece(piece: Piece, reading: Reading) -> Iterator[Raw]:
    """The records of a piece, in file order."""
    try:
        file = open_bytes(piece.path)
    except FileNotFoundError:
        yield Raw(0, error="the file was there when the work was planned and is gone now", counted=False)
        return
    with file:
        head = file.read(16)
        if not head:
            yield Raw(0, error="the file is empty", counted=False)
            return
        compression = codec(head)
        if piece.format in ("parquet", "arrow"):
            reader = read_parquet if piece.format == "parquet" else read_arrow
            yield from (_row(row) for row in reader(file, piece.start, piece.end, reading.text_column))
        elif piece.format == "jsonl":
            stream = Members(file, max(0, piece.start - 1), compression)
            rows = read_jsonl(stream, piece.start, piece.end, reading.max_page_bytes, reading.text_column)
            yield from (_row(row) for row in rows)
        elif piece.format == "warc":
            yield from _warc(piece, Members(file, piece.start, compression), reading)
        elif piece.format in ("html", "text"):
            yield from _whole(Members(file, 0, compression), piece.format == "html", reading)
        else:
            yield from _foreign(piece.format, Members(file, 0, compression), reading)


def _foreign(kind: str, stream: Members, reading: Reading) -> Iterator[Raw]:
    """A file of a format that another package or a plug-in file reads."""
    known = added("readers", FORMATS)
    if kind not in known:
        yield Raw(0, error=f"the format {kind} is read by a plug-in that is not there", counted=False)
        return
    yield from known[kind].read(stream, reading)
    for place, why, _ in stream.damage:
        yield Raw(place, error=why, counted=False)


def _row(row: dict) -> Raw:
    return Raw(**row)


def _whole(stream: Members, markup: bool, reading: Reading) -> Iterator[Raw]:
    """A file that is one document."""
    data = stream.read(reading.max_page_bytes + 1)
    if stream.damage:
        yield Raw(0, error=stream.damage[0][1], counted=False)
    elif len(data) > reading.max_page_bytes:
        yield Raw(0, body=data[:200], error=too_large(None, reading.max_page_bytes))
    elif not data:
        yield Raw(0, error="the file is empty", counted=False)
    else:
        yield Raw(0, body=data, markup=markup)


def too_large(size: int | None, limit: int) -> str:
    return f"larger than max_page_bytes ({f'{size} > ' if size is not None else ''}{limit} bytes)"


def _warc(piece: Piece, stream: Members, reading: Reading) -> Iterator[Raw]:
    if piece.start:
        seek_record(stream)
    else:
        head = stream.peek(4096)
        if head and sniffed_format(head) != "warc" and b"WARC/" not in head.upper():
            found = sniffed_format(head)
            yield Raw(0, body=head[:200], error=f"not a WARC or ARC file; it looks like {found}", counted=False)
            return
    records = 0
    for record in read_records(stream, reading.max_page_bytes, piece.end):
        if isinstance(record, Gap):
            yield Raw(record.place, body=record.excerpt, error=record.error, counted=False)
            continue
        records += 1
        yield _capture(record, reading)
    if not records and piece.start == 0 and not stream.damage and piece.end is None:
        yield Raw(0, error="the file holds no record", counted=False)


def seek_record(stream: Members) -> None:
    """Go from an arbitrary byte of a file to the first record that begins after it."""
    if stream.compression is not None:
        stream.seek_member(b"WARC/")
        return
    while True:
        window = stream.peek(1 << 20)
        found = NEXT.search(window)
        if found or len(window) < 1 << 20:
            stream.skip(found.start() if found else len(window))
            return
        stream.skip(len(window) - 256)


def _capture(record: Record, reading: Reading) -> Raw:
    """A WARC record as a page, or why it is none."""
    raw = Raw(record.place, record.inner, url=record.url, date=record.date, capture=_identity(record))
    declared = record.headers.get("content-type", "").split(";")[0].strip().lower()
    if record.kind not in ("response", "resource", "conversion"):
        raw.ignored = record.kind
        return raw
    if record.kind == "conversion" and declared not in TEXT_TYPES:
        raw.ignored = f"conversion {declared}"
        return raw
    if record.kind == "resource" and declared not in (*HTML_TYPES, *TEXT_TYPES):
        raw.ignored = f"resource {declared}"
        return raw
    if record.content is None:
        raw.error = too_large(record.length, reading.max_page_bytes)
        return raw
    http = declared.startswith("application/http") or (not declared and record.content[:5].upper() == b"HTTP/")
    if record.kind != "response" or not http:
        return _typed(raw, record, declared, Response(None, {}, record.content))
    try:
        response = parse_response(record.content, reading.max_page_bytes)
    except TooLarge as error:
        raw.error, raw.body = str(error), record.content[:200]
        return raw
    except (OSError, ValueError, ArithmeticError) as error:
        raw.error, raw.body = f"the body cannot be decoded: {error}", record.content[:200]
        return raw
    if response.status is not None and not 200 <= response.status < 300:
        raw.ignored = f"response status {response.status}"
        return raw
    kind = response.content_type
    if kind is None:
        kind = "text/html" if sniffed_format(response.body[:4096]) == "html" else "untyped"
    raw.charset = response.charset
    return _typed(raw, record, kind, response)


def _identity(record: Record) -> Capture:
    return Capture(
        record.address("warc-record-id"),
        record.headers.get("warc-payload-digest"),
        record.date,
        record.kind == "revisit",
        record.address("warc-refers-to"),
        record.address("warc-refers-to-target-uri"),
        parse_date(record.headers.get("warc-refers-to-date")),
    )


def _typed(raw: Raw, record: Record, kind: str, response: Response) -> Raw:
    if kind not in HTML_TYPES and kind not in TEXT_TYPES:
        raw.ignored = f"{record.kind} {kind}"
        return raw
    raw.body, raw.markup = response.body, kind in HTML_TYPES
    if record.truncated:
        raw.error = f"the file ends within the record: {record.read} of {record.length} bytes are there"
    return raw
