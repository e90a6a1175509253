"""Dates as inputs state them, as UTC, or why they are none: a date that no column can hold is told of, never guessed.

ISO 8601, the 14 digits of ARC, days as YYYYMMDD, years, the dates of mail and HTTP, and numbers: seconds since 1970, or
milli-, micro- and nanoseconds where seconds would lie past the year 5000.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

EARLIEST, LATEST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)  # in any time zone
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?")


class NoDate(ValueError):
    """What is stated is no date that a column can hold; says why."""


def parse_date(text: str | None) -> datetime | None:
    """A stated date as UTC, None where there is none or it cannot be read."""
    try:
        return date_of(text) if text else None
    except NoDate:
        return None


def date_of(value: Any) -> datetime:
    """The date that a value of an input states, as UTC. Raises NoDate."""
    if isinstance(value, str):
        return _written(value.strip())
    if isinstance(value, datetime):
        return _held(value)
    if isinstance(value, date):
        return _held(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise NoDate(f"{type(value).__name__} is no date")
    return _number(value)


def _written(text: str) -> datetime:
    if NUMBER.fullmatch(text):
        return _number(Decimal(text))
    try:
        return _held(datetime.fromisoformat(text.upper()))
    except ValueError as error:
        if isinstance(error, NoDate):
            raise
    try:
        return _held(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        if isinstance(error, NoDate):
            raise
    raise NoDate(f"{text[:60]!r} is no date that can be read")


def from_epoch(value: int, unit: str) -> datetime:
    """The date of a number of seconds, ms, us or ns since 1970. Raises NoDate."""
    try:
        return _held(EPOCH + timedelta(microseconds=value * 10**6 // UNITS[unit]))
    except OverflowError:
        raise NoDate(f"{value} {unit} since 1970 is no date of the years 1 to 9999") from None


def _number(value: int | float | Decimal) -> datetime:
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        raise NoDate(f"{value} is no date")
    whole = int(value)
    digits = str(abs(whole)) if abs(whole) < 10**20 else ""
    if whole == value and whole > 0:
        for size, form in ((4, "%Y"), (8, "%Y%m%d"), (14, "%Y%m%d%H%M%S")):
            if len(digits) == size and (size != 4 or 1000 <= whole <= 2999):
                try:
                    return _held(datetime.strptime(digits, form))
                except ValueError:
                    break
    for unit, bound in (("s", 10**11), ("ms", 10**14), ("us", 10**17), ("ns", 10**20)):
        if abs(whole) < bound:
            return from_epoch(whole, unit)
    raise NoDate(f"{str(value)[:30]} is no date of the years 1 to 9999")


def _held(value: datetime) -> datetime:
    """A date that any reader can hold, whatever its zone; one without a zone is UTC."""
    try:
        found = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        raise NoDate(f"{value} is no date of the years 1 to 9999") from None
    if not EARLIEST <= found <= LATEST:
        raise NoDate(f"{value} is no date of the years 1 to 9999")
    return found
