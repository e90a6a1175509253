"""Who asked to be left out: a list of ids, URLs and hosts, and which documents it covers.

One entry a line, `#` begins a comment. 32 hex digits are a document's id; an entry with a scheme or a slash is a URL,
which covers that address, and everything below it where it ends in `/` or has no path: `https://site/` is the site.
Anything else is a host, which covers its sub-domains; `*.site` and `.site` are read as `site`. Both sides are spelt
in one way (`hosts.py`), so schemes, ports, a leading `www.`, a final dot, upper case, and the ASCII or the
international form of a host make no difference.
"""

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from .hosts import host_of, plain_url, split_url
from .store.errors import RequestError
from .store.shards import filesystem, replacing
from .store.workspace import Workspace

PLACE = "plans/optout.json"
ID = re.compile(r"[0-9a-f]{32}")
PLAIN = r"^https?://[a-z0-9-]+(\.[a-z0-9-]+)*(/[A-Za-z0-9/._~-]*)?$"  # addresses that are spelt in one way alone
KNOWN = r"^https?://[a-z0-9-]+(\.[a-z0-9-]+)*([/?#]|$)"  # those whose host is
HOST = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)+")


@dataclass(frozen=True)
class OptOut:
    """A list that was read. `covers` names the entry that covers a document."""

    ids: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()  # without scheme and www
    folders: tuple[str, ...] = ()  # those that end in a slash

    def __bool__(self) -> bool:
        return bool(self.ids or self.hosts or self.urls or self.folders)

    def covers(self, document: str, url: str | None) -> str | None:
        """The entry that covers a document, None where none does."""
        if document in self.ids:
            return document
        bare = plain_url(url) if url else None
        if bare is None:
            return None
        if bare in self.urls:
            return bare
        parts = host_of(bare).split(".")
        for cut in range(len(parts)):
            if (name := ".".join(parts[cut:])) in self.hosts:
                return name
        path = bare.partition("?")[0]
        places = (place + 1 for place, char in enumerate(path) if char == "/")
        return next((path[:place] for place in places if path[:place] in self._folders), None)

    def covering(self, documents: pa.Array, urls: pa.Array) -> dict[int, str]:
        """Row -> the entry that covers it: `covers` of many documents, (D,) string each, those alone that are covered.

        Looked at one by one are those alone that an entry may cover, by their host or, if spelt in one way alone, by
        the address.
        """
        urls = pc.cast(urls, pa.string())
        found = dict.fromkeys(_places(pc.is_in(documents, value_set=pa.array(sorted(self.ids), pa.string()))), "")
        if self.urls or self.hosts or self.folders:
            plain, known = (pc.fill_null(pc.match_substring_regex(urls, form), False) for form in (PLAIN, KNOWN))
            bare = pc.replace_substring_regex(urls, r"^https?://(?:www\.)?", "")
            host = pc.replace_substring_regex(bare, "(?s)[/?#].*", "")
            bare = pc.if_else(pc.equal(bare, host), pc.binary_join_element_wise(bare, "", "/"), bare)
            names = pc.unique(host.filter(known)).to_pylist()
            under = pc.is_in(host, value_set=pa.array([name for name in names if self._holds(name)], pa.string()))
            beside = pc.is_in(
                host, value_set=pa.array([name for name in names if name in self._url_hosts], pa.string())
            )
            same = pc.is_in(bare, value_set=pa.array(sorted(self.urls), pa.string()))
            asked = pc.or_(under, pc.if_else(plain, same, beside))
            found |= dict.fromkeys(_places(pc.and_(pc.is_valid(urls), pc.or_(pc.invert(known), asked))), "")
        told = {row: self.covers(documents[row].as_py(), urls[row].as_py()) for row in sorted(found)}
        return {row: entry for row, entry in told.items() if entry is not None}

    def _holds(self, host: str) -> bool:
        """Whether an address of this host may be covered otherwise than by its own entry."""
        parts = host.split(".")
        names = (".".join(parts[cut:]) for cut in range(len(parts)))
        return host in self._folder_hosts or any(name in self.hosts for name in names)

    @functools.cached_property
    def _folder_hosts(self) -> frozenset[str]:
        return frozenset(host_of(folder) for folder in self.folders)

    @functools.cached_property
    def _url_hosts(self) -> frozenset[str]:
        return frozenset(host_of(url) for url in self.urls)

    @functools.cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(self.folders)

    def entries(self) -> list[str]:
        return sorted({*self.ids, *self.hosts, *self.urls, *self.folders})


def parse(lines: Iterable[str], where: str) -> OptOut:
    """The list; a RequestError names the first line that is neither id, URL nor host."""
    ids, hosts, urls, folders = set(), set(), set(), set()
    for number, line in enumerate(lines, 1):
        entry = _COMMENT.sub("", line.removeprefix("\ufeff")).strip()
        if not entry:
            continue
        if ID.fullmatch(entry.lower()):
            ids.add(entry.lower())
        elif "/" in entry and not re.search(r"\s|\*", entry) and (bare := plain_url(entry)) and _is_host(bare):
            parts = split_url(entry)
            if parts and not parts.query and (not parts.path or parts.path.endswith("/")):
                folders.add(bare)
            urls.add(bare)
        elif "/" not in entry and _is_host(name := _WILDCARD.sub("", entry)):
            hosts.add(host_of(name).removeprefix("www."))
        else:
            raise RequestError(f"{where}, line {number}: {entry!r} is neither an id, a URL nor a host")
    return OptOut(frozenset(ids), frozenset(hosts), frozenset(urls), tuple(sorted(folders)))


def _places(mask: pa.Array) -> list[int]:
    return pc.indices_nonzero(mask).to_pylist()


_COMMENT = re.compile(r"(?:^|\s)#.*")
_WILDCARD = re.compile(r"^(?:\*\.|\.)")


def _is_host(entry: str) -> bool:
    host = host_of(entry)
    return ":" in host or HOST.fullmatch(host) is not None


def read_optout(workspace: Workspace) -> OptOut:
    """The entries that the workspace honours."""
    fs, path = filesystem(workspace.path(PLACE))
    if not fs.exists(path):
        return OptOut()
    with fs.open(path, "rb") as file:
        kept = json.loads(file.read())
    hosts = frozenset(host_of(host).removeprefix("www.") for host in kept["hosts"])
    urls, folders = (frozenset(plain_url(url) or url for url in kept[kind]) for kind in ("urls", "folders"))
    return OptOut(frozenset(kept["ids"]), hosts, urls, tuple(sorted(folders)))


def add_optout(workspace: Workspace, more: OptOut) -> OptOut:
    """The workspace's list with these entries added to it, written down. Entries are never taken back."""
    old = read_optout(workspace)
    whole = OptOut(
        old.ids | more.ids, old.hosts | more.hosts, old.urls | more.urls, tuple(sorted({*old.folders, *more.folders}))
    )
    held = {name: sorted(getattr(whole, name)) for name in ("ids", "hosts", "urls", "folders")}
    with replacing(workspace.path(PLACE)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps(held, indent=1, sort_keys=True) + "\n")
    return whole
