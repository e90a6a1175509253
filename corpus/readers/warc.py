"""Records of WARC 0.17 to 1.1 and ARC files, whatever the compression, each with its exact place in the file.

Framing is ours, decompression is not: FastWARC stops at folded header lines, lower-case version lines, lengths that
are wrong by a few bytes and at ARC files, passes over truncation in silence, and gives every
record of a single-member gzip file the same offset, which an id must not have. Reading costs a few per cent of
extraction. Content longer than `limit` is passed over, never held; what cannot be framed is reported as a `Gap`.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from . import arc
from .dates import parse_date
from .members import CUT_OFF, ENDS, LINE, Members

HEADER_LIMIT = 64 << 10
BLANKS = " \t\r\n\f\v"
FOLDED = frozenset(" \t")  # first characters of a line that goes on with the one before it
WINDOW = 64 << 10  # bytes that a search for the next record looks at in one step
VERSION = re.compile(rb"WARC/\d+\.\d+[ \t]*\r*\n", re.IGNORECASE)
NEXT_WARC = rb"(?<=[\r\n])WARC/\d+\.\d+[ \t]*\r*\n(?=[A-Za-z][A-Za-z-]*[ \t]*:)|WARC/1\.\d\r\n(?=WARC-Type:)"
NEXT = re.compile(NEXT_WARC + rb"|" + arc.ANYWHERE, re.IGNORECASE)
HEADER_END = re.compile(rb"\n\r*\n")
RETURNS = 4  # how often a stream goes back for a length over the limit that proved wrong; then none is believed


@dataclass
class Record:
    """One record. `content` is None where it is longer than the limit; `damage` says why it is not what it states."""

    kind: str  # lower case: response, request, warcinfo, ...; "unknown" where it is not stated
    headers: dict[str, str]  # names in lower case; of repeated fields the first
    place: int
    inner: int
    length: int
    content: bytes | None
    read: int  # bytes of the content that are there
    damage: str | None = None

    @property
    def url(self) -> str | None:
        return self.address("warc-target-uri")

    @property
    def date(self) -> datetime | None:
        return parse_date(self.headers.get("warc-date"))

    def address(self, name: str) -> str | None:
        """A field that holds a URI, without the `<>` that some writers put around it."""
        value = self.headers.get(name)
        return value.strip().removeprefix("<").removesuffix(">") or None if value else None


@dataclass(frozen=True)
class Gap:
    """Bytes that belong to no record."""

    place: int
    error: str
    excerpt: bytes = field(default=b"")


def read_records(stream: Members, limit: int, end: int | None = None) -> Iterator[Record | Gap]:
    """Records in file order whose place is before `end`. Content over `limit` bytes is passed over.

    A record ends where its length says, unless bytes are missing before, or a later member of a compressed file begins
    a record of its own; then it is damaged. Where neither a record nor the end follows, its length is wrong: it is
    damaged, and the next header, in its content or after it, is where reading goes on.
    """
    stream.opens = opens
    noted = 0
    told: int | None = None  # member whose damage the last record has told of
    while True:
        head = _past_newlines(stream)
        noted = min(noted, len(stream.damage)) if noted else 0
        while noted < len(stream.damage) and stream.damage[noted][2] <= stream.position:
            if stream.damage[noted][0] != told:
                yield Gap(*stream.damage[noted][:2])
            noted += 1
        place, inner = stream.place()
        if not head or (end is not None and place >= end):
            return
        old = head[:5].upper() != b"WARC/"
        headers = _arc_header(stream) if old else _warc_header(stream)
        if headers is None:
            yield _resynchronise(stream, place)
            continue
        record = _record(stream, headers, (place, inner), limit, old)
        told = place if record.damage and stream.compression else None
        yield record


def opens(data: bytes) -> bool:
    """Whether these bytes begin with the header of a record."""
    return bool(VERSION.match(data)) if data[:5].upper() == b"WARC/" else arc.begins(data)


def _record(stream: Members, headers: dict[str, str], at: tuple[int, int], limit: int, old: bool) -> Record:
    stated, length = _stated(headers)
    kind = headers.get("warc-type", "").strip().lower() or "unknown"
    if length > limit:
        read, damage = _pass_over(stream, length, old)
        return Record(kind, headers, *at, length, None, read, damage)
    read, why = stream.together(length)
    # read before what follows is looked at, so that no byte of it is moved once more; where a content had to be put
    # back before, after it, so that records that all state a large length do not each move as much
    content = None if stream.put_back_before else stream.read(read)
    ending = _ending(stream, read if content is None else 0, old) if why is None else None
    if why is None and not ending:
        why = "what follows is neither a record nor the end of one"
    if ending != SURE:
        if content is not None:
            stream.put_back(content)
        content = None
        beyond = len(stream.following(read, LINE)) if read == length else 0  # a header may begin before the length ends
        found = stream.search(NEXT, 0, read + beyond)
        if 0 <= found < read and not (ending and _holds_records(stream, found, read)):
            read, why = found, "the next record begins there"
    if content is None:
        content = stream.read(read)
    if (
        why is None
        and stream.damage
        and any(place == at[0] and gap <= stream.position + 4 for place, _, gap in stream.damage[-4:])
    ):
        why = stream.damage[-1][1] if stream.compression else None
    return Record(kind, headers, *at, length, content, read, _told(stated, length, read, why))


def _told(stated: str, length: int, read: int, why: str | None) -> str | None:
    if why is None:
        return None
    if why in (ENDS, CUT_OFF):
        return f"the file ends within the record: {read} of {length} bytes are there"
    if not stated.isdigit():
        return f"the record states no length ({stated or 'no field'}); {why}"
    if read == length:
        return f"the record states a length of {length} bytes, which is not its own: {why}"
    return f"the record states {length} bytes, but only {read} are there: {why}"


SURE, LIKELY = "sure", "likely"


def _ending(stream: Members, length: int, old: bool) -> str | None:
    """Whether the content's end is one: sure where a record follows, or the end of the file or of what is sound of it;
    likely where the line ends follow that a writer puts there, but no record after them."""
    tail = stream.following(length, LINE if old else 64)
    rest = tail.lstrip(b"\r\n")
    if not rest or (opens(rest) and (tail != rest or not old or arc.KNOWN.match(rest))):
        return SURE
    return LIKELY if tail.startswith((b"\n", b"\r\n", b"\r\r\n") if old else (b"\r\n\r\n", b"\n\n")) else None


def _holds_records(stream: Members, start: int, end: int) -> bool:
    """Whether the content holds a crawl from `start` to its end: records one after the other, by their lengths.

    What is inside of those is not asked: a crawl in a crawl in a crawl would be read once for each. After `RETURNS`
    contents that held none, none is believed to.
    """
    if stream.returns >= RETURNS:
        return False
    inner = Members(io.BytesIO(stream.part(start, end)))
    while True:
        head = _past_newlines(inner)
        if not head:
            return True
        old = head[:5].upper() != b"WARC/"
        headers = _arc_header(inner) if old else _warc_header(inner)
        length = _stated(headers)[1] if headers is not None else -1
        if length < 0 or length > inner.left() or not _ending(inner, length, old):
            stream.returns += 1
            return False
        inner.skip(length)


def _stated(headers: dict[str, str]) -> tuple[str, int]:
    """(what the header says of the content's length, the number of bytes that it is taken for)."""
    said = headers.get("content-length", "").strip()
    return said, int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0


def _pass_over(stream: Members, length: int, old: bool) -> tuple[int, str | None]:
    """Read past content that is too large to hold: (bytes of it, what is wrong with it)."""
    start, passed, found, why = stream.position, 0, -1, None
    beyond = stream.compression is None and length > stream.left()
    if beyond or (stream.compression is None and stream.returns < RETURNS):
        if not beyond:
            stream.jump(start + length)
            if _ending(stream, 0, old):
                return length, None
            stream.returns += 1
            stream.jump(start)
        passed, found = _to_next(stream, length)
        return passed, _told("0", length, passed, "the next record begins there" if found else ENDS)
    while passed < length:
        step, why = stream.together(min(WINDOW, length - passed))
        if found < 0 and (seen := stream.search(NEXT, 0, step)) >= 0:
            found = passed + seen
            if stream.returns >= RETURNS:
                stream.skip(seen)
                return found, _told("0", length, found, "the next record begins there")
        last = why is not None or passed + step >= length
        passed += stream.skip(step if last else max(1, step - LINE))
        if last:
            break
    if why is None and _ending(stream, 0, old):
        return passed, None
    if found >= 0:
        stream.returns += 1
        stream.jump(start + found)
        return found, _told("0", length, found, "the next record begins there")
    return passed, _told("0", length, passed, why or "what follows is neither a record nor the end of one")


def _past_newlines(stream: Members) -> bytes:
    """The first bytes behind line ends, which are passed over."""
    while (head := stream.peek(16)) and head[0] in b"\r\n":
        stream.skip(len(head) - len(head.lstrip(b"\r\n")))
    return head


def _warc_header(stream: Members) -> dict[str, str] | None:
    """The fields of a header, the stream standing after its empty line; None where it is none."""
    size = 1 << 10
    while True:
        window = stream.peek(size)
        if not VERSION.match(window):
            return None
        found = HEADER_END.search(window)
        if found or len(window) < size or size >= HEADER_LIMIT:
            break
        size *= 4
    if not found or stream.together(found.end())[0] < found.end():
        return None
    return parse_fields(stream.read(found.end()))


def parse_fields(head: bytes, joined: tuple[str, ...] = ()) -> dict[str, str]:
    """Header fields below a first line, by lower-case name; a line that begins with white space goes on with the one
    before it.

    Of a field that is repeated the first counts; those of `joined` become one list.
    """
    lines = head.partition(b"\n")[2]
    try:
        texts = lines.decode().split("\n")  # all at once: this is a tenth of reading
    except UnicodeDecodeError:
        texts = [_decode(raw) for raw in lines.split(b"\n")]
    fields: dict[str, str] = {}
    name = ""
    for line in texts:
        if line[:1] in FOLDED:
            if name and line.strip(BLANKS):
                fields[name] = f"{fields[name]} {line.strip()}".strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if name in fields or not colon:
            if colon and name in joined:
                fields[name] = f"{fields[name]}, {value.strip()}"
            elif line.strip(BLANKS):
                name = ""
            continue
        fields[name] = value.strip()
    return fields


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _arc_header(stream: Members) -> dict[str, str] | None:
    """The fields of an ARC record line, the stream standing after it; None where it is none."""
    end = stream.find(b"\n", HEADER_LIMIT)
    if end < 0 or stream.together(end + 1)[0] <= end:
        return None
    fields = arc.parse_line(stream.peek(end + 1))
    if fields is not None:
        stream.skip(end + 1)
    return fields


def _resynchronise(stream: Members, place: int) -> Gap:
    """Pass over bytes up to the next record header, in bounded memory."""
    excerpt = stream.peek(200)
    lost = stream.skip(1)
    return Gap(place, f"{lost + _to_next(stream)[0]} bytes that belong to no record were passed over", excerpt)


def _to_next(stream: Members, limit: int | None = None) -> tuple[int, bool]:
    """Pass over bytes up to a header, a gap, the end or the limit: (how many, whether a header is there)."""
    lost = 0
    while limit is None or lost < limit:
        size, why = stream.together(WINDOW)
        found = stream.search(NEXT, 0, size)
        if found >= 0:
            return lost + stream.skip(found), True
        if why is not None:
            return lost + stream.skip(size), why != ENDS
        lost += stream.skip(size - LINE)
    return lost, False
