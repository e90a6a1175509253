"""Rules on URLs: lists of hosts, registered domains, URLs and words, matched with the public suffix list.

A listed domain covers its sub-domains; a listed host covers itself alone; `example.co.uk` is registered under the
public suffix `co.uk`, so listing `co.uk` itself is refused, for it would cover half a country. A suffix that a company
opened to its customers (`github.io`) may be listed, and covers them all; listing one customer's `name.github.io`
covers that one. Words are looked for in one pass (Aho-Corasick) over host and path: hard words drop anywhere, soft
words drop when `soft_at_least` different ones occur. An allow list overrides. Lists are files that the user names;
nothing is downloaded.
"""

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import pyarrow as pa

from ..corpus.hosts import host_of, split_url
from ..corpus.store.errors import MissingExtra, RequestError
from .settings import Files as Files
from .settings import UrlRules as UrlRules
from .url_lists import list_lines, read_hosts


@dataclass(frozen=True)
class UrlVerdict:
    """Which list a URL is on, and the entry that says so. `rule` is None where none applies."""

    rule: str | None
    entry: str | None = None


@functools.cache
def _suffixes():
    """The public suffix list as tldextract ships it; nothing is fetched."""
    try:
        import tldextract
    except ImportError as error:
        raise MissingExtra("tldextract", "urls") from error
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=False)


def automaton():
    """An empty Aho-Corasick automaton."""
    try:
        import ahocorasick
    except ImportError as error:
        raise MissingExtra("pyahocorasick", "urls") from error
    return ahocorasick.Automaton()


@functools.lru_cache(1 << 16)
def registered_domain(host: str) -> str:
    """The name that someone registered: one label and its public suffix; the host itself for an IP address."""
    found = _suffixes()(host)
    if found.domain and found.suffix:
        return f"{found.domain}.{found.suffix}"
    if found.suffix or ":" in host or found.domain == host:
        return host
    return ".".join(host.split(".")[-2:])  # a top-level domain that the list does not have is a public suffix


def parents(host: str) -> Iterator[str]:
    """The host and the domains above it, down to the registered one, never a public suffix."""
    stop = registered_domain(host)
    while True:
        yield host
        if host == stop or "." not in host:
            return
        host = host.partition(".")[2]


def _as_words(text: str) -> str:
    """In lower case, percent-encoding undone, all that is neither letter nor digit as one space."""
    return re.sub(r"[\W_]+", " ", unquote(text).lower())


def normal_url(url: str) -> str:
    """Without scheme, `www.`, fragment and final slash, the host in lower case: what URL lists are compared by."""
    parts = split_url(url)
    if parts is None:
        return url
    host = host_of(url).removeprefix("www.")
    query = f"?{parts.query}" if parts.query else ""
    return f"{host}{parts.path.rstrip('/')}{query}"


@dataclass(frozen=True)
class UrlLists:
    """Lists by what they hold. Categories are names of lists, such as the folders of a UT1 collection."""

    hosts: Mapping[str, str] = field(default_factory=dict)  # host -> category
    domains: Mapping[str, str] = field(default_factory=dict)  # domain -> category, sub-domains included
    urls: Mapping[str, str] = field(default_factory=dict)  # normal_url -> category
    allowed: frozenset[str] = frozenset()  # domains that no list touches, sub-domains included
    allowed_hosts: frozenset[str] = frozenset()
    allowed_urls: frozenset[str] = frozenset()  # normal_url
    hard_words: tuple[str, ...] = ()
    soft_words: tuple[str, ...] = ()
    soft_at_least: int = 2

    def __post_init__(self) -> None:
        for name in self.domains:
            if _suffixes()(name).domain == "" and _suffixes()(name).suffix == name:
                raise RequestError(f"domain list: {name!r} is a public suffix; it would cover every site under it")

    @functools.cached_property
    def _words(self):
        words = automaton()
        for kind, listed in (("hard_word", self.hard_words), ("soft_word", self.soft_words)):
            for word in listed:
                plain = _as_words(word).strip()
                if not plain:
                    raise RequestError(f"word list: {word!r} has neither a letter nor a digit")
                words.add_word(plain, (kind, plain))
        words.make_automaton()
        return words

    def judge(self, url: str | None) -> UrlVerdict:
        """The first list that the URL is on: allow list, URLs, hosts, domains, hard words, soft words."""
        if not url:
            return UrlVerdict(None)
        host = host_of(url)
        above = list(parents(host)) if host else []
        plain = normal_url(url)
        if host in self.allowed_hosts or plain in self.allowed_urls or any(name in self.allowed for name in above):
            return UrlVerdict(None)
        if plain in self.urls:
            return UrlVerdict(f"url:{self.urls[plain]}", plain)
        if host in self.hosts:
            return UrlVerdict(f"host:{self.hosts[host]}", host)
        for name in above:
            if name in self.domains:
                return UrlVerdict(f"domain:{self.domains[name]}", name)
        if self.hard_words or self.soft_words:
            return self._judge_words(plain)
        return UrlVerdict(None)

    def _judge_words(self, plain: str) -> UrlVerdict:
        text = _as_words(plain)
        hard, soft = set(), set()
        for end, (kind, word) in self._words.iter(text):
            start = end - len(word) + 1
            whole = (start == 0 or text[start - 1] == " ") and (end + 1 == len(text) or text[end + 1] == " ")
            if kind == "hard_word":
                hard.add(word)
            elif whole:
                soft.add(word)
        if hard:
            return UrlVerdict("hard_word", min(hard))
        if len(soft) >= self.soft_at_least:
            return UrlVerdict("soft_words", " ".join(sorted(soft)))
        return UrlVerdict(None)


def read_list(path: str) -> Iterator[str]:
    """Lines of a list file; blank ones, those that begin with #, and comments behind entries are left out."""
    for _, line in list_lines(path):
        yield re.sub(r"\s+#.*$", "", line)


def ut1_lists(folder: str, categories: Iterable[str] | None = None) -> UrlLists:
    """A UT1-style collection: a folder per category with files `domains` and `urls`."""
    if not os.path.isdir(folder):
        raise RequestError(f"URL lists: {folder} is not a folder with a folder per category")
    names = sorted(categories or (name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name))))
    domains: dict[str, str] = {}
    hosts: dict[str, str] = {}
    urls: dict[str, str] = {}
    for name in names:
        here = os.path.join(folder, name)
        if not os.path.isdir(here):
            raise RequestError(f"URL lists: no category {name!r} in {folder}")
        if os.path.exists(os.path.join(here, "domains")):
            for host in read_hosts(os.path.join(here, "domains")).hosts:
                suffix = _suffixes()(host)
                (domains if suffix.domain else hosts).setdefault(host, name)
        if os.path.exists(os.path.join(here, "urls")):
            for entry in read_list(os.path.join(here, "urls")):
                urls.setdefault(normal_url(entry), name)
    return UrlLists(hosts=hosts, domains=domains, urls=urls)


def read_lists(rules: UrlRules) -> UrlLists:
    """The lists that the rules name; hosts and domains in ASCII, URLs as they are compared."""

    def entries(kind: str, normal: Callable[[str], str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for category, path in sorted(rules.files.get(kind, {}).items()):
            for entry in read_list(path):
                if not (plain := normal(entry)):
                    raise RequestError(f"{kind}: {path}: {entry!r} is none")
                if kind.endswith("urls") and re.search(r"[*^|]|\s", entry):
                    raise RequestError(f"{kind}: {path}: {entry!r} is a pattern; the list has URLs, one a line")
                found.setdefault(plain, category)
        return found

    def hosts(kind: str) -> dict[str, str]:
        files = sorted(rules.files.get(kind, {}).items())
        return {host: category for category, path in reversed(files) for host in read_hosts(path).hosts}

    given = ut1_lists(rules.folder) if rules.folder is not None else UrlLists()
    return UrlLists(
        hosts=hosts("block_hosts") | dict(given.hosts),
        domains=hosts("block_domains") | dict(given.domains),
        urls=entries("block_urls", normal_url) | dict(given.urls),
        allowed=frozenset(hosts("allow_domains")),
        allowed_hosts=frozenset(hosts("allow_hosts")),
        allowed_urls=frozenset(entries("allow_urls", normal_url)),
        hard_words=tuple(sorted(entries("block_words", str.lower))),
        soft_words=tuple(sorted(entries("soft_words", str.lower))),
        soft_at_least=rules.soft_at_least,
    )


def described(rules: UrlRules) -> list[str]:
    """A line for each list of hosts: how many entries of which form it has, and warnings."""
    told = []
    for kind, files in sorted(rules.files.items()):
        if kind.endswith(("hosts", "domains")):
            for path in files.values():
                found = read_hosts(path)
                forms = ", ".join(f"{count:,} {form}" for form, count in sorted(found.forms.items()))
                told += [f"{kind} {path}: {forms or 'no entry'}", *(f"warning: {one}" for one in found.warnings[:20])]
    return told


@functools.lru_cache(2)
def lists_of(rules: str, digest: str) -> UrlLists:
    """The lists, kept by the process that read them; the digest makes changed ones others."""
    return read_lists(UrlRules.model_validate_json(rules))


def judge_all(url: pa.Array, rules: str, digest: str) -> dict[str, pa.Array]:
    """listed (1 or 0; 0 for a null URL, which is on no list), and the rule and the entry where it is listed.

    rules    `UrlRules` as JSON
    """
    lists = lists_of(rules, digest)
    verdicts = [lists.judge(one) for one in url.to_pylist()]
    return {
        "listed": pa.array([int(v.rule is not None) for v in verdicts], pa.int64()),
        "rule": pa.array([v.rule for v in verdicts], pa.string()),
        "entry": pa.array([v.entry for v in verdicts], pa.string()),
    }
