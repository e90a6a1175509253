"""JSON as it is found, as rows: a line each, objects over several lines, one after another, or one array of them.

A line is a row. A line that only begins an object goes on over the lines after it, as far as none of them is a row of
its own; a file that begins with `[` is read element by element, in bounded memory. One bad row is one failure that
names its line and column. Rows are placed by their byte in the decompressed stream, or, of UTF-16 and UTF-32, in its
UTF-8.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import IO, Any, cast

from ..columns.carried import JsonRow
from ..text.charsets import by_mark, unmarked_wide
from .members import BLOCK, Members
from .naming import Naming
from .rows import record_of

TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
BARE_END = re.compile(rb"[,\]\n]")  # of a value that is no string, object or array
SPACE = b" \t\r\n"
BETWEEN = ",\x1e"  # what may stand between two rows; the record separator is that of JSON text sequences (RFC 7464)
WINDOW = 64 << 10
DECODER = json.JSONDecoder()
FIRST = 8 << 20  # bytes of a first line that is read to its end
LONG = 400  # digits of an integer that no column holds


def read_jsonl(stream: Members, start: int, end: int | None, limit: int, naming: Naming) -> Iterator[dict[str, Any]]:
    """Rows that begin in [start, end). Rows longer than `limit` bytes are passed over in bounded memory.

    The stream stands at start - 1, because the byte there tells whether a line begins at start.
    """
    stream.opens = begins_row
    base = max(0, start - 1)
    lines = JsonLines(stream, base, limit, naming)
    if start:
        _skip_line(stream)
        lines.line = 0  # unknown: the file is read from its middle
    else:
        if stream.peek(3) == b"\xef\xbb\xbf":
            stream.skip(3)
        head = stream.peek(WINDOW).lstrip(SPACE)
        if head[:1] == b"[" and head[1:].lstrip(SPACE)[:1] in (b"{", b"]", b""):
            yield from lines.array()
    while True:
        place = base + stream.position
        if (end is not None and place >= end) or not stream.peek(1):
            break
        yield from lines.take()
    for place, why, _ in stream.damage:
        yield {"place": place, "error": why, "counted": False}


def begins_row(data: bytes) -> bool:
    """Whether bytes may begin a row or an array of them."""
    return data.lstrip(SPACE)[:1] in (b"{", b"[")


class JsonLines:
    """Rows from a stream that stands at the beginning of a line."""

    def __init__(self, stream: Members, base: int, limit: int, naming: Naming) -> None:
        self.stream, self.base, self.limit, self.naming = stream, base, limit, naming
        self.line = 1  # number of the next line, 0 where it is unknown
        self._endless: set[int] = set()  # positions of lines that begin an object which ends nowhere

    def take(self) -> Iterator[dict[str, Any]]:
        """The rows of the next line, or of the lines that an object which it begins goes on over."""
        stream = self.stream
        place = self.base + stream.position
        length = stream.find(b"\n", self.limit + 1)
        if length < 0 and len(head := stream.peek(self.limit + 1)) > self.limit:
            _skip_line(stream)
            self._count(1)
            yield {"place": place, "body": head[:200], "error": f"larger than max_page_bytes ({self.limit} bytes)"}
            return
        size = length + 1 if length >= 0 else len(stream.peek(self.limit))
        line = stream.peek(size)
        if not line or line.isspace():
            stream.skip(size)
            self._count(1)
            return
        rows = list(self._rows(line, place))
        if (
            rows
            and rows[-1].get("unended")
            and line.lstrip(SPACE + BETWEEN.encode())[:1] in (b"{", b"[")
            and (longer := self._longer(size))
        ):
            size, line = len(longer), longer
            rows = list(self._rows(line, place))
        stream.skip(size)
        self._count(line.count(b"\n") or 1)
        for row in rows:
            row.pop("unended", None)
            yield row

    def _longer(self, size: int) -> bytes | None:
        """The lines over which an object goes that the next one begins; None where it does not end, or a row of its own
        comes before it does. What was searched in vain is not searched again from each of its lines."""
        stream, at, places, depths = self.stream, 0, [0], [0.0]
        if stream.position in self._endless:
            return None
        while True:
            found = stream.find(b"\n", self.limit + 1, at)
            if found < 0 and len(stream.peek(self.limit + 1)) > self.limit:
                del places[1 + len(places) // 2 :]  # what begins further on may end behind the limit
                break
            last = found < 0
            stop = stream.ahead(self.limit) if last else found + 1
            line = stream.part(at, stop)
            if at and line[:1] == b"{" and _is_row(line):
                break
            depth = depths[-1]
            for token in TOKEN.finditer(line):
                if token[0] == b'"':
                    depth = math.inf  # a string that its line does not end
                    break
                depth += (token[0] in (b"{", b"[")) - (token[0] in (b"}", b"]"))
            if depth == math.inf:
                break
            at = stop
            places.append(at)
            depths.append(depth)
            if depth <= 0:
                return stream.peek(stop) if at > size else None
            if last:
                break
        least, endless = math.inf, set[int]()
        for place, before, after in zip(places[-2::-1], depths[-2::-1], depths[:0:-1], strict=False):
            least = min(least, after)
            if least > before:
                endless.add(stream.position + place)
        self._endless = endless  # those of an earlier search lie behind
        return None

    def array(self) -> Iterator[dict[str, Any]]:
        """The elements of an array that the stream begins with; it then stands after it."""
        stream = self.stream
        self._past(SPACE)
        stream.skip(1)
        while True:
            self._past(SPACE + b",")
            head = stream.peek(1)
            if not head or head == b"]":
                stream.skip(1)
                self._past(SPACE)
                if not head:
                    place = self.base + stream.position
                    yield {"place": place, "error": "not JSON: the array does not end", "counted": False}
                return
            place = self.base + stream.position
            size = element(stream, self.limit)
            if size is None:
                excerpt = stream.peek(200)
                _pass_element(stream)
                yield {"place": place, "body": excerpt, "error": f"larger than max_page_bytes ({self.limit} bytes)"}
                self.line = 0
                continue
            data = stream.read(size)
            for row in self._rows(data, place):
                row.pop("unended", None)
                yield row
            self._count(data.count(b"\n"))

    def _past(self, what: bytes) -> None:
        while (head := self.stream.peek(256)) and head[0] in what:
            passed = len(head) - len(head.lstrip(what))
            self._count(head[:passed].count(b"\n"))
            self.stream.skip(passed)

    def _count(self, lines: int) -> None:
        if self.line:
            self.line += lines

    def _rows(self, data: bytes, place: int) -> Iterator[dict[str, Any]]:
        """The rows of one piece of JSON: an object, several one after another, or an array of them."""
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            why = f"invalid UTF-8: {error.reason} at byte {error.start} of the line"
            yield {"place": place, "error": why, "body": data[:200]}
            return
        at = _space(text, 0, BETWEEN)
        shift = len(text[:at].encode())
        while at < len(text):
            try:
                value, stop = _decoded(text, at)
            except (ValueError, RecursionError) as error:
                yield {"place": place + shift, **self._bad(error, text, at, data)}
                return
            if isinstance(value, dict):
                yield {"place": place + shift, **self._record(value, text[at:stop])}
            elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
                for one, (before, begin, end) in zip(value, element_places(text, at), strict=True):
                    yield {"place": place + shift + before, **self._record(one, text[begin:end])}
            elif not isinstance(value, list) or value or len(data.strip()) > 2:
                error = f"not a JSON object but {type(value).__name__}"
                yield {"place": place + shift, "error": error, "body": data[:200]}
            begun, at = at, _space(text, stop, BETWEEN)
            if at < len(text):
                shift += len(text[begun:at].encode())

    def _record(self, value: dict[str, Any], text: str) -> dict[str, Any]:
        made = record_of(value, self.naming)
        made["columns"] = JsonRow(text, value, made.pop("text_from", None))
        return made

    def _bad(self, error: Exception, text: str, at: int, data: bytes) -> dict[str, Any]:
        if not isinstance(error, json.JSONDecodeError):
            return {"error": f"not JSON: {' '.join(str(error).split())[:200]}", "body": data[:200]}
        where = f"column {error.colno}"
        if self.line:
            where = f"line {self.line + error.lineno - 1} {where}"
        said = error.msg
        before = text[: error.pos].rstrip()
        if before.endswith(",") and text[error.pos : error.pos + 1] in ("}", "]"):
            said = "a comma before the end of an object or array"
        return {"error": f"not JSON: {said} at {where}", "body": data[:200], "unended": True}


def _space(text: str, at: int, more: str = "") -> int:
    while at < len(text) and text[at] in " \t\r\n\ufeff" + more:
        at += 1
    return at


def _decoded(text: str, at: int) -> tuple[Any, int]:
    """(value, where it ends) of the JSON that begins there. Integers too long to be numbers are kept as None."""
    try:
        return DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < LONG else None).raw_decode(
            text, at
        )


def _is_row(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def element_places(text: str, begin: int) -> Iterator[tuple[int, int, int]]:
    """(bytes between the beginning of an array of objects and the element, its begin and end in the text), of each."""
    at, before = _space(text, begin + 1), 0
    before = len(text[begin:at].encode())
    while at < len(text) and text[at] != "]":
        stop = _decoded(text, at)[1]
        yield before, at, stop
        begun, at = at, _space(text, stop, ",")
        before += len(text[begun:at].encode())


def element(stream: Members, limit: int) -> int | None:
    """Bytes of the JSON value that the stream stands at, None where it is longer than the limit."""
    depth, at, size = 0, 0, 4 << 10
    if stream.peek(1) not in (b"{", b"[", b'"'):
        size = 64
        while not (found := BARE_END.search(window := stream.peek(size), 1)):
            if len(window) < size or size >= min(limit, WINDOW):
                return len(window)
            size *= 4
        return found.start()
    while True:
        window = stream.peek(size)
        for token in TOKEN.finditer(window, at):
            if token[0] == b'"':
                break
            depth += (token[0] in (b"{", b"[")) - (token[0] in (b"}", b"]"))
            at = token.end()
            if depth <= 0:
                return at
        if len(window) < size:
            return len(window)  # it does not end: reading it will say so
        if size > limit:
            return None
        size = min(size * 4, limit + 1)


def _pass_element(stream: Members) -> None:
    """Pass over a JSON value in bounded memory."""
    depth = 0
    while window := stream.peek(WINDOW):
        at, held = 0, False
        for token in TOKEN.finditer(window):
            if token[0] == b'"':
                at, held = token.start(), True
                break
            depth += (token[0] in (b"{", b"[")) - (token[0] in (b"}", b"]"))
            at = token.end()
            if depth <= 0:
                stream.skip(at)
                return
        if not held:
            stream.skip(len(window))
            continue
        stream.skip(at + 1)
        while window := stream.peek(WINDOW):  # the rest of a long string
            end = re.search(rb'(?:[^"\\]++|\\.)*+', window, re.DOTALL)
            passed = end.end() if end else 0
            if window[passed : passed + 1] == b'"':
                stream.skip(passed + 1)
                break
            stream.skip(max(1, passed))


def _skip_line(stream: Members) -> None:
    while True:
        found = stream.find(b"\n", 1 << 20)
        if found >= 0:
            stream.skip(found + 1)
            return
        if not stream.skip(len(stream.peek(1 << 20))):
            return


def wide_codec(head: bytes) -> str | None:
    """UTF-16 or UTF-32, where the first bytes of a file of lines show it."""
    marked = by_mark(head)
    name = marked[0] if marked else unmarked_wide(head)
    return name if name and name.startswith(("utf-16", "utf-32")) else None


def by_lines(stream: Members) -> bool:
    """Whether a file that is not compressed has a row a line, so that it can be cut at any line: its first line is one.

    It is not where an array or an object goes over lines, or characters are wider than bytes.
    """
    if wide_codec(stream.peek(1024)):
        return False
    if stream.peek(3) == b"\xef\xbb\xbf":
        stream.skip(3)
    while (head := stream.peek(WINDOW)) and not head.strip():
        stream.skip(len(head))
    stream.skip(len(head) - len(head.lstrip(SPACE)))
    length = stream.find(b"\n", FIRST)
    if length < 0:
        return stream.ahead(FIRST) == FIRST and stream.peek(1) == b"{"
    return _is_row(stream.peek(length))


def in_utf8(stream: Members) -> Members:
    """The stream itself, or, where it is UTF-16 or UTF-32, one that reads the same in UTF-8."""
    name = wide_codec(stream.peek(1024))
    if name is None:
        return stream
    recoded = Members(cast(IO[bytes], _Recoded(stream, name)))
    recoded.damage = stream.damage
    return recoded


class _Recoded:
    """The bytes of a stream in another encoding, for `Members` to read."""

    def __init__(self, stream: Members, name: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(name)("replace")

    def seek(self, place: int) -> int:
        return place

    def read(self, size: int = BLOCK) -> bytes:
        while True:
            data = self._stream.read(size)
            text = self._decoder.decode(data, final=not data)
            if text or not data:
                return text.removeprefix("\ufeff").encode()
