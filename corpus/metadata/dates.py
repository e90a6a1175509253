"""Dates as pages state them: ISO 8601, RFC 2822 and RFC 850, and days with the names of months in 24 languages.

A name of a time zone counts where one zone alone is meant (UTC, GMT, EST, CET, JST, ...). Where a time has another
name (IST, CST outside of America), or a form leaves open which number is the month (05/06/2020), nothing is guessed:
the first gives the day as it is written, the second nothing.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

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
# the twelve months by language, whole or cut short, without accents; several names of a month stand between `/`
_MONTHS = """
en january february march april may june july august september/sept october november december
de januar/janner februar marz/maerz april mai juni juli august september oktober november dezember
fr janvier fevrier/fevr mars avril/avr mai juin juillet/juil aout septembre octobre novembre decembre
es enero febrero marzo abril mayo junio julio agosto septiembre/setiembre octubre noviembre diciembre
it gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
pt janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro
nl januari februari maart/mrt april mei juni juli augustus september oktober november december
pl stycznia/styczen lutego/luty marca/marzec kwietnia/kwiecien maja/maj czerwca/czerwiec lipca/lipiec
    sierpnia/sierpien wrzesnia/wrzesien pazdziernika/pazdziernik listopada/listopad grudnia/grudzien
ru января/январь февраля/февраль марта/март апреля/апрель мая/маи июня/июнь июля/июль августа/август
    сентября/сентябрь октября/октябрь ноября/ноябрь декабря/декабрь
uk сiчня/січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня
bg януари февруари март април май юни юли август септември октомври ноември декември
el ιανουαριου/ιανουαριος φεβρουαριου/φεβρουαριος μαρτιου/μαρτιος απριλιου/απριλιος μαιου/μαιος ιουνιου/ιουνιος
    ιουλιου/ιουλιος αυγουστου/αυγουστος σεπτεμβριου/σεπτεμβριος οκτωβριου/οκτωβριος νοεμβριου/νοεμβριος
    δεκεμβριου/δεκεμβριος
cs ledna/leden unora/unor brezna/brezen dubna/duben kvetna/kveten cervna/cerven cervence/cervenec srpna/srpen
    zari rijna/rijen listopadu prosince/prosinec
sv januari februari mars april maj juni juli augusti september oktober november december
da januar februar marts april maj juni juli august september oktober november december
fi tammikuuta/tammikuu helmikuuta/helmikuu maaliskuuta/maaliskuu huhtikuuta/huhtikuu toukokuuta/toukokuu
    kesakuuta/kesakuu heinakuuta/heinakuu elokuuta/elokuu syyskuuta/syyskuu lokakuuta/lokakuu
    marraskuuta/marraskuu joulukuuta/joulukuu
tr ocak subat mart nisan mayıs/mayis haziran temmuz agustos eylul ekim kasım/kasim aralık/aralik
ro ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie decembrie
hu januar februar marcius aprilis majus junius julius augusztus szeptember oktober november december
hr sijecnja veljace ozujka travnja svibnja lipnja srpnja kolovoza rujna - studenoga/studenog prosinca
sr januara februara marta aprila maja juna jula avgusta septembra oktobra novembra decembra
id januari februari maret april mei juni juli agustus september oktober november desember
vi tháng1 tháng2 tháng3 tháng4 tháng5 tháng6 tháng7 tháng8 tháng9 tháng10 tháng11 tháng12
ca gener febrer marc abril maig juny juliol agost setembre octubre novembre desembre
"""
_TIME = re.compile(
    r"(?<![\d:])(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?:([ap])\.?\s?m\b\.?)?"
    r"\s*(?:\(?((?:utc|gmt)?[+-]\d{1,2}(?::?\d{2})?|[^\W\d_]{1,5})\b\)?)?"
)
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")
_YMD = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]?")
_DOTTED = re.compile(r"(?<!\d)(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?!\d)")
_SLASHED = re.compile(r"(?<!\d)(\d{1,2})[-/](\d{1,2})[-/](\d{4})(?!\d)")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:t?(\d{2})(\d{2})(\d{2})?)?z?$")
_WORD = re.compile(r"[^\W\d_]+|\d+")


@cache
def _months() -> dict[str, int]:
    """Name of a month, whole or cut short where that is of one month alone, to its number."""
    of: dict[str, set[int]] = {}
    for line in _MONTHS.replace("\n    ", " ").strip().splitlines():
        for month, names in enumerate(line.split()[1:], 1):
            for name in names.split("/") if names != "-" else ():  # a name that means another month next door
                of.setdefault(_bare(name), set()).add(month)
    whole = {name: months for name, months in of.items() if len(months) == 1 or name in ("mai", "maj", "mart")}
    short: dict[str, set[int]] = {}
    for name, months in whole.items():
        for size in (3, 4) if len(name) > 3 and name.isalpha() else ():
            short.setdefault(name[:size], set()).update(months)
    found = {name: min(months) for name, months in short.items() if len(months) == 1}
    found |= {"jun": 6, "jul": 7, "mar": 3, "may": 5, "aug": 8, "oct": 10, "dec": 12, "jan": 1, "feb": 2, "apr": 4}
    return found | {name: min(months) for name, months in whole.items() if len(months) == 1}


def _bare(text: str) -> str:
    """Lower case without accents."""
    parts = unicodedata.normalize("NFD", text.lower())
    return unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c)))


def parse_date(text: str) -> datetime | None:
    """The date that a text of at most 100 characters states, as UTC; None for what is none or leaves it open.

    A day alone is its midnight in UTC.
    """
    text = " ".join(text.split())
    if not 6 <= len(text) <= 100 or not any(c.isdecimal() for c in text):
        return None
    plain = text.replace("/", "-") if re.match(r"\d{4}/", text) else text
    try:
        return _settled(datetime.fromisoformat(plain)) if plain[:4].isdecimal() and "-" in plain else _written(plain)
    except (ValueError, OverflowError):
        return _written(plain)


def _written(text: str) -> datetime | None:
    """A date in any of the other forms."""
    small = _bare(text)
    if found := _COMPACT.fullmatch(small):
        numbers = [int(one) if one else 0 for one in found.groups()]
        return _made(*numbers)
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
    for pattern in (_ISO, _YMD):
        if found := pattern.search(text):
            return int(found[1]), int(found[2]), int(found[3])
    if found := _DOTTED.search(text):
        return int(found[3]), int(found[2]), int(found[1])
    if found := _SLASHED.search(text):
        first, second = int(found[1]), int(found[2])
        if first == second or (second > 12 >= first):
            return int(found[3]), first, second
        return (int(found[3]), second, first) if first > 12 >= second else None
    return _named_day(text)


def _named_day(text: str) -> tuple[int, int, int] | None:
    words = _WORD.findall(_TIME.sub(" ", text) if ":" in text else text)
    months = [n for n, word in enumerate(words) if word in _months() and not word.isdecimal()]
    years = [int(word) for word in words if word.isdecimal() and len(word) == 4]
    if len({_months()[words[n]] for n in months}) != 1:
        return None
    near = [n + k for n in months[:1] for k in (-1, 1, -2, 2)]
    near = [n for n in near if 0 <= n < len(words)]
    days = [int(words[n]) for n in near if words[n].isdecimal() and 0 < int(words[n]) < 32 and len(words[n]) <= 2]
    if len(years) != 1:
        short = re.search(r"\b(\d{1,2})-[a-z]{3}-(\d{2})\b", text)  # RFC 850
        if years or not short:
            return None
        years, days = [int(short[2]) + (2000 if int(short[2]) < 70 else 1900)], [int(short[1])]
    return (years[0], _months()[words[months[0]]], days[0]) if days else None


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
