"""What a page says of itself: title, date of publication, language, links, licence, canonical address.

Reads the serialised head with two patterns, because attributes there are always in double quotes; costs some tens of
microseconds a page. A date is that of the page: not of a comment, a picture or an event, and not after the capture.
"""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..languages.tags import primary_language
from ..text.thinning import Thin
from .dates import parse_date
from .licences import METAS, body_links, stated_licence
from .linked_data import is_other, of_the_page, values

META = re.compile(r"<meta ([^>]*)>")
ATTRIBUTE = re.compile(r'([a-zA-Z:_-]+)="([^"]*)"')
TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL)
LINK = re.compile(r"<link ([^>]*)>")
HTTP_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[^,;"=]+(?:="[^"]*"|=[^,;"]*)?)*)')
RELATIONS = ("canonical", "license")  # that are read
RELATION = re.compile(r"rel\s*=\s*\"?([^\";]*)", re.IGNORECASE)
PLAIN_ADDRESS = re.compile(r"https?://[a-zA-Z0-9.-]+(?::\d+)?(?:/[^?#;\s]*)?")
# elements whose dates are of something else than the page
OTHER_DATES = re.compile(
    r"comment|komment|coment|reacti|antwort|disqus|testimonial|repl(?:y|ies)|respon[sd]|related|event|recommend|sidebar|"
    r"widget|teaser|promo|gallery|figure|caption|latest|recent|popular|footer|\bcard|copyright|calendar|upcoming|"
    r"kalender|veranstaltung|agenda\b",
    re.IGNORECASE,
)
OTHER_PROPERTIES = re.compile(
    r"(?:start|end|upload|birth|death|founding)Date|dateModified|valid|expire|availability|(?:door|cook|prep|total|comment)Time"
)
POST = re.compile(r"\bpost(?:bit|_?\d)")  # of a thread, whose posts some forums call comments, the first one too
OTHER_PLACES = ("aside", "footer", "nav", "figure", "figcaption", "blockquote")
NAMED = ("property", "name", "itemprop", "http-equiv")  # attributes that say what a meta element is
PLAIN_META = re.compile(rf'(?:{"|".join(NAMED)})="([^"]*)" content="([^"]*)"')  # as most are
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
    *("parsely-pub-date", "article:published", "article.published", "dcterms.created", "dc.date.created", "dc.created"),
    *("dcterms.issued", "dc.issued", "datecreated", "publish-date", "publish_date", "published_time", "release_date"),
    *(
        "og:pubdate",
        "og:published_time",
        "og:release_date",
        "rnews:datepublished",
        "bt:pubdate",
        "article_date_original",
    ),
    *("cxenseparse:recs:publishtime", "cxenseparse:publishtime", "mediator_published_time", "citation_online_date"),
    *("citation_date", "eprints.date", "article.created", "shareaholic:article_published_time", "published_at"),
    *("created", "pub_date", "displaydate", "originalpublicationdate", "datepublished", "published"),
)

LANGUAGES = ("content-language", "dc.language", "language", "og:locale")  # where the html element names none
WRITTEN = {  # a word in classes of dates -> what finds their elements
    "date": "[class*='date'], [class*='Date']",
    "publish": "[class*='publish'], [class*='Publish']",
    "posted": "[class*='posted']",
    "time": "[class*='time']",
}
WRITTEN_CHARS = 60  # of a text that is a date, with the words around it
LABEL = re.compile(r"^[^\d:]{0,24}:\s*|^(?:published|posted|created|written|added)(?:\s+(?:on|at))?\s+", re.IGNORECASE)
MODIFIED = re.compile(
    r"updat|modif|edited|revis|review|join|member|expire|event|start|end|aktuali|mise|изм", re.IGNORECASE
)
LATE = timedelta(days=1)  # by which a page may be dated after its capture: a day has 24 zones
TIMES_READ = 8  # elements of the body with dates that are looked at


@dataclass(frozen=True)
class Sent:
    """What came with a page: its address, fields of the HTTP head by name in lower case, the time of its capture."""

    url: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    captured: datetime | None = None


@dataclass
class Stated:
    title: str | None = None
    date: datetime | None = None
    language: str | None = None
    links: int = 0
    license: str | None = None
    license_class: str | None = None
    canonical: str | None = None
    robots: str | None = None
    page_type: str | None = None
    page_type_score: float | None = None


def stated(page: Thin, head: str, metas: dict[str, str], body: Any, sent: Sent | None = None) -> Stated:
    """Metadata of a page from what was seen in its source, its serialised head and the `head_metas` of that, and its
    body element (`resiliparse`)."""
    sent = sent or Sent()
    links = list(_head_links(head, sent))
    licensed = of_the_page(page.structured, (b'license"',)) if page.structured else []
    licence, licence_class = (None, None)
    if page.licensed or licensed or any(name in metas for name in METAS) or any("license" in rel for rel, _ in links):
        licence, licence_class = stated_licence(
            [target for rel, target in links if "license" in rel],
            values(licensed, "license"),
            metas,
            body_links(body) if page.licensed and body is not None else (),
        )
    languages = (metas.get(name, "") for name in LANGUAGES)
    languages = (*languages, sent.fields.get("content-language", ""))
    return Stated(
        title=_title(metas, head),
        date=_date(metas, page, body, sent.captured),
        language=page.language or next(filter(None, map(primary_language, languages)), None),
        links=page.links,
        license=licence,
        license_class=licence_class,
        canonical=_canonical(links, metas, sent.url),
        robots=", ".join(filter(None, (sent.fields.get("x-robots-tag"), metas.get("robots")))) or None,
    )


def head_metas(head: str) -> dict[str, str]:
    """Name in lower case -> content of the meta elements of a serialised head; the first of a name counts."""
    metas: dict[str, str] = {}
    for tag in META.findall(head):
        if plain := PLAIN_META.fullmatch(tag):
            name, content = plain.groups()
        else:
            attributes = {name.lower(): value for name, value in ATTRIBUTE.findall(tag)}
            name, content = next(filter(None, map(attributes.get, NAMED)), None), attributes.get("content")
        if name and content:
            metas.setdefault(name.lower(), html.unescape(content))
    return metas


def _title(metas: dict[str, str], head: str) -> str | None:
    found = TITLE.search(head)
    title = metas.get("og:title") or (html.unescape(found[1]) if found else "")
    return " ".join(title.split())[:500] or None


def _head_links(head: str, sent: Sent) -> Iterator[tuple[list[str], str]]:
    """(relations in lower case, address) of the links in the HTTP head, then of those `RELATIONS` in the HTML head."""
    for target, rest in HTTP_LINK.findall(sent.fields.get("link", "")):
        if found := RELATION.search(rest):
            yield found[1].lower().split(), target.strip()
    for tag in LINK.findall(head):
        if not any(relation in tag.lower() for relation in RELATIONS):
            continue
        attributes = {name.lower(): html.unescape(value) for name, value in ATTRIBUTE.findall(tag)}
        if attributes.get("rel") and attributes.get("href"):
            yield attributes["rel"].lower().split(), attributes["href"].strip()


def _canonical(links: list[tuple[list[str], str]], metas: dict[str, str], base: str | None) -> str | None:
    """The address that a page calls its own: an absolute one of the web, else None."""
    for target in (*(target for rel, target in links if "canonical" in rel), metas.get("og:url", "")):
        if PLAIN_ADDRESS.fullmatch(target):  # as nearly all are: nothing has to be joined or checked
            return target[:2000]
        try:
            whole = urljoin(base or "", target.strip()) if target.strip() else ""
            parts = urlsplit(whole)
        except ValueError:
            continue
        if parts.scheme in ("http", "https") and parts.netloc:
            return whole[:2000]
    return None


def _date(metas: dict[str, str], page: Thin, body: Any, captured: datetime | None) -> datetime | None:
    """The first date that is stated; where it is a day alone, the first time of that day that is stated after it."""
    first = None
    for text, element in _dates(metas, page, body):
        timed = ":" in text
        when = parse_date(text) if timed or first is None else None
        if when is None or (captured is not None and when > captured + LATE):
            continue
        if first is not None and when.date() != first.date():
            continue
        if element is not None and not _dates_the_page(element):
            continue
        if timed:
            return when
        first = when
    return first


def _dates(metas: dict[str, str], page: Thin, body: Any) -> Iterator[tuple[str, Any]]:
    """(text, element of the body that holds it or None) of what may be dates: meta elements go before structured data,
    that before properties in the text, those before the first `time`."""
    yield from ((metas[name], None) for name in DATES if name in metas)
    data = of_the_page(page.structured, (b"datePublished", b"dateCreated")) if page.structured else []
    yield from ((text, None) for text in values(data, "datePublished"))
    if page.timed and body is not None:
        for query in ("[itemprop~='datePublished']", "time[datetime]"):
            for element in body.query_selector_all(query)[:TIMES_READ]:
                text = element.getattr("datetime") or element.getattr("content") or element.text or ""
                of_what = element.getattr("itemprop") or ""
                other = OTHER_PROPERTIES.search(of_what) and "datePublished" not in of_what
                if text and not other:
                    yield text, element
    if body is not None:
        yield from _written_dates(page, body)
    yield from ((text, None) for text in values(data, "dateCreated"))


def _written_dates(page: Thin, body: Any) -> Iterator[tuple[str, Any]]:
    """(text, element) of elements whose classes call them a date and that hold hardly more than one."""
    queries = [WRITTEN[word] for word in page.dated] + ["time"] * page.timed
    for element in body.query_selector_all(", ".join(queries))[: 3 * TIMES_READ] if queries else ():
        text = " ".join((element.text or "").split())
        if 6 <= len(text) <= WRITTEN_CHARS and not MODIFIED.search(text):
            yield LABEL.sub("", text), element


def _dates_the_page(element: Any) -> bool:
    """Whether no element around a date belongs to something else than the page's own text."""
    node = element
    for _ in range(40):
        if node is None or node.tag in (None, "body", "html"):
            return True
        words = " ".join(filter(None, (node.getattr("class"), node.getattr("id"), node.getattr("itemprop"))))
        if node.tag in OTHER_PLACES or (words and OTHER_DATES.search(words)):
            return False
        kinds = f"{node.getattr('itemtype') or ''} {node.getattr('typeof') or ''}".split()
        if any(is_other(kind) for kind in kinds) and not POST.search(words):
            return False
        node = node.parent
    return True
