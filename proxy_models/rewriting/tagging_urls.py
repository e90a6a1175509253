"""What a URL says of a document: registered domain, public suffix, words of the path (MeCo conditions on these).

The public suffix list is the one that comes with `tldextract`; nothing is fetched. A URL without a host, or one that
cannot be parsed, has nothing to say: nulls and no words. The host itself is a column of documents/.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from ...corpus.store.errors import MissingExtra

_WORD = re.compile(r"[^\W\d_]{2,}")
_ENDING = re.compile(r"\.(?:html?|php\d?|aspx?|jsp|cgi|shtml|md|txt|pdf)$", re.IGNORECASE)
MOST_WORDS = 32


@dataclass(frozen=True)
class UrlTags:
    """See the module."""

    registered_domain: str | None = None
    suffix: str | None = None
    path_words: tuple[str, ...] = ()


def url_tags(url: str | None) -> UrlTags:
    """Tags of one URL."""
    if not url:
        return UrlTags()
    try:
        parts = urlsplit(url)
        host, path = parts.hostname, parts.path
    except ValueError:
        return UrlTags()
    if not host:
        return UrlTags()
    registered, suffix = _registered(host.rstrip("."))
    words = _WORD.findall(unquote(_ENDING.sub("", path)).casefold())
    return UrlTags(registered, suffix, tuple(words[:MOST_WORDS]))


@lru_cache(maxsize=65_536)
def _registered(host: str) -> tuple[str | None, str | None]:
    found = _extract()(host)
    return found.top_domain_under_public_suffix or None, found.suffix or None


@lru_cache(maxsize=1)
def _extract():
    try:
        from tldextract import TLDExtract
    except ImportError as error:
        raise MissingExtra("tldextract", "tags") from error
    return TLDExtract(cache_dir=None, suffix_list_urls=()).extract_str
