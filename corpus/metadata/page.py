"""What a page says of itself: title, date of publication, language, links, licence. Nothing is guessed from the text.

Reads the serialised head with two patterns, because attributes there are always in double quotes; costs some tens of
microseconds a page.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ..text.thinning import Thin, primary_language
from .licences import from_markup

META = re.compile(r"<meta ([^>]*)>")
ATTRIBUTE = re.compile(r'([a-zA-Z:_-]+)="([^"]*)"')
TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL)
PROPERTY = re.compile(r'<[a-z][^>]*\sitemprop="datePublished"[^>]*>')
TIME = re.compile(r'<time\s[^>]*datetime="[^>]*>')
STATED_TIME = re.compile(r'\s(?:datetime|content)="([^"]+)"')
PUBLISHED_JSON = re.compile(rb'"datePublished"\s*:\s*"([^"]{8,40})"')
NAMED = ("property", "name", "itemprop", "http-equiv")  # attributes that say what a meta element is
DATES = (
    "article:published_time",
    "datepublished",
    "og:article:published_time",
    "citation_publication_date",
    "dc.date.issued",
    "dc.date",
    "dcterms.date",
    "pubdate",
    "publishdate",
    "publication_date",
    "sailthru.date",
    "date",
)

LANGUAGES = ("content-language", "dc.language", "language", "og:locale")  # where the html element names none


@dataclass
class Stated:
    title: str | None = None
    date: datetime | None = None
    language: str | None = None
    links: int = 0
    license: str | None = None
    license_class: str | None = None


def stated(page: Thin, head: str, body: str) -> Stated:
    """Metadata of a page from what was seen in its source and from its serialised head and body."""
    metas: dict[str, str] = {}
    for tag in META.findall(head):
        attributes = {name.lower(): value for name, value in ATTRIBUTE.findall(tag)}
        name = next((attributes[key] for key in NAMED if attributes.get(key)), None)
        if name and attributes.get("content"):
            metas.setdefault(name.lower(), html.unescape(attributes["content"]))
    found = TITLE.search(head)
    title = metas.get("og:title") or (html.unescape(found[1]) if found else "")
    licence, licence_class = from_markup(head, body if page.licensed else "", metas)
    return Stated(
        title=" ".join(title.split())[:500] or None,
        date=_date(metas, page, body),
        language=page.language or next(filter(None, (primary_language(metas.get(n, "")) for n in LANGUAGES)), None),
        links=page.links,
        license=licence,
        license_class=licence_class,
    )


def _date(metas: dict[str, str], page: Thin, body: str) -> datetime | None:
    """The first date that is stated; where it is a day alone, the first time of that day that is stated after it."""
    first, day = None, ""
    for text in _dates(metas, page, body):
        when, own = iso_date(text), text.strip().replace("/", "-")[:10]
        if when is not None and ":" in text and (first is None or own == day):
            return when
        if when is not None and first is None:
            first, day = when, own
    return first


def _dates(metas: dict[str, str], page: Thin, body: str) -> Iterator[str]:
    """Meta elements go before structured data, that before properties in the text, those before the first `time`."""
    yield from (metas[name] for name in DATES if name in metas)
    for script in page.structured:
        if found := PUBLISHED_JSON.search(script):
            yield found[1].decode("ascii", "replace")
    for pattern in (PROPERTY, TIME) if page.timed else ():
        for tag in pattern.findall(body):
            if found := STATED_TIME.search(tag):
                yield found[1]


def iso_date(text: str) -> datetime | None:
    """A date in ISO 8601, with `/` for `-` allowed, as UTC; None for anything else or an unlikely year."""
    text = text.strip().replace("/", "-")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        if not re.match(r"\d{4}-\d{2}-\d{2}", text):
            return None
        try:
            found = datetime.fromisoformat(text[:10])
        except ValueError:
            return None
    try:
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        return None
    return found.replace(microsecond=0) if 1990 <= found.year <= 2100 else None
