"""Reading what sites say to machines: records of a crawl, or a table of them.

A folder holds WARC files: a `robotstxt/` subset as Common Crawl keeps it, or the crawl itself, whose pages tell in
their heads what they reserve. A table (Parquet, CSV, JSONL) has the columns url, body and, if known, status, date and
location. Redirects are followed to other records of the same files. Refuses a folder without any record of a file of a
site or of a page that reserves something.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb

from ..hosts import plain_url
from ..readers.compression import codec_of
from ..readers.http_message import Response, TooLarge, parse_response
from ..readers.inputs import Input, resolve
from ..readers.members import Members, open_bytes
from ..readers.warc import Record, opens, read_records
from ..sql import literal, no_pattern
from ..store.errors import RequestError
from .robots import LIMIT, trains
from .sites import HOPS, Answer, Sites, address, directives, site_file

HEAD = 64 << 10  # bytes of a page in which its meta elements are looked for
PAGE_LIMIT = 16 << 20
TABLES = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_json", ".json": "read_json"}
_META = re.compile(r"<meta\s[^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""")


def read_sites(places: list[str]) -> Sites:
    """What the sites and pages of these folders, files and tables say."""
    sites = Sites()
    crawls = []
    for place in places:
        suffix = os.path.splitext(place.removesuffix(".gz").removesuffix(".zst"))[1].lower()
        if suffix in TABLES and not os.path.isdir(place):
            for answer in rows(place, TABLES[suffix]):
                sites.add(answer)
        else:
            crawls += [source.place for source in resolve((Input(paths=(place,), source="robots"),))]
    crawls = [place for place in crawls if re.search(r"\.(warc|arc)(\.\w+)?$", place.lower())]
    for place in crawls:
        read_crawl(place, sites, set())
    for _ in range(HOPS):
        wanted = sites.wanted()
        if not wanted:
            break
        for place in crawls:
            read_crawl(place, sites, wanted)
        if sites.wanted() == wanted:
            break  # nothing answers there
    if not sites.answers and not sites.pages:
        raise RequestError(
            f"{', '.join(places)}: no record of a robots.txt, ai.txt or tdmrep.json, and no page that reserves anything"
        )
    return sites


def read_crawl(place: str, sites: Sites, wanted: set[str]) -> None:
    """Add what the records of a WARC file say; of pages their heads, unless addresses are wanted alone."""
    for record, response in responses(place):
        url = record.url or ""
        if address(url) in wanted or site_file(url):
            status = response.status if response.status is not None else 200
            body = response.body[:LIMIT].decode("utf-8", "replace")
            sites.add(Answer(url, status, body, record.date, response.fields.get("location")))
        elif not wanted:
            said = page_signals(response)
            key = plain_url(url)
            if said and key:
                sites.pages.setdefault(key, {}).update(said)


def responses(place: str) -> Iterator[tuple[Record, Response]]:
    """Responses of a WARC file that can be decoded."""
    with open_bytes(place) as file:
        stream = Members(file, 0, codec_of(file))
        stream.opens = opens
        for record in read_records(stream, PAGE_LIMIT):
            if isinstance(record, Record) and record.kind in ("response", "resource") and record.url and record.content:
                try:
                    if record.kind == "resource":
                        yield record, Response(None, {}, record.content)
                    else:
                        yield record, parse_response(record.content, PAGE_LIMIT, "warc-truncated" in record.headers)
                except (TooLarge, OSError, ValueError, ArithmeticError):
                    continue  # extraction counts it among the failures


def page_signals(response: Response) -> dict[str, bool]:
    """What a page reserves by its fields and meta elements: signal -> whether it does, of those that it speaks of."""
    found: dict[str, bool] = {}
    fields = response.fields
    for kind in ("signal", "usage"):
        consent = trains(kind, fields.get(f"content-{kind}", ""))
        if consent is not None:
            found[f"content-{kind}"] = not consent
    words = fields.get("x-robots-tag", "")
    tdm = fields.get("tdm-reservation")
    if (response.content_type or "").endswith("html") or b"<html" in response.body[:HEAD].lower():
        for name, value in metas(response.body[:HEAD].decode("utf-8", "replace")):
            if name == "robots":
                words += f", {value}"
            elif name == "tdm-reservation":
                tdm = value  # the page itself goes before the field
    said = directives(words)
    found |= {kind: True for kind in ("noai", "noindex") if kind in said}
    if tdm is not None and tdm.strip() in ("0", "1"):
        found["tdm"] = tdm.strip() == "1"
    return found


def metas(html: str) -> Iterator[tuple[str, str]]:
    """(name in lower case, content) of the meta elements of a page's head."""
    for element in _META.findall(html.partition("</head>")[0]):
        told = {key.lower(): a or b or c for key, a, b, c in _ATTRIBUTE.findall(element)}
        if "name" in told and "content" in told:
            yield told["name"].strip().lower(), told["content"]


def rows(place: str, reader: str) -> Iterator[Answer]:
    """The rows of a table of answers. RequestError where it has no url or no body."""
    with duckdb.connect() as connection:
        try:
            relation = connection.sql(f"select * from {reader}({literal(no_pattern(place))})")
        except duckdb.Error as error:
            raise RequestError(f"{place} cannot be read: {str(error).splitlines()[0]}") from error
        names = {name.lower(): name for name in relation.columns}
        if not {"url", "body"} <= names.keys():
            raise RequestError(f"{place} needs the columns url and body; it has {', '.join(relation.columns)}")
        for row in relation.to_arrow_table().to_pylist():
            told = {name: row[column] for name, column in names.items()}
            if told["url"]:
                body = told["body"] or ""
                text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
                status = int(told.get("status") or 200)
                yield Answer(str(told["url"]), status, text[:LIMIT], _date(told.get("date")), told.get("location"))


def _date(value: object) -> datetime | None:
    if isinstance(value, str):
        from ..readers.dates import parse_date

        return parse_date(value)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
