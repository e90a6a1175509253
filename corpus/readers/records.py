"""A piece of an input file as a stream of records: documents to be, things to ignore, and what went wrong.

Every record of the piece comes out exactly once, as one of the three. A file that cannot be opened as what it is taken
for gives one failure; the rest of the input goes on. Memory is bounded by the largest record that the limits allow.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

from ..columns.carried import Carried
from ..extensions import added
from ..planning.ledger import Piece
from .compression import codec_of
from .dates import parse_date
from .http_message import Response, TooLarge, parse_response
from .inputs import FORMATS, sniffed_format
from .jsonl import begins_row, in_utf8, read_jsonl
from .members import Members, archived, next_member, open_bytes
from .naming import Naming
from .rows import read_arrow, read_parquet
from .segments import Segments
from .warc import Gap, Record, opens, read_records

HTML_TYPES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
TEXT_TYPES = ("text/plain",)
PAGE_KINDS = ("response", "resource", "conversion")
OWN_NOTES = ("metadata:", "warcinfo:", "filedesc:", "urn:", "dns:", "whois:")  # what a crawler writes of its own work
KEPT_FIELDS = ("link", "content-language", "x-robots-tag")  # what a page's metadata is read from, beside the page


@dataclass(frozen=True)
class Reading:
    """How to read: limits and column names. Travels to workers."""

    max_page_bytes: int
    naming: Naming = field(default_factory=Naming)


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
    domain: str | None = None  # where a column names it
    error: str | None = None
    ignored: str | None = None  # what it is: request, warcinfo, response image/png, ...
    counted: bool = True  # False for a gap, which is no record
    capture: Capture | None = None  # of records of crawls
    fields: dict[str, str] = field(default_factory=dict)  # of the HTTP head, those in KEPT_FIELDS
    columns: Carried | None = None  # all of a row


def read_piece(piece: Piece, reading: Reading) -> Iterator[Raw]:
    """The records of a piece, in file order; a file that holds none is told."""
    nothing = True
    for raw in _read_piece(piece, reading):
        nothing = False
        yield raw
    if nothing and piece.start == 0 and (piece.end is None or piece.end >= piece.size):
        yield Raw(0, error="the file holds no record", counted=False)


def _read_piece(piece: Piece, reading: Reading) -> Iterator[Raw]:
    try:
        file = open_bytes(piece.place)
    except FileNotFoundError:
        yield Raw(0, error="the file was there when the work was planned and is gone now", counted=False)
        return
    except OSError as error:
        if "://" in piece.place:
            raise
        yield Raw(0, error=f"the file cannot be opened: {error.strerror or error}", counted=False)
        return
    with file:
        head = file.read(16)
        if not head:
            yield Raw(0, error="the file is empty", counted=False)
            return
        compression = codec_of(file)
        if archive := archived(file, compression):
            yield Raw(0, error=archive, counted=False)
            return
        file.seek(len(head))
        if piece.format in ("parquet", "arrow"):
            reader = read_parquet if piece.format == "parquet" else read_arrow
            yield from _rows(reader(file, piece.start, piece.end, reading.naming))
        elif piece.format == "jsonl":
            stream = Members(file, max(0, piece.start - 1), compression)
            stream.opens = begins_row
            stream = in_utf8(stream) if piece.start == 0 else stream
            yield from _rows(read_jsonl(stream, piece.start, piece.end, reading.max_page_bytes, reading.naming))
        elif piece.format == "warc":
            compression = compression or _hidden_compression(file)
            yield from _warc(piece, Members(file, piece.start if compression else 0, compression), reading)
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


def _hidden_compression(file: IO[bytes]) -> str | None:
    """The compression of a crawl whose first bytes are damaged: that of a member further on that begins a record."""
    file.seek(0)
    head = file.read(1 << 20)
    if opens(head[:4096]):
        return None
    return next((name for name in ("gzip", "zstd") if next_member(head, name, opens) >= 0), None)


def _rows(rows: Iterator[dict[str, Any]]) -> Iterator[Raw]:
    """Rows as records; a value that had to be left out of one is told of beside it."""
    for row in rows:
        left_out = row.pop("left_out", None)
        yield Raw(**row)
        for why in left_out or ():
            yield Raw(row["place"], error=why, counted=False)


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
    """The records of a crawl; those in segments are put together, from beyond the end of the piece where need be."""
    stream.opens = opens  # before the first byte is read
    if piece.start:
        seek_record(stream, piece.start)
    head = stream.peek(4096)
    records, gaps, segments = 0, list[Raw](), Segments(reading.max_page_bytes)
    foreign = piece.start == 0 and bool(head) and not opens(head)
    for record in read_records(stream, reading.max_page_bytes, piece.end):
        if isinstance(record, Gap):
            gap = Raw(record.place, body=record.excerpt, error=record.error, counted=False)
            if foreign and not records:
                gaps.append(gap)  # perhaps the file is no crawl at all
            else:
                yield gap
            continue
        records += 1
        yield from gaps
        gaps = []
        if whole := segments.take(record):
            yield _capture(whole, reading)
    if not records and foreign and not stream.damage:
        found = sniffed_format(head)
        yield Raw(0, body=head[:200], error=f"not a WARC or ARC file; it looks like {found}", counted=False)
        return
    yield from gaps
    if not records and piece.start == 0 and not stream.damage and piece.end is None:
        yield Raw(0, error="the file holds no record", counted=False)
    if segments.waiting and piece.end is not None:
        for record in read_records(stream, reading.max_page_bytes):
            if not segments.waiting:
                break
            if isinstance(record, Record) and segments.continues(record) and (whole := segments.take(record)):
                yield _capture(whole, reading)
    yield from (_capture(record, reading) for record in segments.unfinished())


def seek_record(stream: Members, start: int) -> None:
    """Go to the first record that begins at or after a byte of the file.

    In plain bytes that is found by reading from the beginning, because a header in a content looks like any other.
    """
    if stream.compression is not None:
        stream.seek_member(opens)
        return
    for _ in read_records(stream, 0, start):
        pass


def _capture(record: Record, reading: Reading) -> Raw:
    """A WARC record as a page, or why it is none."""
    url, date = record.url, record.date
    raw = Raw(record.place, record.inner, url=url, date=date, capture=_identity(record, date))
    declared = record.headers.get("content-type", "").split(";")[0].strip().lower()
    if record.kind not in PAGE_KINDS:
        raw.ignored = record.kind
        return raw
    if (url or "").lower().startswith(OWN_NOTES):
        raw.ignored = f"{record.kind} of the crawler"
        return raw
    if record.kind == "conversion" and declared not in TEXT_TYPES:
        raw.ignored = f"conversion {declared}"
        return raw
    if record.kind == "resource" and declared not in (*HTML_TYPES, *TEXT_TYPES):
        raw.ignored = f"resource {declared}"
        return raw
    if record.damage:
        raw.error, raw.body = record.damage, (record.content or b"")[:200]
        return raw
    if record.content is None:
        raw.error = too_large(record.length, reading.max_page_bytes)
        return raw
    http = declared.startswith("application/http") or (not declared and record.content[:5].upper() == b"HTTP/")
    if record.kind != "response" or not http:
        return _typed(raw, record, declared, Response(None, {}, record.content))
    try:
        response = parse_response(record.content, reading.max_page_bytes, "warc-truncated" in record.headers)
    except TooLarge as error:
        raw.error, raw.body = str(error), record.content[:200]
        return raw
    except (OSError, ValueError, ArithmeticError) as error:
        raw.error, raw.body = f"the body cannot be decoded: {error}", record.content[:200]
        return raw
    if response.status is not None and not 200 <= response.status < 300:
        raw.ignored = f"response status {response.status}"
        return raw
    kind = response.content_type or record.headers.get("arc-content-type")
    if kind is None or (response.content_type is None and "/" not in kind):
        kind = "text/html" if sniffed_format(response.body[:4096]) == "html" else "untyped"
    raw.charset = response.charset
    raw.fields = {name: response.fields[name] for name in KEPT_FIELDS if name in response.fields}
    return _typed(raw, record, kind, response)


def _identity(record: Record, date: datetime | None) -> Capture:
    return Capture(
        record.address("warc-record-id"),
        record.headers.get("warc-payload-digest"),
        date,
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
    return raw
