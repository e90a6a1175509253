"""Records that a writer cut into segments (ISO 28500, section 8), put together again: whole, or told as not whole.

A first segment waits for its continuations, wherever in the file they come; what is in another file stays away, and
the record is then given back as damaged, never as the page that its first half seems to be.
"""

from dataclasses import replace

from .warc import Record

HELD = 4  # records of the largest size that may wait at once


class Segments:
    """First segments that wait for the rest. `limit`: bytes of content that a whole record may have."""

    def __init__(self, limit: int) -> None:
        self.waiting: dict[str, list[Record]] = {}  # record id -> its segments so far
        self._limit = limit

    def continues(self, record: Record) -> bool:
        """Whether this record goes on with one that waits."""
        return record.kind == "continuation" and _origin(record) in self.waiting

    def take(self, record: Record) -> Record | None:
        """The record to go on with: itself where it is no segment, the whole where it is the last one, else None.

        A continuation without its beginning comes back as it is: it is no page.
        """
        number = record.headers.get("warc-segment-number", "").strip()
        if record.kind != "continuation":
            name = record.address("warc-record-id")
            if not number or number != "1" or name is None or record.damage or record.content is None:
                return record if not number else _told(record, f"segment {number} of a record")
            if sum(part.read for parts in self.waiting.values() for part in parts) > HELD * self._limit:
                return _told(record, "too many records wait for their other segments")
            self.waiting[name] = [record]
            return None
        if not self.continues(record):
            return record
        parts = self.waiting[_origin(record)]
        parts.append(record)
        last = record.headers.get("warc-segment-total-length", "").strip()
        held = sum(part.read for part in parts)
        if record.damage or record.content is None or number != str(len(parts)) or held > self._limit:
            del self.waiting[_origin(record)]
            return _told(parts[0], record.damage or f"segment {number} does not go on with the one before it")
        if not last:
            return None
        del self.waiting[_origin(record)]
        if str(held) != last:
            return _told(parts[0], f"its segments hold {held} bytes, the record {last}")
        return replace(parts[0], content=b"".join(part.content or b"" for part in parts), length=held, read=held)

    def unfinished(self) -> list[Record]:
        """What still waits, as damaged records."""
        left = [_told(parts[0], "its other segments are not in this file") for parts in self.waiting.values()]
        self.waiting = {}
        return left


def _origin(record: Record) -> str:
    return record.address("warc-segment-origin-id") or ""


def _told(record: Record, why: str) -> Record:
    return replace(record, damage=record.damage or f"a record in segments that is not whole: {why}")
