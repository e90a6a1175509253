"""Records of WARC 0.17 to 1.1 and ARC files, whatever the compression, each with its exact place in the file.

Framing is ours, decompression is not: FastWARC stops at folded header lines, lower-case version lines, lengths that
are wrong by a few bytes and at ARC files, passes over truncation in silence, and gives every
record of a single-member gzip file the same offset, which an id must not have. Reading costs a few per cent of
extraction. Content longer than `limit` is passed over, never held; what cannot be framed is reported as a `Gap`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .members import Members

HEADER_LIMIT = 64 << 10
VERSION = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n", re.IGNORECASE)
ARC_LINE = re.compile(
    rb"[a-z][a-z0-9+.-]*:[^\r\n]* \d{1,3}(\.\d{1,3}){3} -?[^ \r\n]+ [^\r\n]* -?\d+\r?\n", re.IGNORECASE
)
NEXT = re.compile(rb"(?<=[\r\n])WARC/\d+\.\d+[ \t]*\r?\n(?=[A-Za-z-]+:)|WARC/1\.\d\r\n(?=WARC-Type:)", re.IGNORECASE)
OLDER_VERSION_FIELDS = 5  # URL IP date content-type length


@dataclass
class Record:
    """One record. `content` is None where it is longer than the limit; `read` < `length` where the file ends early."""

    kind: str  # lower case: response, request, warcinfo, ...; "unknown" where it is not stated
    headers: dict[str, str]  # names in lower case; of repeated fields the first
    place: int
    inner: int
    length: int
    content: bytes | None
    read: int

    @property
    def url(self) -> str | None:
        return self.address("warc-target-uri")

    @property
    def date(self) -> datetime | None:
        return parse_date(self.headers.get("warc-date"))

    def address(self, name: str) -> str | None:
        """A field that holds a URI, without the `<>` that some writers put around it."""
        return self.headers.get(name, "").strip().removeprefix("<").removesuffix(">") or None

    @property
    def truncated(self) -> bool:
        return self.read < self.length


@dataclass(frozen=True)
class Gap:
    """Bytes that belong to no record."""

    place: int
    error: str
    excerpt: bytes = field(default=b"")


def parse_date(text: str | None) -> datetime | None:
    """A WARC (ISO 8601) or ARC (14 digits) date as UTC, None where it is neither."""
    text = (text or "").strip().upper()
    try:
        if re.fullmatch(r"\d{14}", text):
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        return None


def read_records(stream: Members, limit: int, end: int | None = None) -> Iterator[Record | Gap]:
    """Records in file order whose place is before `end`. Content over `limit` bytes is passed over."""
    noted = 0
    arc_fields = OLDER_VERSION_FIELDS
    while True:
        _skip_newlines(stream)
        head = stream.peek(16)
        while noted < len(stream.damage) and stream.damage[noted][2] <= stream.position:
            yield Gap(*stream.damage[noted][:2])
            noted += 1
        place, inner = stream.place()
        if not head or (end is not None and place >= end):
            return
        if head[:5].upper() == b"WARC/":
            headers = _warc_header(stream)
        else:
            headers = _arc_header(stream, arc_fields)
            if headers and headers["warc-type"] == "warcinfo":
                arc_fields = _arc_fields(stream)
        if headers is None:
            yield _resynchronise(stream, place)
            continue
        record = _record(stream, headers, place, inner, limit)
        if record.truncated:
            noted = len(stream.damage)  # the record itself tells of it
        yield record


def _record(stream: Members, headers: dict[str, str], place: int, inner: int, limit: int) -> Record:
    stated = headers.get("content-length", "").strip()
    length = int(stated) if stated.isascii() and stated.isdigit() else 0
    if length > limit:
        content, read = None, stream.skip(length)
    else:
        content = stream.read(length)
        read = len(content)
    kind = headers.get("warc-type", "").strip().lower() or "unknown"
    return Record(kind, headers, place, inner, length, content, read)


def _skip_newlines(stream: Members) -> None:
    while (head := stream.peek(4)) and head[0] in b"\r\n":
        stream.skip(len(head) - len(head.lstrip(b"\r\n")))


def _warc_header(stream: Members) -> dict[str, str] | None:
    """The fields of a header, the stream standing after its empty line; None where it is none."""
    head = stream.peek(64)
    if not VERSION.match(head):
        return None
    end = stream.find(b"\r\n\r\n", HEADER_LIMIT)
    bare = stream.find(b"\n\n", min(HEADER_LIMIT, end if end >= 0 else HEADER_LIMIT))
    if end < 0 and bare < 0:
        return None
    data = stream.read(bare + 2 if bare >= 0 and (end < 0 or bare < end) else end + 4)
    return parse_fields(data.split(b"\n")[1:])


def parse_fields(lines: list[bytes]) -> dict[str, str]:
    """Header fields by lower-case name; a line that begins with white space goes on with the one before it."""
    fields: dict[str, str] = {}
    name = ""
    for raw in lines:
        if not raw.strip():
            continue
        line = _decode(raw.rstrip(b"\r"))
        if line[0] in " \t":
            if name:
                fields[name] = f"{fields[name]} {line.strip()}".strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or name in fields:
            name = ""
            continue
        fields[name] = value.strip()
    return fields


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _arc_header(stream: Members, fields: int) -> dict[str, str] | None:
    """The fields of an ARC record line; the URL may hold spaces, so the line is split from its end."""
    end = stream.find(b"\n", HEADER_LIMIT)
    line = stream.peek(end + 1) if end >= 0 else b""
    if not ARC_LINE.match(line):
        return None
    parts = _decode(line.strip()).rsplit(" ", fields - 1)
    if len(parts) < fields or not parts[-1].isdigit():
        parts = _decode(line.strip()).rsplit(" ", OLDER_VERSION_FIELDS - 1)
    if len(parts) < OLDER_VERSION_FIELDS or not parts[-1].isdigit():
        return None
    stream.skip(len(line))
    url, address, date, kind = parts[:4]
    return {
        "warc-type": "warcinfo" if url.startswith("filedesc:") else "response",
        "warc-target-uri": url,
        "warc-ip-address": address,
        "warc-date": date,
        "content-type": "application/http; msgtype=response" if url.startswith("http") else kind,
        "content-length": parts[-1],
    }


def _arc_fields(stream: Members) -> int:
    """Fields of a record line as the file's own description states them (5, or 10 in version 2)."""
    head = stream.peek(512).split(b"\n")
    return len(head[1].split()) if len(head) > 1 and head[1].startswith(b"URL ") else OLDER_VERSION_FIELDS


def _resynchronise(stream: Members, place: int) -> Gap:
    """Pass over bytes up to the next record header, in bounded memory."""
    excerpt, lost = stream.peek(200), 0
    lost += stream.skip(1)
    while True:
        window = stream.peek(64 << 10)
        found = NEXT.search(window)
        if found:
            lost += stream.skip(found.start())
            break
        if len(window) < 64 << 10:
            lost += stream.skip(len(window))
            break
        lost += stream.skip(len(window) - 256)
    return Gap(place, f"{lost} bytes that belong to no record were passed over", excerpt)
