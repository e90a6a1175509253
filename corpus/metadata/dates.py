"""Dates as pages state them: ISO 8601 (weeks and days of the year too), RFC 2822 and RFC 850, seconds since 1970, days
with the names of months in 60 languages (`months.py`), years of Thailand and of Japanese eras.

A name of a time zone counts where one zone alone is meant (UTC, GMT, EST, CET, JST, ...). Where a time has another
name (IST, CST outside of America), or a form leaves open which number is the month (05/06/2020), nothing is guessed:
the first gives the day as it is written, the second nothing.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

from .months import bare, months

EARLIEST, LATEST = 1990, 2100  # years of pages
ZONES = {  # name -> minutes east of Greenwich
    **dict.fromkeys(("utc", "gmt", "z", "ut", "wet"), 0),
    **{"est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420},
    **{"akst": -540, "akdt": -480, "hst": -600, "ast": -240, "adt": -180, "nst": -210, "ndt": -150, "brt": -180},
    **{"west": 60, "bst": 60, "cet": 60, "cest": 120, "mez": 60, "mesz": 120, "eet": 120, "eest": 180, "msk": 180},
    **{"trt": 180, "pkt": 300, "wib": 420, "ict": 420, "hkt": 480, "sgt": 480, "awst": 480, "jst": 540, "kst": 540},
    **{"acst": 570, "acdt": 630, "aest": 600, "aedt": 660, "nzst": 720, "nzdt": 780, "sast": 120, "cat": 120},
    **{"eat": 180, "wat": 60, "art": -180, "clt": -240, "clst": -180, "pet": -300, "cot": -300},
}
_TIME = re.compile(
    r"(?<![\d:])(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?:([ap])\.?\s?m\b\.?)?"
    r"\s*(?:\(?((?:utc|gmt)?[+-]\d{1,2}(?::?\d{2})?|[^\W\d_]{1,5})\b\)?)?"
)
_ISO = re.compile(r"(?<!\d)(\d{4})(-|/|\.\s?)(\d{1,2})\2(\d{1,2})(?!\d)")
_YMD = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]?")
_ERA = re.compile(r"(令和|平成)\s*(\d{1,2}|元)\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日")
_ERAS = {"令和": 2018, "平成": 1988}  # the year before the first
_NUMBERED = (  # months that are numbered by a word: Vietnamese, Mongolian
    (re.compile(r"(?<!\d)(\d{1,2})\s*thang\s*(\d{1,2})\s*,?\s*(?:nam\s*)?(\d{4})(?!\d)"), (3, 2, 1)),
    (re.compile(r"(?<!\d)(\d{4})\s*оны?\s*(\d{1,2})\s*(?:-?р|дугаар|дүгээр)?\s*сарын\s*(\d{1,2})(?!\d)"), (1, 2, 3)),
)
_DOTTED = re.compile(r"(?<!\d)(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?!\d)")
_SLASHED = re.compile(r"(?<!\d)(\d{1,2})[-/](\d{1,2})[-/](\d{4})(?!\d)")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:t?(\d{2})(\d{2})(\d{2})?)?(z|[+-]\d{2}:?\d{2})?$")
_OF_THE_YEAR = re.compile(r"(\d{4})-(\d{3})(?:t(\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(z|[+-]\d{2}:?\d{2})?)?$")
_SECONDS = re.compile(r"(\d{10})(?:\.\d+|\d{3})?$")
# letters with the signs that scripts of India and Thailand write around them, or digits
_WORD = re.compile(r"\d+|(?:[^\W\d_]|(?!\d)[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e30-\u0e4e])+")
_FILLERS = frozenset("st nd rd th of de del di do da der den the er re º ª ta le el la il am".split())
_THAI = re.compile("[\u0e01-\u0e4e]")
_UNSEEN = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


def parse_date(text: str) -> datetime | None:
    """The date that a text of at most 100 characters states, as UTC; None for what is none or leaves it open.

    A day alone is its midnight in UTC.
    """
    text = " ".join(_UNSEEN.sub("", text).split())
    if not 6 <= len(text) <= 100 or not any(c.isdecimal() for c in text):
        return None
    plain = text.replace("/", "-") if re.match(r"\d{4}/", text) else text
    try:
        return _settled(datetime.fromisoformat(plain)) if plain[:4].isdecimal() and "-" in plain else _written(plain)
    except (ValueError, OverflowError):
        return _written(plain)


def _written(text: str) -> datetime | None:
    """A date in any of the other forms."""
    small = bare(text)
    if found := _COMPACT.fullmatch(small):
        year, month, day, hour, minute, second = (int(one or 0) for one in found.groups()[:6])
        return _made(year, month, day, hour, minute, second, _zone((found[7] or "").removeprefix("z")) or 0)
    if found := _OF_THE_YEAR.fullmatch(small):
        hour, minute, second = (int(one or 0) for one in found.groups()[2:5])
        first = _made(int(found[1]), 1, 1, hour, minute, second, _zone((found[6] or "").removeprefix("z")) or 0)
        return first + timedelta(days=int(found[2]) - 1) if first and 0 < int(found[2]) < 367 else None
    if found := _SECONDS.fullmatch(small):
        hours = re.fullmatch(r"(\d{4})(\d{2})(\d{2})(\d{2})", small)
        stated = _made(*map(int, hours.groups())) if hours else None
        return stated or _settled(datetime.fromtimestamp(int(found[1]), UTC))
    day = _day(small)
    if day is None:
        return None
    time = next((found for found in _TIME.finditer(small) if _is_time(found)), None)
    if time is None:
        return _made(*day)
    hour, minute, second = (int(part) if part else 0 for part in time.groups()[:3])
    if time[4]:
        if not 1 <= hour <= 12:
            return _made(*day)
        hour = hour % 12 + 12 * (time[4] == "p")
    minutes = _zone(time[5] or "")
    made = _made(*day, hour, minute, min(second, 59), minutes or 0)
    return _made(*day) if minutes is None else made


def _is_time(found: re.Match[str]) -> bool:
    return int(found[1]) < 24 and int(found[2]) < 60


def _zone(name: str) -> int | None:
    """Minutes east of Greenwich, 0 for no name, None where the name is of no zone that is known."""
    name = name.removeprefix("utc").removeprefix("gmt") if name[3:4] in ("+", "-") else name
    if not name:
        return 0
    if name[0] in "+-":
        digits = name[1:].replace(":", "")
        hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
        return (hours * 60 + minutes) * (-1 if name[0] == "-" else 1) if hours <= 14 and minutes < 60 else None
    if name in ("h", "hs", "hrs", "uhr", "on", "at", "by", "a", "p", "am", "pm"):
        return 0
    return ZONES.get(name)


def _day(text: str) -> tuple[int, int, int] | None:
    """(year, month, day) of the one day that a text names."""
    thai = 543 if _THAI.search(text) else 0
    if found := _ISO.search(text):
        return _buddhist(int(found[1]), thai), int(found[3]), int(found[4])
    if found := _YMD.search(text):
        return int(found[1]), int(found[2]), int(found[3])
    if found := _ERA.search(text):
        return _ERAS[found[1]] + (1 if found[2] == "元" else int(found[2])), int(found[3]), int(found[4])
    for pattern, (year, month, day) in _NUMBERED:
        if found := pattern.search(text):
            return int(found[year]), int(found[month]), int(found[day])
    if found := _DOTTED.search(text):
        return int(found[3]), int(found[2]), int(found[1])
    if found := _SLASHED.search(text):
        first, second = int(found[1]), int(found[2])
        if first == second or (second > 12 >= first):
            return int(found[3]), first, second
        return (int(found[3]), second, first) if first > 12 >= second else None
    return _named_day(text)


def _buddhist(year: int, ahead: int) -> int:
    """The year of the common era of one that may be counted from the Buddha's death."""
    return year - ahead if ahead and 2400 <= year <= 2700 else year


def _named_day(text: str) -> tuple[int, int, int] | None:
    words = [word for word in _WORD.findall(_TIME.sub(" ", text) if ":" in text else text) if word not in _FILLERS]
    named = [n for n, word in enumerate(words) if word in months() and not word.isdecimal()]
    years = [int(word) for word in words if word.isdecimal() and len(word) == 4]
    if len({months()[words[n]] for n in named}) != 1:
        return None
    near = [n + k for n in named[:1] for k in (-1, 1, -2, 2)]
    near = [n for n in near if 0 <= n < len(words)]
    days = [int(words[n]) for n in near if words[n].isdecimal() and 0 < int(words[n]) < 32 and len(words[n]) <= 2]
    if len(years) != 1:
        short = re.search(r"\b(\d{1,2})-[a-z]{3}-(\d{2})\b", text)  # RFC 850
        if years or not short:
            return None
        years, days = [int(short[2]) + (2000 if int(short[2]) < 70 else 1900)], [int(short[1])]
    year = _buddhist(years[0], 543 if _THAI.search(text) else 0)
    return (year, months()[words[named[0]]], days[0]) if days else None


def _made(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, east: int = 0
) -> datetime | None:
    try:
        zone = timezone(timedelta(minutes=east))
        return _settled(datetime(year, month, day, hour, minute, second, tzinfo=zone))
    except (ValueError, OverflowError):
        return None


def _settled(found: datetime) -> datetime | None:
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.replace(microsecond=0) if EARLIEST <= found.year <= LATEST else None
